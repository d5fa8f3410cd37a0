"""The policy of the tiers: shadows of several policies compete, and the contents follow whoever leads.

Every candidate, fixed or scored by a model, runs as a shadow of the full size, in metadata only, and sees every read.
One is in charge: what the cache holds follows its shadow, and once they agree, hits are exactly its hits. Another takes
over when its shadow was ahead by more hits than the change costs (:mod:`~noisefs.core.domain.caching.choosing`). A
change drops nothing before room is needed, and a candidate that can go on with what the cache holds does so. So a bad
model costs no more than the time until its shadow falls behind, and one that never led costs nothing at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.choosing import Chooser
from noisefs.core.domain.caching.fixed.arc import Arc
from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.fixed.tinylfu import WTinyLfu
from noisefs.core.domain.caching.fixed.twoq import TwoQ
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody
from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.samples import Samples
from noisefs.core.domain.caching.scoring.scored import Scored

COST_SHARE: Final = 2.0
TO_LRU_COST_SHARE: Final = 0.2
TO_SCORED_COST_SHARE: Final = 0.05
FROM_SCORED_TO_LRU_COST_SHARE: Final = 1.0
"""What a change must have been worth, as a share of a refill. LRU and the scored one go on with what the cache holds.
A phase in which LRU is ahead of a model passes oftener than one in which it is ahead of another fixed policy.
"""
_LEAST_SURPLUS: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody else is in charge."""

    before: str
    now: str


def _unheard(change: Change) -> None:
    """Do nothing about a change of charge."""


class Learned(CachePolicy):
    """Whoever leads; S3-FIFO at first."""

    name: ClassVar[str] = "learned"

    def __init__(
        self,
        capacity_bytes: int,
        dropped: Dropped = nobody,
        seed: int = 0,
        changed: Callable[[Change], object] = _unheard,
    ) -> None:
        """``changed`` is told of each change of charge at the moment; it must not call the policy."""
        super().__init__(capacity_bytes, dropped)
        self._changed = changed
        fixed: list[CachePolicy] = [
            S3Fifo(capacity_bytes, partial(self._left, 0)),
            Lru(capacity_bytes, self._lru_left),
            TwoQ(capacity_bytes, partial(self._left, 2)),
            WTinyLfu(capacity_bytes, partial(self._left, 3)),
            Arc(capacity_bytes, partial(self._left, 4)),
        ]
        self.scored: Final = Scored(capacity_bytes, seed, partial(self._left, len(fixed)))
        self._candidates: Final[Sequence[CachePolicy]] = [*fixed, self.scored]
        self._reads: Final = [candidate.read for candidate in self._candidates]
        self._may = [True] * len(fixed) + [False]
        from_fixed = [COST_SHARE, TO_LRU_COST_SHARE, COST_SHARE, COST_SHARE, COST_SHARE, TO_SCORED_COST_SHARE]
        from_scored = [COST_SHARE, FROM_SCORED_TO_LRU_COST_SHARE, COST_SHARE, COST_SHARE, COST_SHARE, COST_SHARE]
        self._chooser = Chooser([from_fixed] * len(fixed) + [from_scored], charge=0)
        self._leader: CachePolicy = self._candidates[0]
        self._sizes: dict[Key, int] = {}
        self._bytes = 0
        # What the leader does not hold, the next to leave at the end; some of these came back meanwhile.
        self._surplus: list[Key] = []

    @property
    def resident_bytes(self) -> int:
        return self._bytes

    @property
    def in_charge(self) -> str:
        """The name of the candidate whose decisions count now."""
        return self._leader.name

    def recent_hits(self) -> dict[str, float]:
        """What each candidate's shadow hit lately, older hits weighing less."""
        return {each.name: score for each, score in zip(self._candidates, self._chooser.scores, strict=True)}

    def samples(self) -> Samples:
        """What a trainer wants. Copies all."""
        return self.scored.samples()

    def use(self, model: Forest | None) -> None:
        """Let the scored candidate decide by this model from now on, and let it lead if it can; without
        one it does not lead. Whoever gives a model has judged it (:mod:`~noisefs.core.domain.caching.scoring.judging`).

        Raises:
            BadModel: It looks at rows of another width; nothing has changed.
        """
        self.scored.use(model)
        self._may[-1] = model is not None

    def read(self, access: Access) -> bool:
        key = access.key
        hits = self._chooser.hits
        for at, read in enumerate(self._reads):
            if read(access):
                hits[at] += 1
        hit = key in self._sizes
        if not hit:
            self._insert(key, access.size_bytes)
        if self._chooser.read(len(self._sizes), self._may):
            self._change()
        return hit

    def admit(self, access: Access) -> bool:
        for candidate in self._candidates:
            candidate.admit(access)
        return super().admit(access)

    def discard(self, key: Key) -> None:
        for candidate in self._candidates:
            candidate.discard(key)
        self._bytes -= self._sizes.pop(key, 0)

    def _insert(self, key: Key, size: int) -> None:
        if key not in self._leader:
            return
        while self._bytes + size > self._capacity:
            # Never without surplus while sizes stay the same; a size that was told differently is no reason to fail.
            certain = not self._surplus
            victim = next(iter(self._sizes)) if certain else self._surplus.pop()
            if victim in self._sizes and (certain or victim not in self._leader):
                self._bytes -= self._sizes.pop(victim)
                self._dropped(victim)
        self._sizes[key] = size
        self._bytes += size

    def _left(self, at: int, key: Key) -> None:
        if at == self._chooser.in_charge and key in self._sizes:
            self._surplus.append(key)
            if len(self._surplus) > 2 * len(self._sizes) + _LEAST_SURPLUS:
                self._surplus = self._without_returned(self._surplus)

    def _without_returned(self, surplus: list[Key]) -> list[Key]:
        """Each surplus key once, at its last place."""
        left = dict.fromkeys(key for key in reversed(surplus) if key in self._sizes and key not in self._leader)
        return list(left)[::-1]

    def _lru_left(self, key: Key) -> None:
        self.scored.lru_dropped(key)
        self._left(1, key)

    def _change(self) -> None:
        before, self._leader = self._leader, self._candidates[self._chooser.in_charge]
        leader = self._leader
        self._surplus = []
        order = self.scored.in_order_of_reads(self._sizes)
        if not leader.adopt([(key, self._sizes[key]) for key in order]):
            # The end leaves first: what was read the longest ago.
            self._surplus = [key for key in reversed(order) if key not in leader]
        self._changed(Change(before.name, leader.name))

    def __contains__(self, key: object) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Key]:
        first = [key for key in self._leader if key in self._sizes]
        rest = self._sizes.keys() - set(first)
        return iter(first + [key for key in self._sizes if key in rest])
