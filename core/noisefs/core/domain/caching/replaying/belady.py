"""The best that any policy could have done: Belady's MIN, which knows the future.

Optimal for objects of one size; where sizes differ, it is only a good bound, and traces are then replayed by objects.

Source: Belady, "A study of replacement algorithms for a virtual-storage computer", 1966; Mattson et al., 1970. A new
object may be passed by where all resident ones are read sooner, so the bound holds for policies with admission too.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

NEVER: Final = 1 << 62
"""The next read of what is not read again."""


def next_reads(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each request, the index of the next one of the same id, or :data:`NEVER`. Cost: one stable sort."""
    order = np.argsort(ids, kind="stable")
    following = np.full(len(ids), NEVER, dtype=np.int64)
    same = ids[order][1:] == ids[order][:-1]
    following[order[:-1][same]] = order[1:][same]
    return following


def belady_misses(ids: Sequence[int], following: Sequence[int], capacity: int) -> int:
    """Misses of MIN with room for ``capacity`` objects.

    Args:
        ids: One per request.
        following: :func:`next_reads` of them.
        capacity: At least 1.

    Cost: O(log capacity) per request; a heap of lazily removed entries.
    """
    resident: dict[int, int] = {}  # id -> its next read
    heap: list[tuple[int, int]] = []  # (-next read, id)
    misses = 0
    for key, after in zip(ids, following, strict=True):
        if key not in resident:
            misses += 1
            if after == NEVER:
                continue
            if len(resident) >= capacity:
                while True:
                    furthest, victim = heap[0]
                    if resident.get(victim) == -furthest:
                        break
                    heappop(heap)
                if -furthest <= after:
                    continue
                heappop(heap)
                del resident[victim]
        elif after == NEVER:
            del resident[key]
            continue
        resident[key] = after
        heappush(heap, (-after, key))
        if len(heap) > 4 * capacity + 64:
            heap = [(-at, held) for held, at in resident.items()]
            heapify(heap)
    return misses
