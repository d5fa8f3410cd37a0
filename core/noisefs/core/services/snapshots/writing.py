"""Writing one snapshot while commits go on.

A full one copies every table in short read transactions, so that no reader holds the index's log open, and then adds
what was changed meanwhile, until it has caught up with one commit exactly. An increment is that second half alone.
"""

from collections.abc import Callable, Iterator
from typing import Final

from noisefs.core.domain.files.snapshot_file import FRAME_BYTES, Closing, Opening, Rows, SnapshotSealer
from noisefs.core.ports.files import Draft
from noisefs.core.ports.index import Index, Table

_PAGE_BYTES: Final = 4 << 20
"""What one read transaction of the copy is meant to read: some 20 ms."""
_PAGE_ROWS: Final = 5000
_FIRST_PAGE_ROWS: Final = 64
_CHANGED_KEYS: Final = 1024
"""Keys one read transaction of the catching up looks at."""
_END: Final = b"\xff" * 64
"""Above every key of every table: none begins with this many."""
_SEALED: Final = frozenset({Table.INLINE.value, Table.TINY.value})
"""Values that are sealed already: compressing them is not tried."""


class _FrameWriter:
    """Collects rows into frames of one table each and writes them sealed."""

    def __init__(self, draft: Draft, sealer: SnapshotSealer) -> None:
        self._draft = draft
        self._sealer = sealer
        self._table = ""
        self._rows: list[tuple[bytes, bytes | None]] = []
        self._bytes = 0
        self.total = 0

    def add(self, table: str, key: bytes, value: bytes | None) -> None:
        if table != self._table or self._bytes >= FRAME_BYTES:
            self.flush()
            self._table = table
        self._rows.append((key, value))
        self._bytes += len(key) + len(value or b"")
        self.total += 1

    def flush(self) -> None:
        if self._rows:
            frame = Rows(self._table, self._rows)
            self._draft.write(self._sealer.seal(frame, compress=self._table not in _SEALED))
            self._rows = []
            self._bytes = 0


def write_snapshot(
    index: Index, draft: Draft, sealer: SnapshotSealer, opening: Opening, check: Callable[[], None]
) -> int:
    """Write one whole snapshot into ``draft`` and return the number of the commit it adds up to.

    Blocks for as long as it takes: about a second for 200,000 small rows. ``check`` is called between read transactions
    and may raise to stop it.
    """
    draft.write(sealer.header)
    draft.write(sealer.seal(opening))
    writer = _FrameWriter(draft, sealer)
    after = opening.after
    if after is None:
        after = index.sequence()
        for table in Table:
            for key, value in _copy(index, table, check):
                writer.add(table.value, key, value)
    while True:
        check()
        changed = index.changed_rows(after, _CHANGED_KEYS)
        for one, key, current in sorted(changed.rows, key=lambda row: row[0].value):
            writer.add(one.value, key, current)
        after = changed.upto
        if changed.complete:
            break
    writer.flush()
    draft.write(sealer.seal(Closing(after, writer.total)))
    return after


def _copy(index: Index, table: Table, check: Callable[[], None]) -> Iterator[tuple[bytes, bytes]]:
    """Every row of a table, page by page; each page as it is when it is read."""
    start = b""
    limit = _FIRST_PAGE_ROWS
    while True:
        check()
        page = _page(index, table, start, limit)
        yield from page
        if len(page) < limit:
            return
        start = page[-1][0] + b"\0"
        size = sum(len(key) + len(value) for key, value in page)
        limit = max(1, min(_PAGE_ROWS, _PAGE_BYTES * len(page) // max(1, size)))


def _page(index: Index, table: Table, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    return index.read(lambda tx: tx.scan(table, start, _END, limit))
