"""The index's own note of the newest snapshot that was taken of it.

An increment is only ever based on a snapshot that the index itself remembers: one that was restored, or rolled back by
a disk that lied, remembers none or an older one, and a full snapshot follows.
"""

from typing import Final

import msgspec

from noisefs.core.domain.records import decode, encode
from noisefs.core.ports.index import Reading, Table, Writing

MARK_KEY: Final = b"snapshot"
"""Row in ``META``."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Name of the newest snapshot. Fields are only ever appended."""

    name: str


def read_mark(tx: Reading) -> Mark | None:
    """The note, if there is one."""
    raw = tx.get(Table.META, MARK_KEY)
    return None if raw is None else decode(Mark, raw)


def write_mark(tx: Writing, mark: Mark) -> None:
    """Remember a snapshot that is durable."""
    tx.put(Table.META, MARK_KEY, encode(mark))
