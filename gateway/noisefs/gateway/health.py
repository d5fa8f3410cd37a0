"""Whether the parts of a store answer."""

from noisefs.adapters.inbound.admin.http import Check
from noisefs.core.errors import StoreSuperseded
from noisefs.core.ports.index import Table
from noisefs.core.ports.workers import Lane
from noisefs.core.services.store import Store


def checks_of(store: Store) -> dict[str, Check]:
    """What must answer for a server to be ready. A full disk is ready: it still reads and deletes. A store
    that another gateway goes on with is not.
    """

    async def index() -> None:
        await store.workers.run(Lane.DISK, store.index.read, lambda tx: tx.get(Table.META, b"ready?"))

    async def packs() -> None:
        await store.workers.run(Lane.DISK, store.packs.free_bytes)

    async def owner() -> None:
        if store.commits.superseded:
            raise StoreSuperseded(store.commits.superseded)

    return {"index": index, "packs": packs, "owner": owner}
