"""Whether a model is worth following: judged by the newest samples, before it decides anything."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.samples import HORIZONS, Samples
from noisefs.core.domain.caching.scoring.scored import check_width

JUDGED_LEAST: Final = 200
JUDGED_MOST: Final = 3000
"""So many of the newest samples judge a model."""
LEAST_RANKED_RIGHT: Final = 0.6
"""A model must be right about so many pairs of a sample that was read again and one that was not."""


def beats_age(model: Forest, samples: Samples) -> bool:
    """Whether a model tells better than a key's age, and than a coin, which of the newest samples were read again.

    One that is random, inverted or of another load does not, nor one that cannot be judged yet. Cost: some
    milliseconds; needs no policy, so no lock.

    Raises:
        BadModel: It looks at rows of another width.
    """
    from noisefs.core.domain.caching.scoring import kernel

    check_width(model)
    for horizon in reversed(HORIZONS[:-1]):
        rows, labels = samples.settled(horizon)
        rows, labels = rows[-JUDGED_MOST:], labels[-JUDGED_MOST:]
        if len(rows) >= JUDGED_LEAST and 0 < labels.sum() < len(labels):
            scores = kernel.score_all(rows, model.feature, model.threshold, model.leaves, model.horizons)
            by_age = ranked_right(-rows[:, 0].astype(np.float64), labels)
            return ranked_right(scores, labels) > max(by_age, 1 - by_age, LEAST_RANKED_RIGHT)
    return False


def ranked_right(scores: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    """How likely a row that was read again scores above one that was not: 1 for always, 0.5 for a coin.

    Equal scores count by half. Source: the Mann-Whitney statistic. NaN unless there are rows of both kinds.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    again = labels > 0
    positive = int(again.sum())
    pairs = positive * (len(labels) - positive)
    return float((ranks[again].sum() - positive * (positive + 1) / 2) / pairs) if pairs else float("nan")
