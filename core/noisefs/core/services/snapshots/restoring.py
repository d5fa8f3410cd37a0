"""Filling an empty index from the newest snapshot that can be read and the log records behind it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import NewerFormat, SnapshotDamaged, SnapshotNotFound
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.services.snapshots.catalog import SnapshotInfo, chains, parse
from noisefs.core.services.snapshots.mark import MARK_KEY
from noisefs.core.services.snapshots.reading import rows, verify
from noisefs.core.services.snapshots.replay import highest_number, records

log = logging.getLogger(__name__)

_COMMIT_ROWS: Final = 4096
"""Rows of one commit while restoring; a frame is never split."""

_Put = tuple[Table, bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore brought back.

    Attributes:
        chain: The full snapshot and the increments that were applied, in order; empty if there were log records only.
        upto: The commit whose state the index has now.
        lost: How many later commits are known to have been, and are not there: they lie behind a gap in the log.
        unusable: Snapshots that could not be read, each with the reason.
    """

    chain: tuple[SnapshotInfo, ...]
    upto: int
    lost: int
    unusable: tuple[tuple[str, str], ...]


def restore(
    index: Index,
    snapshots: FileStore,
    logs: FileStore,
    store_id: StoreId,
    keys: Iterable[SnapshotKey],
    upto: str | None = None,
) -> RestoreReport:
    """Fill ``index``, which must be empty, and let its numbers go on behind every number ever used. Blocks.

    Every frame is verified before the first row is written, and a snapshot that cannot be read is passed over for the
    next best. After an error the index is of no use: delete it. The next snapshot will be a full one.

    Args:
        index: An empty index.
        snapshots: The folder of snapshots.
        logs: The folder of log records.
        store_id: The store they must belong to.
        keys: Keys of all sets.
        upto: Name of the snapshot whose state is wanted; ``None``: the newest, and the log records behind it.

    Raises:
        SnapshotNotFound: There is no snapshot ``upto``, or neither snapshots nor log records can be read.
        SnapshotDamaged: The wanted snapshot, or one that it builds on, cannot be read.
    """
    by_id = {key.key_id: key for key in keys}
    infos = [info for file in snapshots.list() if (info := parse(file)) is not None]
    unusable: list[tuple[str, str]] = []
    if upto is None:
        chain = _newest_usable(infos, snapshots, store_id, by_id, unusable)
    else:
        chain = _chain_to(upto, infos)
        for info in chain:
            verify(snapshots, info, store_id, by_id)
    writer = _BatchWriter(index)
    for info in chain:
        for frame in rows(snapshots, info, store_id, by_id):
            table = _table(frame.table)
            writer.add((table, key, value) for key, value in frame.rows)
    reached = chain[-1].upto if chain else 0
    highest = max([reached, highest_number(logs), *(info.upto for info in infos)])
    if upto is None:
        for record in records(logs, store_id, by_id, reached):
            if record.sequence == reached + 1:
                writer.add((_table(name), key, value) for name, pairs in record.tables for key, value in pairs)
                reached = record.sequence
            elif record.sequence > reached:
                break
    if not reached:
        raise SnapshotNotFound(upto or "newest")
    # Without the mark no increment is ever based on what was before.
    writer.add([(Table.META, MARK_KEY, None)])
    writer.flush()
    index.forget_changes(index.sequence())
    index.skip_to(highest)
    log.info("snapshot.restored", extra={"upto": reached, "highest": highest})
    lost = highest - reached if upto is None else 0
    return RestoreReport(tuple(chain), reached, lost, tuple(unusable))


def _table(name: str) -> Table:
    try:
        return Table(name)
    except ValueError as exc:
        raise NewerFormat(f"a snapshot or log has rows of a table {name!r}: this program knows none") from exc


def _newest_usable(
    infos: list[SnapshotInfo],
    files: FileStore,
    store_id: StoreId,
    keys: dict[bytes, SnapshotKey],
    unusable: list[tuple[str, str]],
) -> list[SnapshotInfo]:
    """The verified chain that reaches furthest; what cannot be read is noted and left out."""
    best: list[SnapshotInfo] = []
    for chain in chains(infos):
        if best and chain[-1].upto <= best[-1].upto:
            break
        good: list[SnapshotInfo] = []
        for info in chain:
            try:
                verify(files, info, store_id, keys)
            except SnapshotDamaged as exc:
                unusable.append((info.name, exc.reason))
                break
            good.append(info)
        if good and (not best or good[-1].upto > best[-1].upto):
            best = good
    return best


def _chain_to(name: str, infos: list[SnapshotInfo]) -> list[SnapshotInfo]:
    for chain in chains(infos):
        names = [info.name for info in chain]
        if name in names:
            return chain[: names.index(name) + 1]
    raise SnapshotNotFound(name)


class _BatchWriter:
    """Writes rows in their order, some thousands a commit."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._rows: list[_Put] = []

    def add(self, more: Iterable[_Put]) -> None:
        self._rows.extend(more)
        if len(self._rows) >= _COMMIT_ROWS:
            self.flush()

    def flush(self) -> None:
        written, self._rows = self._rows, []
        for outcome in self._index.transact([_putter(written)]):
            if outcome.error is not None:
                raise outcome.error


def _putter(written: list[_Put]) -> Callable[[Writing], None]:
    def work(tx: Writing) -> None:
        for table, key, value in written:
            if value is None:
                tx.delete(table, key)
            else:
                tx.put(table, key, value)

    return work
