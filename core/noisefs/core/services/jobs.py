"""Background jobs: each runs by itself, again and again; one that fails is told, counted, and tried again.

Promise: a failing job never takes the server down and never stops the others; stopping waits for the running step.
Only the process that leads runs jobs marked so; all are safe when two run.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import Draining, StoreSuperseded
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.presence import Presence
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers

log = logging.getLogger(__name__)

AFTER_FAILURE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """A step that is repeated.

    Attributes:
        name: For logs and metrics.
        every_s: Pause between two runs; a run begins at once when ``wake`` is set.
        step: One run.
        leader_only: Only one process of the store runs it.
        wake: Set by whoever wants the next run now.
        group: Jobs of one group run one at a time.
        light: It takes no time, and must not wait for those that do.
    """

    name: str
    every_s: float
    step: Callable[[], Awaitable[object]]
    leader_only: bool = True
    wake: asyncio.Event | None = None
    group: str = "upkeep"
    light: bool = False


class Jobs:
    """Runs jobs until it is stopped."""

    def __init__(self, *, clock: Clock, workers: Workers, telemetry: Telemetry, presence: Presence) -> None:
        self._clock = clock
        self._workers = workers
        self._telemetry = telemetry
        self._presence = presence
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stopping = False

    def start(self, jobs: list[Job]) -> None:
        """Begin to run them."""
        self._tasks = [asyncio.create_task(self._repeat(job), name=f"job:{job.name}") for job in jobs]

    async def stop(self) -> None:
        """Let the steps that run end, then end all."""
        self._stopping = True
        async with contextlib.AsyncExitStack() as ended:
            for busy in list(self._busy.values()):
                await ended.enter_async_context(busy)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _repeat(self, job: Job) -> None:
        while not self._stopping:
            await self._pause(job)
            # One step of a group at a time: background work must leave the machine to requests.
            async with contextlib.nullcontext() if job.light else self._busy[job.group]:
                in_vain = not self._stopping and not await self._run(job)
            if in_vain and job.wake is not None:
                # What wakes a job may still be there: without a pause it would fail, or ask who leads, all the time.
                await self._clock.sleep(max(job.every_s, AFTER_FAILURE_S))

    async def _pause(self, job: Job) -> None:
        if job.wake is None:
            await self._clock.sleep(job.every_s)
            return
        sleep = asyncio.create_task(self._clock.sleep(job.every_s))
        wake = asyncio.create_task(job.wake.wait())
        try:
            await asyncio.wait([sleep, wake], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
        job.wake.clear()

    async def _run(self, job: Job) -> bool:
        """One run; tells whether there was one that did not fail."""
        try:
            if job.leader_only and not await self._workers.run(Lane.BACKGROUND, self._presence.lead):
                return False
            await job.step()
        except Draining:
            self._stopping = True
        except StoreSuperseded:
            return True  # told by whoever found out; nothing is written any more
        except Exception:
            self._telemetry.count(Counter.JOB_FAILURES, 1, (job.name,))
            log.exception("job.failed", extra={"job": job.name})
            return False
        return True
