"""The commit queue: writers of a process share one index commit and its sync.

Promise: :meth:`CommitQueue.run` returns a value only after the commit that holds the function's writes is durable.
Functions run in the order they were queued; nothing a client asked for is retried visibly.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.errors import DiskFull, Draining, OutcomeUnknown, StoreSuperseded
from noisefs.core.ports.index import Index, Outcome, Writing
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.classes import DurabilityClasses

T = TypeVar("T")

BATCH: Final = 256
"""Functions of one commit at most: more gain nothing and make the first one wait (DESIGN.md section 11)."""

GATHER_PASSES: Final = 3
"""Passes of the event loop before a batch is begun: what has arrived already comes along. The answers of the last batch
go out in the first one, the next requests are read in the second and handled in the third; an idle loop makes all three
in some 15 µs. With 8 connections it doubles the batches and saves a seventh of the CPU time of a small PUT."""

GATHER_ENOUGH: Final = 16
"""Functions that need no company: what a commit costs by itself is spread thin by then."""


@dataclass(slots=True)
class _Waiting:
    """A function that waits for its commit, and who waits for it."""

    work: Callable[[Writing], object]
    wipe: bool
    done: asyncio.Future[object]
    demanding: Outcome[object] | None = None
    """What it came to, where it demands a durability class."""


class CommitQueue:
    """Groups waiting functions into batches of at most 256 and commits them, one batch at a time.

    While one batch is being committed the next one gathers; no function waits for what has not arrived. Task-safe,
    belongs to one event loop. Cost of a function on the loop: about 5 µs; of a batch: a hop to the commit lane and
    back.
    """

    def __init__(self, index: Index, workers: Workers, telemetry: Telemetry) -> None:
        """Commit to ``index`` on the commit lane of ``workers``."""
        self._index = index
        self._workers = workers
        self._telemetry = telemetry
        self._queue: deque[_Waiting] = deque()
        self._drainer: asyncio.Task[None] | None = None
        self._closing = False
        self._relief: Callable[[], bool] | None = None
        self.classes: DurabilityClasses | None = None
        """Who knows the durability classes above ``local``; ``None`` where there are no nodes."""
        self.superseded = ""
        """Why nothing is committed any more, if it is not."""

    def relieve_with(self, relief: Callable[[], bool]) -> None:
        """Call ``relief`` on a lane when a batch meets a full disk; where it says that it made room, try once more."""
        self._relief = relief

    def confirm_with(self, classes: DurabilityClasses) -> None:
        """Before a function's caller is answered, wait with ``classes`` for those that it demanded."""
        self.classes = classes

    def supersede(self, reason: str) -> None:
        """Refuse what waits and whatever comes, for good: another gateway goes on with the store."""
        self.superseded = reason
        _fail(self._queue, StoreSuperseded(reason))

    async def run(self, work: Callable[[Writing], T], *, wipe: bool = True) -> T:
        """Commit ``work`` with others that wait, and return what it returned.

        A cancelled caller may find its work committed or not, never half of it.

        Raises:
            OutcomeUnknown: It is committed, and does not have the durability class that ``work`` demanded.
            NoisefsError: What ``work`` raised (its writes were undone), or why the whole batch failed.
        """
        waiting = self._queued(work, wipe=wipe)
        value = await waiting.done
        if waiting.demanding is not None:
            await self._confirmed(waiting.demanding)
        return value  # type: ignore[return-value]  # the future holds what `work` returned

    def begin(self, work: Callable[[Writing], T], *, wipe: bool = True) -> asyncio.Future[T]:
        """Like :meth:`run`, without a task: the future has what ``work`` returned, or why it is not committed.

        ``work`` must not demand a durability class: nobody would wait for it.
        """
        return self._queued(work, wipe=wipe).done  # type: ignore[return-value]  # as above

    def _queued(self, work: Callable[[Writing], object], *, wipe: bool) -> _Waiting:
        if self.superseded:
            raise StoreSuperseded(self.superseded)
        if self._closing:
            raise Draining("the server is shutting down: no more commits are taken")
        waiting = _Waiting(work, wipe, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._drainer is None:
            self._drainer = asyncio.create_task(self._drain())
        return waiting

    async def _confirmed(self, outcome: Outcome[object]) -> None:
        if self.classes is not None:
            await self.classes.confirm(outcome.demands, outcome.sequence)
        elif outcome.demands != {HIGHEST}:
            classes = " or ".join(sorted(outcome.demands))
            raise OutcomeUnknown(f"the write is done here, and there are no nodes for the class {classes}")

    async def close(self) -> None:
        """Commit what waits; refuse what comes later with ``Draining``."""
        self._closing = True
        if self._drainer is not None:
            await asyncio.wait([self._drainer])

    async def _drain(self) -> None:
        try:
            while self._queue:
                await self._gather()
                if batch := self._next_batch():
                    await self._commit(batch)
        except asyncio.CancelledError:
            _fail(self._queue, Draining("the server is shutting down: the write was not begun"))
            self._queue.clear()
            raise
        finally:
            self._drainer = None

    async def _gather(self) -> None:
        """Let the loop handle what it has at hand."""
        for _ in range(GATHER_PASSES):
            if len(self._queue) >= GATHER_ENOUGH:
                return
            await asyncio.sleep(0)

    def _next_batch(self) -> list[_Waiting]:
        """The longest run of queued functions that agree on ``wipe``; those nobody waits for any more are dropped."""
        batch: list[_Waiting] = []
        queue = self._queue
        while queue and len(batch) < BATCH:
            if queue[0].done.done():
                queue.popleft()
            elif batch and queue[0].wipe is not batch[0].wipe:
                break
            else:
                batch.append(queue.popleft())
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._transact([waiting.work for waiting in batch], wipe=batch[0].wipe)
        except asyncio.CancelledError:
            _fail(batch, OutcomeUnknown("the commit was cut off: the write may or may not be visible"))
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is handed to everybody who waits for this batch
            _fail(batch, exc)
            return
        self._telemetry.count(Counter.COMMITS)
        self._telemetry.observe(Histogram.COMMIT_GROUP, len(batch))
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if outcome.demands:
                waiting.demanding = outcome
            _settle(waiting.done, outcome)

    async def _transact(self, works: list[Callable[[Writing], object]], *, wipe: bool) -> list[Outcome[object]]:
        try:
            return await self._workers.run(Lane.COMMIT, self._index.transact, works, wipe=wipe)
        except DiskFull:
            if self._relief is None or not await self._workers.run(Lane.BACKGROUND, self._relief):
                raise
        return await self._workers.run(Lane.COMMIT, self._index.transact, works, wipe=wipe)


def _settle(done: asyncio.Future[object], outcome: Outcome[object]) -> None:
    if done.done():  # cancelled meanwhile: its writes stay, nobody asks for the value
        return
    if outcome.error is None:
        done.set_result(outcome.value)
    elif isinstance(outcome.error, StopIteration):  # the one exception a future cannot carry
        done.set_exception(RuntimeError(f"a function to be committed raised StopIteration: {outcome.error}"))
    else:
        done.set_exception(outcome.error)


def _fail(batch: Iterable[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
