"""Which bytes of a body somebody refers to: extents of a body that are not all of it are counted one by one.

A body is written whole, and most bodies are referred to whole or not at all. A part copied from a range refers to less,
and may outlive the object it was taken from: then cells that no extent covers are dead. ``Body.cuts`` counts extents
that are less than the body, by range; those of the first ``MOST_CUTS`` ranges. What is not counted there counts as an
extent of everything, as in rows that are not ``exact``: who wrote them counted wrongly, so nothing of such a body is
given up while anybody refers to it. ``Body.kept`` says what is left once the rest was given up.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from noisefs.core.domain.records import Body, Extent

MOST_CUTS: Final = 64
"""Ranges counted per body: more would make a row that is rewritten with every part copied from it long."""

Ranges = tuple[tuple[int, int], ...]
"""Byte ranges (start, end), in order, apart from each other."""


def referred(body: Body, extents: Iterable[Extent], change: int) -> Body:
    """The row with one reference more (``change`` 1) or less (-1) for each of these extents, all of this body."""
    counts = {(offset, length): refs for offset, length, refs in body.cuts}
    refs = body.refs
    for extent in extents:
        refs += change
        place = extent.offset, extent.length
        if place == (0, body.size):
            continue
        count = counts.get(place, 0) + change
        if count > 0 and (place in counts or len(counts) < MOST_CUTS):
            counts[place] = count
        elif count == 0:
            del counts[place]
    cuts = tuple((offset, length, count) for (offset, length), count in counts.items())
    return msgspec.structs.replace(body, refs=refs, cuts=cuts)


def covered(body: Body) -> Ranges:
    """The bytes that extents cover."""
    if not body.exact or sum(refs for _offset, _length, refs in body.cuts) < body.refs:
        return body.kept or ((0, body.size),)
    found: list[tuple[int, int]] = []
    for offset, length, _refs in sorted(body.cuts):
        if found and offset <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], offset + length)
        else:
            found.append((offset, offset + length))
    return tuple(found)


def counts_too_much(body: Body, counted: Mapping[tuple[int, int], int]) -> bool:
    """Whether ranges are counted that extents do not have: then bytes of others would be given up.

    ``counted``: extents of the body that are less than all of it, by offset and length.
    """
    return body.exact and any(refs > counted.get((offset, length), 0) for offset, length, refs in body.cuts)


def is_partly_dead(body: Body) -> bool:
    """Whether bytes are left that no extent covers."""
    return covered(body) != (body.kept or ((0, body.size),))


def is_there(body: Body, extent: Extent) -> bool:
    """Whether nothing of the extent was given up."""
    start, end = extent.offset, extent.offset + extent.length
    return not body.kept or any(first <= start and end <= last for first, last in body.kept)


def whole_segments(segment_bytes: int, ranges: Ranges) -> Ranges:
    """The segments (first, end) that hold bytes of these ranges; the slice is the last one, number ``size // S``."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        first, after = start // segment_bytes, -(-end // segment_bytes)
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], after
        else:
            found.append((first, after))
    return tuple(found)


def kept_segments(body: Body, segment_bytes: int) -> Ranges:
    """The segments that are left of the body, its slice among them."""
    return whole_segments(segment_bytes, body.kept or ((0, body.size),))
