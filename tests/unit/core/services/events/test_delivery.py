"""Events on their way: in order, again after a failure, dropped only by count and age, and none holds up another."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from noisefs.core.domain.buckets.event_rows import WaitingEvent, waiting_key
from noisefs.core.domain.buckets.notification import PUT, TEST
from noisefs.core.domain.ids import UserId
from noisefs.core.errors import DiskFull
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.events import queue
from noisefs.core.services.events.delivery import REJECTIONS_MOST, Delivery, EventSettings
from noisefs.core.services.store import Store, StoreSettings
from tests.support.receivers import MemorySink, told
from tests.support.stores import MemoryParts

T = TypeVar("T")

SETTINGS = EventSettings(queue_most=5, batch_most=2, max_age_s=1000.0)


@dataclass
class Process:
    """A process with a receiver called ``hook``, and what outlives it."""

    parts: MemoryParts = field(default_factory=MemoryParts)
    sink: MemorySink = field(default_factory=MemorySink)
    sinks: dict[str, MemorySink] = field(default_factory=dict)
    settings: EventSettings = SETTINGS

    async def start(self) -> "Process":
        self.sinks = self.sinks or {"hook": self.sink}
        self.store: Store = self.parts.store(StoreSettings(events=self.settings), self.sinks)
        await self.store.start(background=False)
        await self.store.events.start()
        return self

    async def add(self, *keys: str, target: str = "hook", event: str = PUT) -> None:
        """One commit with an event for each key."""
        now_us = self.parts.clock.now_us()

        def work(tx: Writing) -> None:
            for key in keys:
                queue.add(tx, target, WaitingEvent(event, now_us, "bucket", UserId(""), key, "r", tx.sequence))

        await self.store.commits.run(work)

    async def run(self, target: str = "hook") -> int:
        return await self.store.events.deliveries[target].run()

    def waiting(self, target: str = "hook") -> list[str]:
        return [event.key for _, event in self.parts.index.read(lambda tx: queue.head(tx, target, 100))]

    def keys(self) -> list[str]:
        return [key for _, key in told(self.sink.records)]

    def counted(self, outcome: str) -> float:
        return self.parts.telemetry.counted(Counter.EVENTS, ("hook", outcome))


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    process = await Process().start()
    yield process
    await process.store.close()


async def test_events_are_told_in_order_in_messages_of_bounded_size(process: Process) -> None:
    await process.add("a", "b", "c")
    assert await process.run() == 3
    assert process.keys() == ["a", "b", "c"]
    assert [len(body["Records"]) for _, body in process.sink.messages] == [2, 1]
    assert process.waiting() == []
    assert await process.run() == 0
    assert process.counted("delivered") == 3


async def test_what_is_refused_stays_and_is_sent_again_as_it_was_after_a_pause(process: Process) -> None:
    """The same message, so that whoever had it all the same knows it."""
    process.sink.down = True
    await process.add("a")
    assert await process.run() == 0
    await process.add("b")
    process.sink.down = False
    assert await process.run() == 0, "it must rest first"
    assert len(process.sink.attempts) == 1
    process.parts.clock.advance(1.0)
    assert await process.run() == 2
    assert process.keys() == ["a", "b"]
    assert process.sink.attempts[0] == process.sink.attempts[1]
    assert len(set(process.sink.attempts)) == 2
    assert process.counted("failed") == 1


async def test_pauses_grow_up_to_their_bound(process: Process) -> None:
    process.sink.down = True
    await process.add("a")
    for _ in range(10):
        await process.run()
        process.parts.clock.advance(SETTINGS.retry_most_s)
    assert len(process.sink.attempts) == 10
    before = len(process.sink.attempts)
    await process.run()
    process.parts.clock.advance(SETTINGS.retry_most_s / 2 - 1)
    await process.run()
    assert len(process.sink.attempts) == before + 1


async def test_a_full_queue_loses_its_oldest_and_counts_it(process: Process) -> None:
    await process.run()
    await process.add("a", "b", "c", "d", "e", "f", "g")
    assert process.waiting() == ["c", "d", "e", "f", "g"]
    assert await process.run() == 5
    assert process.keys() == ["c", "d", "e", "f", "g"]
    assert process.counted("dropped") == 2


async def test_what_is_too_old_is_dropped_and_counted_though_the_receiver_is_down(process: Process) -> None:
    process.sink.down = True
    await process.add("a", "b")
    await process.run()
    process.parts.clock.advance(600)
    await process.add("c")
    process.parts.clock.advance(600)
    await process.run()
    assert process.waiting() == ["c"]
    assert process.counted("dropped") == 2


async def test_how_many_wait_is_measured(process: Process) -> None:
    process.sink.down = True
    await process.add("a", "b", "c")
    await process.run()
    assert process.parts.telemetry.gauged(Gauge.EVENTS_WAITING, ("hook",)) == 3


async def test_what_waits_survives_the_process(process: Process) -> None:
    process.sink.down = True
    await process.add("a", "b", "c")
    await process.run()
    again = await Process(process.parts, MemorySink()).start()
    assert await again.run() == 3
    assert again.keys() == ["a", "b", "c"]
    await again.store.close()


async def test_a_receiver_that_is_down_holds_up_no_other() -> None:
    sinks = {"dead": MemorySink(), "alive": MemorySink()}
    sinks["dead"].down = True
    process = await Process(sinks=sinks).start()
    for target in sinks:
        await process.add("a", target=target)
    assert await process.run("dead") == 0
    assert await process.run("alive") == 1
    assert len({job.group for job in process.store.events.jobs() if not job.light}) == 0
    await process.store.close()


async def test_what_waits_for_a_target_that_is_no_more_is_given_up(process: Process) -> None:
    await process.add("a", "b")
    again = await Process(process.parts, sinks={"other": MemorySink()}).start()
    await again.add("c")
    assert again.waiting() == []
    rows = process.parts.index.read(lambda tx: tx.scan(Table.META, b"events/", b"events0", 100))
    assert [key for key, _ in rows] == [b"events/queue/other"]
    await again.store.close()


async def test_a_target_that_comes_back_begins_anew(process: Process) -> None:
    await process.add("a")
    await (await Process(process.parts, sinks={"other": MemorySink()}).start()).store.close()
    again = await Process(process.parts, MemorySink()).start()
    await again.add("b")
    assert await again.run() == 1
    assert again.keys() == ["b"]
    await again.store.close()


async def test_another_bound_holds_from_the_next_start_on(process: Process) -> None:
    await process.add("a", "b", "c")
    again = await Process(process.parts, settings=EventSettings(queue_most=2)).start()
    await again.add("d")
    assert again.waiting() == ["c", "d"]
    await again.store.close()


async def test_starting_without_targets_and_queues_writes_nothing() -> None:
    parts = MemoryParts()
    before = parts.index.sequence()
    store = parts.store()
    await store.events.start()
    assert parts.index.sequence() == before
    await store.close()


async def test_a_test_event_goes_alone(process: Process) -> None:
    await process.add("a")
    await process.add("", event=TEST)
    await process.add("b")
    assert await process.run() == 3
    assert ["Records" in body for _, body in process.sink.messages] == [True, False, True]


async def test_rows_of_one_target_are_not_taken_for_anothers(process: Process) -> None:
    """A name may be the beginning of another."""
    sinks = {"hook": MemorySink(), "hook2": MemorySink()}
    both = await Process(process.parts, sinks=sinks).start()
    await both.add("x", target="hook2")
    await both.add("y", target="hook")
    assert both.waiting("hook") == ["y"]
    assert both.waiting("hook2") == ["x"]
    assert waiting_key("hook", 0) < waiting_key("hook2", 0)
    await both.store.close()


async def test_of_a_store_that_somebody_else_goes_on_with_nothing_is_touched(process: Process) -> None:
    await process.add("a")
    store = process.parts.store(sinks={"other": MemorySink()})
    store.commits.supersede("restored elsewhere")
    await store.events.start()
    assert process.waiting() == ["a"]


class FullDisk(CommitQueue):
    """Commits nothing while ``full``."""

    full = False

    async def run(self, work: Callable[[Writing], T], *, wipe: bool = True) -> T:
        if self.full:
            raise DiskFull("no space")
        return await super().run(work, wipe=wipe)


async def test_what_cannot_be_taken_off_the_queue_is_not_sent_again_meanwhile(process: Process) -> None:
    """A full disk must not become a flood at the receiver."""
    parts, store = process.parts, process.store
    commits = FullDisk(parts.index, store.workers, parts.telemetry)
    delivery = Delivery(
        target="hook",
        sink=process.sink,
        index=parts.index,
        commits=commits,
        workers=store.workers,
        clock=parts.clock,
        entropy=parts.entropy,
        telemetry=parts.telemetry,
        settings=SETTINGS,
    )
    await process.add("a")
    commits.full = True
    assert await delivery.run() == 1
    assert await delivery.run() == 0
    assert len(process.sink.attempts) == 1
    commits.full = False
    await process.add("b")
    assert await delivery.run() == 1
    assert process.keys() == ["a", "b"]
    assert process.waiting() == []
    await commits.close()


async def test_a_gateway_that_was_superseded_sends_no_more(process: Process) -> None:
    await process.add("a")
    process.store.commits.supersede("restored elsewhere")
    assert await process.run() == 0
    assert process.sink.attempts == []


async def test_what_is_rejected_for_good_goes_alone_and_is_dropped_in_the_end(process: Process) -> None:
    """And what came with it, and after it, is told."""
    process.sink.rejects = "b"
    await process.add("a", "b", "c")
    for _ in range(1 + REJECTIONS_MOST):
        assert process.waiting()[-1] == "c"
        await process.run()
        process.parts.clock.advance(SETTINGS.retry_most_s)
    await process.run()
    assert process.keys() == ["a", "c"]
    assert process.waiting() == []
    assert (process.counted("delivered"), process.counted("dropped")) == (2, 1)


async def test_a_rejection_that_is_taken_back_costs_nothing(process: Process) -> None:
    process.sink.rejects = "b"
    await process.add("a", "b")
    for _ in range(REJECTIONS_MOST):
        await process.run()
        process.parts.clock.advance(SETTINGS.retry_most_s)
    process.sink.rejects = ""
    await process.run()
    assert process.keys() == ["a", "b"]
    assert process.counted("dropped") == 0
