"""Which bytes of a body are referred to, by extents that come and go."""

import random

import msgspec
import pytest

from noisefs.core.domain.ids import BodyId, InstanceId
from noisefs.core.domain.packs.coverage import (
    MOST_CUTS,
    counts_too_much,
    covered,
    is_partly_dead,
    is_there,
    kept_segments,
    referred,
)
from noisefs.core.domain.records import Body, BodyState, Extent

ID = BodyId(bytes(16))


def body(size: int = 1000, *, refs: int = 1, kept: tuple[tuple[int, int], ...] = ()) -> Body:
    """A row with ``refs`` extents of everything."""
    return Body(BodyState.LIVE, size, b"", refs, InstanceId(bytes(16)), kept=kept, exact=True)


def extent(offset: int, length: int) -> Extent:
    """An extent of the body."""
    return Extent(ID, offset, length)


ALL = extent(0, 1000)


def test_an_extent_of_everything_covers_everything() -> None:
    row = referred(body(), [extent(10, 20), extent(500, 1)], 1)
    assert row.refs == 3
    assert covered(row) == ((0, 1000),)
    assert not is_partly_dead(row)


def test_without_it_the_rest_covers_what_it_covers() -> None:
    row = referred(body(), [extent(10, 20), extent(25, 10), extent(35, 5), extent(500, 1), extent(500, 1)], 1)
    row = referred(row, [ALL], -1)
    assert covered(row) == ((10, 40), (500, 501))
    assert is_partly_dead(row)
    row = referred(row, [extent(500, 1), extent(25, 10)], -1)
    assert (row.refs, covered(row)) == (3, ((10, 30), (35, 40), (500, 501)))


def test_more_ranges_than_are_counted_count_as_everything() -> None:
    many = [extent(n, 1) for n in range(MOST_CUTS + 1)]
    row = referred(referred(body(), many, 1), [ALL], -1)
    assert covered(row) == ((0, 1000),)
    row = referred(row, [many[-1]], -1)
    assert covered(row) == ((0, MOST_CUTS),)


def test_extents_older_than_their_counting_count_as_everything() -> None:
    """The old extent (10, 20) is one of ``refs`` and in no cut; when it goes, it takes the new one's count."""
    row = referred(referred(body(refs=2), [extent(10, 20)], 1), [ALL], -1)
    assert covered(row) == ((0, 1000),)
    row = referred(row, [extent(10, 20)], -1)
    assert (row.refs, covered(row)) == (1, ((0, 1000),))


def test_what_was_counted_wrongly_counts_as_everything() -> None:
    """Rows of programs that took extents apart when others became one, and forgot the one."""
    row = msgspec.structs.replace(referred(body(), [extent(0, 500)], 1), exact=False)
    assert covered(row) == ((0, 1000),)
    row = referred(row, [extent(0, 600)], -1)  # what (0, 500) had become
    assert (row.refs, covered(row)) == (1, ((0, 1000),))
    assert not is_partly_dead(row)
    wrong = msgspec.structs.replace(row, exact=True)
    assert counts_too_much(wrong, {})
    assert not counts_too_much(wrong, {(0, 500): 1})


def test_what_was_given_up_cannot_be_referred_to_again() -> None:
    row = body(kept=((100, 300), (500, 1000)))
    assert is_there(row, extent(150, 150))
    assert is_there(row, extent(999, 1))
    assert not is_there(row, extent(299, 2))
    assert not is_there(row, extent(250, 300))
    assert not is_there(row, ALL)
    assert is_there(body(), ALL)


@pytest.mark.parametrize(
    ("kept", "segments"),
    [((), ((0, 11),)), (((100, 200), (250, 400)), ((1, 4),)), (((0, 1), (999, 1000)), ((0, 1), (9, 10)))],
)
def test_segments_that_are_left(kept: tuple[tuple[int, int], ...], segments: tuple[tuple[int, int], ...]) -> None:
    assert kept_segments(body(1000 if kept else 1001, kept=kept), 100) == segments


@pytest.mark.parametrize("seed", range(20))
def test_what_any_counted_extent_holds_is_covered(seed: int) -> None:
    chance = random.Random(seed)
    row, held = body(200), [extent(0, 200)]
    for _ in range(300):
        if len(held) > 1 and chance.random() < 0.5:
            row = referred(row, [held.pop(chance.randrange(len(held)))], -1)
        else:
            start = chance.randrange(200)
            held.append(extent(start, chance.randint(1, 200 - start)))
            row = referred(row, [held[-1]], 1)
        parts = covered(row)
        assert row.refs == len(held)
        for one in held:
            assert any(first <= one.offset and one.offset + one.length <= end for first, end in parts)
