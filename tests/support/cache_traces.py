"""Small synthetic traces of several kinds, made from a seed."""

import numpy as np


def zipf(requests: int, objects: int, seed: int, *, drift: int = 0) -> list[int]:
    """Popularity by rank; every ``drift`` requests the ranks move on by a tenth."""
    random = np.random.default_rng(seed)
    ranks = np.minimum(random.zipf(1.2, requests) - 1, objects - 1)
    shift = np.arange(requests) // drift * (objects // 10) if drift else 0
    return [int(key) for key in (ranks + shift) % objects]


def scans(requests: int, objects: int, seed: int) -> list[int]:
    """Popular objects, with scans over cold ones between."""
    hot = zipf(requests, objects // 4, seed)
    keys: list[int] = []
    at = 0
    while len(keys) < requests:
        keys.extend(hot[at : at + 300])
        keys.extend(range(objects + at, objects + at + 200))
        at += 300
    return keys[:requests]


def loops(requests: int, objects: int) -> list[int]:
    """One loop over everything, again and again: the worst case of LRU."""
    return [at % objects for at in range(requests)]


def wonders(requests: int, objects: int, seed: int) -> list[int]:
    """Two of three reads are of something read once and never again."""
    hot = zipf(requests, objects, seed)
    return [key if at % 3 == 0 else 10_000_000 + at for at, key in enumerate(hot)]
