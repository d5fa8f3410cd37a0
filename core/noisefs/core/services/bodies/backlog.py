"""Sealed slices that wait inline in the index for the packer: bounded in bytes.

An estimate kept by this process: slices that are deleted before they are packed, or packed by another process, stay
counted until the packer, which looks at the whole table in each run, or a look at that table corrects it.
"""

import asyncio
from typing import Final

from noisefs.core.errors import SlowDown
from noisefs.core.ports.telemetry import Gauge, Telemetry

PATIENCE_S: Final = 20.0
"""A write waits this long for the packer before it is told to slow down."""


class Backlog:
    """Counts inline bytes, wakes the packer, holds writers back. Belongs to the event loop."""

    def __init__(self, telemetry: Telemetry, *, max_bytes: int, wake_bytes: int) -> None:
        """Wake the packer from ``wake_bytes`` on, hold writers back from ``max_bytes`` on."""
        self._telemetry = telemetry
        self._max_bytes = max_bytes
        self._wake_bytes = wake_bytes
        self._bytes = 0
        self.added_bytes = 0
        """Sealed bytes that this process ever committed inline."""
        self._room = asyncio.Event()
        self._room.set()
        self.wake = asyncio.Event()

    @property
    def bytes(self) -> int:
        """Sealed bytes inline, as far as this process knows."""
        return self._bytes

    @property
    def is_much(self) -> bool:
        """Whether the packer should run."""
        return self._bytes >= min(self._wake_bytes, self._max_bytes)

    @property
    def has_room(self) -> bool:
        """Whether :meth:`admit` returns at once."""
        return self._room.is_set()

    def added(self, size_bytes: int) -> None:
        """A slice was committed inline."""
        self.added_bytes += size_bytes
        self.correct(self._bytes + size_bytes)

    def removed(self, size_bytes: int) -> None:
        """Slices were packed."""
        self.correct(max(0, self._bytes - size_bytes))

    def correct(self, size_bytes: int) -> None:
        """Set the count."""
        self._bytes = size_bytes
        self._telemetry.gauge(Gauge.INLINE_BACKLOG, size_bytes)
        if size_bytes >= self._wake_bytes:
            self.wake.set()
        if size_bytes >= self._max_bytes:
            self._room.clear()
        else:
            self._room.set()

    async def admit(self) -> None:
        """Return at once, or when the packer has made room.

        Raises:
            SlowDown: It did not within ``PATIENCE_S``.
        """
        if self._room.is_set():
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._room.wait()
        except TimeoutError:
            raise SlowDown(
                f"{self._bytes} bytes of small objects wait to be packed: at most {self._max_bytes} may wait"
            ) from None
