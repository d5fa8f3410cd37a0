"""Forests: evaluated in batches as a tree walk would, and never loaded damaged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.caching.forest import BadModel, Forest


def stump() -> Forest:
    """Two leaves: value 1 at most 5 gives -1, more gives 2."""
    feature = np.zeros((1, 15), dtype=np.uint16)
    threshold = np.full((1, 15), np.inf, dtype=np.float32)
    keeps = np.full((1, 15), 0xFFFF, dtype=np.uint16)
    leaves = np.zeros((1, 16), dtype=np.float32)
    feature[0, 0], threshold[0, 0], keeps[0, 0] = 1, 5, 0xFFFE
    leaves[0, :2] = -1, 2
    return Forest(3, feature, threshold, keeps, leaves)


def test_a_row_goes_left_where_it_is_at_most_the_threshold() -> None:
    rows = np.array([[9, 5, 9], [0, 5.5, 0]], dtype=np.float32)
    assert stump().score(rows).tolist() == [-1, 2]


def test_a_file_holds_the_same_forest() -> None:
    rows = np.array([[0, 4, 0], [0, 6, 0]], dtype=np.float32)
    assert Forest.decode(stump().encode()).score(rows).tolist() == stump().score(rows).tolist()


@given(st.data())
def test_a_damaged_file_is_refused(data: st.DataObject) -> None:
    whole = stump().encode()
    at = data.draw(st.sampled_from([*range(14), *range(16, len(whole))]))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    # The number of features is the one field nothing else depends on: a wider forest reads the same.
    if at in {12, 13}:
        return
    with pytest.raises(BadModel):
        Forest.decode(bytes(damaged))


@given(st.integers(0, 200))
def test_a_file_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(BadModel):
        Forest.decode(stump().encode()[:length])


def test_a_model_that_looks_beyond_its_rows_is_refused() -> None:
    one = stump()
    with pytest.raises(BadModel, match="looks at value 1"):
        Forest(1, one.feature, one.threshold, one.keeps, one.leaves)
