"""Adaptive W-TinyLFU: a small window of the newest, a segmented main space that only the more frequent enter.

The share of the window is found by hill climbing on the hit ratio, as Caffeine does.

Source: Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", TOS 2017; Einziger, Eytan,
Friedman, Manes, "Adaptive Software Cache Management", Middleware 2018; steps and restarts are those of Caffeine.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Final

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.fixed.frequency import Frequencies
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody

WINDOW_SHARE: Final = 0.01
PROTECTED_SHARE: Final = 0.8
"""Of the main space."""
EPOCH_ENTRIES: Final = 10
"""An epoch of the counts, and of the climber, is so many reads per entry that the cache holds."""
LEAST_EPOCH_READS: Final = 1000
STEP_SHARE: Final = 0.0625
STEP_DECAY: Final = 0.98
RESTART_CHANGE: Final = 0.05
"""A change of the hit ratio by so much starts the climb anew."""
LARGEST_WINDOW_SHARE: Final = 0.9


class WTinyLfu(CachePolicy):
    """Frequency where the load has it, recency where it has not."""

    name: ClassVar[str] = "wtinylfu"

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody, window_share: float = WINDOW_SHARE) -> None:
        super().__init__(capacity_bytes, dropped)
        self._window: OrderedDict[Key, int] = OrderedDict()
        self._probation: OrderedDict[Key, int] = OrderedDict()
        self._protected: OrderedDict[Key, int] = OrderedDict()
        self._window_bytes = self._probation_bytes = self._protected_bytes = 0
        self._share = window_share
        self._set_window()
        self._counts = Frequencies(LEAST_EPOCH_READS)
        self._step = STEP_SHARE
        self._epoch_left = LEAST_EPOCH_READS
        self._epoch_reads = LEAST_EPOCH_READS
        self._hits = 0
        self._ratio_before = 0.0

    @property
    def resident_bytes(self) -> int:
        return self._window_bytes + self._probation_bytes + self._protected_bytes

    @property
    def window_share(self) -> float:
        """The share of the capacity that the window has now."""
        return self._share

    def read(self, access: Access) -> bool:
        key = access.key
        entries = max(len(self), 1)
        self._counts.count(key, max(LEAST_EPOCH_READS, EPOCH_ENTRIES * entries))
        self._epoch_left -= 1
        if self._epoch_left <= 0:
            self._climb()
        if key in self._window:
            self._window.move_to_end(key)
        elif key in self._protected:
            self._protected.move_to_end(key)
        elif key in self._probation:
            self._protect(key)
        else:
            self._insert(key, access.size_bytes)
            return False
        self._hits += 1
        return True

    def discard(self, key: Key) -> None:
        self._window_bytes -= self._window.pop(key, 0)
        self._probation_bytes -= self._probation.pop(key, 0)
        self._protected_bytes -= self._protected.pop(key, 0)

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        self._window[key] = size
        self._window_bytes += size
        self._settle()

    def _settle(self) -> None:
        """Move what the window has no room for to the main space, while the more frequent of two stays."""
        while self._window_bytes > self._window_bytes_most and len(self._window) > 1:
            candidate, size = self._window.popitem(last=False)
            self._window_bytes -= size
            self._probation[candidate] = size
            self._probation_bytes += size
            self._make_room(candidate)
        while self.resident_bytes > self._capacity:
            self._evict_one()

    def _make_room(self, candidate: Key) -> None:
        while self.resident_bytes > self._capacity:
            victim = next(iter(self._probation))
            if victim == candidate:
                if not self._protected:
                    self._evict_probation(candidate)
                    return
                victim = next(iter(self._protected))
                if self._counts.of(candidate) > self._counts.of(victim):
                    self._protected_bytes -= self._protected.pop(victim)
                    self._dropped(victim)
                    continue
                self._evict_probation(candidate)
                return
            if self._counts.of(candidate) > self._counts.of(victim):
                self._evict_probation(victim)
            else:
                self._evict_probation(candidate)
                return

    def _evict_probation(self, key: Key) -> None:
        self._probation_bytes -= self._probation.pop(key)
        self._dropped(key)

    def _evict_one(self) -> None:
        if self._probation:
            self._evict_probation(next(iter(self._probation)))
        elif self._protected:
            victim, size = self._protected.popitem(last=False)
            self._protected_bytes -= size
            self._dropped(victim)
        else:
            victim, size = self._window.popitem(last=False)
            self._window_bytes -= size
            self._dropped(victim)

    def _protect(self, key: Key) -> None:
        size = self._probation.pop(key)
        self._probation_bytes -= size
        self._protected[key] = size
        self._protected_bytes += size
        self._demote()

    def _demote(self) -> None:
        while self._protected_bytes > self._protected_bytes_most and len(self._protected) > 1:
            key, size = self._protected.popitem(last=False)
            self._protected_bytes -= size
            self._probation[key] = size
            self._probation_bytes += size

    def _set_window(self) -> None:
        self._window_bytes_most = max(1, int(self._capacity * self._share))
        self._protected_bytes_most = int((self._capacity - self._window_bytes_most) * PROTECTED_SHARE)

    def _climb(self) -> None:
        """Go on in the direction that raised the hit ratio, turn back from one that lowered it."""
        ratio = self._hits / self._epoch_reads
        change = ratio - self._ratio_before
        step = self._step if change >= 0 else -self._step
        self._step = (STEP_SHARE if step >= 0 else -STEP_SHARE) if abs(change) >= RESTART_CHANGE else step * STEP_DECAY
        self._share = min(LARGEST_WINDOW_SHARE, max(WINDOW_SHARE, self._share + step))
        self._set_window()
        self._demote()
        self._ratio_before = ratio
        self._hits = 0
        self._epoch_reads = max(LEAST_EPOCH_READS, EPOCH_ENTRIES * max(len(self), 1))
        self._epoch_left = self._epoch_reads

    def __contains__(self, key: object) -> bool:
        return key in self._protected or key in self._window or key in self._probation

    def __len__(self) -> int:
        return len(self._protected) + len(self._window) + len(self._probation)

    def __iter__(self) -> Iterator[Key]:
        return chain(reversed(self._protected), reversed(self._window), reversed(self._probation))
