"""Fetching ahead of readers: what comes next in an object that is read in pieces, and the rest of a small one.

Promise: what nobody reads costs little. Each kind's precision is measured by what became of the cells it brought: read,
or gone from memory unread. Below :data:`LEAST_PRECISION` a kind is turned off but for a try now and then; and wasted
bytes stay below ``waste_share`` of what readers themselves took from nodes, and :data:`ALLOWANCE_BYTES`; what waits in
memory counts by its kind's precision, as if half of it were wasted where that is not known yet.
Only where there are nodes, and only for bodies that they had to give something of. Belongs to the event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.caching.entry import PREFETCH, Outcome, Why

log = logging.getLogger(__name__)

LEAST_PRECISION: Final = 0.5
TRIED_CELLS: Final = 64
"""So many cells must have come to an end before a kind is judged; then both counts fade by half."""
TRY_EVERY: Final = 32
"""A kind that is turned off still gets one chance in so many."""
ALLOWANCE_BYTES: Final = 16 << 20
"""What may be wasted while readers took little."""
STREAK: Final = 2
"""Pieces that followed each other before the next ones are fetched."""
FIRST_CELLS: Final = 4
MOST_CELLS: Final = 32
"""Ahead of one reader: 4 MiB, as much as a long read fetches at a time."""
SMALL_CELLS: Final = 8
"""An object of at most so many is fetched whole with its first piece."""
BODIES_KEPT: Final = 4096
AT_ONCE: Final = 4
"""Fetches under way; more are passed over: readers come first."""


@dataclass(slots=True)
class _Reader:
    """Where the reader of a body is: one for each body, the last one that read it."""

    following: int
    streak: int
    fetched_to: int


@dataclass(slots=True)
class _Judged:
    seen: Outcome
    used: float = 0.0
    wasted: float = 0.0
    passed: int = 0
    on: bool = True

    @property
    def precision(self) -> float | None:
        ended = self.used + self.wasted
        return self.used / ended if ended else None


class Ahead:
    """Decides what to fetch ahead, and has it fetched."""

    def __init__(
        self,
        *,
        fetch: Callable[[BodyId, int, int, Why], Awaitable[None]],
        outcome: Callable[[Why], Outcome],
        holds: Callable[[BodyId, int], bool],
        taken_bytes: Callable[[], int],
        telemetry: Telemetry,
        waste_share: float,
    ) -> None:
        """Nothing yet.

        Args:
            fetch: Brings cells (body, first segment, count) into memory.
            outcome: What became of what was fetched.
            holds: Whether a cell is in memory already.
            taken_bytes: What readers themselves took from nodes so far.
            waste_share: 0: fetch nothing ahead.
        """
        self._fetch = fetch
        self._outcome = outcome
        self._holds = holds
        self._taken_bytes = taken_bytes
        self._telemetry = telemetry
        self._waste_share = waste_share
        self._readers: LRUCache[BodyId, _Reader] = LRUCache(BODIES_KEPT)
        self._judged = {kind: _Judged(Outcome()) for kind in PREFETCH}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def note(self, body_id: BodyId, first: int, last: int, whole: int, *, cold: bool) -> None:
        """Segments ``first`` to ``last`` of a body with ``whole`` whole ones were read. Costs a microsecond.

        ``cold``: a node had to give something of it.
        """
        reader = self._readers.get(body_id)
        if reader is None:
            if not cold or self._closed or not self._waste_share:
                return
            reader = self._readers[body_id] = _Reader(last + 1, 0, last + 1)
            if first == 0 and last + 1 < whole <= SMALL_CELLS:
                self._go(reader, body_id, last + 1, whole - last - 1, Why.OBJECT)
            return
        if first not in (reader.following, reader.following - 1) or last + 1 < reader.following:
            reader.streak, reader.following, reader.fetched_to = 0, last + 1, last + 1
            return
        if last + 1 == reader.following:
            return  # more of the same segment
        reader.streak += 1
        reader.following = last + 1
        if reader.streak < STREAK:
            return
        window = min(MOST_CELLS, FIRST_CELLS << min(reader.streak - STREAK, 8))
        begin = max(reader.fetched_to, last + 1)
        if begin - (last + 1) > window // 2:
            return  # enough is on its way
        count = min(last + 1 + window, whole) - begin
        if count > 0:
            self._go(reader, body_id, begin, count, Why.SEQUENTIAL)

    def precision(self, kind: Why) -> float | None:
        """The share of what was fetched ahead that was read, lately; ``None``: nothing yet."""
        self._judge(kind)
        return self._judged[kind].precision

    def is_on(self, kind: Why) -> bool:
        """Whether it is worth it."""
        return self._judged[kind].on and bool(self._waste_share)

    async def close(self) -> None:
        """Fetch nothing more, and end what is under way."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------ whether

    def _go(self, reader: _Reader, body_id: BodyId, first: int, count: int, kind: Why) -> None:
        if len(self._tasks) >= AT_ONCE or self._closed or not self._may(kind):
            return
        while count and self._holds(body_id, first):
            first, count = first + 1, count - 1
        reader.fetched_to = first + count
        if count:
            task = asyncio.create_task(self._bring(body_id, first, count, kind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _bring(self, body_id: BodyId, first: int, count: int, kind: Why) -> None:
        try:
            await self._fetch(body_id, first, count, kind)
        except NoisefsError as exc:  # who reads it will be told
            log.debug("ahead.not_fetched", extra={"cause": str(exc)})
            return
        self._telemetry.count(Counter.PREFETCHED, count, (f"{kind.value} fetched",))

    def _may(self, kind: Why) -> bool:
        wasted = 0.0
        for one in PREFETCH:
            self._judge(one)
            known = self._judged[one].precision
            outcome = self._outcome(one)
            wasted += outcome.wasted_bytes + outcome.waiting_bytes * (1 - (LEAST_PRECISION if known is None else known))
        judged = self._judged[kind]
        if wasted <= ALLOWANCE_BYTES + self._waste_share * self._taken_bytes() and judged.on:
            return True
        judged.passed += 1
        return judged.passed % TRY_EVERY == 0

    def _judge(self, kind: Why) -> None:
        judged, now = self._judged[kind], self._outcome(kind)
        used, wasted = now.used_cells - judged.seen.used_cells, now.wasted_cells - judged.seen.wasted_cells
        judged.seen = now
        judged.used += used
        judged.wasted += wasted
        label = kind.value
        if used:
            self._telemetry.count(Counter.PREFETCHED, used, (f"{label} used",))
        if wasted:
            self._telemetry.count(Counter.PREFETCHED, wasted, (f"{label} wasted",))
        if judged.used + judged.wasted < TRIED_CELLS:
            return
        on = judged.used / (judged.used + judged.wasted) >= LEAST_PRECISION
        if on != judged.on:
            log.info("ahead.turned", extra={"kind": label, "on": on, "precision": round(judged.precision or 0, 3)})
        judged.on = on
        if judged.used + judged.wasted >= 2 * TRIED_CELLS:
            judged.used, judged.wasted = judged.used / 2, judged.wasted / 2
