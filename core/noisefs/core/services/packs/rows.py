"""Rows of packs: set, and what belongs to them while they are open."""

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Pack, encode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.packs.copies import drop_copies, drop_interims


def set_pack(tx: Writing, pack_id: PackId, row: Pack) -> None:
    """Write the pack's row."""
    tx.put(Table.PACKS, pack_id, encode(row))


def unplace(tx: Writing, pack_id: PackId) -> None:
    """Forget what lies where in a pack that is open no more: its manifest says it."""
    for key, _value in tx.scan(Table.PLACEMENTS, pack_id, prefix_end(pack_id), 1 << 16):
        tx.delete(Table.PLACEMENTS, key)


def drop_rows(tx: Writing, pack_id: PackId, now_us: int) -> None:
    """Remove everything the index knows about a pack, and note which nodes have to let go of it."""
    unplace(tx, pack_id)
    drop_copies(tx, pack_id, now_us)
    drop_interims(tx, pack_id, now_us)
    tx.delete(Table.PACKS, pack_id)
    tx.delete(Table.PACK_LIVE, pack_id)
