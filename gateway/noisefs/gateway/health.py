"""Whether the parts of a store answer, and the numbers that are taken when somebody asks for them."""

from noisefs.adapters.inbound.admin.http import Check
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.core.ports.index import Table
from noisefs.core.ports.telemetry import Gauge
from noisefs.core.ports.workers import Lane
from noisefs.core.services.store import Store


def checks_of(store: Store) -> dict[str, Check]:
    """What must answer for a server to be ready. A full disk is ready: it still reads and deletes."""

    async def index() -> None:
        await store.workers.run(Lane.DISK, store.index.read, lambda tx: tx.get(Table.META, b"ready?"))

    async def packs() -> None:
        await store.workers.run(Lane.DISK, store.packs.free_bytes)

    return {"index": index, "packs": packs}


async def measure(store: Store, telemetry: PrometheusTelemetry) -> bytes:
    """Take the numbers that nobody counts on the way, and return all as text for Prometheus."""

    def take() -> bytes:
        telemetry.gauge(Gauge.FREE_BYTES, store.packs.free_bytes())
        telemetry.gauge(Gauge.INDEX_BYTES, store.index.size_bytes())
        return telemetry.exposition()

    return await store.workers.run(Lane.DISK, take)
