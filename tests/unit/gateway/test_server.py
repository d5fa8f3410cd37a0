"""Listeners: bounded connections, sockets that tell what is wrong, an orderly end."""

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.load import load
from noisefs.gateway.config.schema import Config, LimitsConfig
from noisefs.gateway.config.values import Address
from noisefs.gateway.protocols import s3_malformed
from noisefs.gateway.server import Listener, address_of, bind, bind_local
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
    with pytest.raises(ConfigError, match=r"admin\.token"):
        check_exposure(exposed("allow_insecure=true", "admin.listen=0.0.0.0:1"))


def test_a_bad_certificate_is_named(tmp_path: Path) -> None:
    """Missing, or not PEM."""
    assert server_context(load(environment={}).config.tls) is None
    files = [f"tls.certificate={tmp_path}/c.pem", f"tls.key={tmp_path}/k.pem"]
    with pytest.raises(ConfigError, match=r"tls\.certificate and tls\.key"):
        server_context(load(environment={}, assignments=files).config.tls)
