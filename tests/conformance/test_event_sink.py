"""The port ``EventSink``: what every receiver of events promises to whoever sends."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.redisstream.sink import RedisStream
from noisefs.adapters.outbound.webhook.sink import Webhook
from noisefs.core.errors import EventRefused
from noisefs.core.ports.events import EventSink
from tests.support.receivers import MemorySink, receiving
from tests.support.redis_server import redis_server


@dataclass
class Subject:
    """A sink, what its receiver has, and how to make it refuse once."""

    sink: EventSink
    taken: Callable[[], int]
    refuse: Callable[[], None]
    relent: Callable[[], None]


@asynccontextmanager
async def memory() -> AsyncIterator[Subject]:
    sink = MemorySink()

    def down(*, down: bool) -> None:
        sink.down = down

    yield Subject(sink, lambda: len(sink.messages), lambda: down(down=True), lambda: down(down=False))
    await sink.close()


@asynccontextmanager
async def webhook() -> AsyncIterator[Subject]:
    with receiving() as receiver:
        sink = Webhook("hook", receiver.url, "a secret of enough bytes", clock=ManualClock(), timeout_s=5)
        yield Subject(
            sink, lambda: len(receiver.messages), lambda: receiver.statuses.append(503), receiver.statuses.clear
        )
        await sink.close()


@asynccontextmanager
async def redis() -> AsyncIterator[Subject]:
    with redis_server() as server:
        sink = RedisStream("stream", server.url, "events", timeout_s=5)
        yield Subject(sink, server.entries, server.refuse, server.relent)
        await sink.close()


@pytest.fixture(params=[memory, webhook, pytest.param(redis, marks=pytest.mark.needs("redis-server"))])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with request.param() as found:
        yield found


async def test_a_message_that_was_sent_is_there(subject: Subject) -> None:
    await subject.sink.send("msg_1", b"{}")
    assert subject.taken() == 1


async def test_a_refusal_is_told_and_leaves_the_way_open(subject: Subject) -> None:
    subject.refuse()
    with pytest.raises(EventRefused):
        await subject.sink.send("msg_1", b"{}")
    subject.relent()
    await subject.sink.send("msg_1", b"{}")
    assert subject.taken() == 1


async def test_closing_twice_does_no_harm(subject: Subject) -> None:
    await subject.sink.send("msg_1", b"{}")
    await subject.sink.close()
    await subject.sink.close()
