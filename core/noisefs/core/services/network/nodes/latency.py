"""How quickly each node answers, as this process sees it: who is asked first, and when somebody else is asked too."""

from collections import deque
from typing import Final

SAMPLES_KEPT: Final = 128
SAMPLES_NEEDED: Final = 16
"""Fewer say nothing about the slowest twentieth."""
SAMPLES_A_SORT: Final = 16
"""So many new ones, and the quantile is worked out anew."""

RECENT_SHARE: Final = 0.1
"""Weight of a new sample in the mean."""

UNKNOWN_MEAN_S: Final = 0.01
"""Taken for a node that was never asked: soon enough it is known better."""
UNKNOWN_PATIENCE_S: Final = 0.5

PATIENCE_FACTOR: Final = 1.5
LEAST_PATIENCE_S: Final = 0.02
MOST_PATIENCE_S: Final = 1.0


class Latency:
    """Answer times of one node."""

    __slots__ = ("_recent", "_since_sort", "mean_s", "patience_s")

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=SAMPLES_KEPT)
        self._since_sort = 0
        self.mean_s = UNKNOWN_MEAN_S
        self.patience_s = UNKNOWN_PATIENCE_S
        """When a second node is asked: one and a half times what 95 of 100 answers take at most, within bounds."""

    def took(self, seconds: float) -> None:
        """It answered after so long; or had not yet, and somebody else had."""
        self.mean_s += (seconds - self.mean_s) * (RECENT_SHARE if self._recent else 1.0)
        self._recent.append(seconds)
        self._since_sort += 1
        if len(self._recent) >= SAMPLES_NEEDED and self._since_sort >= SAMPLES_A_SORT:
            self._since_sort = 0
            slow = sorted(self._recent)[len(self._recent) * 95 // 100]
            self.patience_s = min(max(slow * PATIENCE_FACTOR, LEAST_PATIENCE_S), MOST_PATIENCE_S)
