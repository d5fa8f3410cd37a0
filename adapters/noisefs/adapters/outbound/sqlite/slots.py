"""Tables of secrets: rows that stay where they were written until they are overwritten in place.

``secure_delete`` is not enough for a key. It zeroes the row where it lies, but a b-tree moves rows when it balances its
pages, and what a moved row leaves in the gap of its old page is not zeroed: after 144,000 deletions two to five values
were still in the file (random 16-byte keys, rows of 100 to 200 bytes). Here a row is never deleted and never grows, so
that its page is never balanced: new rows go to the end, a replaced value of the same size class overwrites the old one,
and a deleted row becomes a free slot of its class: zeros, found again through its key. In the same trial nothing was
left, at equal speed.

A row's payload (record header, key and value) is a multiple of 64 bytes, its *class*; SQLite overwrites in place when
the payload's length does not change. The tree of keys moves its entries, but body ids and names are no secrets.
"""

import struct
from typing import Final

import apsw

_STEP: Final = 64
_LIVE: Final = b"\x01"
_FREE: Final = struct.Struct(">BIQ")
"""Key of a free slot: 0, class, slot number."""
_FREE_RANGE: Final = struct.Struct(">BI")
_LENGTH: Final = struct.Struct(">I")
"""Length of the value, at the very end behind its padding."""
_SHORT: Final = 57
"""A blob of up to this many bytes has one byte in the record header, a longer one two (SQLite file format, 2.1)."""


def create_statement(name: str) -> str:
    """What makes such a table."""
    return f"CREATE TABLE {name}(slot INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, v BLOB NOT NULL)"


class SlotTable:
    """Statements of one table of secrets. Immutable; any connection may use it."""

    def __init__(self, name: str) -> None:
        """The table ``name`` (from a closed enumeration, hence no injection)."""
        self._get = f"SELECT v FROM {name} WHERE k = ?"  # noqa: S608
        self._scan = f"SELECT k, v FROM {name} WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"  # noqa: S608
        self._scan_back = f"SELECT k, v FROM {name} WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"  # noqa: S608
        self._count = f"SELECT count(*) FROM {name} WHERE k >= x'01'"  # noqa: S608
        self._find = f"SELECT slot, length(v) FROM {name} WHERE k = ?"  # noqa: S608
        self._find_free = f"SELECT slot FROM {name} WHERE k >= ? AND k < ? LIMIT 1"  # noqa: S608
        self._insert = f"INSERT INTO {name}(k, v) VALUES(?, ?)"
        self._overwrite = f"UPDATE {name} SET k = ?, v = ? WHERE slot = ?"  # noqa: S608

    def get(self, conn: apsw.Connection, key: bytes) -> bytes | None:
        """The value under ``key``."""
        raw = conn.execute(self._get, (_LIVE + key,)).get
        return None if raw is None else _value(raw)

    def scan(
        self, conn: apsw.Connection, start: bytes, end: bytes, limit: int, *, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        """Pairs in order of their keys."""
        statement = self._scan_back if reverse else self._scan
        rows = conn.execute(statement, (_LIVE + start, _LIVE + end, limit))
        return [(k[1:], _value(v)) for k, v in rows]

    def count(self, conn: apsw.Connection) -> int:
        """Rows that are not free slots."""
        found: int = conn.execute(self._count).get
        return found

    def put(self, conn: apsw.Connection, key: bytes, value: bytes) -> None:
        """Set a value: over the old one, in a free slot of its class, or at the end."""
        k = _LIVE + key
        v, size = _padded(k, value)
        present = conn.execute(self._find, (k,)).get
        if present is not None:
            slot, length = present
            if length == len(v):
                conn.execute(self._overwrite, (k, v, slot))
                return
            self._release(conn, k, slot, length)
        free = conn.execute(self._find_free, (_FREE_RANGE.pack(0, size), _FREE_RANGE.pack(0, size + 1))).get
        if free is None:
            conn.execute(self._insert, (k, v))
        else:
            conn.execute(self._overwrite, (k, v, free))

    def delete(self, conn: apsw.Connection, key: bytes) -> None:
        """Overwrite a value with zeros."""
        k = _LIVE + key
        present = conn.execute(self._find, (k,)).get
        if present is not None:
            self._release(conn, k, *present)

    def _release(self, conn: apsw.Connection, k: bytes, slot: int, length: int) -> None:
        size = _payload(k, length)
        conn.execute(self._overwrite, (_FREE.pack(0, size, slot), bytes(size - _FREE.size), slot))


def _payload(k: bytes, length: int) -> int:
    """Bytes of a record whose value is between 58 and 8185 bytes long, but for those that are always the same."""
    return len(k) + (len(k) > _SHORT) + length


def _padded(k: bytes, value: bytes) -> tuple[bytes, int]:
    """The value with zeros and its length behind it, and its class."""
    least = max(len(value) + _LENGTH.size, _SHORT + 1)
    size = -(-max(_payload(k, least), 2 * _STEP) // _STEP) * _STEP
    return value + bytes(size - _payload(k, len(value) + _LENGTH.size)) + _LENGTH.pack(len(value)), size


def _value(raw: bytes) -> bytes:
    return raw[: _LENGTH.unpack_from(raw, len(raw) - _LENGTH.size)[0]]
