"""Rows of what lies on nodes: who holds a root, and who has still to let go of one.

Promise: a root that was once put on a node, or begun to be, is in a row that names this node (``COPIES``, ``INTERIMS``
or ``UNPINS``) until the node has let go of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Copies, Interim, Unpin, decode, encode
from noisefs.core.ports.index import Reading, Table, Writing

ROOT_BYTES: Final = 36
INTERIMS_OF_A_PACK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Waiting:
    """A root that a node has still to let go of.

    ``still``: key of its row, where others shall go on holding it; ``number``: the commit that needs it no more.
    """

    root: RootId
    since_us: int
    still: bytes
    number: int


def copies_of(tx: Reading, key: bytes) -> Copies | None:
    """Where a pack or file lies; ``None``: it was never put anywhere."""
    raw = tx.get(Table.COPIES, key)
    return None if raw is None else decode(Copies, raw)


def is_away(tx: Reading, pack_id: PackId) -> bool:
    """Whether a pack's file is not on this disk because nodes have the pack."""
    row = copies_of(tx, pack_id)
    return row is not None and not row.local


def set_copies(tx: Writing, key: bytes, row: Copies) -> None:
    """Write the row."""
    tx.put(Table.COPIES, key, encode(row))


def let_go(tx: Writing, names: Iterable[str], root: RootId, now_us: int, *, still: bytes = b"") -> None:
    """Note that these nodes have to let go of a root.

    ``still``: key of its row, where others shall go on holding it: then no restore needs these.
    """
    number = 0 if still else tx.sequence
    for name in names:
        key = unpin_key(name, root)
        if still == b"" or tx.get(Table.UNPINS, key) is None:
            tx.put(Table.UNPINS, key, encode(Unpin(now_us, still, number)))


def keep(tx: Writing, name: str, root: RootId) -> None:
    """Note that a node shall hold a root after all."""
    tx.delete(Table.UNPINS, unpin_key(name, root))


def is_let_go(tx: Reading, name: str, root: RootId) -> bool:
    """Whether a node has still to let go of a root."""
    return tx.get(Table.UNPINS, unpin_key(name, root)) is not None


def waiting_of(tx: Reading, name: str, limit: int, after: RootId | None = None) -> list[Waiting]:
    """What a node has still to let go of, in the order of roots."""
    start = unpin_key(name, RootId(b"")) if after is None else unpin_key(name, after) + b"\0"
    rows = tx.scan(Table.UNPINS, start, prefix_end(unpin_key(name, RootId(b""))), limit)
    return [
        Waiting(RootId(key[-ROOT_BYTES:]), unpin.since_us, unpin.key, unpin.number)
        for key, unpin in ((key, decode(Unpin, raw)) for key, raw in rows)
    ]


def unpin_key(name: str, root: RootId) -> bytes:
    """Row of a root that a node has still to let go of."""
    return name.encode() + b"\0" + root


def interims_of(tx: Reading, pack_id: PackId) -> list[tuple[bytes, Interim]]:
    """Roots that pin what a pack had before it was sealed, with their keys."""
    rows = tx.scan(Table.INTERIMS, pack_id, prefix_end(pack_id), INTERIMS_OF_A_PACK)
    return [(key, decode(Interim, raw)) for key, raw in rows]


def drop_interims(tx: Writing, pack_id: PackId, now_us: int) -> None:
    """Let go of a pack's interim roots: its final root is confirmed, or the pack is no more."""
    for key, interim in interims_of(tx, pack_id):
        let_go(tx, interim.nodes, interim.root, now_us)
        tx.delete(Table.INTERIMS, key)


def drop_copies(tx: Writing, key: bytes, now_us: int) -> None:
    """Let go of a pack or file everywhere; in the commit that forgets it."""
    row = copies_of(tx, key)
    if row is not None:
        let_go(tx, (*row.nodes, *row.asked), row.root, now_us)
        tx.delete(Table.COPIES, key)
