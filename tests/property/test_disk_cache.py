"""Laws of the disk cache: never more than its budget, never other bytes than those put in, whatever the power does."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.fixed.tinylfu import WTinyLfu
from noisefs.core.domain.caching.fixed.twoq import TwoQ
from noisefs.core.services.caching.entry import Kept, PolicyOf
from noisefs.core.services.caching.room import MOST_PIECES, Room
from noisefs.core.services.caching.warm import SAVE_EVERY_S, WarmTier
from tests.support.disk_cache import MIB, WarmParts, kept_of, key_of
from tests.support.simulated_disk import SimulatedCrash

SIZES = (16, 900, 4079, 4080, 4081, 20_000, 60_000, 131_088)


def size_of(number: int) -> int:
    return SIZES[number % len(SIZES)]


def check(warm: WarmTier, number: int) -> bool:
    """Whether it is there; if so, with its own bytes."""
    found = warm.get(key_of(number))
    if found is None:
        return False
    expected = kept_of(number, size_of(number))
    assert bytes(found.sealed) == expected.sealed
    assert found.generation == expected.generation
    return True


@pytest.mark.parametrize("policy_of", [Lru, S3Fifo, TwoQ, WTinyLfu])
@pytest.mark.parametrize("seed", range(3))
def test_any_load_stays_within_the_budget(policy_of: PolicyOf, seed: int) -> None:
    parts = WarmParts(max_bytes=MIB, seed=seed)
    warm = parts.open(policy_of)
    chance = random.Random(seed)
    hits = 0
    for step in range(600):
        number = min(int(chance.expovariate(0.05)), 200)
        if check(warm, number):
            hits += 1
        else:
            warm.offer(key_of(number), kept_of(number, size_of(number)))
        if chance.random() < 0.3:
            warm.work()
            assert warm.state().bytes <= MIB
        if chance.random() < 0.02:
            warm.forget([key_of(chance.randrange(200))[0]])
        if step % 97 == 0:
            parts.clock.advance(SAVE_EVERY_S)
        if step % 150 == 149:
            warm.close()
            assert parts.used_bytes() <= MIB
            warm = parts.open(policy_of)
    assert hits > 20


@pytest.mark.parametrize("seed", range(40))
def test_after_a_power_loss_at_any_moment_bytes_are_right_or_missing(seed: int) -> None:
    parts = WarmParts(max_bytes=MIB, seed=seed)
    chance = random.Random(seed)
    for _life in range(4):
        warm = parts.open()
        for number in range(120):
            check(warm, number)
        parts.disk.crash_at = parts.disk.steps + chance.randrange(1, 120)
        try:
            for _ in range(80):
                number = chance.randrange(120)
                if not check(warm, number):
                    warm.offer(key_of(number), kept_of(number, size_of(number)))
                if chance.random() < 0.4:
                    parts.clock.advance(SAVE_EVERY_S / 2)
                    warm.work()
            warm.close()
        except SimulatedCrash:
            pass
        parts.disk.crash()
        assert parts.used_bytes() <= MIB
    warm = parts.open()
    found = sum(check(warm, number) for number in range(120))
    warm.offer(key_of(500), Kept(b"x" * 50_000, 1))
    warm.work()
    assert warm.get(key_of(500)) is not None, f"{found} entries survived, and it goes on"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60), st.integers(1, 200))
def test_units_are_given_to_one_at_a_time_and_none_is_lost(steps: list[tuple[bool, int]], units: int) -> None:
    room = Room(units)
    taken: list[tuple[tuple[int, int], ...]] = []
    for takes, count in steps:
        if takes:
            pieces = room.take(count)
            if pieces is None:
                assert count > room.free or len(taken) >= MOST_PIECES
                continue
            assert sum(size for _, size in pieces) == count
            assert len(pieces) <= MOST_PIECES
            taken.append(pieces)
        elif taken:
            room.give(taken.pop(count % len(taken)))
        used = sorted(unit for pieces in taken for first, size in pieces for unit in range(first, first + size))
        assert len(set(used)) == len(used)
        assert all(0 <= unit < units for unit in used)
        assert room.free == units - len(used)
    again = Room(units)
    assert all(again.claim(pieces) for pieces in taken)
    assert not any(again.claim(pieces) for pieces in taken)
    assert again.free == room.free
