"""Forests: walked as they were made, and never loaded damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.caching.scoring import kernel
from noisefs.core.domain.caching.scoring.forest import BadModel, Forest
from tests.support.cache_models import forest


def stump() -> Forest:
    """Two leaves: value 1 at most 5 gives -1, more gives 2."""
    return forest([(1, 5, -1, 2)], features=3)


def score(model: Forest, row: list[float]) -> float:
    return kernel.score(np.array(row, dtype=np.float32), model.feature, model.threshold, model.leaves, model.horizons)


def probable(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def test_a_row_goes_left_where_it_is_at_most_the_threshold() -> None:
    assert score(stump(), [9, 5, 9]) == pytest.approx(probable(-1))
    assert score(stump(), [0, 5.5, 0]) == pytest.approx(probable(2))


def test_trees_of_a_horizon_add_their_odds_and_horizons_their_probabilities() -> None:
    trees = [(0, 1.0, 1.0, 2.0), (0, 1.0, 0.5, 0.25), (1, 1.0, -1.0, -2.0), (1, 1.0, -3.0, -4.0)]
    model = forest(trees, features=2, horizons=2)
    assert score(model, [0, 2]) == pytest.approx(probable(1.5) + probable(-6))


def test_without_trees_age_decides() -> None:
    none = stump()
    row = np.array([7, 0, 0], dtype=np.float32)
    assert kernel.score(row, none.feature[:0], none.threshold[:0], none.leaves[:0], 1) == -7


def test_four_levels_lead_to_sixteen_leaves() -> None:
    feature = np.array([[0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]], dtype=np.int32)
    leaves = np.arange(16, dtype=np.float32).reshape(1, 16)
    model = Forest(4, 1, feature, np.zeros((1, 15), dtype=np.float32), leaves)
    for leaf in range(16):
        row = [float(leaf >> (3 - level) & 1) for level in range(4)]
        assert score(model, row) == pytest.approx(probable(leaf))


def test_a_file_holds_the_same_forest() -> None:
    again = Forest.decode(stump().encode())
    assert (again.features, again.horizons) == (3, 1)
    assert again.feature.tolist() == stump().feature.tolist()
    assert again.threshold.tolist() == stump().threshold.tolist()
    assert again.leaves.tolist() == stump().leaves.tolist()


@given(st.data())
def test_a_damaged_file_is_refused(data: st.DataObject) -> None:
    whole = stump().encode()
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadModel):
        Forest.decode(bytes(damaged))


@given(st.integers(0, 200))
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(BadModel):
        Forest.decode(stump().encode()[:length])


def test_a_model_that_looks_beyond_its_rows_is_refused() -> None:
    one = stump()
    with pytest.raises(BadModel, match="looks at value 1"):
        Forest(1, 1, one.feature, one.threshold, one.leaves)


def test_horizons_share_the_trees_evenly() -> None:
    with pytest.raises(BadModel, match="cannot have 2 horizons"):
        forest([(0, 1, 0, 1)] * 3, horizons=2)
