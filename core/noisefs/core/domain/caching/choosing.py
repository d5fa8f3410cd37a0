"""Which policy is in charge: the one that would have served the most reads lately, where a change is worth its cost."""

from collections.abc import Sequence
from typing import Final

HALF_LIFE_ENTRIES: Final = 4
"""A read's weight halves after so many reads per entry that the cache holds."""
COST_SHARE: Final = 0.15
"""A challenger must be ahead by this share of the hits that a refill of the whole cache is expected to cost."""
STEPS_PER_ENTRY: Final = 16
LEAST_STEP_READS: Final = 64


class Chooser:
    """Counts the hits of shadows and says who leads. Not thread-safe."""

    __slots__ = ("_charge", "_left", "_scores", "_step", "_weight", "hits")

    def __init__(self, candidates: int, charge: int) -> None:
        """``charge``: the number of the candidate that is in charge at first."""
        self._scores = [0.0] * candidates
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
        self._scores = [score * decay + hits for score, hits in zip(self._scores, self.hits, strict=True)]
        self._weight = self._weight * decay + self._step
        self.hits[:] = [0] * len(self.hits)
        self._step = self._left = max(LEAST_STEP_READS, entries // STEPS_PER_ENTRY)
        best = max((at for at, may in enumerate(allowed) if may), key=self._scores.__getitem__)
        if best == self._charge:
            return False
        if allowed[self._charge]:
            ahead = self._scores[best] - self._scores[self._charge]
            # An entry that is held is read about as often, until it leaves, as there are hits for each miss.
            rate = self._scores[best] / self._weight
            if ahead <= COST_SHARE * entries * min(1.0, rate / max(1.0 - rate, 1e-9)):
                return False
        self._charge = best
        return True
