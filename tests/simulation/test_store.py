"""Whole stores on a simulated disk: histories of 1000 requests and at least three crashes, and planted bugs.

``make simulate SEEDS=...`` plays any number of them. A failure names its seed, and the seed replays exactly.
"""

import os

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.clients import Wrong
from tests.simulation.play import CRASH_POINTS, CRASHES, OPERATIONS, play

SEEDS = int(os.environ.get("NOISEFS_TEST_SEEDS", "200"))
SEEDS_A_TEST = 5
TRIES = 100
"""A planted bug must be found within so many histories."""


@pytest.mark.parametrize(
    "first", [pytest.param(n, marks=pytest.mark.xdist_group(f"histories {n}")) for n in range(0, SEEDS, SEEDS_A_TEST)]
)
def test_every_promise_holds_through_crashes(first: int) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        try:
            report = play(seed)
        except Wrong as wrong:
            wrong.add_note(f"to play it again: python -m tests.simulation --first {seed} --seeds 1")
            raise
        assert report.operations >= OPERATIONS
        assert report.crashes >= CRASHES
        assert report.restarts_checked >= CRASHES
        assert report.acknowledged > OPERATIONS // 10


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_the_power_fails_at_every_named_point(point: str) -> None:
    for seed in range(1000, 1000 + TRIES):
        if play(seed, operations=300, aim=point).crashed_at[point]:
            return
    pytest.fail(f"{TRIES} histories did not crash at {point}")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    for seed in range(2000, 2000 + TRIES):
        try:
            play(seed, bug=bug)
        except Wrong:
            return
    pytest.fail(f"{TRIES} histories did not find it")


def test_a_seed_replays_exactly() -> None:
    assert play(7, operations=400) == play(7, operations=400)
    assert play(7, operations=400) != play(8, operations=400)
