"""Bytes that a bucket of a higher class comes to name: copies and moves from another bucket.

They were written under a class that asked for less, so their packs are brought where the new class wants them, before
the commit that names them there: a commit that finds packs which are not is undone, these packs are waited for, and it
runs again. Inline bytes travel with the commit itself.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.masking import stride_of
from noisefs.core.domain.records import Bucket, Extent, Pack, Run, SlicePlace, decode
from noisefs.core.errors import CommitConflict, NodeUnavailable
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.commits import CommitQueue

T = TypeVar("T")

Ready = dict[PackId, int]
"""Packs that have the class, each up to so many blocks."""

ATTEMPTS: Final = 8
"""The source may be replaced, or moved by the cleaner, while its packs are waited for."""

_RUNS: Final = 1 << 20


class _BelowClass(CommitConflict):
    """Packs of the bytes that are to be named do not have the class."""

    def __init__(self, packs: Ready, durability: str) -> None:
        super().__init__(f"{len(packs)} packs are below the class {durability}")
        self.packs = packs
        self.durability = durability


async def run_raising(commits: CommitQueue, work: Callable[[Writing, Ready], T]) -> T:
    """Commit ``work``, which calls :func:`check_class`, with packs brought where it wants them.

    Raises:
        NodeUnavailable: Too few nodes take them: nothing was changed.
        CommitConflict: The source changed again and again.
    """
    ready: Ready = {}
    for _ in range(ATTEMPTS):
        try:
            return await commits.run(partial(_call, work, ready))
        except _BelowClass as exc:
            if commits.classes is None:
                raise NodeUnavailable("none", f"raising to class {exc.durability}", "no nodes are configured") from None
            for pack_id, blocks in exc.packs.items():
                await commits.classes.settle(pack_id, exc.durability, blocks)
                ready[pack_id] = blocks
    raise CommitConflict(f"the source changed {ATTEMPTS} times while its packs were brought onto nodes")


def check_class(tx: Reading, extents: Iterable[Extent], source: Bucket, target: Bucket, ready: Ready) -> None:
    """Inside a commit that lets ``target`` name bytes of ``source``: let it be undone unless their packs are ready.

    Cost: nothing where the class does not grow, else a look at all runs of the bodies.
    """
    if target.durability in (LOCAL, source.durability):
        return
    needed: Ready = {}
    for body_id in {extent.body_id for extent in extents}:
        for pack_id, blocks in _places(tx, body_id):
            if ready.get(pack_id, 0) < blocks:
                needed[pack_id] = max(needed.get(pack_id, 0), blocks)
    if needed:
        raise _BelowClass(needed, target.durability)


def _places(tx: Reading, body_id: BodyId) -> Iterable[tuple[PackId, int]]:
    """Packs with cells of a body, each with the number of the block behind the last of them."""
    for _key, raw in tx.scan(Table.RUNS, body_id, prefix_end(body_id), _RUNS):
        run = decode(Run, raw)
        pack = tx.get(Table.PACKS, run.pack_id)
        stride = 1 if pack is None else stride_of(decode(Pack, pack).strategy)
        yield run.pack_id, run.position + (run.count - 1) * stride + 1
    raw_place = tx.get(Table.SLICES, body_id)
    if raw_place is not None:
        for piece in decode(SlicePlace, raw_place).pieces:
            yield piece.pack_id, piece.position + 1


def _call(work: Callable[[Writing, Ready], T], ready: Ready, tx: Writing) -> T:
    return work(tx, ready)
