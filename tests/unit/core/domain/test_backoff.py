"""Pauses after failures."""

from noisefs.core.domain.backoff import pause_s


def test_it_doubles_up_to_a_bound_and_spreads_over_half_of_it() -> None:
    assert [pause_s(n, 1.0, first_s=1, most_s=10) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]
    assert pause_s(3, 0.0, first_s=1, most_s=10) == 2
