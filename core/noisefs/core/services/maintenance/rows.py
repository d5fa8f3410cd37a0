"""Walking a whole table in short read transactions."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from noisefs.core.ports.index import Index, Reading, Table

ROWS_AT_ONCE: Final = 1000
LONGEST_KEY: Final = b"\xff" * 2048
"""Above every key of every table."""


def walk(index: Index, table: Table, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[tuple[bytes, bytes]]:
    """Every row, ascending. What is written behind the walk's back may or may not be seen. Blocks."""
    start = b""
    while rows := index.read(partial(page, table, start, rows_at_once)):
        yield from rows
        start = rows[-1][0] + b"\0"


def page(table: Table, start: bytes, limit: int, tx: Reading) -> list[tuple[bytes, bytes]]:
    """The next rows from ``start`` on."""
    return tx.scan(table, start, LONGEST_KEY, limit)
