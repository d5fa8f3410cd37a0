"""The scored candidate: what it remembers of a key, what it drops, and that all of it is bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.scoring import layout
from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.layout import ROW
from noisefs.core.domain.caching.scoring.scored import SAMPLES_MOST, Scored
from tests.support.cache_models import forest, random_model
from tests.support.cache_traces import zipf


def seen(policy: Scored, key: Key) -> dict[str, float]:
    row = policy.row(key)
    assert row is not None
    return dict(zip(ROW, row.tolist(), strict=True))


def test_a_row_tells_gaps_counts_and_ages_in_reads() -> None:
    policy = Scored(100, 0)
    for key in ("a", "b", "a", "c", "d", "a", "e"):
        policy.read(Access(key, 3, position=4, protocol=2, sequential=key == "a", bucket_class=1))
    row = seen(policy, "a")
    assert (row["age"], row["gap_1"], row["gap_2"], row["gap_3"]) == (1, 3, 2, layout.NEVER)
    assert (row["count"], row["first_age"]) == (3, 6)
    assert 0.5 < row["short"] < row["long"] < 3
    assert (row["size"], row["position"], row["protocol"], row["sequential"], row["bucket_class"]) == (3, 4, 2, 1, 1)
    assert row["before_age"] == row["next_age_now"] == row["after_age"] == row["group_age"] == layout.NEVER


def test_a_row_tells_of_neighbours_and_of_the_object() -> None:
    policy = Scored(100, 0)
    for at in (0, 1, 7, 0, 1, 9):
        policy.read(Access(("o", at), position=at, neighbour=("o", at - 1), group="o"))
    first, second = seen(policy, ("o", 0)), seen(policy, ("o", 1))
    assert (second["before_age"], second["before_gap"]) == (1, 3)
    assert (second["before_age_now"], second["before_gap_now"]) == (2, 3)
    assert (first["next_age_now"], first["next_gap_now"], first["after_age"]) == (1, 3, 1)
    assert first["group_age"] == second["group_age"] == 0
    assert 1 < first["group_heat"] < 6


def test_the_lowest_scores_leave_first_and_what_comes_in_is_no_exception() -> None:
    policy = Scored(10, 0)
    policy.use(forest([(ROW.index("position"), 5.0, 1.0, -1.0)]))
    for key in range(10):
        policy.read(Access(key, position=key % 2 * 9))
    for key in range(10, 40):
        policy.read(Access(key, position=9))
    assert {0, 2, 4, 6, 8} <= set(policy), "those the model likes"
    assert len(policy) == 10


@given(
    st.lists(
        st.tuples(st.sampled_from(["read", "read", "admit", "discard", "model"]), st.integers(0, 40)), max_size=400
    ),
    st.integers(1, 80),
)
@settings(max_examples=100, deadline=None)
def test_it_holds_what_it_tells(steps: list[tuple[str, int]], capacity: int) -> None:
    held: dict[Key, int] = {}
    policy = Scored(capacity, 1, held.pop)
    models: list[Forest | None] = [random_model(), None]
    for step, key in steps:
        size = 1 + key % 7
        if step == "model":
            policy.use(models[key % 2])
            continue
        if step == "discard":
            policy.discard(key)
            held.pop(key, None)
        else:
            before = key in policy
            held[key] = size
            access = Access(key, size, neighbour=key - 1, group=key // 4)
            answer = policy.read(access) if step == "read" else policy.admit(access)
            assert answer == (before if step == "read" else key in policy)
            if key not in policy:
                held.pop(key, None)
        assert set(policy) == held.keys()
        assert policy.resident_bytes == sum(held.values()) <= capacity


def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisefs.core.domain.caching.scoring.scored.LEAST_HISTORY", 1000)
    policy = Scored(20, 0)
    for at in range(30_000):
        policy.read(Access(at, neighbour=at - 1, group=at // 8))
    assert len(policy._slots) <= 1000
    assert len(policy._groups) <= 1000 // 8 + 1
    assert policy.row(29_999) is not None
    assert policy.row(5) is None
    assert len(policy.samples().rows) <= SAMPLES_MOST


def test_samples_outlive_a_ring_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisefs.core.domain.caching.scoring.scored.SAMPLES_MOST", 50)
    policy = Scored(30, 0)
    for at, key in enumerate(zipf(20_000, 300, 3)):
        policy.read(Access(key))
        if at % 7 == 0:
            policy.discard(key)
    samples = policy.samples()
    assert len(samples.rows) == 50
    assert (samples.gaps <= samples.ages).all()


def test_equal_seeds_decide_alike() -> None:
    first, second, other = Scored(30, 4), Scored(30, 4), Scored(30, 5)
    for key in zipf(5000, 400, 2):
        for policy in (first, second, other):
            policy.read(Access(key))
    assert list(first) == list(second)
    assert list(first) != list(other)


def test_it_goes_on_with_what_it_is_given() -> None:
    policy = Scored(30, 0, lambda key: pytest.fail(f"told of {key}"))
    for key in range(20):
        policy.read(Access(key))
    assert policy.adopt([("new", 4), (3, 1), (7, 2)])
    assert set(policy) == {"new", 3, 7}
    assert policy.resident_bytes == 7
    assert policy.read(Access(7, 2))
    assert not policy.read(Access(8))
    assert policy.in_order_of_reads([7, 8, 3, "other"]) == ["other", 3, 7, 8]


def test_what_it_is_given_is_not_forgotten_for_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisefs.core.domain.caching.scoring.scored.LEAST_HISTORY", 40)
    policy = Scored(10, 0)
    for key in range(60):
        policy.read(Access(key))
    known = [key for key in range(60) if policy.row(key) is not None and key not in policy][:5]
    assert policy.adopt([(key, 1) for key in [*known, "new", "newer"]])
    assert set(policy) == {*known, "new", "newer"}
    assert all(policy.row(key) is not None for key in policy)
