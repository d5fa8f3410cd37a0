"""Stores in memory whose index can be full and whose callers go away: what real disks and clients do to one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.core.domain import geometry
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import strategy
from noisefs.core.domain.packs import reclaim
from noisefs.core.domain.packs.manifest import Manifest
from noisefs.core.domain.records import BodyState, Extent, Pack, Version, decode, encode
from noisefs.core.errors import DiskFull
from noisefs.core.ports.index import Outcome, Table, Writing
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.packs import writer
from noisefs.core.services.store import Store, StoreSettings
from tests.support.bodies import content
from tests.support.stores import MemoryParts, pieces

T = TypeVar("T")

S = 131072


@contextmanager
def packs_of(blocks: int) -> Iterator[None]:
    """Let a full pack have so many blocks, so that a test fills many of them."""
    places = [
        (geometry, "PACK_BLOCKS", blocks),
        (strategy, "PACK_BLOCKS", blocks),
        (reclaim, "PACK_BLOCKS", blocks),
        (writer, "PREPARE_AT_BLOCKS", blocks // 2),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _value in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class FullIndex(MemoryIndex):
    """An index that can be told that its disk is full: then nothing is committed, whatever ran."""

    def __init__(self) -> None:
        """With room."""
        super().__init__()
        self.full_for = 0
        self.is_full: Callable[[], bool] = lambda: False
        """Asked at every commit."""

    def transact(self, batch: Sequence[Callable[[Writing], object]], *, wipe: bool = True) -> list[Outcome[object]]:
        """Run the batch; where the disk is full, undo it."""
        if not self.full_for and not self.is_full():
            return super().transact(batch, wipe=wipe)
        self.full_for = max(0, self.full_for - 1)

        def undone(tx: Writing) -> None:
            for work in batch:
                work(tx)
            raise _Undo

        super().transact([undone], wipe=wipe)
        raise DiskFull("no space left for the index")


class _Undo(Exception):
    """Ends a function of a batch whose writes are to be forgotten."""


class FaultyParts(MemoryParts):
    """Memory parts with a :class:`FullIndex`."""

    index: FullIndex

    def __init__(self, shape: Geometry | None = None, *, workers_seed: int | None = None) -> None:
        """Nothing is wrong yet."""
        super().__init__(shape, workers_seed=workers_seed)
        self.index = FullIndex()


@asynccontextmanager
async def faulty_store(
    *, workers_seed: int | None = None, settings: StoreSettings | None = None, shape: Geometry | None = None
) -> AsyncIterator[tuple[Store, FaultyParts]]:
    """A started store without background jobs, closed at the end if it still can be."""
    parts = FaultyParts(shape, workers_seed=workers_seed)
    store = parts.store(settings)
    await store.start(background=False)
    try:
        yield store, parts
    finally:
        await store.close()


async def stage(store: Store, size: int, seed: int = 0, *, group: bytes | None = None) -> StagedBody:
    """A body whose bytes are in and which nothing names."""
    return await store.body_writer.ingest(pieces(content(size, seed), 1 << 17), group=group)


def publishing(staged: StagedBody, state: BodyState = BodyState.LIVE) -> Callable[[Writing], tuple[Extent, ...]]:
    """The commit that gives a staged body a name."""

    def publish(tx: Writing) -> tuple[Extent, ...]:
        extents = staged.enlist(tx, state)
        row = Version(staged.digested.size, "", 0, "", extents=extents)  # type: ignore[arg-type]  # any owner
        tx.put(Table.OBJECTS, bytes(8) + staged.body_id.hex().encode(), encode(row))
        return extents

    return publish


async def steps(count: int = 200) -> None:
    """Let other tasks run for a while."""
    for _ in range(count):
        await asyncio.sleep(0)


async def cancel_after(work: Coroutine[Any, Any, T], rounds: int) -> bool:  # Any: what a coroutine is sent
    """Start ``work``, take its caller away after so many turns of the loop; tells whether it had not ended by then."""
    task = asyncio.ensure_future(work)
    await steps(rounds)
    ended = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not ended


def pack_row(store: Store, pack_id: PackId) -> Pack | None:
    """A pack's row."""
    raw = store.index.read(lambda tx: tx.get(Table.PACKS, pack_id))
    return None if raw is None else decode(Pack, raw)


def rows(store: Store, table: Table) -> int:
    """Rows of a table."""
    return store.index.read(lambda tx: tx.count(table))


def manifests(store: Store) -> dict[PackId, Manifest]:
    """The manifests of all sealed packs there are."""
    return {pack.pack_id: store.manifests.read(pack.pack_id, pack.blocks) for pack in store.packs.list() if pack.sealed}
