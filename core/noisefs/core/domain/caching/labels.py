"""Rows whose outcome is awaited: was the key read again within the window?"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.access import Key

Row = NDArray[np.float32]


class Labels:
    """Collects labelled rows, the newest ones. Only what has happened is ever a label."""

    __slots__ = ("_awaited", "_done", "_order", "total")

    def __init__(self, most: int) -> None:
        """``most``: labelled rows to keep."""
        self._awaited: dict[Key, list[tuple[int, Row]]] = {}
        self._order: deque[tuple[int, Key]] = deque()
        self._done: deque[tuple[Row, bool]] = deque(maxlen=most)
        self.total = 0

    def await_read(self, key: Key, row: Row, now: int) -> None:
        """From now on, wait whether ``key`` is read again."""
        self._awaited.setdefault(key, []).append((now, row))
        self._order.append((now, key))

    def read(self, key: Key, now: int, window: float) -> None:
        """``key`` was read: rows that waited no longer than the window were right to be kept."""
        waiting = self._awaited.pop(key, None)
        if waiting is not None:
            for since, row in waiting:
                self._done.append((row, now - since <= window))
            self.total += len(waiting)

    def expire(self, now: int, window: float) -> None:
        """Rows that waited longer than the window were in vain. Cost: O(1) a row, once."""
        order = self._order
        while order and now - order[0][0] > window:
            since, key = order.popleft()
            waiting = self._awaited.get(key)
            if waiting is None or waiting[0][0] != since:
                continue  # read meanwhile
            self._done.append((waiting.pop(0)[1], False))
            self.total += 1
            if not waiting:
                del self._awaited[key]

    def rows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """All labelled rows, the oldest first, and their labels, 1 for read again."""
        if not self._done:
            return np.empty((0, 0), dtype=np.float32), np.empty(0, dtype=np.float32)
        return (
            np.stack([row for row, _ in self._done]),
            np.fromiter((again for _, again in self._done), dtype=np.float32, count=len(self._done)),
        )
