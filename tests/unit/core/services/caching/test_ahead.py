"""What may be fetched ahead: nothing beyond the bytes that may be wasted, whatever readers do with it in the end."""

import asyncio

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import Run
from noisefs.core.services.bodies.hot import HotTier
from noisefs.core.services.caching.ahead import ALLOWANCE_BYTES, SMALL_CELLS, Ahead
from noisefs.core.services.caching.entry import Outcome, Why

SIZE = 131088
RUN = Run(PackId(bytes(16)), 0, 1, 0, 0)


class Reading:
    """Readers that begin objects of :data:`SMALL_CELLS` and never go on, before a memory of this size."""

    def __init__(self, hot_bytes: int) -> None:
        self.hot = HotTier(hot_bytes)
        self.fetched_bytes = 0
        self.taken_bytes = 0
        self.ahead = Ahead(
            fetch=self._fetch,
            outcome=self.hot.outcome,
            holds=lambda body_id, number: self.hot.holds((body_id, number)),
            taken_bytes=lambda: self.taken_bytes,
            telemetry=MemoryTelemetry(),
            waste_share=0.1,
        )

    async def _fetch(self, body_id: BodyId, first: int, count: int, why: Why) -> None:
        self.fetched_bytes += count * SIZE
        self.hot.keep_cells(body_id, first, RUN, memoryview(bytes(count * SIZE)), SIZE, cold=True, why=why)

    async def begin(self, number: int, *, rest: bool = False) -> None:
        """Read the first cell of an object, or all of it."""
        body_id = BodyId(number.to_bytes(16, "big"))
        self.hot.keep_cells(body_id, 0, RUN, memoryview(bytes(SIZE)), SIZE, cold=True)
        self.taken_bytes += SIZE
        self.ahead.note(body_id, 0, 0, SMALL_CELLS, cold=True)
        while self.ahead._tasks:
            await asyncio.wait(self.ahead._tasks)
        if rest:
            for at in range(1, SMALL_CELLS):
                self.hot.cells(body_id, at, 1)


async def test_what_waits_in_a_large_memory_counts_before_it_is_wasted() -> None:
    """It is dropped much later, and by then too much would have been fetched."""
    reading = Reading(1 << 30)
    for number in range(400):
        await reading.begin(number)
    assert reading.hot.outcome(Why.OBJECT).wasted_bytes == 0
    waiting = reading.hot.outcome(Why.OBJECT).waiting_bytes
    assert waiting == reading.fetched_bytes
    most = 2 * (ALLOWANCE_BYTES + 0.1 * reading.taken_bytes)
    tries = 400 / 32 * SMALL_CELLS * SIZE
    assert ALLOWANCE_BYTES < waiting <= most + tries


async def test_what_is_read_is_no_waste_and_fetching_goes_on() -> None:
    reading = Reading(1 << 30)
    for number in range(200):
        await reading.begin(number, rest=True)
    assert reading.fetched_bytes == 200 * (SMALL_CELLS - 1) * SIZE
    assert reading.hot.outcome(Why.OBJECT) == Outcome(200 * (SMALL_CELLS - 1), 0, 0, 0)


async def test_where_memory_has_no_room_all_of_it_is_waste() -> None:
    reading = Reading(1000)
    for number in range(200):
        await reading.begin(number)
    outcome = reading.hot.outcome(Why.OBJECT)
    assert outcome.wasted_bytes == reading.fetched_bytes
    assert outcome.wasted_bytes <= ALLOWANCE_BYTES + 0.1 * reading.taken_bytes + 10 * SMALL_CELLS * SIZE
    assert not reading.ahead.is_on(Why.OBJECT)


async def test_what_is_bad_is_neither_used_nor_wasted() -> None:
    reading = Reading(1 << 24)
    await reading.begin(1)
    reading.hot.forget(BodyId((1).to_bytes(16, "big")), 0, SMALL_CELLS)
    assert reading.hot.outcome(Why.OBJECT) == Outcome()
