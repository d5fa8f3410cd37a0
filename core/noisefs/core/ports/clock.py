"""Port ``Clock``: time, and waiting for it."""

from abc import ABC, abstractmethod


class Clock(ABC):
    """Where time comes from. The simulator's clock only moves when it is told to."""

    @abstractmethod
    def now_us(self) -> int:
        """Wall-clock microseconds since the epoch (UTC). May step."""

    @abstractmethod
    def monotonic_s(self) -> float:
        """Seconds that never go back, from an arbitrary start."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
