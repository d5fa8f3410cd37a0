"""S3-FIFO: a small queue that one-hit wonders leave quickly, a main queue with second chances, and ghosts.

Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO Queues are All You Need for Cache Eviction", SOSP 2023, algorithm 1; the
threshold of two reads in the small queue is that of the authors' library.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Final

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.fixed.ghosts import Ghosts
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody

SMALL_SHARE: Final = 0.1
GHOST_SHARE: Final = 0.9
MOST_READS: Final = 3
"""Where the two-bit counter stops."""
PROMOTED_READS: Final = 2
"""So many reads in the small queue lead into the main one."""


class S3Fifo(CachePolicy):
    """The fallback: no parameters to learn, scan-resistant, cheap."""

    name: ClassVar[str] = "s3fifo"

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody, small_share: float = SMALL_SHARE) -> None:
        super().__init__(capacity_bytes, dropped)
        self._small_bytes_most = max(1, int(capacity_bytes * small_share))
        self._small: OrderedDict[Key, int] = OrderedDict()
        self._main: OrderedDict[Key, int] = OrderedDict()
        self._reads: dict[Key, int] = {}
        self._small_bytes = self._main_bytes = 0
        self._ghosts = Ghosts(int(capacity_bytes * GHOST_SHARE))

    @property
    def resident_bytes(self) -> int:
        return self._small_bytes + self._main_bytes

    def read(self, access: Access) -> bool:
        key = access.key
        reads = self._reads.get(key)
        if reads is not None:
            if reads < MOST_READS:
                self._reads[key] = reads + 1
            return True
        self._insert(key, access.size_bytes)
        return False

    def discard(self, key: Key) -> None:
        if self._reads.pop(key, None) is not None:
            self._small_bytes -= self._small.pop(key, 0)
            self._main_bytes -= self._main.pop(key, 0)
        self._ghosts.remove(key)

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        returning = self._ghosts.remove(key)
        while self._small_bytes + self._main_bytes + size > self._capacity:
            if self._small_bytes >= self._small_bytes_most or not self._main:
                self._drop_from_small()
            else:
                self._drop_from_main()
        if returning:
            self._main[key] = size
            self._main_bytes += size
        else:
            self._small[key] = size
            self._small_bytes += size
        self._reads[key] = 0

    def _drop_from_small(self) -> None:
        while self._small:
            key, size = self._small.popitem(last=False)
            self._small_bytes -= size
            if self._reads[key] < PROMOTED_READS:
                del self._reads[key]
                self._ghosts.add(key, size)
                self._dropped(key)
                return
            self._reads[key] = 0
            self._main[key] = size
            self._main_bytes += size

    def _drop_from_main(self) -> None:
        while self._main:
            key, size = self._main.popitem(last=False)
            reads = self._reads[key]
            if not reads:
                self._main_bytes -= size
                del self._reads[key]
                self._dropped(key)
                return
            self._reads[key] = reads - 1
            self._main[key] = size

    def __contains__(self, key: object) -> bool:
        return key in self._reads

    def __len__(self) -> int:
        return len(self._reads)

    def __iter__(self) -> Iterator[Key]:
        keys = chain(reversed(self._main), reversed(self._small))
        return iter(sorted(keys, key=lambda key: -self._reads[key]))
