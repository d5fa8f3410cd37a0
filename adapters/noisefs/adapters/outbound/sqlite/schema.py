"""Making the index file and its tables, and refusing formats from the future."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import apsw

from noisefs.adapters.outbound.sqlite.rows import LARGE, NAMES, SLOTS
from noisefs.adapters.outbound.sqlite.slots import create_statement
from noisefs.core.errors import IndexDamaged, NewerFormat
from noisefs.core.ports.index import Table

FORMAT: Final = 3
"""Of the tables; in the file's ``user_version``. Each format after the first added the tables of :data:`_ADDED`."""
_ADDED: Final = {
    2: (Table.COPIES, Table.INTERIMS, Table.UNPINS),
    3: (Table.VERSIONS, Table.POLICIES),
}
APPLICATION_ID: Final = 0x4E464958
"""``NFIX``."""


def make_file(path: Path) -> None:
    """An empty file that only its owner may read, durable in its folder. SQLite gives its log the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def prepare(conn: apsw.Connection, *, create: bool) -> None:
    """Switch the log on, make the tables where there are none, refuse formats from the future.

    An older format is brought up to date in one transaction. So far that adds empty tables and rewrites no row, so it
    needs no snapshot before.
    """
    conn.pragma("journal_mode", "wal")
    found = int(conn.pragma("user_version"))
    if found > FORMAT:
        raise NewerFormat(f"the index has format {found}: this program knows formats up to {FORMAT}")
    if found == FORMAT:
        return
    if not found and not create:
        raise IndexDamaged("the index file is empty: it was never finished, or cut off")
    conn.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(found):
            conn.execute(statement)
        conn.pragma("application_id", APPLICATION_ID)
        conn.pragma("user_version", FORMAT)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _statements(found: int) -> Iterable[str]:
    """What leads from format ``found`` (0: an empty file) to this one."""
    if not found:
        yield from map(_create, NAMES)
        yield "CREATE TABLE changes(sequence INTEGER PRIMARY KEY, keys BLOB NOT NULL)"
        yield "INSERT INTO changes VALUES(0, x'80')"
        return
    for number in range(found + 1, FORMAT + 1):
        yield from (_create(table.value) for table in _ADDED[number])


def _create(name: str) -> str:
    layout = "" if name in LARGE else " WITHOUT ROWID"
    plain = f"CREATE TABLE {name}(k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL){layout}"
    return create_statement(name) if name in SLOTS else plain
