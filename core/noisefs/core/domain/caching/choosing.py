"""Which policy is in charge: one that has been ahead of the leader by more hits than a change would cost.

The lead of each challenger adds up since the last change, and never falls below zero. So a small but lasting advantage
decides in the end, a burst does not, and what a change costs is never more than what staying had cost before.
"""

from collections.abc import Sequence
from typing import Final

HALF_LIFE_ENTRIES: Final = 4
"""A read's weight in the recent hits halves after so many reads per entry that the cache holds."""
STEPS_PER_ENTRY: Final = 16
LEAST_STEP_READS: Final = 64


class Chooser:
    """Counts the hits of shadows and says who leads. Not thread-safe."""

    __slots__ = ("_charge", "_costs", "_leads", "_left", "_scores", "_step", "_weight", "hits")

    def __init__(self, costs: Sequence[Sequence[float]], charge: int) -> None:
        """Nothing is counted yet.

        Args:
            costs: For each candidate that leads, the lead that each needs to replace it, as a share of the hits that a
                refill of the whole cache is expected to cost.
            charge: The number of the candidate that is in charge at first.
        """
        candidates = len(costs)
        self._costs = costs
        self._scores = [0.0] * candidates
        self._leads = [0.0] * candidates
        self._weight = 0.0
        self.hits: Final = [0] * candidates
        """To be counted up at a candidate's number when its shadow had what was read."""
        self._charge = charge
        self._step = self._left = LEAST_STEP_READS

    @property
    def in_charge(self) -> int:
        """The number of the candidate that leads."""
        return self._charge

    @property
    def scores(self) -> Sequence[float]:
        """Recent hits of each candidate, older ones weighing less."""
        return self._scores

    def read(self, entries: int, allowed: Sequence[bool]) -> bool:
        """One read is over; whether somebody else is in charge from now on.

        Args:
            entries: How many the cache holds.
            allowed: Which candidates may lead; one that no longer may is replaced at the next step.
        """
        self._left -= 1
        if self._left > 0:
            return False
        decay = 0.5 ** (self._step / (HALF_LIFE_ENTRIES * max(entries, 1)))
        leading = self.hits[self._charge]
        self._scores = [score * decay + hits for score, hits in zip(self._scores, self.hits, strict=True)]
        self._weight = self._weight * decay + self._step
        self._leads = [
            max(0.0, lead + hits - leading) if may else 0.0
            for lead, hits, may in zip(self._leads, self.hits, allowed, strict=True)
        ]
        self.hits[:] = [0] * len(self.hits)
        self._step = self._left = max(LEAST_STEP_READS, entries // STEPS_PER_ENTRY)
        if allowed[self._charge]:
            rate = max(self._scores) / self._weight
            # An entry that is held is read about as often, until it leaves, as there are hits for each miss.
            refill = entries * min(1.0, rate / max(1.0 - rate, 1e-9))
            ahead = [lead - refill * cost for lead, cost in zip(self._leads, self._costs[self._charge], strict=True)]
            best = max(range(len(ahead)), key=ahead.__getitem__)
            if ahead[best] <= 0:
                return False
        else:
            best = max((at for at, may in enumerate(allowed) if may), key=self._scores.__getitem__)
        if best == self._charge:
            return False
        self._charge = best
        self._leads = [0.0] * len(self._leads)
        return True
