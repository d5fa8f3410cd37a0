"""A clock that moves when it is told to."""

import asyncio
import heapq
import itertools

from noisefs.core.ports.clock import Clock

EPOCH_US = 1_700_000_000_000_000
"""Where wall-clock time starts: some day in 2023."""


class ManualClock(Clock):
    """Time in the hands of a test. Belongs to one event loop."""

    def __init__(self, now_us: int = EPOCH_US) -> None:
        """Start at ``now_us``; the monotonic clock starts at 0."""
        self._start_us = now_us
        self._elapsed_us = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch."""
        return self._start_us + self._elapsed_us

    def monotonic_s(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed_us / 1e6

    async def sleep(self, seconds: float) -> None:
        """Return once ``advance`` has passed that moment; yields to other tasks in any case."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake = asyncio.get_running_loop().create_future()
        due_us = self._elapsed_us + max(1, round(seconds * 1e6))
        heapq.heappush(self._sleepers, (due_us, next(self._order), wake))
        await wake

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake those whose time has come, in the order of their times."""
        self._elapsed_us += round(seconds * 1e6)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_us:
            _due, _order, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic one goes on as it was."""
        self._start_us += round(seconds * 1e6)

    def next_wake_s(self) -> float | None:
        """Seconds until the next sleeper is due, or ``None`` if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return (self._sleepers[0][0] - self._elapsed_us) / 1e6 if self._sleepers else None
