"""Long bodies over real connections: whole and in order, or visibly cut off."""

import asyncio
import errno
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from noisefs.adapters.inbound.sending.outgoing import STRAIGHT_FROM, Outgoing

DATA = random.Random(7).randbytes(24 << 20)
PIECE = 1 << 20

Take = Callable[[memoryview], int]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Body:
    """A body that is offered piece by piece on a thread, like one that is read there."""

    def __init__(self, data: bytes, *, fails_at: int | None = None) -> None:
        self.data = memoryview(data)
        self.offered = self.left = 0
        self._fails_at = fails_at

    async def chunks(self, take: Take | None) -> AsyncIterator[memoryview]:
        """The pieces that were not taken."""
        for at in range(0, len(self.data), PIECE):
            if self._fails_at is not None and at >= self._fails_at:
                raise LookupError("no more")
            piece = self.data[at : at + PIECE]
            taken = 0
            if take is not None:
                self.offered += 1
                taken = await asyncio.to_thread(take, piece)
            if taken < len(piece):
                self.left += 1
                yield piece[taken:]


@asynccontextmanager
async def served(
    handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of this handler."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    address = runner.addresses[0]
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # small, so that the server meets a full socket
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    ours = None if tls is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ours is not None:
        ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    host = None if ours is None else "localhost"
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16, ssl=ours, server_hostname=host)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await runner.cleanup()


def pouring(body: Body, *, size: int | None = None, timeout_s: float = 30.0) -> Handler:
    """Answers every request with the body."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = Outgoing(status=200, headers={"X-Name": "one"})
        await response.pour(request, body.chunks, len(body.data) if size is None else size, timeout_s)
        assert response.prepared
        assert response.body_length == len(body.data)
        return response

    return handle


async def answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers and body, as far as it comes."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:-2])
    left, body = int(fields["content-length"]), bytearray()
    while left and (piece := await reader.read(min(left, 1 << 20))):
        body += piece
        left -= len(piece)
    return head[0], fields, bytes(body)


@pytest.mark.parametrize("size", [1, 70_000, STRAIGHT_FROM, len(DATA)])
async def test_bodies_arrive_whole_and_the_connection_lives_on(size: int) -> None:
    body = Body(DATA[:size])
    async with served(pouring(body)) as (reader, writer):
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            status, fields, received = await answer(reader)
            assert status == "HTTP/1.1 200 OK"
            assert fields["x-name"] == "one"
            assert "connection" not in fields
            assert received == DATA[:size]
    assert bool(body.offered) is (size >= STRAIGHT_FROM)
    assert body.left > 0 or size == STRAIGHT_FROM  # the socket was full at times, and the transport sent the rest


async def test_answers_to_requests_sent_at_once_come_one_after_another() -> None:
    """What still waits in the transport is not overtaken."""
    async with served(pouring(Body(DATA[: 5 << 20]))) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        for _ in range(4):
            _status, _fields, received = await answer(reader)
            assert received == DATA[: 5 << 20]


@pytest.mark.parametrize(
    ("line", "asked", "told"),
    [("1.1", "close", "close"), ("1.0", "", "close"), ("1.0", "keep-alive", "keep-alive")],
)
async def test_the_answer_says_whether_the_connection_ends(line: str, asked: str, told: str) -> None:
    async with served(pouring(Body(DATA[: 1 << 20]))) as (reader, writer):
        writer.write(f"GET / HTTP/{line}\r\nHost: a\r\nConnection: {asked}\r\n\r\n".encode())
        _status, fields, received = await answer(reader)
        assert fields["connection"] == told
        assert received == DATA[: 1 << 20]
        if told == "close":
            assert await reader.read() == b""


async def test_a_body_that_fails_later_is_cut_off() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with suppress(LookupError):
            await pouring(Body(DATA, fails_at=4 << 20))(request)
        return web.Response(text="too late")

    async with served(handle) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        try:
            _status, _fields, received = await answer(reader)
            assert await reader.read() == b""
        except ConnectionError:
            pass
        assert len(received) <= 4 << 20
        assert received == DATA[: len(received)]


async def test_a_body_that_fails_before_its_first_byte_has_another_answer() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = Outgoing()
        with pytest.raises(LookupError):
            await response.pour(request, Body(DATA, fails_at=0).chunks, len(DATA), 30.0)
        assert not response.prepared
        return web.Response(status=404, text="nothing")

    async with served(handle) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            status, _fields, received = await answer(reader)
            assert (status, received) == ("HTTP/1.1 404 Not Found", b"nothing")


async def test_a_body_that_is_too_short_is_cut_off() -> None:
    body = Body(DATA[: 3 << 20])
    ended = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with pytest.raises(ConnectionAbortedError):
            await pouring(body, size=len(body.data) + 1)(request)
        ended.set()
        return web.Response(text="too late")

    async with served(handle) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            _status, _fields, received = await answer(reader)
            assert len(received) <= 3 << 20
        except ConnectionError:
            pass
        await ended.wait()


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with pytest.raises(ConnectionError):
            await pouring(Body(DATA), timeout_s=0.1)(request)
        ended.set()
        return web.Response(text="too late")

    async with served(handle) as (_reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(ended.wait(), 20)


async def test_a_client_that_goes_away_ends_the_body() -> None:
    ended = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with pytest.raises(ConnectionError):
            await pouring(Body(DATA))(request)
        ended.set()
        return web.Response(text="too late")

    async with served(handle) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(100_000)
        writer.transport.abort()
        await ended.wait()


async def test_a_cancelled_answer_sends_nothing_more_and_closes() -> None:
    """Also where a thread still holds a piece: its socket is gone, nobody else's is touched."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    takes: list[Take] = []

    async def chunks(take: Take | None) -> AsyncIterator[memoryview]:
        assert take is not None
        takes.append(take)
        assert await asyncio.to_thread(take, memoryview(b"x" * 1000)) == 1000
        begun.set()
        await go_on.wait()
        yield memoryview(b"never")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = Outgoing()
        pour = asyncio.ensure_future(response.pour(request, chunks, STRAIGHT_FROM, 30.0))
        await begun.wait()
        pour.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pour
        assert takes[0](memoryview(b"y")) == 0
        return web.Response(text="too late")

    async with served(handle) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            _status, _fields, received = await answer(reader)
            assert received == b"x" * 1000
        except ConnectionError:
            pass


async def test_a_header_cannot_hold_another() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = Outgoing(headers={"X-Name": "one\r\nX-Other: two"})
        with pytest.raises(ValueError, match="control"):
            await response.pour(request, Body(DATA).chunks, len(DATA), 30.0)
        return web.Response(text="refused")

    async with served(handle) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await answer(reader))[2] == b"refused"


@pytest.mark.parametrize(
    "test",
    [
        lambda: test_bodies_arrive_whole_and_the_connection_lives_on(len(DATA)),
        test_answers_to_requests_sent_at_once_come_one_after_another,
        test_a_body_that_fails_later_is_cut_off,
        test_a_client_that_takes_nothing_is_cut_off,
        test_a_client_that_goes_away_ends_the_body,
        test_a_cancelled_answer_sends_nothing_more_and_closes,
    ],
)
def test_it_is_the_same_on_the_event_loop_that_serves(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The tests above run on asyncio's own, whose transports differ."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())


async def test_without_a_descriptor_to_spare_the_transport_sends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_fd: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    body = Body(DATA[: 3 << 20])
    async with served(pouring(body)) as (reader, writer):
        monkeypatch.setattr(os, "dup", none_left)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await answer(reader))[2] == DATA[: 3 << 20]
        assert body.offered == 0


def context(folder: Path) -> ssl.SSLContext:
    """A server's, with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    ).sign(key, hashes.SHA256())
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(path)
    return found


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_nothing_passes_by_what_encrypts(tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def get_twice() -> None:
        body = Body(DATA[: 5 << 20])
        async with served(pouring(body), context(tmp_path)) as (reader, writer):
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await answer(reader))[2] == DATA[: 5 << 20]
        assert body.offered == 0

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(get_twice())
