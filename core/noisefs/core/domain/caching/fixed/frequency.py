"""How often keys were read lately: exact counts over two epochs, in place of a sketch.

Counts of the running epoch weigh in full, those of the one before by half; older ones are forgotten. That is the aging
of TinyLFU without its pause for halving: an epoch ends by exchanging two dictionaries.
"""

from typing import Final

from noisefs.core.domain.caching.access import Key

MOST: Final = 15
"""Where a count stops, as TinyLFU's four-bit counters do."""


class Frequencies:
    """Counts reads. Holds at most ``2 * epoch_reads`` keys."""

    __slots__ = ("_before", "_left", "_now")

    def __init__(self, epoch_reads: int) -> None:
        self._now: dict[Key, int] = {}
        self._before: dict[Key, int] = {}
        self._left = epoch_reads

    def count(self, key: Key, epoch_reads: int) -> None:
        """One more read of ``key``; ``epoch_reads`` is how long the next epoch will be, if this read ends one."""
        now = self._now
        count = now.get(key, 0)
        if count < MOST:
            now[key] = count + 1
        self._left -= 1
        if self._left <= 0:
            self._left = epoch_reads
            self._before = now
            self._now = {}

    def of(self, key: Key) -> float:
        """How often ``key`` was read, the latest epoch in full."""
        return self._now.get(key, 0) + self._before.get(key, 0) * 0.5
