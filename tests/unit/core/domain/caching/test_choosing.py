"""Who is in charge: whoever was ahead by more than a change costs."""

from noisefs.core.domain.caching.choosing import LEAST_STEP_READS, Chooser

ENTRIES = 100
COSTS = [[1.0, 1.0, 0.1], [1.0, 1.0, 0.1], [1.0, 1.0, 1.0]]


def steps(
    chooser: Chooser, hits: tuple[int, int, int], most: int, allowed: tuple[bool, bool, bool] = (True, True, True)
) -> int:
    """How many steps with these hits each it takes until somebody else is in charge; ``most`` if nobody is."""
    for step in range(most):
        for at, count in enumerate(hits):
            chooser.hits[at] += count
        for _ in range(LEAST_STEP_READS):
            if chooser.read(ENTRIES, allowed):
                return step + 1
    return most


def test_a_lasting_advantage_decides_in_the_end_and_a_larger_one_sooner() -> None:
    small, large = Chooser(COSTS, 0), Chooser(COSTS, 0)
    slow = steps(small, (30, 32, 0), 1000)
    quick = steps(large, (30, 50, 0), 1000)
    assert (small.in_charge, large.in_charge) == (1, 1)
    assert quick < slow < 1000


def test_a_burst_does_not_decide_where_a_change_costs_more() -> None:
    chooser = Chooser(COSTS, 0)
    for _ in range(20):
        steps(chooser, (20, 30, 0), 1)
        steps(chooser, (30, 20, 0), 1)
    assert chooser.in_charge == 0


def test_what_needs_no_refill_takes_over_sooner() -> None:
    assert steps(Chooser(COSTS, 0), (30, 30, 34), 1000) < steps(Chooser(COSTS, 0), (30, 34, 30), 1000)


def test_who_may_not_lead_does_not_and_gives_up_charge() -> None:
    chooser = Chooser(COSTS, 0)
    assert steps(chooser, (10, 10, 60), 50, (True, True, False)) == 50
    assert steps(chooser, (10, 10, 60), 50) < 50
    assert chooser.in_charge == 2
    assert steps(chooser, (10, 12, 60), 50, (True, True, False)) == 1
    assert chooser.in_charge == 1
