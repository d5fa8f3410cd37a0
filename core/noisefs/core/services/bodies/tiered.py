"""Cells of a store with nodes: each from the nearest tier that has it, the rest fetched once for all who want it.

Runs on worker lanes: reading the disk cache, asking peers and waiting for nodes block, with no lock held.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from noisefs.core.domain.caching.asker import Asker
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import Run
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.bodies.hot import HotTier, Slice
from noisefs.core.services.caching.entry import CellKey, Kept, Why
from noisefs.core.services.caching.tiers import Tiers

Found: TypeAlias = list[tuple[Run, memoryview, int]]
"""Consecutive cells: the run they are of, their bytes, the number of the first."""

NOWHERE: Final = PackId(bytes(16))
"""The pack of a cell that did not come from one."""

HOT: Final = ("hot",)
PACKS: Final = ("packs",)


class FromPacks(Protocol):
    """:meth:`.cells.CellReader.from_packs`."""

    def __call__(
        self,
        body_id: BodyId,
        spans: Iterable[tuple[int, int]],
        *,
        keep: bool,
        runs: Sequence[tuple[int, Run]],
        reach: Reach,
        why: Why,
        asker: Asker,
    ) -> Found:
        """Cells of these spans."""


class TieredCells:
    """Looks into one tier after another. Thread-safe."""

    def __init__(
        self, hot: HotTier, tiers: Tiers, from_packs: FromPacks, telemetry: Telemetry, block_bytes: int
    ) -> None:
        self._hot = hot
        self._tiers = tiers
        self._from_packs = from_packs
        self._telemetry = telemetry
        self._block_bytes = block_bytes

    # ------------------------------------------------------------------ cells

    def cells(
        self,
        body_id: BodyId,
        segment: int,
        count: int,
        *,
        keep: bool,
        runs: Sequence[tuple[int, Run]],
        reach: Reach,
        why: Why,
        asker: Asker,
    ) -> Found:
        """As :meth:`.cells.CellReader.cells`."""
        found: Found = []

        def fetch(keys: list[CellKey]) -> None:
            spans = neighbours(number for _, number in keys)
            found.extend(self._from_packs(body_id, spans, keep=keep, runs=runs, reach=reach, why=why, asker=asker))

        left = self._nearby([(body_id, number) for number in range(segment, segment + count)], found, keep, why, asker)
        if left and reach is Reach.DISK:
            fetch(left)
        elif left:
            # What this process owns comes first, and is there for others before it asks them: else two could wait for
            # each other.
            for keys in self._tiers.by_owner(left):
                self._together(keys, found, fetch, keep=keep, why=why, asker=asker)
        found.sort(key=_number_of)
        return found

    def _together(
        self,
        keys: list[CellKey],
        found: Found,
        fetch: Callable[[list[CellKey]], None],
        *,
        keep: bool,
        why: Why,
        asker: Asker,
    ) -> None:
        """Add these, of one body, each fetched by one reader for all who want it."""
        left = keys
        while left:
            lead, follow = self._tiers.flights.begin(left)
            try:
                rest = self._nearby(lead, found, keep, why, asker)  # it may have come since
                if rest:
                    given = self._whole(self._tiers.asked(rest))
                    self._take(given, found, keep, why, asker)
                    rest = [key for key in rest if key not in given]
                if rest:
                    fetch(rest)
            finally:
                if lead:
                    self._tiers.flights.end(lead, self._cut_up(lead[0][0], found).get)
            brought = self._tiers.flights.follow(follow)
            self._take(brought, found, keep, why, asker)
            left = [key for key in follow if key not in brought]

    def keep(
        self, body_id: BodyId, found: Found, away: Collection[PackId], *, keep: bool, why: Why, asker: Asker
    ) -> None:
        """Offer to the tiers what was read from packs. ``away``: those of which nodes gave blocks."""
        size = self._block_bytes
        for run, cells, first in found:
            cold = run.pack_id in away
            if keep:
                self._hot.keep_cells(body_id, first, run, cells, size, cold=cold, why=why, asker=asker)
            if cold:
                for at in range(0, len(cells), size):
                    kept = Kept(bytes(cells[at : at + size]), run.generation, cold=True)
                    self._tiers.fetched((body_id, first + at // size), kept, why=why, asker=asker)
            else:
                self._telemetry.count(Counter.CELL_READS, len(cells) // size, PACKS)

    def _nearby(self, keys: Sequence[CellKey], found: Found, keep: bool, why: Why, asker: Asker) -> list[CellKey]:
        """Add what is in memory or in the disk cache; returns the others."""
        if not keys:
            return []
        body_id = keys[0][0]
        hot = self._hot.some(body_id, [number for _, number in keys], asker)
        if hot:
            self._telemetry.count(Counter.BLOCK_READS, len(hot), HOT)
            found.extend((run, cell, number) for number, (run, cell) in hot.items())
        rest = [key for key in keys if key[1] not in hot]
        warm = self._tiers.on_disk(rest, asker)
        if warm:
            if keep:
                self._tiers.promoted(len(warm))
            self._take(warm, found, keep, why, asker)
        return [key for key in rest if key not in warm]

    def _whole(self, given: Mapping[CellKey, Kept]) -> dict[CellKey, Kept]:
        """Those that are as long as a cell: of what others say nothing is taken for granted."""
        return {key: kept for key, kept in given.items() if len(kept.sealed) == self._block_bytes}

    def _take(self, given: Mapping[CellKey, Kept], found: Found, keep: bool, why: Why, asker: Asker) -> None:
        """Add cells that came one by one, and keep them in memory if they shall be."""
        for (body_id, number), kept in given.items():
            run = Run(NOWHERE, 0, 1, 0, kept.generation)
            cell = memoryview(kept.sealed)
            found.append((run, cell, number))
            if keep:
                self._hot.keep_cells(body_id, number, run, cell, self._block_bytes, cold=True, why=why, asker=asker)

    def _cut_up(self, body_id: BodyId, found: Found) -> dict[CellKey, Kept]:
        size = self._block_bytes
        return {
            (body_id, first + at // size): Kept(cells[at : at + size], run.generation, cold=True)
            for run, cells, first in found
            for at in range(0, len(cells), size)
        }

    # ------------------------------------------------------------------ slices

    def slice(
        self,
        body_id: BodyId,
        segment: int,
        reach: Reach,
        why: Why,
        asker: Asker,
        fetch: Callable[[], Slice | None],
    ) -> Slice | None:
        """A slice that is not in memory: from the disk cache, a peer, or by ``fetch``, which reads packs."""
        key = body_id, segment
        while True:
            held = self._slice_nearby(key, why, asker)
            if held is not None or reach is Reach.DISK:
                return held or fetch()
            lead, follow = self._tiers.flights.begin([key])
            if follow:
                brought = self._tiers.flights.follow(follow).get(key)
                if brought is not None:
                    return Slice(bytes(brought.sealed), brought.generation, brought.cold)
                continue
            try:
                held = self._hot.slice(*key, asker) or self._slice_nearby(key, why, asker)
                if held is None:
                    given = self._tiers.asked(lead, slices=True).get(key)
                    held = fetch() if given is None else self._kept(key, given, why, asker)
            finally:
                come = None if held is None else Kept(held.sealed, held.generation, held.cold)
                self._tiers.flights.end(lead, lambda _key: come)  # noqa: B023 - called at once
            return held

    def fetched_slice(self, body_id: BodyId, segment: int, held: Slice, why: Why, asker: Asker) -> None:
        """Offer to the tiers what was read from packs."""
        self._hot.keep_slice(body_id, segment, held, why=why, asker=asker)
        if held.cold:
            kept = Kept(held.sealed, held.generation, cold=True)
            self._tiers.fetched((body_id, segment), kept, why=why, asker=asker)
        else:
            self._telemetry.count(Counter.CELL_READS, 1, PACKS)

    def _slice_nearby(self, key: CellKey, why: Why, asker: Asker) -> Slice | None:
        kept = self._tiers.on_disk([key], asker).get(key)
        if kept is None:
            return None
        self._tiers.promoted(1)
        return self._kept(key, kept, why, asker)

    def _kept(self, key: CellKey, kept: Kept, why: Why, asker: Asker) -> Slice:
        held = Slice(bytes(kept.sealed), kept.generation, cold=True)
        self._hot.keep_slice(*key, held, why=why, asker=asker)
        return held


def neighbours(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as spans (first, count)."""
    spans: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if spans and sum(spans[-1]) == number:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((number, 1))
    return spans


def _number_of(found: tuple[Run, memoryview, int]) -> int:
    return found[2]
