"""The hot tier: cells and sealed slices that were read lately, in memory, byte-bounded.

What lies here is ciphertext after unmasking: whoever opens it verifies the tag. A body never changes, so nothing here
is ever stale; an entry that no longer opens is dropped and read again.
"""

import threading
from typing import Any, Final, NamedTuple

from cachetools import LRUCache

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import Run

ENTRY_BYTES: Final = 512
"""What an entry weighs beside its bytes: key, objects, links."""


class _Cell(NamedTuple):
    run: Run
    cell: memoryview


class Slice(NamedTuple):
    """A sealed slice and the generation it is sealed under."""

    sealed: bytes
    generation: int


class HotTier:
    """Cells by body and segment. Thread-safe."""

    def __init__(self, hot_bytes: int) -> None:
        """``hot_bytes``: all entries together; larger ones are not kept."""
        self._most = hot_bytes
        self._lock = threading.Lock()
        # Any: cachetools is not typed here; key (body, segment), value _Cell or Slice.
        self._entries: LRUCache[Any, Any] = LRUCache(max(1, hot_bytes), getsizeof=_weight)

    def cells(self, body_id: BodyId, segment: int, count: int) -> list[tuple[Run, memoryview, int]] | None:
        """``count`` cells from ``segment`` on, each with its run and number; ``None`` unless all are there."""
        found: list[tuple[Run, memoryview, int]] = []
        entries = self._entries
        with self._lock:
            for number in range(segment, segment + count):
                try:
                    run, cell = entries[body_id, number]
                except KeyError:
                    return None
                found.append((run, cell, number))
        return found

    def slice(self, body_id: BodyId, segment: int) -> Slice | None:
        """A body's slice, which has this segment number."""
        try:
            with self._lock:
                found: Slice = self._entries[body_id, segment]
        except KeyError:
            return None
        return found

    def keep_cells(self, body_id: BodyId, first: int, run: Run, cells: memoryview, block_bytes: int) -> None:
        """Keep consecutive cells of one run, the first of which is segment ``first``."""
        if block_bytes + ENTRY_BYTES > self._most:
            return
        with self._lock:
            for at in range(0, len(cells), block_bytes):
                # A copy: a view of one cell would keep the whole window in memory, and nobody would count it.
                kept = _Cell(run, memoryview(bytes(cells[at : at + block_bytes])))
                self._entries[body_id, first + at // block_bytes] = kept

    def keep_slice(self, body_id: BodyId, segment: int, held: Slice) -> None:
        """Keep a slice."""
        if _weight(held) <= self._most:
            with self._lock:
                self._entries[body_id, segment] = held

    def forget(self, body_id: BodyId, segment: int, count: int) -> None:
        """Drop what is bad."""
        with self._lock:
            for number in range(segment, segment + count):
                self._entries.pop((body_id, number), None)


def _weight(entry: _Cell | Slice) -> int:
    return ENTRY_BYTES + len(entry[1] if isinstance(entry, _Cell) else entry[0])
