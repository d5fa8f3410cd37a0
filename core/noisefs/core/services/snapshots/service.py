"""Taking, listing, expiring and restoring snapshots of a running store."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.files.snapshot_file import Opening, SnapshotSealer
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.keyspace import HEAD_PREFIX, WRITER_PREFIX
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.errors import Draining, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index, Table
from noisefs.core.ports.snapshot_keys import SnapshotKeys
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.snapshots.catalog import SnapshotInfo, chains, name_of, parse
from noisefs.core.services.snapshots.mark import MARK_KEY, Mark, read_mark, write_mark
from noisefs.core.services.snapshots.redo import RedoLog
from noisefs.core.services.snapshots.replay import highest_number, parse_log_name
from noisefs.core.services.snapshots.restoring import RestoreReport, restore
from noisefs.core.services.snapshots.writing import write_snapshot

log = logging.getLogger(__name__)

_Infos = list[SnapshotInfo]
"""Spelled here: in the class, ``list`` is a method."""
_FLUSH_EVERY_S: Final = 1.0
_FLUSHES_A_FILE: Final = 60
"""A log file is left for a new one at least this often, under the newest key: that may be another process's."""
_US: Final = 1_000_000
_LOOKED_AT: Final = 256
"""Commits that are looked at in one read."""
_PLACES: Final = frozenset({Table.COPIES, Table.UNPINS})
"""Tables that only say what lies where on nodes."""
_FORGET_STEP: Final = 5000
"""Commits whose changes are forgotten at once: other commits wait meanwhile, a few milliseconds."""


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """What an operator may choose.

    Attributes:
        set_age_s: Age at which a set's next snapshot is a full one, in a set of its own.
        keep_sets: How many sets are kept: with the defaults a deleted key is gone for good after two to three days.
    """

    set_age_s: float = 86_400
    keep_sets: int = 2


class Snapshots:
    """Snapshots of one index, and its redo log. Task-safe: one is written at a time."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        snapshots: FileStore,
        logs: FileStore,
        keys: SnapshotKeys,
        store_id: StoreId,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        settings: SnapshotSettings | None = None,
    ) -> None:
        """Use the folders ``snapshots`` and ``logs``. Nothing happens before :meth:`start`."""
        self._index = index
        self._commits = commits
        self._snapshots = snapshots
        self._logs = logs
        self._keys = keys
        self._store_id = store_id
        self._clock = clock
        self._entropy = entropy
        self._workers = workers
        self._settings = settings or SnapshotSettings()
        self._redo = RedoLog(logs, store_id, entropy)
        self._busy = asyncio.Lock()
        self._closing = False
        self._quiet_at = -1
        self._flusher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to log commits, and to sync the log every second. Call it before the first one of this life.

        Where the log knows commits that the index does not (``sync = os`` and a power failure), they are void: their
        numbers are passed over, their records deleted, and the next snapshot is a full one.
        """
        await self._workers.run(Lane.BACKGROUND, self._start)
        self._flusher = asyncio.create_task(self._flush_often(), name="redo-log")

    def _start(self) -> None:
        ahead = highest_number(self._logs)
        if ahead > self._index.sequence():
            log.warning("redo_log.ahead_of_index", extra={"log": ahead, "index": self._index.sequence()})
            self._index.skip_to(ahead)
            for file in self._logs.list():
                if parse_log_name(file.name) is not None and not file.growing:
                    self._logs.delete(file.name)
        self._redo.begin(self._newest_key() or self._new_key())
        self._index.follow(self._redo.append)

    async def flush(self) -> None:
        """Make the log durable now."""
        await self._workers.run(Lane.BACKGROUND, self._redo.flush)

    async def _flush_often(self) -> None:
        # No job among the others: those run one at a time, and this must not wait for a cleaner.
        while True:
            for _ in range(_FLUSHES_A_FILE):
                await self._clock.sleep(_FLUSH_EVERY_S)
                await self.flush()
            await self._workers.run(Lane.BACKGROUND, self._next_file)

    def _next_file(self) -> None:
        try:
            key = self._newest_key()
        except NoisefsError as exc:  # the log goes on in the file it has
            log.warning("redo_log.no_new_file", extra={"cause": str(exc)})
            return
        if key is not None:
            self._redo.begin(key)

    async def close(self) -> None:
        """Stop a snapshot that is being written, and close the log. Call it after the last commit."""
        self._closing = True
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
        async with self._busy:
            self._index.follow(None)
            await self._workers.run(Lane.BACKGROUND, self._redo.close)

    # ------------------------------------------------------------------ taking

    async def create(self, *, full: bool | None = None) -> SnapshotInfo:
        """Take a snapshot: an increment, or a full one where asked for, due, or where no increment is possible.

        Nothing is written, and the newest one returned, when nothing was committed since (and ``full`` is not true).
        ``full=False`` puts a due full one off.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: It was not taken; what was there before is untouched.
            Draining: The store is closing.
        """
        async with self._busy:
            if self._closing:
                raise Draining("the store is closing: no snapshot is begun")
            now_us = self._clock.now_us()
            base = None if full else await self._workers.run(Lane.BACKGROUND, self._base, now_us, full)
            if base is not None and await self._workers.run(Lane.BACKGROUND, self._is_quiet, base.upto):
                return base
            info = await self._workers.run(Lane.BACKGROUND, self._write, base, now_us)
            mark = Mark(info.name)

            await self._commits.run(partial(write_mark, mark=mark))
            await self._workers.run(Lane.BACKGROUND, self._tidy, info, base)
            return info

    def _base(self, now_us: int, full: bool | None) -> SnapshotInfo | None:
        """The snapshot that an increment would follow; ``None`` if it has to be a full one."""
        mark = self._index.read(read_mark)
        for chain in chains(self._list()):
            newest = chain[-1]
            if mark is None or newest.name != mark.name:
                continue
            old = now_us - chain[0].created_us >= self._settings.set_age_s * _US
            known = any(key.key_id == newest.key_id for key in self._keys.list())
            return newest if known and (not old or full is False) else None
        return None

    def _is_quiet(self, upto: int) -> bool:
        """Whether commits after this one wrote nothing but notes about where things lie on nodes.

        Nodes tell these after a restore; and a snapshot is followed by such notes, which must not call for the next.
        """
        self._quiet_at = max(self._quiet_at, upto)
        while changes := self._index.changes(self._quiet_at, _LOOKED_AT):
            for change in changes:
                if not all(table in _PLACES or (table is Table.META and _is_note(key)) for table, key in change.keys):
                    return False
                self._quiet_at = change.sequence
        return True

    def _write(self, base: SnapshotInfo | None, now_us: int) -> SnapshotInfo:
        """On a lane: write the file. What is logged from now on lies in a file that this snapshot does not cover."""
        key = self._new_key() if base is None else next(k for k in self._keys.list() if k.key_id == base.key_id)
        self._redo.begin(key)
        after = None if base is None else base.upto
        sealer = SnapshotSealer(self._store_id, key, self._entropy.secret(ID_BYTES))
        draft = self._snapshots.draft()
        try:
            upto = write_snapshot(self._index, draft, sealer, Opening(after, now_us), self._check_open)
            name = name_of(key.key_id, after, upto, now_us)
            draft.publish(name)
        finally:
            draft.discard()
        size = next(file.size_bytes for file in self._snapshots.list() if file.name == name)
        log.info("snapshot.taken", extra={"snapshot": name, "size_bytes": size})
        return SnapshotInfo(name, key.key_id, after, upto, now_us, size)

    def _tidy(self, info: SnapshotInfo, base: SnapshotInfo | None) -> None:
        """On a lane: let go of what the new snapshot holds. What was changed since its ``base`` stays known until the
        next one: whoever brings changes onto nodes may not have all of them there yet.
        """
        forgotten = info.upto if base is None else base.upto
        first = next((change.sequence for change in self._index.changes(0, 1)), forgotten + 1)
        for number in range(first + _FORGET_STEP, forgotten, _FORGET_STEP):
            self._index.forget_changes(number)
        self._index.forget_changes(forgotten)
        self._redo.drop_covered(info.upto)

    def _check_open(self) -> None:
        if self._closing:
            raise Draining("the store is closing: the snapshot was given up")

    def _newest_key(self) -> SnapshotKey | None:
        keys = self._keys.list()
        return keys[-1] if keys else None

    def _new_key(self) -> SnapshotKey:
        key = SnapshotKey(self._entropy.secret(ID_BYTES), self._entropy.secret(KEY_BYTES), self._clock.now_us())
        self._keys.add(key)
        return key

    # ------------------------------------------------------------------ listing, expiring, restoring

    async def list(self) -> _Infos:
        """Every snapshot, the oldest first."""
        return await self._workers.run(Lane.BACKGROUND, self._list)

    def _list(self) -> _Infos:
        infos = [info for file in self._snapshots.list() if (info := parse(file)) is not None]
        return sorted(infos, key=lambda info: (info.upto, info.created_us))

    async def expire(self, keep: int | None = None) -> int:
        """Delete all but the newest ``keep`` sets (by default the configured number), files first, then keys.

        Returns how many sets went. A set counts from its full snapshot on; keys of sets without one go when an older
        set's would.
        """
        async with self._busy:
            return await self._workers.run(Lane.BACKGROUND, self._expire, keep or self._settings.keep_sets)

    def _expire(self, keep: int) -> int:
        # The order of keys is that of sets; clocks step, and a restored index may reach less far than an older one.
        keys = [key.key_id for key in self._keys.list()]
        infos = self._list()
        fulls = {info.key_id for info in infos if info.after is None}
        sets = [key_id for key_id in keys if key_id in fulls]
        if len(sets) <= keep:
            return 0
        gone = keys[: keys.index(sets[-keep])]
        for info in infos:
            if info.key_id in gone:
                self._snapshots.delete(info.name)
        for file in self._logs.list():
            if parse_log_name(file.name) in gone:
                self._logs.delete(file.name)
        for key_id in gone:
            self._keys.remove(key_id)
        return len(gone)

    async def restore_into(self, index: Index, upto: str | None = None) -> RestoreReport:
        """Fill an empty index; see :func:`restore`."""
        return await self._workers.run(
            Lane.BACKGROUND, restore, index, self._snapshots, self._logs, self._store_id, self._keys.list(), upto
        )


def _is_note(key: bytes) -> bool:
    """Whether a row of ``META`` is a note about snapshots or heads."""
    return key == MARK_KEY or key.startswith((HEAD_PREFIX, WRITER_PREFIX))
