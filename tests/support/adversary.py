"""What somebody who holds packs can try. Knows the format and no key.

The attacks look at bytes only: who belongs to whom among shuffled blocks, and whether anything in one pack
turns up in another one, as it lies there or after its mask was undone.
"""

import random
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from noisefs.core.domain.masking import Strategy

Words = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_SAMPLE_BITS = 4
"""One window of eight bytes in 2**4 is kept, chosen by its content, so that equal bytes are sampled alike anywhere."""


def fingerprints(data: bytes) -> Words:
    """Windows of 8 bytes at every offset, sampled by content: any equal stretch of 100 bytes shares some."""
    kept = []
    for shift in range(8):
        whole = (len(data) - shift) // 8 * 8
        words = np.frombuffer(data, dtype="<u8", offset=shift, count=whole // 8)
        with np.errstate(over="ignore"):
            chosen = (words * _ODD) >> np.uint64(64 - _SAMPLE_BITS) == 0
        kept.append(words[chosen])
    return np.unique(np.concatenate(kept))


def shared_windows(one: Iterable[bytes], other: Iterable[bytes]) -> int:
    """How many sampled windows turn up on both sides: 0 between independent noise (chance below 1e-6)."""
    left = np.unique(np.concatenate([fingerprints(data) for data in one]))
    right = np.unique(np.concatenate([fingerprints(data) for data in other]))
    return len(np.intersect1d(left, right))


def undone(strategy: Strategy, blocks: Sequence[bytes]) -> list[bytes]:
    """The cells of a pack that is held whole and in order: its format says which blocks masked which.

    What the format leaves open (whether a cell of ``chain`` used its band's seed or 3) is tried both ways.
    """
    pairs = {(len(blocks) - 1, strategy.manifest_randomizers(len(blocks) - 1))}
    for start in range(strategy.seeds, len(blocks) - 1):
        for own in frozenset[int](), frozenset(range(strategy.seeds)):
            plan = strategy.plan(start, 1, own)
            if plan is not None and plan.position < len(blocks):
                pairs.add((plan.position, strategy.randomizers(plan.position, plan.seed)))
    return [xor(blocks[position], blocks[one], blocks[two]) for position, (one, two) in sorted(pairs)]


def xor(*blocks: bytes) -> bytes:
    """XOR of equally long blocks."""
    total = np.frombuffer(blocks[0], dtype=np.uint8).copy()
    for block in blocks[1:]:
        total ^= np.frombuffer(block, dtype=np.uint8)
    return total.tobytes()


def pair_advantage(
    blocks: Sequence[bytes], owners: Sequence[object], rng: random.Random, pairs: int
) -> dict[str, float]:
    """How much better than a coin each guess says whether two shuffled blocks belong to one object.

    Each score orders as many pairs of one owner as pairs of two; returned is the area under its ROC curve minus 1/2,
    in standard deviations of the same figure for a guesser without any information.
    """
    by_owner: dict[object, list[int]] = {}
    for at, owner in enumerate(owners):
        by_owner.setdefault(owner, []).append(at)
    together = [members for members in by_owner.values() if len(members) > 1]
    same = [rng.sample(rng.choice(together), 2) for _ in range(pairs)]
    different: list[list[int]] = []
    while len(different) < pairs:
        two = rng.sample(range(len(blocks)), 2)
        if owners[two[0]] != owners[two[1]]:
            different.append(two)
    deviation = ((2 * pairs + 1) / (12 * pairs * pairs)) ** 0.5
    found = {}
    for name, score in SCORES.items():
        positive = np.array([score(blocks[a], blocks[b]) for a, b in same])
        negative = np.array([score(blocks[a], blocks[b]) for a, b in different])
        order = np.concatenate([positive, negative])
        ranks = _ranks(order)[:pairs].sum()
        area = (ranks - pairs * (pairs + 1) / 2) / (pairs * pairs)
        found[name] = float((area - 0.5) / deviation)
    return found


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: npt.NDArray[np.float64] = ends - (counts - 1) / 2
    return means[inverse]


def _distance(one: bytes, other: bytes) -> float:
    return float(np.bitwise_count(np.frombuffer(xor(one, other), dtype=np.uint8)).sum())


def _byte_mix(one: bytes, other: bytes) -> float:
    left, right = (np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256) for data in (one, other))
    return float(np.corrcoef(left, right)[0, 1])


def _common(one: bytes, other: bytes) -> float:
    return float(shared_windows([one], [other]))


def _compressed_xor(one: bytes, other: bytes) -> float:
    return float(len(zlib.compress(xor(one, other), 1)))


def _head_equal(one: bytes, other: bytes) -> float:
    size = 32
    return float(sum(a == b for a, b in zip(one[:size], other[:size], strict=True)))


def _xor_mix(one: bytes, other: bytes) -> float:
    counts = np.bincount(np.frombuffer(xor(one, other), dtype=np.uint8), minlength=256)
    return float(((counts - len(one) / 256) ** 2).sum())


SCORES = {
    "bits that differ": _distance,
    "byte histograms alike": _byte_mix,
    "common stretches": _common,
    "XOR compresses": _compressed_xor,
    "beginnings alike": _head_equal,
    "XOR is uneven": _xor_mix,
}


def chi_square(data: bytes) -> float:
    """Pearson's statistic of the byte values, 255 degrees of freedom: mean 255, standard deviation 22.6 for noise."""
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())
