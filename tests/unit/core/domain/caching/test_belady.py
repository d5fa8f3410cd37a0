"""Belady's bound against every possible policy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.caching.replaying.belady import NEVER, belady_misses, next_reads
from tests.support.caching import fewest_misses


@given(st.lists(st.integers(0, 5), max_size=14), st.integers(1, 4))
@settings(max_examples=150)
def test_no_policy_misses_less(keys: list[int], capacity: int) -> None:
    following = next_reads(np.array(keys, dtype=np.int64)).tolist()
    assert belady_misses(keys, following, capacity) == fewest_misses(keys, capacity)


def test_the_next_read_of_each_request() -> None:
    assert next_reads(np.array([7, 8, 7, 7], dtype=np.int64)).tolist() == [2, NEVER, 3, NEVER]
