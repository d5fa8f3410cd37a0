"""Where a version's bytes lie: extents in its row while they are few, else in a shared, immutable layout.

A copy of an object with a layout shares it: one counter changes, not ten thousand. The extents of a layout hold one
reference each, whoever shares the layout.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from noisefs.core.domain.ids import LayoutId
from noisefs.core.domain.keyspace import layout_chunk_key, prefix_end
from noisefs.core.domain.records import (
    EXTENTS_INLINE,
    LAYOUT_CHUNK,
    Extent,
    LayoutChunk,
    LayoutHead,
    PartInfo,
    Version,
    decode,
    encode,
)
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.bodies import references

_ROWS_MAX = 1 << 20


class _ChunkExtents(msgspec.Struct, frozen=True, array_like=True):
    """The prefix of :class:`~noisefs.core.domain.records.LayoutChunk` that reads of bytes decode."""

    extents: tuple[Extent, ...] = ()


def is_long(extents: Sequence[Extent], parts: Sequence[PartInfo]) -> bool:
    """Whether they need a layout of their own."""
    return len(extents) > EXTENTS_INLINE or len(parts) > EXTENTS_INLINE


def write(tx: Writing, layout_id: LayoutId, extents: Sequence[Extent], parts: Sequence[PartInfo]) -> None:
    """Keep a new layout, referred to once. Cost: a put for each ``LAYOUT_CHUNK`` extents or parts."""
    chunks = -(-max(len(extents), len(parts)) // LAYOUT_CHUNK)
    starts: list[int] = []
    offset = 0
    for number in range(chunks):
        some = slice(number * LAYOUT_CHUNK, (number + 1) * LAYOUT_CHUNK)
        held = tuple(extents[some])
        if held:
            starts.append(offset)
            offset += sum(extent.length for extent in held)
        tx.put(Table.LAYOUTS, layout_chunk_key(layout_id, number), encode(LayoutChunk(held, tuple(parts[some]))))
    tx.put(Table.LAYOUTS, layout_id, encode(LayoutHead(1, chunks, tuple(starts))))


def extents_of(tx: Reading, version: Version) -> Sequence[Extent]:
    """All extents of a version, in order."""
    if version.layout is None:
        return version.extents
    found: list[Extent] = []
    for _, raw in _chunks(tx, version.layout):
        found.extend(decode(_ChunkExtents, raw).extents)
    return found


def extents_within(tx: Reading, version: Version, start: int, end: int) -> tuple[Sequence[Extent], int]:
    """The extents that hold bytes ``start`` to ``end`` (exclusive), whole, and the byte offset of the first.

    Cost: of a layout, the head and the chunks that hold those bytes.
    """
    if version.layout is None:
        return _overlapping(version.extents, 0, start, end)
    starts = _head(tx, version.layout).starts
    found: list[Extent] = []
    first_offset = 0
    for number, chunk_start in enumerate(starts):
        chunk_end = starts[number + 1] if number + 1 < len(starts) else end
        if chunk_end <= start or chunk_start >= end:
            continue  # the last chunk goes to the end of all
        raw = tx.get(Table.LAYOUTS, layout_chunk_key(version.layout, number))
        if raw is None:
            raise IndexDamaged(f"chunk {number} of layout {version.layout.hex()} is missing")
        some, offset = _overlapping(decode(_ChunkExtents, raw).extents, chunk_start, start, end)
        if some and not found:
            first_offset = offset
        found.extend(some)
    return found, first_offset


def parts_of(tx: Reading, version: Version) -> Sequence[PartInfo]:
    """The part table of a version; empty when it was not uploaded in parts."""
    if version.layout is None:
        return version.parts
    found: list[PartInfo] = []
    for _, raw in _chunks(tx, version.layout):
        found.extend(decode(LayoutChunk, raw).parts)
    return found


def share(tx: Writing, version: Version) -> None:
    """One more version names the same bytes."""
    if version.layout is None:
        if version.extents:
            references.acquire(tx, version.extents)
        return
    head = _head(tx, version.layout)
    tx.put(Table.LAYOUTS, version.layout, encode(msgspec.structs.replace(head, refs=head.refs + 1)))


def drop(tx: Writing, version: Version, now_us: int, *, deleted: bool = False) -> None:
    """A version no longer names its bytes: at the last one its extents let go of their bodies.

    ``deleted``: nothing took its place; see :func:`references.release`.
    """
    if version.layout is None:
        if version.extents:
            references.release(tx, version.extents, now_us, deleted=deleted)
        return
    head = _head(tx, version.layout)
    if head.refs > 1:
        tx.put(Table.LAYOUTS, version.layout, encode(msgspec.structs.replace(head, refs=head.refs - 1)))
        return
    for key, raw in _chunks(tx, version.layout):
        references.release(tx, decode(_ChunkExtents, raw).extents, now_us, deleted=deleted)
        tx.delete(Table.LAYOUTS, key)
    tx.delete(Table.LAYOUTS, version.layout)


def cut(extents: Iterable[Extent], first_offset: int, start: int, end: int) -> list[Extent]:
    """Extents for bytes ``start`` to ``end`` exactly, out of a list that begins at ``first_offset``."""
    found: list[Extent] = []
    offset = first_offset
    for extent in extents:
        skipped = max(0, start - offset)
        kept = min(extent.length, end - offset) - skipped
        if kept > 0:
            found.append(Extent(extent.body_id, extent.offset + skipped, kept))
        offset += extent.length
    return found


@dataclass(frozen=True, slots=True)
class Joined:
    """Extents of which neighbours became one.

    Attributes:
        extents: All of them, in order.
        gained: Those that are new: one reference each to acquire.
        spent: Those that became part of another: one reference each to release, behind that.
    """

    extents: list[Extent]
    gained: list[Extent]
    spent: list[Extent]


def joined(extents: Iterable[Extent]) -> Joined:
    """Neighbours that continue one another in one body made one: a server-side copy in parts names one body many times.

    References are counted by the range of each extent (:mod:`~noisefs.core.domain.packs.coverage`): what is joined is
    another reference, and not one of those it is made of.
    """
    groups: list[list[Extent]] = []
    for extent in extents:
        last = groups[-1][-1] if groups else None
        if last is not None and last.body_id == extent.body_id and last.offset + last.length == extent.offset:
            groups[-1].append(extent)
        else:
            groups.append([extent])
    found = Joined([], [], [])
    for group in groups:
        first = group[0]
        if len(group) == 1:
            found.extents.append(first)
            continue
        whole = Extent(first.body_id, first.offset, sum(extent.length for extent in group))
        found.extents.append(whole)
        found.gained.append(whole)
        found.spent.extend(group)
    return found


def _overlapping(extents: Sequence[Extent], first_offset: int, start: int, end: int) -> tuple[Sequence[Extent], int]:
    found: list[Extent] = []
    found_offset = first_offset
    offset = first_offset
    for extent in extents:
        if offset >= end:
            break
        if offset + extent.length > start:
            if not found:
                found_offset = offset
            found.append(extent)
        offset += extent.length
    return found, found_offset


def _head(tx: Reading, layout_id: LayoutId) -> LayoutHead:
    raw = tx.get(Table.LAYOUTS, layout_id)
    if raw is None:
        raise IndexDamaged(f"layout {layout_id.hex()} is missing")
    return decode(LayoutHead, raw)


def _chunks(tx: Reading, layout_id: LayoutId) -> list[tuple[bytes, bytes]]:
    return tx.scan(Table.LAYOUTS, layout_chunk_key(layout_id, 0), prefix_end(layout_id), _ROWS_MAX)
