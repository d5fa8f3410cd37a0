"""All workers keep the promises of the port."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.ports.workers import Lane, Workers


@pytest.fixture(params=["threads", "inline", "inline-seeded"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Every adapter."""
    if request.param == "threads":
        threads = ThreadWorkers(cpu_threads=2)
        yield threads
        threads.close()
    else:
        yield InlineWorkers(5 if request.param == "inline-seeded" else None)


@pytest.mark.parametrize("lane", list(Lane))
async def test_a_job_gets_its_arguments_and_gives_its_result(workers: Workers, lane: Lane) -> None:
    def job(a: int, b: int, *, c: int) -> tuple[int, int, int]:
        return (a, b, c)

    assert await workers.run(lane, job, 1, 2, c=3) == (1, 2, 3)


async def test_a_jobs_error_reaches_its_caller(workers: Workers) -> None:
    def fail() -> None:
        raise LookupError("what was asked for is not here")

    with pytest.raises(LookupError, match="not here"):
        await workers.run(Lane.CPU, fail)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await workers.run(Lane.CPU, next, iter(()))


@pytest.mark.parametrize("lane", [Lane.PACK, Lane.COMMIT])
async def test_jobs_of_a_single_lane_run_in_order_one_at_a_time(workers: Workers, lane: Lane) -> None:
    order: list[int] = []
    running: list[int] = []

    def job(number: int) -> None:
        running.append(number)
        assert running == [number]
        order.append(number)
        running.clear()

    await asyncio.gather(*(workers.run(lane, job, number) for number in range(200)))
    assert order == list(range(200))


async def test_many_jobs_on_all_lanes_come_back_to_their_callers(workers: Workers) -> None:
    lanes = list(Lane)
    results = await asyncio.gather(*(workers.run(lanes[n % len(lanes)], pow, n, 2) for n in range(500)))
    assert results == [n * n for n in range(500)]


async def test_a_job_that_has_not_begun_is_dropped_when_its_caller_is_cancelled(workers: Workers) -> None:
    ran: list[str] = []
    gate = threading.Event()
    if isinstance(workers, InlineWorkers):
        gate.set()
    first = asyncio.create_task(workers.run(Lane.PACK, gate.wait, 10))
    second = asyncio.create_task(workers.run(Lane.PACK, ran.append, "second"))
    third = asyncio.create_task(workers.run(Lane.PACK, ran.append, "third"))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    await first
    await third
    with pytest.raises(asyncio.CancelledError):
        await second
    assert ran == ["third"]


def test_threads_serve_one_loop_after_another() -> None:
    workers = ThreadWorkers(cpu_threads=1)
    assert [asyncio.run(workers.run(Lane.CPU, lambda: 42)) for _ in range(2)] == [42, 42]
    workers.close()
    workers.close()


async def test_closed_threads_take_no_jobs() -> None:
    workers = ThreadWorkers(cpu_threads=1)
    workers.close()
    with pytest.raises(RuntimeError, match="closed"):
        await workers.run(Lane.CPU, lambda: 1)


def test_a_result_for_a_loop_that_is_gone_is_thrown_away() -> None:
    workers, gate = ThreadWorkers(cpu_threads=1), threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(workers.run(Lane.PACK, gate.wait, 10))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    gate.set()
    assert asyncio.run(workers.run(Lane.PACK, lambda: "next")) == "next"
    workers.close()


async def test_a_seed_decides_the_order_of_jobs_on_parallel_lanes() -> None:
    async def order(seed: int) -> list[int]:
        workers, ran = InlineWorkers(seed), list[int]()
        await asyncio.gather(*(workers.run(Lane.CPU, ran.append, n) for n in range(20)))
        return ran

    assert await order(1) == await order(1)
    assert await order(1) != await order(2)
    assert sorted(await order(1)) == list(range(20))
