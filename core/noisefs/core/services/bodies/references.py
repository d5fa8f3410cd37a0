"""Who refers to a body: counted in the same commit that changes it.

At no reference left the body's row, and with it the key, is deleted in that commit; the index's file forgets the bytes
at the next checkpoint. Inline slices go at once; runs and packed slices are released in the background by
:mod:`noisefs.core.services.maintenance.reaper`, because a large body has many. So is what no extent of a living body
covers any more.
"""

from collections.abc import Iterable
from typing import Final

from noisefs.core.domain.geometry import INLINE_FOREVER_BYTES, SEGMENT_SIZES
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.keyspace import trim_key
from noisefs.core.domain.packs.coverage import is_partly_dead, is_there, referred
from noisefs.core.domain.records import TAIL_TINY, Body, Dead, Extent, decode, encode
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Table, Writing

TINY_ALONE_BYTES: Final = INLINE_FOREVER_BYTES + 1
"""A body smaller than this with a tiny slice has nothing else."""

SLICE_ALONE_BYTES: Final = min(SEGMENT_SIZES)
"""A body smaller than the smallest S whose slice is still inline has nothing else."""


def acquire(tx: Writing, extents: Iterable[Extent]) -> None:
    """One more reference for the body of each extent (Copy, Complete).

    Raises:
        IndexDamaged: A body that an extent names does not exist, or no longer has these bytes.
    """
    for body_id, added in _by_body(extents).items():
        raw = tx.get(Table.BODIES, body_id)
        if raw is None:
            raise IndexDamaged(f"body {body_id.hex()} has extents and no row")
        body = decode(Body, raw)
        if not all(is_there(body, extent) for extent in added):
            raise IndexDamaged(f"body {body_id.hex()} has an extent over bytes that were given up")
        tx.put(Table.BODIES, body_id, encode(referred(body, added, 1)))


def release(tx: Writing, extents: Iterable[Extent], now_us: int, *, deleted: bool = False) -> None:
    """One reference less for the body of each extent; see the module for what follows at none left.

    ``deleted``: the object was deleted, not replaced: whoever reads it now is cut within a minute.
    """
    for body_id, removed in _by_body(extents).items():
        raw = tx.get(Table.BODIES, body_id)
        if raw is None:
            continue  # a damaged index must still let its objects be deleted
        body = decode(Body, raw)
        if body.refs > len(removed):
            body = referred(body, removed, -1)
            tx.put(Table.BODIES, body_id, encode(body))
            if body.cuts and is_partly_dead(body):
                tx.put(Table.META, trim_key(body_id), b"")
        else:
            forget_body(tx, body_id, body, now_us, deleted=deleted)


def forget_body(tx: Writing, body_id: BodyId, body: Body, now_us: int, *, deleted: bool = False) -> None:
    """Delete the body's row and inline bytes, and leave the rest to the reaper."""
    tx.delete(Table.BODIES, body_id)
    if body.tail == TAIL_TINY:
        tx.delete(Table.TINY, body_id)
        small = body.size < TINY_ALONE_BYTES
    else:
        small = False
        if tx.get(Table.INLINE, body_id) is not None:
            tx.delete(Table.INLINE, body_id)
            small = body.size < SLICE_ALONE_BYTES
    if not small:
        tx.put(Table.DEAD, body_id, encode(Dead(now_us, deleted)))


def _by_body(extents: Iterable[Extent]) -> dict[BodyId, list[Extent]]:
    found: dict[BodyId, list[Extent]] = {}
    for extent in extents:
        found.setdefault(extent.body_id, []).append(extent)
    return found
