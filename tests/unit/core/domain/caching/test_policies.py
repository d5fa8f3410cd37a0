"""Replacement policies against slow models, and the promises they all keep."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.fixed.arc import Arc
from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.fixed.tinylfu import WTinyLfu
from noisefs.core.domain.caching.fixed.twoq import TwoQ
from noisefs.core.domain.caching.policy import CachePolicy
from tests.support.caching import lru_hits, misses_of, s3_fifo_hits, two_q_hits

POLICIES = [Lru, S3Fifo, TwoQ, WTinyLfu, Arc]

keys = st.lists(st.integers(0, 30), max_size=300)
operations = st.lists(
    st.tuples(st.sampled_from(["read", "read", "read", "admit", "discard"]), st.integers(0, 25)), max_size=300
)


@given(keys, st.integers(1, 20))
def test_lru_does_what_the_model_does(reads: list[int], capacity: int) -> None:
    policy = Lru(capacity)
    assert [policy.read(Access(key)) for key in reads] == lru_hits(capacity, reads)


@given(keys, st.integers(1, 20))
def test_two_q_does_what_the_model_does(reads: list[int], capacity: int) -> None:
    policy = TwoQ(capacity)
    assert [policy.read(Access(key)) for key in reads] == two_q_hits(capacity, reads)


@given(keys, st.integers(1, 20))
def test_s3_fifo_does_what_the_model_does(reads: list[int], capacity: int) -> None:
    policy = S3Fifo(capacity)
    assert [policy.read(Access(key)) for key in reads] == s3_fifo_hits(capacity, reads)


@pytest.mark.parametrize("make", POLICIES)
@given(steps=operations, capacity=st.integers(1, 60))
@settings(max_examples=60)
def test_the_bound_holds_and_every_leaving_key_is_told(
    make: Callable[[int, Callable[[Key], object]], CachePolicy], steps: list[tuple[str, int]], capacity: int
) -> None:
    held: set[Key] = set()
    policy = make(capacity, held.remove)
    for step, key in steps:
        size = 1 + key % 7
        before = key in policy
        if step == "discard":
            policy.discard(key)
            held.discard(key)
            assert key not in policy
            continue
        # What comes in may leave in the same step, and is told then too.
        held.add(key)
        answer = policy.read(Access(key, size)) if step == "read" else policy.admit(Access(key, size))
        assert answer == (before if step == "read" else key in policy)
        if key not in policy:
            held.discard(key)
        assert policy.resident_bytes <= capacity
        assert set(policy) == held
        assert len(policy) == len(held)
        assert policy.resident_bytes == sum(1 + int(str(each)) % 7 for each in held)


@pytest.mark.parametrize("make", POLICIES)
def test_what_is_larger_than_the_cache_is_not_kept_and_drops_nothing(make: Callable[[int], CachePolicy]) -> None:
    policy = make(10)
    policy.read(Access("small", 5))
    assert not policy.read(Access("large", 11))
    assert not policy.admit(Access("large", 11))
    assert "large" not in policy
    assert "small" in policy


@pytest.mark.parametrize("make", POLICIES)
def test_a_cache_of_no_bytes_is_refused(make: Callable[[int], CachePolicy]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(0)


@pytest.mark.parametrize("make", [S3Fifo, TwoQ, WTinyLfu, Arc])
def test_a_scan_does_not_wash_out_what_is_read_often(make: Callable[[int], CachePolicy]) -> None:
    policy = make(100)
    often = list(range(50))
    for scan in range(8):
        misses_of(policy, often)
        misses_of(policy, often)
        misses_of(policy, range(1000 * (scan + 1), 1000 * (scan + 1) + 40))
    misses_of(policy, range(100_000, 100_300))
    assert sum(key in policy for key in often) > 40


def test_the_window_of_w_tinylfu_grows_where_recency_is_what_counts() -> None:
    policy = WTinyLfu(100)
    reads = [key for start in range(60_000) for key in (start, start - 20)]
    misses_of(policy, reads)
    assert policy.window_share > 0.1
