"""Seed blocks of packs that are being read, kept apart from the hot tier: every cell of a pack needs one of a few."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from noisefs.core.domain.ids import PackId
from noisefs.core.services.caching.flights import Flights

SeedKey: TypeAlias = tuple[PackId, int]
"""A pack and a seed's number."""

SHARE: Final = 16
"""Seeds may take this part of what cells in memory may, beside it..."""
LEAST_BYTES: Final = 8 << 20
"""...but at least this: 64 blocks at the default S, all seeds of 16 packs."""

SEED_PATIENCE_S: Final = 1.0
"""How long a reader waits for a seed that another one fetches: it comes with that one's cells."""


class SeedsState(NamedTuple):
    """How they stand."""

    packs: int
    blocks: int
    bytes: int
    max_bytes: int


class Seeds:
    """Seeds by pack and number, those of the packs read last, byte-bounded. Thread-safe."""

    def __init__(self, hot_bytes: int) -> None:
        """None yet. ``hot_bytes``: what cells in memory may take."""
        self._most = max(LEAST_BYTES, hot_bytes // SHARE)
        self._lock = threading.Lock()
        self._packs: OrderedDict[PackId, dict[int, memoryview]] = OrderedDict()
        self._bytes = 0
        self.flights: Flights[SeedKey, memoryview] = Flights()
        """Seeds that are on their way from nodes: one fetch for all who need one."""

    def of(self, pack_id: PackId) -> dict[int, memoryview]:
        """A pack's seeds that are at hand, by number."""
        with self._lock:
            kept = self._packs.get(pack_id)
            if kept is None:
                return {}
            self._packs.move_to_end(pack_id)
            return kept.copy()

    def keep(self, pack_id: PackId, count: int, blocks: Mapping[int, memoryview]) -> None:
        """Keep copies of those of ``blocks`` whose number is below ``count``."""
        found = [number for number in range(count) if number in blocks]
        with self._lock:
            kept = self._packs.setdefault(pack_id, {})
            for number in found:
                if number not in kept:
                    kept[number] = memoryview(bytes(blocks[number]))
                    self._bytes += len(kept[number])
            while self._bytes > self._most:
                _, dropped = self._packs.popitem(last=False)
                self._bytes -= sum(map(len, dropped.values()))

    def clear(self) -> None:
        """Drop all: one of them may be bad."""
        with self._lock:
            self._packs.clear()
            self._bytes = 0

    def state(self) -> SeedsState:
        """How they stand."""
        with self._lock:
            return SeedsState(len(self._packs), sum(map(len, self._packs.values())), self._bytes, self._most)
