"""Every clock keeps the promises of the port."""

import asyncio
from collections.abc import Callable

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.core.ports.clock import Clock


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Every adapter."""
    made: Clock = request.param()
    return made


async def _asleep(clock: Clock, seconds: float) -> None:
    """Sleep; a clock in the test's hands is moved by the test."""
    sleeper = asyncio.create_task(clock.sleep(seconds))
    await asyncio.sleep(0)
    if isinstance(clock, ManualClock):
        clock.advance(seconds)
    await sleeper


async def test_a_sleep_takes_that_long_on_the_monotonic_clock(clock: Clock) -> None:
    before = clock.monotonic_s()
    await _asleep(clock, 0.01)
    assert clock.monotonic_s() - before >= 0.01


async def test_wall_time_passes_too_and_is_of_this_century(clock: Clock) -> None:
    before = clock.now_us()
    await _asleep(clock, 0.01)
    assert clock.now_us() > before > 1_600_000_000_000_000


async def test_a_sleep_of_nothing_lets_others_run(clock: Clock) -> None:
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await clock.sleep(0)
    assert ran == [1]


async def test_a_cancelled_sleep_ends(clock: Clock) -> None:
    sleeper = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper


async def _woken(clock: ManualClock, name: str, seconds: float, tell: Callable[[str], None]) -> None:
    await clock.sleep(seconds)
    tell(name)


async def test_a_manual_clock_wakes_sleepers_in_the_order_of_their_times() -> None:
    clock, order = ManualClock(), list[str]()
    async with asyncio.TaskGroup() as group:
        for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
            group.create_task(_woken(clock, name, seconds, order.append))
        await asyncio.sleep(0)
        assert clock.next_wake_s() == 1.0
        clock.advance(2.5)
        await asyncio.sleep(0)
        assert order == ["a", "b"]
        clock.advance(1)
    assert order == ["a", "b", "c"]
    assert clock.next_wake_s() is None


def test_a_manual_clocks_wall_time_steps_alone() -> None:
    clock = ManualClock()
    before = clock.now_us()
    clock.step_wall(-60)
    assert (clock.now_us(), clock.monotonic_s()) == (before - 60_000_000, 0)
