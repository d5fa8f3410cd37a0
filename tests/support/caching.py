"""Slow models of the replacement policies, in lists, and ways to drive a policy."""

from collections.abc import Iterable, Sequence
from functools import cache

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.policy import CachePolicy


def misses_of(policy: CachePolicy, keys: Iterable[Key]) -> int:
    """Read keys of size 1 in turn; how many reads missed."""
    return sum(not policy.read(Access(key)) for key in keys)


def lru_hits(capacity: int, keys: Sequence[Key]) -> list[bool]:
    """What LRU does, on a list."""
    held: list[Key] = []
    hits = []
    for key in keys:
        hits.append(key in held)
        if key in held:
            held.remove(key)
        elif len(held) == capacity:
            held.pop(0)
        held.append(key)
    return hits


def two_q_hits(capacity: int, keys: Sequence[Key]) -> list[bool]:
    """What full 2Q does, on lists; the paper's procedures with its advised sizes."""
    most_in, most_out = max(1, int(capacity * 0.25)), int(capacity * 0.5)
    a1in: list[Key] = []
    a1out: list[Key] = []
    am: list[Key] = []
    hits = []
    for key in keys:
        hits.append(key in am or key in a1in)
        if key in am:
            am.remove(key)
            am.append(key)
            continue
        if key in a1in:
            continue
        returning = key in a1out
        if returning:
            a1out.remove(key)
        if len(a1in) + len(am) == capacity:
            if a1in and (len(a1in) > most_in or not am):
                a1out = [*a1out, a1in.pop(0)][max(0, len(a1out) + 1 - most_out) :]
            else:
                am.pop(0)
        (am if returning else a1in).append(key)
    return hits


def s3_fifo_hits(capacity: int, keys: Sequence[Key]) -> list[bool]:
    """What S3-FIFO does, on lists, with the reads of resident keys beside them."""
    most_small, most_ghosts = max(1, int(capacity * 0.1)), int(capacity * 0.9)
    small: list[Key] = []
    main: list[Key] = []
    ghosts: list[Key] = []
    reads: dict[Key, int] = {}
    hits = []
    for key in keys:
        hits.append(key in reads)
        if key in reads:
            reads[key] = min(3, reads[key] + 1)
            continue
        returning = key in ghosts
        if returning:
            ghosts.remove(key)
        while len(reads) == capacity:
            from_small = len(small) >= most_small or not main
            oldest = (small if from_small else main).pop(0)
            if from_small and reads[oldest] >= 2:
                main.append(oldest)
                reads[oldest] = 0
            elif not from_small and reads[oldest]:
                main.append(oldest)
                reads[oldest] -= 1
            else:
                del reads[oldest]
                if from_small:
                    ghosts = [*ghosts, oldest][max(0, len(ghosts) + 1 - most_ghosts) :]
        (main if returning else small).append(key)
        reads[key] = 0
    return hits


def fewest_misses(keys: Sequence[int], capacity: int) -> int:
    """The fewest misses any policy can have, by trying every choice. Only for tiny inputs."""

    @cache
    def best(at: int, held: frozenset[int]) -> int:
        if at == len(keys):
            return 0
        key = keys[at]
        if key in held:
            return best(at + 1, held)
        choices = [held]
        if len(held) < capacity:
            choices.append(held | {key})
        choices.extend((held - {victim}) | {key} for victim in held)
        return 1 + min(best(at + 1, choice) for choice in choices)

    return best(0, frozenset())
