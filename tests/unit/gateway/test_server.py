"""Listeners: bounded connections, sockets that tell what is wrong, an orderly end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3.prompt import Prompt
from noisefs.core.errors import ConfigError
from noisefs.gateway import server as serving
from noisefs.gateway.config.load import load
from noisefs.gateway.config.schema import Config, LimitsConfig
from noisefs.gateway.config.values import Address
from noisefs.gateway.protocols import s3_malformed
from noisefs.gateway.requests import Answered, ShortWay
from noisefs.gateway.server import BoundedServer, Listener, address_of, bind, bind_local, plainly
from noisefs.gateway.tls import check_exposure, server_context

LOOPBACK = Address("127.0.0.1", 0)


async def answer(_: web.BaseRequest) -> web.StreamResponse:
    """Fine."""
    return web.Response(text="fine")


async def test_connections_beyond_the_bound_are_turned_away() -> None:
    """With an answer that clients know how to take."""
    sock = bind("s3.listen", LOOPBACK)
    address = address_of(sock)
    listener = Listener(answer, sock, LimitsConfig(max_connections=2), None)
    await listener.start()
    held = [await asyncio.open_connection(address.host, address.port) for _ in range(2)]
    for reader, writer in held:  # answered, so they are counted
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    reader, writer = await asyncio.open_connection(address.host, address.port)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    for _, open_writer in (*held, (reader, writer)):
        open_writer.close()
        await open_writer.wait_closed()
    await listener.drain()


async def test_a_slow_first_request_is_cut_off() -> None:
    """A client that sends a header a second holds no connection for long."""
    sock = bind("s3.listen", LOOPBACK)
    address = address_of(sock)
    listener = Listener(answer, sock, LimitsConfig(keepalive_s=0.1), None)
    await listener.start()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert await reader.read() == b""
    writer.close()
    await listener.drain()


async def test_headers_beyond_the_bound_are_refused() -> None:
    """And the connection ends."""
    sock = bind("s3.listen", LOOPBACK)
    address = address_of(sock)
    listener = Listener(answer, sock, LimitsConfig(max_header_bytes=8192), None)
    await listener.start()
    async with ClientSession() as session:
        found = await session.get(f"http://{address}/", headers={"X-Long": "x" * 10_000})
        assert found.status == 431
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(1000)) + b"\r\n")
        assert (await reader.readline()).endswith(b" 400 Bad Request\r\n")
        writer.close()
        await writer.wait_closed()
    await listener.drain()


async def test_s3_tells_in_xml_what_it_could_not_read() -> None:
    """Clients parse every S3 error; what came in is not repeated."""
    sock = bind("s3.listen", LOOPBACK)
    address = address_of(sock)
    listener = Listener(answer, sock, LimitsConfig(), None, s3_malformed)
    await listener.start()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nbad header <script>\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"x-amz-request-id" in head
    assert b"<Code>InvalidRequest</Code>" in body
    assert b"script" not in body
    writer.close()
    await writer.wait_closed()
    await listener.drain()


def test_a_taken_address_is_named() -> None:
    """With the field that says it."""
    with bind("s3.listen", LOOPBACK) as first:
        first.listen()
        with pytest.raises(ConfigError, match=r"s3\.listen is .127\.0\.0\.1:.*one cannot listen there"):
            bind("s3.listen", address_of(first))


def test_several_processes_share_an_address_when_asked() -> None:
    """The system spreads connections over them."""
    with bind("s3.listen", LOOPBACK, shared=True) as first, bind("s3.listen", address_of(first), shared=True) as second:
        assert address_of(first) == address_of(second)


def test_the_local_socket_is_for_this_user_only(tmp_path: Path) -> None:
    """What a dead server left is replaced."""
    path = tmp_path / "admin.sock"
    for _ in range(2):
        with bind_local(path):
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.is_socket()


def test_an_ipv6_listener_on_loopback() -> None:
    """Where the machine has IPv6."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        with bind("s3.listen", Address("::1", 0)) as sock:
            assert str(address_of(sock)).startswith("[::1]:")
    except ConfigError as exc:
        pytest.skip(str(exc))


def exposed(*assignments: str) -> Config:
    """A configuration whose S3 listens everywhere."""
    return load(environment={}, assignments=["s3.listen=0.0.0.0:9000", *assignments]).config


def test_listening_in_the_clear_needs_a_word() -> None:
    """TLS, a trusted proxy, or the operator's word."""
    with pytest.raises(ConfigError, match=r"s3\.listen"):
        check_exposure(exposed())
    check_exposure(exposed("allow_insecure=true"))
    check_exposure(exposed("trusted_proxies=10.0.0.0/8"))
    check_exposure(exposed("tls.certificate=c.pem", "tls.key=k.pem"))
    with pytest.raises(ConfigError, match=r"website\.listen"):
        check_exposure(load(environment={}, assignments=["website.listen=0.0.0.0:1"]).config)
    with pytest.raises(ConfigError, match=r"admin\.token"):
        check_exposure(exposed("allow_insecure=true", "admin.listen=0.0.0.0:1"))


def test_a_bad_certificate_is_named(tmp_path: Path) -> None:
    """Missing, or not PEM."""
    assert server_context(load(environment={}).config.tls) is None
    files = [f"tls.certificate={tmp_path}/c.pem", f"tls.key={tmp_path}/k.pem"]
    with pytest.raises(ConfigError, match=r"tls\.certificate and tls\.key"):
        server_context(load(environment={}, assignments=files).config.tls)


class Slowly:
    """A short way that keeps what it began until it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, bytes, Callable[[Answered | None], None]]] = []
        self.came = asyncio.Event()
        self.long = asyncio.Event()
        """Set when a request took the long way."""

    def begin(
        self, message: RawRequestMessage, body: bytes, _peer: str, done: Callable[[Answered | None], None]
    ) -> bool:
        """Begin every PUT but those of ``/odd``."""
        if message.method != "PUT" or message.path == "/odd":
            return False
        self.begun.append((message.path, body, done))
        self.came.set()
        return True

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The long way: tells what came."""
        self.long.set()
        if "Expect" in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return web.Response(text=f"long {request.path} {(await request.read()).decode()}")

    async def next(self) -> tuple[str, bytes, Callable[[Answered | None], None]]:
        """What was begun, oldest first."""
        while not self.begun:
            self.came.clear()
            await self.came.wait()
        return self.begun.pop(0)


@asynccontextmanager
async def slow_server() -> AsyncIterator[tuple[Slowly, BoundedServer, Address]]:
    """A server whose short way waits."""
    way = Slowly()
    server = BoundedServer(way.answer, LimitsConfig(), plainly, ShortWay(lambda _message, _peer: None, way.begin))
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    sock = bind("s3.listen", LOOPBACK)
    try:
        await web.SockSite(runner, sock).start()
        yield way, server, address_of(sock)
    finally:
        await runner.cleanup()
        sock.close()


def put(path: str, body: bytes) -> bytes:
    """A request in one piece."""
    return b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


SHORT = Prompt(200, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"short")


async def test_requests_behind_one_that_waits_are_answered_in_order() -> None:
    """Whether they came with it or later, and whichever way they take."""
    async with slow_server() as (way, _server, address):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(put("/a", b"one"))
        path, body, done = await way.next()
        assert (path, body) == ("/a", b"one")
        writer.write(put("/odd", b"two") + put("/b", b"three"))
        async with ClientSession() as session:  # a whole turn of the loop and more: nothing overtakes
            assert await (await session.get(f"http://{address}/other")).text() == "long /other "
        done(SHORT)
        assert (await reader.readuntil(b"short")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"long /odd two" in await reader.readuntil(b"two")
        assert b"long /b three" in await reader.readuntil(b"three")  # it came behind one that took the long way
        writer.write(put("/c", b""))
        path, body, done = await way.next()
        assert (path, body) == ("/c", b"")
        done(SHORT)
        await reader.readuntil(b"short")
        writer.close()
        await writer.wait_closed()


async def test_what_cannot_be_begun_or_fails_takes_the_long_way_with_its_body() -> None:
    """The body is read a second time."""
    async with slow_server() as (way, _server, address):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(put("/odd", b"body1"))
        assert b"long /odd body1" in await reader.readuntil(b"body1")
        writer.write(put("/a", b"body2"))
        _path, _body, done = await way.next()
        done(None)
        assert b"long /a body2" in await reader.readuntil(b"body2")
        writer.write(put("/large", b"x" * 20_000))
        assert b"long /large" in await reader.readuntil(b"x" * 20_000)
        head, body = put("/late", b"body3").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await writer.drain()
        async with ClientSession() as session:
            await (await session.get(f"http://{address}/other")).text()
        writer.write(body[:2])
        async with ClientSession() as session:
            await (await session.get(f"http://{address}/other")).text()
        writer.write(body[2:])
        path, whole, done = await way.next()
        assert (path, whole) == ("/late", b"body3")
        done(SHORT)
        await reader.readuntil(b"short")
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_does_not_come_is_waited_for_by_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has a limit of its own; so has a client that waits for an invitation."""
    async with slow_server() as (way, _server, address):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"PUT /asks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ab")
        assert b"long /asks ab" in await reader.readuntil(b"ab")
        monkeypatch.setattr(serving, "LATE_S", 0.0)
        way.long.clear()
        writer.write(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        await way.long.wait()
        writer.write(b"b")
        assert b"long /slow ab" in await reader.readuntil(b"ab")
        assert not way.begun
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_left_does_not_hear_of_its_request() -> None:
    """The answer finds nobody, and harms nobody."""
    async with slow_server() as (way, _server, address):
        _reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(put("/a", b"one"))
        _path, _body, done = await way.next()
        writer.transport.abort()
        async with ClientSession() as session:
            assert (await session.get(f"http://{address}/other")).status == 200
        done(SHORT)
        async with ClientSession() as session:
            assert (await session.get(f"http://{address}/other")).status == 200


async def test_a_drain_waits_for_requests_that_were_begun() -> None:
    """Their connections have no task that would show it."""
    async with slow_server() as (way, server, address):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(put("/a", b"one"))
        _path, _body, done = await way.next()
        assert server.close_idle() == 1
        done(SHORT)
        assert b"short" in await reader.readuntil(b"short")
        assert server.close_idle() == 0
        writer.close()
