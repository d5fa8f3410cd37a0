"""ARC: one list for what was read once, one for what came back, and ghosts that move the boundary between them.

Source: Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, figure 4, in bytes.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.fixed.ghosts import Ghosts
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody


class Arc(CachePolicy):
    """Between recency and frequency, wherever the last ghosts say."""

    name: ClassVar[str] = "arc"

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody) -> None:
        super().__init__(capacity_bytes, dropped)
        self._once: OrderedDict[Key, int] = OrderedDict()
        self._again: OrderedDict[Key, int] = OrderedDict()
        self._once_bytes = self._again_bytes = 0
        self._once_ghosts = Ghosts(capacity_bytes)
        self._again_ghosts = Ghosts(2 * capacity_bytes)
        self._target = 0.0

    @property
    def resident_bytes(self) -> int:
        return self._once_bytes + self._again_bytes

    def read(self, access: Access) -> bool:
        key = access.key
        if key in self._again:
            self._again.move_to_end(key)
            return True
        size = self._once.pop(key, 0)
        if size:
            self._once_bytes -= size
            self._again[key] = size
            self._again_bytes += size
            return True
        self._insert(key, access.size_bytes)
        return False

    def discard(self, key: Key) -> None:
        self._once_bytes -= self._once.pop(key, 0)
        self._again_bytes -= self._again.pop(key, 0)
        self._once_ghosts.remove(key)
        self._again_ghosts.remove(key)

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        once, again = self._once_ghosts, self._again_ghosts
        if key in once:
            self._target = min(self._capacity, self._target + size * max(1.0, again.bytes / max(once.bytes, 1)))
            self._make_room(size, came_back=False)
            once.remove(key)
        elif key in again:
            self._target = max(0.0, self._target - size * max(1.0, once.bytes / max(again.bytes, 1)))
            self._make_room(size, came_back=True)
            again.remove(key)
        else:
            self._make_room(size, came_back=False)
            while len(once) and self._once_bytes + once.bytes + size > self._capacity:
                once.forget_oldest()
            while len(again) and self.resident_bytes + once.bytes + again.bytes + size > 2 * self._capacity:
                again.forget_oldest()
            self._once[key] = size
            self._once_bytes += size
            return
        self._again[key] = size
        self._again_bytes += size

    def _make_room(self, size: int, *, came_back: bool) -> None:
        while self.resident_bytes + size > self._capacity:
            over = self._once_bytes > self._target or (came_back and self._once_bytes >= self._target)
            if self._once and (over or not self._again):
                victim, freed = self._once.popitem(last=False)
                self._once_bytes -= freed
                self._once_ghosts.add(victim, freed)
            else:
                victim, freed = self._again.popitem(last=False)
                self._again_bytes -= freed
                self._again_ghosts.add(victim, freed)
            self._dropped(victim)

    def __contains__(self, key: object) -> bool:
        return key in self._again or key in self._once

    def __len__(self) -> int:
        return len(self._again) + len(self._once)

    def __iter__(self) -> Iterator[Key]:
        return chain(reversed(self._again), reversed(self._once))
