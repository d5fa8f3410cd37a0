"""Whole stores for tests: real services over memory adapters, or over SQLite and files."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.adapters.outbound.memory.presence import MemoryPresence
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId, StoreId
from noisefs.core.domain.requests import Principal
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.events import EventSink
from noisefs.core.services.store import Store, StoreSettings

KEYS = StoreKeys(StoreId(b"test store id 16"), b"test store key of 32 bytes......")


class MemoryParts:
    """The outside of a memory store; it outlives the store, so that a test can crash and restart one."""

    def __init__(self, geometry: Geometry | None = None, *, seed: int = 0, workers_seed: int | None = None) -> None:
        self.geometry = geometry if geometry is not None else Geometry()
        self.index = MemoryIndex()
        self.packs = MemoryPackStore(self.geometry.block_bytes)
        self.clock = ManualClock()
        self.entropy = SeededEntropy(seed)
        self.telemetry = MemoryTelemetry()
        self._workers_seed = workers_seed

    def store(self, settings: StoreSettings | None = None, sinks: Mapping[str, EventSink] | None = None) -> Store:
        """A new process over these parts; not started."""
        return Store(
            index=self.index,
            packs=self.packs,
            clock=self.clock,
            entropy=self.entropy,
            workers=InlineWorkers(self._workers_seed),
            telemetry=self.telemetry,
            presence=MemoryPresence(InstanceId(self.entropy.secret(ID_BYTES))),
            keys=KEYS,
            geometry=self.geometry,
            settings=settings if settings is not None else StoreSettings(),
            sinks=sinks or {},
        )


@asynccontextmanager
async def memory_store(
    geometry: Geometry | None = None, settings: StoreSettings | None = None
) -> AsyncIterator[tuple[Store, MemoryParts]]:
    """A started store in memory, without background jobs, and what it is made of."""
    parts = MemoryParts(geometry)
    store = parts.store(settings)
    await store.start(background=False)
    try:
        yield store, parts
    finally:
        await store.close()


@asynccontextmanager
async def local_store(
    folder: Path, geometry: Geometry | None = None, settings: StoreSettings | None = None, *, background: bool = False
) -> AsyncIterator[Store]:
    """A started store over SQLite and pack files in ``folder``, with threads."""
    shape = geometry if geometry is not None else Geometry()
    disk, entropy, workers = LocalDisk(), SystemEntropy(), ThreadWorkers()
    for name in ("index", "packs", "locks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    index = SqliteIndex.open(folder / "index" / "index.db", KEYS.index, create=True)
    packs = LocalPackStore(disk, str(folder / "packs"), shape.block_bytes)
    presence = FilePresence(disk, str(folder / "locks"), InstanceId(entropy.secret(ID_BYTES)))
    store = Store(
        index=index,
        packs=packs,
        clock=SystemClock(),
        entropy=entropy,
        workers=workers,
        telemetry=MemoryTelemetry(),
        presence=presence,
        keys=KEYS,
        geometry=shape,
        settings=settings if settings is not None else StoreSettings(),
    )
    await store.start(background=background)
    try:
        yield store
    finally:
        await store.close()
        packs.close()
        index.close()
        presence.close()
        workers.close()


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """``data`` in pieces of ``size`` bytes."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def joined(chunks: AsyncIterator[memoryview]) -> bytes:
    """Everything a reader gives."""
    return b"".join([bytes(chunk) async for chunk in chunks])


async def administrator(store: Store, name: str = "root") -> Principal:
    """A first user of the store."""
    user_id = await store.accounts.add_user(name, admin=True)
    return Principal(user_id, name, admin=True)
