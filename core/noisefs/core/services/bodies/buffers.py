"""Memory of bodies under way: a fair share of one budget each.

Promise: however many bodies are written or read at once, their buffers together stay within the budget plus one segment
each. A lone body gets windows of eight segments, so that a hop to a worker is worth it; with many, windows shrink.
"""

from dataclasses import dataclass
from typing import Final

WINDOW_SEGMENTS: Final = 8
"""Segments per hop to a worker: one per hop costs a quarter of the throughput (DESIGN.md section 6)."""

LONG_WINDOW_SEGMENTS: Final = 16
"""Segments per hop of a long read, where the first byte does not wait for it: a tenth less CPU than with eight."""

COLD_WINDOW_SEGMENTS: Final = 32
"""Segments that are fetched from a network at a time; with two windows a reader, 64 cells ahead."""


@dataclass(slots=True)
class Budget:
    """Bytes shared by all bodies of one direction. Belongs to the event loop."""

    total_bytes: int
    segment_bytes: int
    held_windows: int
    """Windows one body holds at a time: filling and sealing, or sending and fetching."""
    active: int = 0

    def window(self, most: int = WINDOW_SEGMENTS) -> int:
        """Segments the next window of any one body may have: 1 to ``most``."""
        share = self.total_bytes // (max(1, self.active) * self.held_windows * self.segment_bytes)
        return max(1, min(most, share))

    def __enter__(self) -> "Budget":
        self.active += 1
        return self

    def __exit__(self, *_exc: object) -> None:
        self.active -= 1


class BufferPool:
    """Reusable byte buffers, so that large ones are not mapped and unmapped all the time. Belongs to the event loop."""

    def __init__(self, keep_bytes: int) -> None:
        """Keep at most ``keep_bytes`` of idle buffers."""
        self._keep_bytes = keep_bytes
        self._idle: dict[int, list[bytearray]] = {}
        self._idle_bytes = 0

    def take(self, size_bytes: int) -> bytearray:
        """A buffer of exactly this size with arbitrary content."""
        idle = self._idle.get(size_bytes)
        if idle:
            self._idle_bytes -= size_bytes
            return idle.pop()
        return bytearray(size_bytes)

    def give(self, buffer: bytearray) -> None:
        """Hand a buffer back; nobody may hold a view of it any more."""
        if self._idle_bytes + len(buffer) <= self._keep_bytes:
            self._idle.setdefault(len(buffer), []).append(buffer)
            self._idle_bytes += len(buffer)
