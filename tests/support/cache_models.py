"""Models made by hand: good for nothing, or for the contrary."""

import numpy as np

from noisefs.core.domain.caching.scoring.forest import LEAVES, NODES, Forest
from noisefs.core.domain.caching.scoring.layout import COLUMNS


def forest(trees: list[tuple[int, float, float, float]], features: int = COLUMNS, horizons: int = 1) -> Forest:
    """Trees of one node each: which value, its threshold, the leaf of rows at most that, and the leaf of others."""
    feature = np.zeros((len(trees), NODES), dtype=np.int32)
    threshold = np.full((len(trees), NODES), np.inf, dtype=np.float32)
    leaves = np.zeros((len(trees), LEAVES), dtype=np.float32)
    for at, (value, limit, low, high) in enumerate(trees):
        feature[at, 0], threshold[at, 0] = value, limit
        leaves[at, 0], leaves[at, LEAVES // 2] = low, high
    return Forest(features, horizons, feature, threshold, leaves)


def random_model() -> Forest:
    """Scores that follow from no reason: the sign of each step over ages is drawn."""
    random = np.random.default_rng(5)
    return forest([(0, 1.25**at, *random.normal(0, 1, 2).tolist()) for at in range(60)])


def inverted_model() -> Forest:
    """Drops first what was read last, which is what is likeliest read again."""
    return forest([(0, 2.0**at, -0.5, 0.5) for at in range(20)])
