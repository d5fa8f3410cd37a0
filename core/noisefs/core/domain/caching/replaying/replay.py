"""Replaying a trace through a policy, and what share of the way from LRU to Belady's bound it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.fixed.arc import Arc
from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.fixed.tinylfu import WTinyLfu
from noisefs.core.domain.caching.fixed.twoq import TwoQ
from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.caching.policy import CachePolicy
from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.judging import beats_age
from noisefs.core.domain.caching.scoring.samples import Samples

Train = Callable[[Samples, int], Forest | None]
"""A model of samples, by a seed; ``None`` where none is worth having."""

FIXED: Final[dict[str, Callable[[int], CachePolicy]]] = {each.name: each for each in (Lru, S3Fifo, TwoQ, WTinyLfu, Arc)}
FIRST_TRAINING_READS: Final = 3000
TRAINING_READS: Final = 10_000
"""A model is made after so many reads; while there were fewer, whenever half as many again have come."""
SCORED_GAP: Final = 0.005
"""A gap between LRU and Belady below this share of the requests says nothing about policies."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a policy missed."""

    requests: int
    misses: int
    missed_bytes: int
    trainings: int = 0
    changes: tuple[tuple[int, str], ...] = ()
    """Which read put whom in charge."""


def replay_fixed(policy: CachePolicy, accesses: Sequence[Access], sizes: Sequence[int]) -> Replayed:
    """Read a trace through a policy. ``sizes``: the bytes of each read, where accesses count as something else."""
    missed = misses = 0
    for access, size in zip(accesses, sizes, strict=True):
        if not policy.read(access):
            misses += 1
            missed += size
    return Replayed(len(accesses), misses, missed)


def replay_learned(
    capacity: int, accesses: Sequence[Access], sizes: Sequence[int], seed: int, train: Train
) -> Replayed:
    """Read a trace through the learned policy, training at fixed numbers of reads from what was read before them."""
    changes: list[tuple[int, str]] = []
    at = 0
    policy = Learned(capacity, seed=seed, changed=lambda change: changes.append((at, change.now)))
    next_training = FIRST_TRAINING_READS
    missed = misses = trainings = 0
    for at, (access, size) in enumerate(zip(accesses, sizes, strict=True), 1):
        if not policy.read(access):
            misses += 1
            missed += size
        if at >= next_training:
            next_training = at + min(TRAINING_READS, max(FIRST_TRAINING_READS, at // 2))
            samples = policy.samples()
            model = train(samples, seed)
            if model is not None and beats_age(model, samples):
                policy.use(model)
                trainings += 1
    return Replayed(len(accesses), misses, missed, trainings, tuple(changes))


def gap_closed(misses: int, lru: int, belady: int) -> float | None:
    """The share of the way from LRU's misses to Belady's; ``None`` where there is no way to go."""
    return (lru - misses) / (lru - belady) if lru > belady else None
