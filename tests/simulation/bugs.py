"""Bugs that are planted, to see that histories find them.

Each is a mistake that somebody could make: a sync left out, an answer given too early, a row not written, a check not
made. The store under test is the real one but for that.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.adapters.outbound.localpacks.openpack import LocalOpenPack
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import PackLive, Placement
from noisefs.core.domain.requests import Principal, Removed
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Reading, Writing
from noisefs.core.services import store
from noisefs.core.services.bodies import references
from noisefs.core.services.bodies.readers import Readers
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.maintenance import cleaner
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.packs import recovery
from noisefs.core.services.packs.staging import Staging
from noisefs.core.services.packs.writer import PackWriter


@dataclass(frozen=True)
class Bug:
    """One bug: a sync that does nothing, or a function replaced by a wrong one."""

    name: str
    ignored_sync: str = ""
    index_sync_off: bool = False
    plant: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext


@contextlib.contextmanager
def _replaced(owner: object, name: str, wrong: object) -> Iterator[None]:
    right = getattr(owner, name)
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        setattr(owner, name, right)


# ---------------------------------------------------------------- answers that come too early


async def _settle_at_once(_staged: StagedBody) -> None:
    """The cells may still be in the cache when the commit that names them is durable."""


def _delete_in_the_background() -> AbstractContextManager[None]:
    delete = Objects.delete
    running: set[asyncio.Task[Removed]] = set()

    async def answer_first(self: Objects, who: Principal, bucket: str, key: str) -> Removed:
        task = asyncio.create_task(delete(self, who, bucket, key))
        running.add(task)
        task.add_done_callback(running.discard)
        return Removed(existed=True)

    return _replaced(Objects, "delete", answer_first)


def _cleaner_does_not_settle() -> AbstractContextManager[None]:
    settle = PackWriter.settle

    async def settle_writers_only(self: PackWriter, staging: Staging) -> None:
        if self._by != ("cleaner",):
            await settle(self, staging)

    return _replaced(PackWriter, "settle", settle_writers_only)


# ---------------------------------------------------------------- syncs that do not do what they say


def _failed_sync_is_retried() -> AbstractContextManager[None]:
    right = LocalOpenPack._try

    def try_again(self: LocalOpenPack, step: Callable[[], None]) -> None:
        try:
            step()
        except NoisefsError:
            right(self, step)

    return _replaced(LocalOpenPack, "_try", try_again)


def _seal_does_not_sync() -> AbstractContextManager[None]:
    seal = LocalOpenPack.seal

    def without_sync(self: LocalOpenPack) -> None:
        self._durable = False
        seal(self)

    return _replaced(LocalOpenPack, "seal", without_sync)


# ---------------------------------------------------------------- rows and checks that are missing


def _mark_nothing(_staging: Staging, _tx: Writing, _now_us: int) -> None:
    """No ``WRITING`` row: nobody knows that the cells are wanted."""


def _acquire_nothing(_tx: Writing, _extents: object) -> None:
    """A copy that does not count."""


def _same_generation(_tx: Writing) -> int:
    return 1


def _slices_do_not_count() -> AbstractContextManager[None]:
    live_of = recovery.live_of

    def cells_only(tx: Reading, pack_id: PackId) -> PackLive:
        return PackLive(live_of(tx, pack_id).cells, 0, 0)

    return _replaced(cleaner, "live_of", cells_only)


def _recovery_forgets_the_last_run() -> AbstractContextManager[None]:
    right = recovery.placements

    def all_but_one(tx: Reading, pack_id: PackId) -> list[tuple[int, Placement]]:
        return right(tx, pack_id)[:-1]

    return _replaced(recovery, "placements", all_but_one)


def _claim_all(_readers: Readers, bodies: Iterable[BodyId]) -> list[BodyId]:
    """Whoever reads them is not asked."""
    return list(bodies)


BUGS: Final = (
    Bug("packs are not synced", ignored_sync="sync:open"),
    Bug("names of packs are not synced", ignored_sync="sync_folder:packs"),
    Bug("the index's log is not synced", index_sync_off=True),
    Bug("the index is not synced before its log is emptied", ignored_sync="sync:db"),
    Bug(
        "a write is published before its cells are durable",
        plant=partial(_replaced, StagedBody, "settle", _settle_at_once),
    ),
    Bug("a delete is answered before its commit", plant=_delete_in_the_background),
    Bug("a move is published before its cells are durable", plant=_cleaner_does_not_settle),
    Bug("a failed write or sync is tried again", plant=_failed_sync_is_retried),
    Bug("a pack is sealed without a sync", plant=_seal_does_not_sync),
    Bug("unpublished cells in a sealed pack have no row", plant=partial(_replaced, Staging, "mark", _mark_nothing)),
    Bug("a copy does not count as a reference", plant=partial(_replaced, references, "acquire", _acquire_nothing)),
    Bug("two packs share a generation", plant=partial(_replaced, store, "next_generation", _same_generation)),
    Bug("a pack is dropped while slices live in it", plant=_slices_do_not_count),
    Bug("recovery forgets the last run of an open pack", plant=_recovery_forgets_the_last_run),
    Bug("cells are released while they are read", plant=partial(_replaced, Readers, "claim", _claim_all)),
)
"""Ten would do."""
