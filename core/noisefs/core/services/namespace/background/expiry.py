"""What ages in the namespace: uploads nobody ended, and answers of Complete that nobody asks for again."""

from collections.abc import Iterator, Sequence

from noisefs.core.domain.records import Completed, Upload, decode
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.services.namespace.rows import uploads as upload_rows

_SLICE = 1000
"""Rows of one read transaction."""
_END = b"\xff" * 64
"""Above every row key of these tables."""


def old_uploads(index: Index, oldest_us: int) -> tuple[list[bytes], int]:
    """Row keys of the uploads that were begun before ``oldest_us``, and how many others are open."""
    old: list[bytes] = []
    young = 0
    for row_key, raw in _all_rows(index, Table.UPLOADS):
        if decode(Upload, raw).created_us < oldest_us:
            old.append(row_key)
        else:
            young += 1
    return old, young


def old_answers(index: Index, oldest_us: int) -> list[bytes]:
    """Row keys of the answers that were given before ``oldest_us``."""
    rows = _all_rows(index, Table.COMPLETED)
    return [row_key for row_key, raw in rows if decode(Completed, raw).completed_us < oldest_us]


def drop_upload(tx: Writing, row_key: bytes, now_us: int) -> bool:
    """Discard an upload; tells whether it was still open."""
    if tx.get(Table.UPLOADS, row_key) is None:
        return False
    upload_rows.discard(tx, row_key, now_us)
    return True


def drop_answers(tx: Writing, row_keys: Sequence[bytes]) -> None:
    """Forget answers."""
    for row_key in row_keys:
        tx.delete(Table.COMPLETED, row_key)


def _all_rows(index: Index, table: Table) -> Iterator[tuple[bytes, bytes]]:
    """All rows, a slice a transaction."""
    start = b""
    while True:
        rows = index.read(lambda tx, start=start: tx.scan(table, start, _END, _SLICE))  # type: ignore[misc]  # default binds the loop's value
        yield from rows
        if len(rows) < _SLICE:
            return
        start = rows[-1][0] + b"\0"
