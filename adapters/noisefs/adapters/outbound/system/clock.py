"""The machine's clock."""

import asyncio
import time

from noisefs.core.ports.clock import Clock


class SystemClock(Clock):
    """Time of the operating system. Thread-safe, task-safe."""

    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch (UTC). May step."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds that never go back, from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)
