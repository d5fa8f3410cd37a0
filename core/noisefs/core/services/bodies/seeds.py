"""Seed blocks of packs that are being read, pinned apart from the hot tier: every cell of a pack needs one."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from noisefs.core.domain.ids import PackId

PACKS_KEPT: Final = 16
"""Packs whose seeds are kept: 64 blocks, 8 MiB at the default S."""


class Seeds:
    """Seeds by pack and number, those of the packs read last. Thread-safe."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._packs: OrderedDict[PackId, dict[int, memoryview]] = OrderedDict()

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
            if len(self._packs) > PACKS_KEPT:
                self._packs.popitem(last=False)

    def clear(self) -> None:
        """Drop all: one of them may be bad."""
        with self._lock:
            self._packs.clear()
