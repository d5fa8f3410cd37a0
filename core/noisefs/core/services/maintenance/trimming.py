"""Giving up what no extent of a living body covers: a part copied from a range outlives the object it was taken from.

Promise: what an extent covers stays; the row says what is left (``Body.kept``) in the commit that gives up the rest,
and from then on nobody can refer to more. Pack counters change in the same commit. Cost: one index commit a batch of
runs.
"""

from typing import Final

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.keyspace import TRIM_PREFIX, prefix_end, run_key, trim_key
from noisefs.core.domain.masking import stride_of
from noisefs.core.domain.packs import coverage
from noisefs.core.domain.records import Body, BodyState, Pack, Run, SlicePlace, decode, encode
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.packs.staging import change_live

RUNS_AT_ONCE: Final = 256
BODIES_AT_ONCE: Final = 256


def bodies_to_trim(start: bytes, tx: Reading) -> list[BodyId]:
    """Bodies from ``start`` on that may have bytes no extent covers, a batch of them."""
    rows = tx.scan(Table.META, TRIM_PREFIX + start, prefix_end(TRIM_PREFIX), BODIES_AT_ONCE)
    return [BodyId(key.removeprefix(TRIM_PREFIX)) for key, _value in rows]


def trim(body_id: BodyId, geometry: Geometry, tx: Writing) -> bool:
    """Give up a batch of runs, or the slice, that no extent covers; tells whether there may be more of them."""
    raw = tx.get(Table.BODIES, body_id)
    body = None if raw is None else decode(Body, raw)
    if body is None or body.state == BodyState.WRITING:
        tx.delete(Table.META, trim_key(body_id))
        return False
    size = geometry.segment_bytes
    wanted = coverage.whole_segments(size, coverage.covered(body))
    if wanted != coverage.kept_segments(body, size):
        kept = tuple((first * size, min(end * size, body.size)) for first, end in wanted)
        tx.put(Table.BODIES, body_id, encode(msgspec.structs.replace(body, kept=kept)))
    tail = body.size // size
    room = RUNS_AT_ONCE
    for first, end in _between(wanted, tail + 1):
        room -= _release_runs(tx, body_id, first, min(end, tail), room)
        if room <= 0:
            return True
    if not any(first <= tail < end for first, end in wanted):
        _release_slice(tx, body_id)
    tx.delete(Table.META, trim_key(body_id))
    return False


def _between(wanted: coverage.Ranges, end: int) -> list[tuple[int, int]]:
    """The ranges below ``end`` that are not wanted."""
    edges = [0, *(edge for part in wanted for edge in part), end]
    return [(first, after) for first, after in zip(edges[::2], edges[1::2], strict=True) if first < after]


def _release_runs(tx: Writing, body_id: BodyId, first: int, end: int, room: int) -> int:
    """Take segments ``first`` to ``end`` out of the runs, ``room`` runs at most; returns how many it were."""
    rows = tx.scan(Table.RUNS, run_key(body_id, 0), run_key(body_id, first), 1, reverse=True)
    rows += tx.scan(Table.RUNS, run_key(body_id, first), run_key(body_id, end), room)
    done = 0
    for key, raw in rows:
        start, run = int.from_bytes(key[-8:], "big"), decode(Run, raw)
        cut, behind = max(first, start), min(end, start + run.count)
        if cut >= behind:
            continue
        done += 1
        row = tx.get(Table.PACKS, run.pack_id)
        stride = stride_of(decode(Pack, row).strategy) if row is not None else 1
        tx.delete(Table.RUNS, key)
        for begin, after in ((start, cut), (behind, start + run.count)):
            if begin < after:
                position = run.position + (begin - start) * stride
                left = Run(run.pack_id, position, after - begin, run.seed, run.generation)
                tx.put(Table.RUNS, run_key(body_id, begin), encode(left))
        change_live(tx, run.pack_id, cells=cut - behind)
    return done


def _release_slice(tx: Writing, body_id: BodyId) -> None:
    tx.delete(Table.INLINE, body_id)
    tx.delete(Table.TINY, body_id)
    raw = tx.get(Table.SLICES, body_id)
    if raw is not None:
        for piece in decode(SlicePlace, raw).pieces:
            change_live(tx, piece.pack_id, slice_bytes=-piece.length, slices=-1)
        tx.delete(Table.SLICES, body_id)
