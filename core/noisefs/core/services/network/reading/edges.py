"""Blocks at the edges of what was fetched: the last one of a stretch masks the first cell behind it.

So whoever reads on wants it once more, and where two bodies lie in one pack in turns, so does who reads the other one:
then every ninth block would be fetched twice.
"""

import threading
from collections.abc import Mapping
from typing import Final

from cachetools import LRUCache

from noisefs.core.services.network.reading.asking import Place

EDGE_BYTES: Final = 32 << 20
"""256 blocks of 128 KiB, the edges of two objects of 64 MiB that were written side by side and are read one after
another."""

STRETCH_BLOCKS: Final = 4
"""Fewer neighbours than that are no stretch: who reads at random has the hot tier."""


class Edges:
    """Blocks by place, byte-bounded, as they were fetched and verified. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        """``most_bytes``: all of them together."""
        self._blocks: LRUCache[Place, bytes] = LRUCache(most_bytes, getsizeof=len)
        self._lock = threading.Lock()

    def without(self, rooms: Mapping[Place, memoryview]) -> dict[Place, memoryview]:
        """Fill the rooms of what is here; returns the others."""
        left: dict[Place, memoryview] = {}
        for place, room in rooms.items():
            with self._lock:
                block = self._blocks.get(place)
            if block is None:
                left[place] = room
            else:
                room[:] = block
        return left

    def keep(self, rooms: Mapping[Place, memoryview]) -> None:
        """These were fetched: keep the first and the last block of each stretch."""
        stretch: list[Place] = []
        for place in sorted(rooms):
            if stretch and (place[0], place[1] - 1) != stretch[-1]:
                self._keep_ends(stretch, rooms)
                stretch = []
            stretch.append(place)
        self._keep_ends(stretch, rooms)

    def _keep_ends(self, stretch: list[Place], rooms: Mapping[Place, memoryview]) -> None:
        if len(stretch) < STRETCH_BLOCKS:
            return
        for place in (stretch[0], stretch[-1]):
            block = bytes(rooms[place])
            if len(block) <= self._blocks.maxsize:
                with self._lock:
                    self._blocks[place] = block
