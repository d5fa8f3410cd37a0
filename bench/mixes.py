"""File sizes as people have them, from a seed: desktop files, photos, a source tree."""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

_KIB, _MIB = 1 << 10, 1 << 20
_SEED = 11


def _log_normal(draw: random.Random, median: float, sigma: float, most: int) -> int:
    return min(most, int(median * draw.lognormvariate(0.0, sigma)))


def desktop(draw: random.Random) -> list[int]:
    """Documents, mails, a few archives: most are small, most bytes are in few files."""
    return [_log_normal(draw, 24 * _KIB, 2.2, 64 * _MIB) for _ in range(2500)]


def photos(draw: random.Random) -> list[int]:
    """Camera pictures of about 4 MiB, each with a small sidecar file."""
    pictures = [max(_MIB, int(draw.gauss(4 * _MIB, 1.5 * _MIB))) for _ in range(200)]
    return pictures + [draw.randint(2 * _KIB, 8 * _KIB) for _ in pictures]


def source_tree(draw: random.Random) -> list[int]:
    """Many files of a few KiB; some are empty."""
    return [0 if draw.random() < 0.02 else _log_normal(draw, 3 * _KIB, 1.4, _MIB) for _ in range(8000)]


MIXES = MappingProxyType({"desktop": desktop, "photos": photos, "source tree": source_tree})


def generate(scale: float) -> Mapping[str, Sequence[int]]:
    """Sizes of each mix's files in the order of their upload; the same for the same scale."""
    mixes = {}
    for name, make in MIXES.items():
        draw = random.Random(f"{_SEED}/{name}")
        sizes = make(draw)
        draw.shuffle(sizes)
        mixes[name] = sizes[: max(10, int(len(sizes) * scale))]
    return mixes
