"""The tables' rows in SQL: reading them in one transaction, and writing what a batch left.

Statement texts are made once; the connection keeps them prepared.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import apsw

from noisefs.adapters.outbound.sqlite.failures import translate
from noisefs.adapters.outbound.sqlite.slots import SlotTable
from noisefs.core.ports.index import SECRETS, Reading, Table

LARGE: Final = frozenset({Table.INLINE.value})
"""Tables of large values, which are sealed. They have row numbers, so that new rows go to the end and keys lie densely
in a tree apart, and pages that a deletion frees are not overwritten: without its key a sealed value is noise already,
and overwriting would cost a page of log for each (a deleted value of 70 KB: 21 pages instead of 4, 234 µs and not 85).
"""

SLOTS: Final = {table.value: SlotTable(table.value) for table in SECRETS}

NAMES: Final = tuple(table.value for table in Table)
# The names come from a closed enumeration, hence no injection (S608).
_GET: Final = {name: f"SELECT v FROM {name} WHERE k = ?" for name in NAMES}  # noqa: S608
_SCAN: Final = {
    name: f"SELECT k, v FROM {name} WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"  # noqa: S608
    for name in NAMES
}
_SCAN_BACK: Final = {
    name: f"SELECT k, v FROM {name} WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"  # noqa: S608
    for name in NAMES
}
_PAIRS: Final = {
    (one, other): f"SELECT (SELECT v FROM {one} WHERE k = ?), (SELECT v FROM {other} WHERE k = ?)"  # noqa: S608
    for one in NAMES
    for other in NAMES
    if one not in SLOTS and other not in SLOTS
}
_EXISTS: Final = {
    name: f"SELECT EXISTS(SELECT 1 FROM {name} WHERE k >= ? AND k < ?)"  # noqa: S608
    for name in NAMES
    if name not in SLOTS
}
_COUNT: Final = {name: f"SELECT count(*) FROM {name}" for name in NAMES}  # noqa: S608
_AT_ONCE: Final = (64, 8, 1)
"""Rows that one statement writes: of 10,000, one by one cost 10 ms to put and 8 to delete, 64 at once 7 and 6."""
_PUT: Final = {
    (name, count): f"INSERT INTO {name}(k, v) VALUES{', '.join(['(?, ?)'] * count)} "
    "ON CONFLICT(k) DO UPDATE SET v = excluded.v"
    for name in NAMES
    for count in _AT_ONCE
}
_DELETE: Final = {
    (name, count): f"DELETE FROM {name} WHERE k IN ({', '.join('?' * count)})"  # noqa: S608
    for name in NAMES
    for count in _AT_ONCE
}


class View(Reading):
    """Reads on one connection. Consistent between :meth:`begin` and :meth:`end`. One thread at a time."""

    def __init__(self, conn: apsw.Connection) -> None:
        self.conn = conn
        self._execute = conn.execute

    def begin(self) -> None:
        """Fix the view at the first read that follows."""
        self._execute("BEGIN")

    def end(self) -> None:
        """Let the view go."""
        self._execute("COMMIT")

    def get(self, table: Table, key: bytes) -> bytes | None:
        """One point read: about 4 µs when its pages are cached."""
        name = table._value_
        try:
            if name in SLOTS:
                return SLOTS[name].get(self.conn, key)
            found: bytes | None = self._execute(_GET[name], (key,)).get
        except apsw.Error as exc:
            raise translate(exc, f"reading {table.value}") from exc
        return found

    def get_pair(self, table: Table, key: bytes, other: Table, other_key: bytes) -> tuple[bytes | None, bytes | None]:
        """Two point reads in one statement, which needs no transaction around it. Not for tables of secrets."""
        found: tuple[bytes | None, bytes | None] = self._execute(
            _PAIRS[table._value_, other._value_], (key, other_key)
        ).get
        return found

    def scan(
        self, table: Table, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """One range read."""
        name = table._value_
        statement = (_SCAN_BACK if reverse else _SCAN)[name]
        try:
            if name in SLOTS:
                return SLOTS[name].scan(self.conn, start, end, limit, reverse=reverse)
            rows: Any = self._execute(statement, (start, end, limit)).fetchall()  # Any: SQL does not say what it holds
        except apsw.Error as exc:
            raise translate(exc, f"scanning {table.value}") from exc
        pairs: list[tuple[bytes, bytes]] = rows
        return pairs

    def exists(self, table: Table, start: bytes, end: bytes) -> bool:
        """One seek, which takes no row out."""
        statement = _EXISTS.get(table._value_)
        if statement is None:
            return super().exists(table, start, end)
        try:
            found: int = self._execute(statement, (start, end)).get
        except apsw.Error as exc:
            raise translate(exc, f"looking into {table.value}") from exc
        return bool(found)

    def count(self, table: Table) -> int:
        """Reads the whole table."""
        name = table._value_
        try:
            if name in SLOTS:
                return SLOTS[name].count(self.conn)
            found: int = self._execute(_COUNT[name]).get
        except apsw.Error as exc:
            raise translate(exc, f"counting {table.value}") from exc
        return found


def write_rows(conn: apsw.Connection, name: str, writes: list[tuple[bytes, bytes | None]]) -> None:
    """Bring one table's pending writes into the open transaction. Raises ``apsw.Error``."""
    if name in SLOTS:
        table = SLOTS[name]
        for key, value in writes:
            if value is None:
                table.delete(conn, key)
            else:
                table.put(conn, key, value)
        return
    puts = [pair for pair in writes if pair[1] is not None]
    _write_in_groups(conn, _PUT, name, puts)
    if len(puts) < len(writes):
        _write_in_groups(conn, _DELETE, name, [(key,) for key, value in writes if value is None])


def _write_in_groups(
    conn: apsw.Connection, statements: Mapping[tuple[str, int], str], name: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Run a table's statements until each row has been an argument."""
    begin = 0
    for count in _AT_ONCE:
        end = begin + (len(rows) - begin) // count * count
        if end > begin:
            groups = [tuple(chain.from_iterable(rows[at : at + count])) for at in range(begin, end, count)]
            conn.executemany(statements[name, count], groups)
        begin = end
