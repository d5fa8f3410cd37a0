"""Webhooks over a real socket: signed as the specification says, and nothing but 2xx is a yes."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.webhook.signing import key_of, signed_headers
from noisefs.adapters.outbound.webhook.sink import Webhook
from noisefs.core.errors import EventRefused, EventRejected, InvalidArgument
from tests.support.receivers import Receiver, receiving

SECRET = "a secret of enough bytes"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
async def hook(receiver: Receiver) -> AsyncIterator[Webhook]:
    hook = Webhook("hook", f"{receiver.url}/path?q=1", SECRET, clock=ManualClock(), timeout_s=5)
    yield hook
    await hook.close()


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the specification's reference implementation."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["short", "whsec_%%%", "whsec_c2hvcnQ=", ""])
def test_weak_and_broken_secrets_are_refused_and_never_repeated(secret: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        key_of(secret)
    assert not secret or secret not in str(refused.value)


async def test_a_message_is_posted_signed(receiver: Receiver, hook: Webhook) -> None:
    await hook.send("msg_1", b'{"a":1}')
    await hook.send("msg_2", b"{}")
    first, second = receiver.messages
    headers = {name.lower(): value for name, value in first.headers.items()}
    assert (first.path, first.body, headers["content-type"]) == ("/path?q=1", b'{"a":1}', "application/json")
    stamp = headers["webhook-timestamp"]
    expected = hmac.digest(SECRET.encode(), f"msg_1.{stamp}.".encode() + first.body, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert {name.lower(): value for name, value in second.headers.items()}["webhook-id"] == "msg_2"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 410, 413, 415, 422, 429, 500, 503])
async def test_whatever_is_not_2xx_is_a_refusal_and_no_redirection_is_followed(
    receiver: Receiver, hook: Webhook, status: int
) -> None:
    receiver.statuses.append(status)
    with pytest.raises(EventRefused, match=str(status)) as refused:
        await hook.send("msg_1", b"{}")
    assert isinstance(refused.value, EventRejected) is (status in (400, 413, 415, 422))
    assert [one.path for one in receiver.refused] == ["/path?q=1"]
    assert not receiver.messages
    await hook.send("msg_1", b"{}")
    assert len(receiver.messages) == 1


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The URL of a receiver that answers one connection."""
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    await ended.wait()
    server.close()
    await server.wait_closed()


async def test_a_receiver_that_says_nothing_is_not_waited_for() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answering(silent) as url:
        hook = Webhook("hook", url, SECRET, clock=ManualClock(), timeout_s=0.05)
        with pytest.raises(EventRefused, match=r"0\.05 s"):
            await hook.send("msg_1", b"{}")
        await hook.close()


async def test_a_receiver_that_is_not_there_is_a_refusal_that_does_not_tell_the_url() -> None:
    with receiving() as gone:
        url = f"{gone.url}/token"
    hook = Webhook("hook", url, SECRET, clock=ManualClock(), timeout_s=5)
    with pytest.raises(EventRefused) as refused:
        await hook.send("msg_1", b"{}")
    assert "token" not in str(refused.value)
    await hook.close()


async def test_an_endless_answer_is_not_read() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10\r\n" + b"x" * 16 + b"\r\n")
            await writer.drain()

    async with answering(endless) as url:
        hook = Webhook("hook", url, SECRET, clock=ManualClock(), timeout_s=5)
        await hook.send("msg_1", b"{}")
        await hook.close()


async def test_a_closed_one_refuses(hook: Webhook) -> None:
    await hook.close()
    with pytest.raises(EventRefused):
        await hook.send("msg_1", b"{}")
