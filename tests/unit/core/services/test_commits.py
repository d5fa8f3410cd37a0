"""The commit queue: what is grouped, in which order, and who learns what."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.errors import DiskFull, Draining, ObjectNotFound, OutcomeUnknown, StoreSuperseded
from noisefs.core.ports.index import Outcome, Table, Writing
from noisefs.core.ports.telemetry import Counter, Histogram
from noisefs.core.ports.workers import Lane, P, T, Workers
from noisefs.core.services.commits import BATCH, CommitQueue
from tests.support.faults import FullIndex


class RecordingIndex(MemoryIndex):
    """Remembers how each batch was committed, and fails once when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, bool]] = []
        self.failure: Exception | None = None

    def transact(self, batch: Sequence[Callable[[Writing], object]], *, wipe: bool = True) -> list[Outcome[object]]:
        self.batches.append((len(batch), wipe))
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return super().transact(batch, wipe=wipe)


class CutOffWorkers(Workers):
    """A lane that is torn down under its job."""

    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        raise asyncio.CancelledError


@pytest.fixture
def index() -> RecordingIndex:
    """The index under the queue."""
    return RecordingIndex()


@pytest.fixture
def telemetry() -> MemoryTelemetry:
    """What was measured."""
    return MemoryTelemetry()


@pytest.fixture
async def queue(index: RecordingIndex, telemetry: MemoryTelemetry) -> AsyncIterator[CommitQueue]:
    """An idle queue."""
    made = CommitQueue(index, InlineWorkers(), telemetry)
    yield made
    await made.close()


def put(key: bytes, value: bytes = b"v") -> Callable[[Writing], bytes]:
    """Sets a row and returns its value."""

    def work(tx: Writing) -> bytes:
        tx.put(Table.OBJECTS, key, value)
        return value

    return work


def rows(index: MemoryIndex) -> list[bytes]:
    """All keys that were committed."""
    return [key for key, _ in index.read(lambda tx: tx.scan(Table.OBJECTS, b"", b"\xff", 10**6))]


async def test_a_lone_function_is_committed_and_its_value_returned(queue: CommitQueue, index: RecordingIndex) -> None:
    """Nobody waits for company."""
    assert await queue.run(put(b"a", b"value")) == b"value"
    assert rows(index) == [b"a"]
    assert index.batches == [(1, True)]


async def test_functions_queued_together_share_a_commit_in_their_order(
    queue: CommitQueue, index: RecordingIndex, telemetry: MemoryTelemetry
) -> None:
    """One sync; the count and the group size are measured."""

    def count(tx: Writing) -> int:
        number = int(tx.get(Table.META, b"n") or b"0") + 1
        tx.put(Table.META, b"n", b"%d" % number)
        return number

    assert await asyncio.gather(*(queue.run(count) for _ in range(20))) == list(range(1, 21))
    assert index.batches == [(20, True)]
    assert telemetry.counted(Counter.COMMITS) == 1
    assert telemetry.observed(Histogram.COMMIT_GROUP) == [20]


async def test_a_batch_has_at_most_256_functions(queue: CommitQueue, index: RecordingIndex) -> None:
    """The rest follows at once."""
    await asyncio.gather(*(queue.run(put(b"%d" % n)) for n in range(2 * BATCH + 1)))
    assert index.batches == [(BATCH, True), (BATCH, True), (1, True)]


async def test_what_comes_while_a_batch_is_committed_forms_the_next_one(
    queue: CommitQueue, index: RecordingIndex
) -> None:
    """Waiters of the first batch queue again as soon as they are answered."""

    async def client(name: int) -> None:
        for n in range(3):
            await queue.run(put(b"%d-%d" % (name, n)))

    await asyncio.gather(*(client(name) for name in range(5)))
    assert sum(size for size, _ in index.batches) == 15
    assert len(index.batches) <= 6


async def test_wiping_and_other_functions_never_share_a_batch_and_keep_their_order(
    queue: CommitQueue, index: RecordingIndex
) -> None:
    """So that the deletion of a key is always a wiping one."""
    order: list[int] = []

    def note(number: int) -> Callable[[Writing], None]:
        return lambda _tx: order.append(number)

    wipes = [True, True, False, False, False, True, False]
    await asyncio.gather(*(queue.run(note(n), wipe=wipe) for n, wipe in enumerate(wipes)))
    assert index.batches == [(2, True), (3, False), (1, True), (1, False)]
    assert order == list(range(7))


async def test_an_error_reaches_its_own_caller_only(queue: CommitQueue, index: RecordingIndex) -> None:
    """The neighbours are committed."""

    def fails(tx: Writing) -> None:
        tx.put(Table.OBJECTS, b"bad", b"")
        raise ObjectNotFound("bucket", "key")

    answers = await asyncio.gather(queue.run(put(b"a")), queue.run(fails), queue.run(put(b"b")), return_exceptions=True)
    assert [type(answer) for answer in answers] == [bytes, ObjectNotFound, bytes]
    assert rows(index) == [b"a", b"b"]


async def test_a_function_that_raises_stop_iteration_does_not_hang_its_caller(queue: CommitQueue) -> None:
    """A future cannot carry it."""

    def fails(_tx: Writing) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await queue.run(fails)


async def test_a_failed_commit_fails_its_batch_and_the_queue_goes_on(queue: CommitQueue, index: RecordingIndex) -> None:
    """Every waiter learns the cause."""
    index.failure = DiskFull("full")
    answers = await asyncio.gather(*(queue.run(put(b"%d" % n)) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DiskFull] * 3
    await queue.run(put(b"later"))
    assert rows(index) == [b"later"]


async def test_a_function_whose_caller_left_before_its_turn_is_dropped(
    queue: CommitQueue, index: RecordingIndex
) -> None:
    """Its neighbours are not."""
    stays = asyncio.create_task(queue.run(put(b"stays")))
    leaves = asyncio.create_task(queue.run(put(b"leaves")))
    last = asyncio.create_task(queue.run(put(b"stays too")))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.gather(stays, leaves, last, return_exceptions=True)
    assert leaves.cancelled()
    assert rows(index) == [b"stays", b"stays too"]


async def test_a_caller_that_leaves_during_its_commit_disturbs_nobody(index: RecordingIndex) -> None:
    """Its write is there, and the others get their values."""
    queue = CommitQueue(index, InlineWorkers(), MemoryTelemetry())
    callers: list[asyncio.Task[bytes]] = []

    def leave(tx: Writing) -> None:
        callers[0].cancel()
        tx.put(Table.OBJECTS, b"neighbour", b"")

    callers.append(asyncio.create_task(queue.run(put(b"left"))))
    callers.append(asyncio.create_task(queue.run(put(b"stayed"))))
    await queue.run(leave)
    assert await callers[1] == b"v"
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    assert rows(index) == [b"left", b"neighbour", b"stayed"]
    await queue.close()


async def test_close_commits_what_waits_and_refuses_what_comes(queue: CommitQueue, index: RecordingIndex) -> None:
    """Closing twice is fine."""
    waiting = [asyncio.create_task(queue.run(put(b"%d" % n))) for n in range(3)]
    await asyncio.sleep(0)
    await queue.close()
    with pytest.raises(Draining):
        await queue.run(put(b"late"))
    assert await asyncio.gather(*waiting) == [b"v"] * 3
    assert len(rows(index)) == 3
    await queue.close()


async def test_when_the_lane_goes_away_nobody_hangs() -> None:
    """What was under way may have happened, what waited did not."""
    queue = CommitQueue(MemoryIndex(), CutOffWorkers(), MemoryTelemetry())
    answers = await asyncio.gather(*(queue.run(put(b"%d" % n)) for n in range(BATCH + 2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * BATCH + [Draining] * 2


async def test_a_full_disk_is_relieved_once_and_the_batch_tried_again() -> None:
    index = FullIndex()
    queue = CommitQueue(index, InlineWorkers(), MemoryTelemetry())
    index.full_for = 1
    asked: list[bool] = []

    def relief() -> bool:
        asked.append(True)
        return True

    queue.relieve_with(relief)
    await queue.run(lambda tx: tx.put(Table.META, b"k", b"v"))
    assert index.read(lambda tx: tx.get(Table.META, b"k")) == b"v"
    assert asked == [True]
    index.full_for = 2
    with pytest.raises(DiskFull):
        await queue.run(lambda tx: tx.put(Table.META, b"l", b"v"))
    queue.relieve_with(lambda: False)
    index.full_for = 1
    with pytest.raises(DiskFull):
        await queue.run(lambda tx: tx.put(Table.META, b"m", b"v"))


async def test_a_superseded_queue_takes_nothing_any_more(index: RecordingIndex, telemetry: MemoryTelemetry) -> None:
    """What waits is refused with the rest; what was being committed is answered."""
    queue = CommitQueue(index, InlineWorkers(), telemetry)
    await queue.run(lambda tx: tx.put(Table.META, b"before", b"1"))
    waiting = asyncio.create_task(queue.run(lambda tx: tx.put(Table.META, b"waiting", b"1")))
    queue.supersede("another one goes on")
    with pytest.raises(StoreSuperseded, match="another one goes on"):
        await queue.run(lambda tx: tx.put(Table.META, b"after", b"1"))
    with pytest.raises(StoreSuperseded):
        await waiting
    assert [key for key, _ in index.read(lambda tx: tx.scan(Table.META, b"", b"\xff", 9))] == [b"before"]
    await queue.close()
