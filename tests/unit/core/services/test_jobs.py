"""Background jobs: again and again, none stops another, stopping waits."""

import asyncio
from dataclasses import dataclass, field

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.presence import MemoryPresence, Neighbourhood
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.ids import InstanceId
from noisefs.core.errors import Draining, StoreSuperseded
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.jobs import Job, Jobs


@dataclass
class Bench:
    """Jobs and what they need."""

    street: Neighbourhood = field(default_factory=Neighbourhood)
    clock: ManualClock = field(default_factory=ManualClock)
    telemetry: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    ran: list[str] = field(default_factory=list)

    def jobs(self, name: bytes = b"a") -> Jobs:
        """Of one process."""
        presence = MemoryPresence(InstanceId(name * 16), self.street)
        return Jobs(clock=self.clock, workers=InlineWorkers(), telemetry=self.telemetry, presence=presence)

    def job(self, name: str, every_s: float, *, leader_only: bool = True, wake: asyncio.Event | None = None) -> Job:
        """One that notes that it ran."""

        async def step() -> None:
            self.ran.append(name)

        return Job(name, every_s, step, leader_only=leader_only, wake=wake)

    async def pass_s(self, seconds: int) -> None:
        """Let time pass, second by second."""
        for _ in range(seconds):
            await turns()
            self.clock.advance(1)
            await turns()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_each_job_runs_at_its_own_pace() -> None:
    bench = Bench()
    jobs = bench.jobs()
    jobs.start([bench.job("often", 1), bench.job("seldom", 4)])
    await bench.pass_s(8)
    await jobs.stop()
    assert (bench.ran.count("often"), bench.ran.count("seldom")) == (8, 2)


async def test_a_job_runs_at_once_when_it_is_woken() -> None:
    bench = Bench()
    wake = asyncio.Event()
    jobs = bench.jobs()
    jobs.start([bench.job("woken", 1000, wake=wake)])
    await turns()
    assert bench.ran == []
    wake.set()
    await turns()
    assert bench.ran == ["woken"]
    assert not wake.is_set()
    await jobs.stop()


async def test_a_failing_job_is_counted_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    async def fails() -> None:
        bench.ran.append("fails")
        raise ValueError("no")

    jobs = bench.jobs()
    jobs.start([Job("bad", 1, fails), bench.job("good", 1)])
    await bench.pass_s(4)
    await jobs.stop()
    failed = bench.ran.count("fails")
    assert bench.ran.count("good") == 4
    assert 1 < failed <= 4
    assert bench.telemetry.counted(Counter.JOB_FAILURES, ("bad",)) == failed
    assert "job.failed" in caplog.text


async def test_one_step_runs_at_a_time_and_stopping_waits_for_it() -> None:
    bench = Bench()
    go = asyncio.Event()

    async def long() -> None:
        bench.ran.append("begun")
        await go.wait()
        bench.ran.append("ended")

    jobs = bench.jobs()
    jobs.start([Job("long", 1, long), bench.job("other", 1)])
    await bench.pass_s(3)
    assert bench.ran.count("begun") == 1
    assert "other" not in bench.ran
    stop = asyncio.ensure_future(jobs.stop())
    await turns()
    assert not stop.done()
    go.set()
    await stop
    assert bench.ran == ["begun", "ended"]


async def test_only_the_leader_runs_what_one_process_is_enough_for() -> None:
    bench = Bench()
    first, second = bench.jobs(b"a"), bench.jobs(b"b")
    first.start([bench.job("leader a", 1), bench.job("each a", 1, leader_only=False)])
    second.start([bench.job("leader b", 1), bench.job("each b", 1, leader_only=False)])
    await bench.pass_s(2)
    await first.stop()
    await second.stop()
    assert sorted(bench.ran) == ["each a"] * 2 + ["each b"] * 2 + ["leader a"] * 2


async def test_what_wakes_a_job_does_not_make_others_than_the_leader_ask_all_the_time() -> None:
    bench = Bench()
    first, second = bench.jobs(b"a"), bench.jobs(b"b")
    wake = asyncio.Event()
    first.start([bench.job("leader", 1000)])
    await bench.pass_s(1000)
    second.start([bench.job("woken", 5, wake=wake)])
    for _ in range(3):
        wake.set()
        await turns()
    assert wake.is_set()  # it has been looked at once
    await first.stop()
    bench.street.leader = None
    await bench.pass_s(5)
    assert bench.ran == ["leader", "woken"]  # and is there for the one that leads next
    await second.stop()


async def test_jobs_end_when_the_server_drains() -> None:
    bench = Bench()

    async def drained() -> None:
        raise Draining("going down")

    jobs = bench.jobs()
    jobs.start([Job("drained", 1, drained), bench.job("other", 5)])
    await bench.pass_s(10)
    await jobs.stop()
    assert bench.ran == []
    assert bench.telemetry.counted(Counter.JOB_FAILURES) == 0


async def test_a_job_of_a_superseded_store_is_no_failure() -> None:
    """Whoever found out told about it once: jobs that cannot write do not tell it again and again."""
    bench = Bench()

    async def refused() -> None:
        bench.ran.append("refused")
        raise StoreSuperseded("another one goes on")

    jobs = bench.jobs()
    jobs.start([Job("refused", 1, refused)])
    await bench.pass_s(3)
    await jobs.stop()
    assert bench.ran.count("refused") == 3
    assert bench.telemetry.counted(Counter.JOB_FAILURES) == 0
