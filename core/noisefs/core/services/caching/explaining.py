"""Where an object's bytes would come from if it were read now, cell by cell, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import TAIL_NONE, Body, Extent, Run, SlicePlace, decode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.bodies.cells import CellReader, runs_of
from noisefs.core.services.caching.tiers import Tiers
from noisefs.core.services.caching.warming import SPAN_CELLS, Span
from noisefs.core.services.namespace.objects.layouts import extents_of
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.versions.lookup import find
from noisefs.core.services.packs.copies import copies_of


class Where(NamedTuple):
    """Cells ``first`` to ``last`` of the object, or a slice, which come from the same place.

    Attributes:
        first, last: Numbers of cells in the object, slices counted too.
        kind: ``cell`` or ``slice``.
        tier: ``memory``, ``disk cache``, ``index``, ``packs`` (on this disk) or ``nodes``.
        reason: Why there.
        nodes: Who has the pack, where no tier has them.
    """

    first: int
    last: int
    kind: str
    tier: str
    reason: str
    nodes: tuple[str, ...] = ()


def spans_within(tx: Reading, who: Principal, bucket: str, key: str, geometry: Geometry) -> list[Span]:
    """What an object consists of, in order: pieces of at most :data:`.warming.SPAN_CELLS` cells, and slices.

    Raises:
        BucketNotFound, ObjectNotFound, InvalidKey: There is no such object.
    """
    row = reach_bucket(tx, who, bucket)
    version = find(tx, row, bucket, key, naming.key_bytes(key), None).version
    return [span for extent in extents_of(tx, version) for span in _spans_of(tx, extent, geometry)]


def _spans_of(tx: Reading, extent: Extent, geometry: Geometry) -> list[Span]:
    raw = tx.get(Table.BODIES, extent.body_id)
    if raw is None:
        raise IndexDamaged(f"body {extent.body_id.hex()} has extents and no row")
    body = decode(Body, raw)
    size = geometry.segment_bytes
    whole = body.size // size
    first, last = extent.offset // size, (extent.offset + extent.length - 1) // size
    end = min(last + 1, whole)
    spans: list[Span] = [
        (extent.body_id, number, min(SPAN_CELLS, end - number), False) for number in range(first, end, SPAN_CELLS)
    ]
    if last >= whole and body.tail != TAIL_NONE:
        spans.append((extent.body_id, whole, 1, True))
    return spans


class Explainer:
    """Says where cells are. Thread-safe; blocks for the index."""

    def __init__(self, cells: CellReader, tiers: Tiers | None) -> None:
        self._cells = cells
        self._tiers = tiers

    def explain(self, tx: Reading, spans: Sequence[Span]) -> list[Where]:
        """Where each cell of these is, neighbours of one place together."""
        found: list[Where] = []
        number = 0
        for body_id, first, count, is_slice in spans:
            kind = "slice" if is_slice else "cell"
            for segment in range(first, first + count):
                tier, reason, nodes = self._where(tx, body_id, segment, is_slice=is_slice)
                before = found[-1] if found else None
                if before is not None and before[2:] == (kind, tier, reason, nodes):
                    found[-1] = before._replace(last=number)
                else:
                    found.append(Where(number, number, kind, tier, reason, nodes))
                number += 1
        return found

    def _where(self, tx: Reading, body_id: BodyId, segment: int, *, is_slice: bool) -> tuple[str, str, tuple[str, ...]]:
        key = body_id, segment
        if self._cells.hot.holds(key):
            ahead = self._cells.hot.is_ahead(key)
            policy = self._cells.hot.state().in_charge
            return "memory", "fetched ahead, and not read yet" if ahead else f"{policy} keeps it", ()
        warm = None if self._tiers is None else self._tiers.warm
        if warm is not None and warm.holds(key):
            return "disk cache", f"{warm.state().in_charge} keeps it", ()
        packs = _packs_of(tx, body_id, segment, is_slice=is_slice)
        if not packs:
            return "index", "it is small, or not packed yet", ()
        away = [row for row in (copies_of(tx, pack_id) for pack_id in packs) if row is not None and not row.local]
        if not away:
            return "packs", "its pack is on this disk", ()
        reason = "no tier keeps it" if self._tiers is None or self._tiers.others is None else "not kept in this process"
        return "nodes", f"its pack left this disk, and {reason}", tuple(sorted({n for row in away for n in row.nodes}))


def _packs_of(tx: Reading, body_id: BodyId, segment: int, *, is_slice: bool) -> set[PackId]:
    if not is_slice:
        run: Run = runs_of(tx, body_id, segment, 1)[0][1]
        return {run.pack_id}
    raw = tx.get(Table.SLICES, body_id)
    return set() if raw is None else {piece.pack_id for piece in decode(SlicePlace, raw).pieces}
