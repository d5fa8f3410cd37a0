"""The way of events to one receiver: in order, at least once, again after each failure, later and later.

Promise: an event leaves its queue only when the receiver said that it has it, when it is too old, when the queue is
full, or when the receiver rejects it again and again, alone in its message; the last three are counted and told. What
happened before a kill is sent after it. Each target has a delivery of its own, so none waits for another.

Cost: one look at the index a run where nothing waits; a commit for each message.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.backoff import pause_s
from noisefs.core.domain.buckets.event_rows import EventQueue, WaitingEvent, message_of
from noisefs.core.domain.buckets.notification import TEST
from noisefs.core.errors import CapacityExceeded, EventRefused, EventRejected
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index, Reading
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.events import queue

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 1.0
REJECTIONS_MOST: Final = 3
"""An event that was rejected so often, alone in its message, is dropped: else all that follow would wait for ever."""

_Events = list[tuple[int, WaitingEvent]]


@dataclass(frozen=True, slots=True)
class EventSettings:
    """How events are told.

    Attributes:
        region: That records name.
        queue_most: Events that wait for a target at most; the oldest goes for each further one.
        max_age_s: Older ones are not sent any more.
        batch_most: Events of one message.
        retry_most_s: The longest pause between two attempts.
    """

    region: str = "us-east-1"
    queue_most: int = 100_000
    max_age_s: float = 86_400.0
    batch_most: int = 100
    retry_most_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What waits now."""

    queue: EventQueue | None
    events: _Events


class Delivery:
    """Sends the events of one target. Task-safe as long as one run goes on at a time."""

    def __init__(
        self,
        *,
        target: str,
        sink: EventSink,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        settings: EventSettings,
    ) -> None:
        self._target = target
        self._sink = sink
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._settings = settings
        self._failures = 0
        self._rest_until_s = 0.0
        self._tried: tuple[int, int] | None = None
        """First and last number of the message that was sent last and not taken: it is sent as it was."""
        self._taken_upto = 0
        """Number below which the receiver has everything, and the queue does not know yet; 0: it knows."""
        self._dropped: int | None = None
        self._alone_upto = 0
        """Events below this number go one by one: a message with some of them was rejected."""
        self._rejections = 0

    async def run(self) -> int:
        """Send what waits, until nothing does or the receiver refuses; returns how many it took."""
        if self._commits.superseded or (self._taken_upto and not await self._settled()):
            return 0
        taken = 0
        while True:
            look = await self._workers.run(Lane.BACKGROUND, self._index.read, self._look)
            if look.queue is None:
                return taken
            self._measure(look.queue)
            if not look.events:
                return taken
            aged = self._aged(look.events)
            if aged:
                await self._drop_aged(aged)
                continue
            if self._clock.monotonic_s() < self._rest_until_s:
                return taken
            events = self._message(look.events)
            if not await self._sent(events):
                return taken
            taken += len(events)
            if not await self._settled():
                return taken

    def _look(self, tx: Reading) -> _Look:
        return _Look(queue.of(tx, self._target), queue.head(tx, self._target, self._settings.batch_most))

    def _message(self, events: _Events) -> _Events:
        """The events that go together: those of the last attempt, if it failed; a test event alone."""
        if self._tried is not None and self._tried[0] == events[0][0]:
            return [one for one in events if one[0] <= self._tried[1]]
        if events[0][1].event == TEST or events[0][0] < self._alone_upto:
            return events[:1]
        tests = (place for place, (_, event) in enumerate(events) if event.event == TEST)
        return events[: next(tests, len(events))]

    async def _sent(self, events: _Events) -> bool:
        """Send one message."""
        first, last = events[0][0], events[-1][0]
        body = await self._workers.run(Lane.BACKGROUND, message_of, events, self._settings.region)
        self._tried = first, last
        try:
            await self._sink.send(f"msg_{events[0][1].sequence:x}_{first:x}_{last:x}", body)
        except EventRejected as exc:
            self._refused(exc)
            await self._rejected(first, last, exc)
            return False
        except EventRefused as exc:
            self._refused(exc)
            return False
        self._tried, self._taken_upto, self._rejections = None, last + 1, 0
        self._count("delivered", len(events))
        if self._failures:
            log.info("events.delivered_again", extra={"target": self._target, "failures": self._failures})
        self._failures, self._rest_until_s = 0, 0.0
        return True

    async def _settled(self) -> bool:
        """Take what the receiver has off the queue. Until that is done nothing is sent: it would be the same again."""
        try:
            await self._commits.run(partial(queue.take_off, target=self._target, upto=self._taken_upto))
        except CapacityExceeded as exc:
            log.info("events.not_settled", extra={"target": self._target, "cause": str(exc)})
            return False
        self._taken_upto = 0
        return True

    def _refused(self, cause: EventRefused) -> None:
        self._failures += 1
        spread = int.from_bytes(self._entropy.secret(2), "big") / 65536
        rest_s = pause_s(self._failures, spread, first_s=FIRST_PAUSE_S, most_s=self._settings.retry_most_s)
        self._rest_until_s = self._clock.monotonic_s() + rest_s
        self._count("failed", 1)
        level = logging.WARNING if self._failures == 1 else logging.INFO
        log.log(
            level, "events.refused", extra={"target": self._target, "cause": str(cause), "rest_s": round(rest_s, 1)}
        )

    async def _rejected(self, first: int, last: int, cause: EventRejected) -> None:
        """Find the event that is to blame, and let it go in the end."""
        if first != last:
            self._tried, self._alone_upto = None, last + 1
            return
        self._rejections += 1
        if self._rejections < REJECTIONS_MOST:
            return
        gone = await self._commits.run(partial(queue.take_off, target=self._target, upto=last + 1))
        self._tried, self._rejections = None, 0
        self._count("dropped", gone)
        log.warning("events.dropped", extra={"target": self._target, "events": gone, "cause": str(cause)})

    def _aged(self, events: Sequence[tuple[int, WaitingEvent]]) -> _Events:
        """The first events, as far as they are too old. Clocks step: one that is not ends it."""
        before_us = self._clock.now_us() - int(self._settings.max_age_s * 1e6)
        aged: _Events = []
        for one in events:
            if one[1].at_us >= before_us:
                break
            aged.append(one)
        return aged

    async def _drop_aged(self, aged: _Events) -> None:
        gone = await self._commits.run(partial(queue.take_off, target=self._target, upto=aged[-1][0] + 1))
        self._count("dropped", gone)
        log.warning("events.dropped", extra={"target": self._target, "events": gone, "cause": "too old"})

    def _measure(self, found: EventQueue) -> None:
        self._telemetry.gauge(Gauge.EVENTS_WAITING, found.waiting, (self._target,))
        if self._dropped is not None and found.dropped > self._dropped:
            gone = found.dropped - self._dropped
            self._count("dropped", gone)
            log.warning("events.dropped", extra={"target": self._target, "events": gone, "cause": "the queue is full"})
        self._dropped = found.dropped

    def _count(self, outcome: str, amount: int) -> None:
        self._telemetry.count(Counter.EVENTS, amount, (self._target, outcome))
