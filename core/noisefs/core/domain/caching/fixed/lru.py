"""Least recently used: what every other policy is measured against."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import ClassVar

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody


class Lru(CachePolicy):
    """Drops what was not read for the longest time."""

    name: ClassVar[str] = "lru"

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody) -> None:
        super().__init__(capacity_bytes, dropped)
        self._sizes: OrderedDict[Key, int] = OrderedDict()
        self._bytes = 0

    @property
    def resident_bytes(self) -> int:
        return self._bytes

    def read(self, access: Access) -> bool:
        key = access.key
        if key in self._sizes:
            self._sizes.move_to_end(key)
            return True
        self._insert(key, access.size_bytes)
        return False

    def discard(self, key: Key) -> None:
        self._bytes -= self._sizes.pop(key, 0)

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        while self._bytes + size > self._capacity:
            victim, freed = self._sizes.popitem(last=False)
            self._bytes -= freed
            self._dropped(victim)
        self._sizes[key] = size
        self._bytes += size

    def adopt(self, contents: Sequence[tuple[Key, int]]) -> bool:
        self._sizes = OrderedDict(contents)
        self._bytes = sum(self._sizes.values())
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Key]:
        return reversed(self._sizes)
