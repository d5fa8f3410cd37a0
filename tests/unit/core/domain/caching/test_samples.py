"""Samples: which of them teach, and how well scores order them."""

import math

import numpy as np
import pytest

from noisefs.core.domain.caching.scoring.judging import ranked_right
from noisefs.core.domain.caching.scoring.samples import Samples


def test_only_rows_as_old_as_the_horizon_count_for_it() -> None:
    rows = np.arange(4, dtype=np.float32).reshape(4, 1)
    samples = Samples(rows, np.array([300, 150, 80, 10]), np.array([250, 0, 20, 5]), 100.0)
    assert [(part[0].ravel().tolist(), part[1].tolist()) for part in map(samples.settled, (0.5, 1.0, 2.0))] == [
        ([0, 1, 2], [0, 0, 1]),
        ([0, 1], [0, 0]),
        ([0], [0]),
    ]
    assert samples.settled(3.0)[1].tolist() == [1]


def test_ranks_are_right_by_the_share_of_pairs() -> None:
    labels = np.array([0, 0, 1, 1], dtype=np.float32)
    assert ranked_right(np.array([1.0, 2, 3, 4]), labels) == 1
    assert ranked_right(np.array([4.0, 3, 2, 1]), labels) == 0
    assert ranked_right(np.array([1.0, 3, 2, 4]), labels) == pytest.approx(0.75)
    assert ranked_right(np.ones(4), labels) == pytest.approx(0.5)
    assert math.isnan(ranked_right(np.ones(2), np.ones(2, dtype=np.float32)))
