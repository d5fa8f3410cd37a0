"""2Q: what was read once waits in a queue of its own; what comes back after leaving it joins the main LRU.

Source: Johnson and Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm", VLDB 1994,
the full version with its advised sizes.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Final

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.fixed.ghosts import Ghosts
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody

IN_SHARE: Final = 0.25
OUT_SHARE: Final = 0.5


class TwoQ(CachePolicy):
    """Scan-resistant, slow to admit what is truly new."""

    name: ClassVar[str] = "2q"

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody) -> None:
        super().__init__(capacity_bytes, dropped)
        self._in_bytes_most = max(1, int(capacity_bytes * IN_SHARE))
        self._in: OrderedDict[Key, int] = OrderedDict()
        self._main: OrderedDict[Key, int] = OrderedDict()
        self._in_bytes = self._main_bytes = 0
        self._out = Ghosts(int(capacity_bytes * OUT_SHARE))

    @property
    def resident_bytes(self) -> int:
        return self._in_bytes + self._main_bytes

    def read(self, access: Access) -> bool:
        key = access.key
        if key in self._main:
            self._main.move_to_end(key)
            return True
        if key in self._in:
            return True
        self._insert(key, access.size_bytes)
        return False

    def discard(self, key: Key) -> None:
        self._in_bytes -= self._in.pop(key, 0)
        self._main_bytes -= self._main.pop(key, 0)
        self._out.remove(key)

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        returning = self._out.remove(key)
        while self._in_bytes + self._main_bytes + size > self._capacity:
            if self._in and (self._in_bytes > self._in_bytes_most or not self._main):
                victim, freed = self._in.popitem(last=False)
                self._in_bytes -= freed
                self._out.add(victim, freed)
            else:
                victim, freed = self._main.popitem(last=False)
                self._main_bytes -= freed
            self._dropped(victim)
        if returning:
            self._main[key] = size
            self._main_bytes += size
        else:
            self._in[key] = size
            self._in_bytes += size

    def __contains__(self, key: object) -> bool:
        return key in self._main or key in self._in

    def __len__(self) -> int:
        return len(self._main) + len(self._in)

    def __iter__(self) -> Iterator[Key]:
        return chain(reversed(self._main), reversed(self._in))
