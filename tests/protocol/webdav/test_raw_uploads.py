"""Uploads that go wrong on the wire: nothing short, over-long or cut off ever becomes a file."""

import asyncio
import io

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from tests.support.webdav_server import PASSWORD, USER, WebdavServer, basic, serve

AUTH = f"Authorization: {basic(USER, PASSWORD)}\r\n"


class Wire:
    """A bare connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: str | bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def head(self) -> str:
        """Status line and headers of the next answer; empty where the connection ended instead."""
        try:
            async with asyncio.timeout(10):
                return (await self.reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""

    async def status(self) -> int:
        """Status of the next answer; 0 where the connection ended instead."""
        head = await self.head()
        return int(head.split()[1]) if head else 0

    async def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def old(dav: WebdavServer) -> WebdavServer:
    """A server on which ``/bucket/f`` holds ``old``."""
    await dav("PUT", "/bucket/f", b"old")
    return dav


async def connect(dav: WebdavServer) -> Wire:
    """A new connection."""
    return Wire(*await asyncio.open_connection("127.0.0.1", dav.port))


async def settled(dav: WebdavServer) -> None:
    """Wait until the server has no request under way."""
    async with asyncio.timeout(10):
        while dav.adapter.open_requests:
            await asyncio.sleep(0.01)


async def kept(dav: WebdavServer) -> bytes:
    """What ``/bucket/f`` holds once all is quiet."""
    await settled(dav)
    return (await dav("GET", "/bucket/f")).body


async def test_a_put_cut_off_within_content_length(old: WebdavServer) -> None:
    """WsgiDAV commits it."""
    for sent in (0, 1, 99_999):
        wire = await connect(old)
        await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 100000\r\n\r\n")
        await wire.send(b"n" * sent)
        wire.writer.close()
        await wire.writer.wait_closed()
        assert await kept(old) == b"old"


async def test_a_put_cut_off_by_a_reset(old: WebdavServer) -> None:
    """However hard the client hangs up."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 1000000\r\n\r\n" + "n" * 300_000)
    await wire.close()
    assert await kept(old) == b"old"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "5\r\n",
        "5\r\nnew",
        "5\r\nnewer",
        "5\r\nnewer\r\n",
        "5\r\nnewer\r\n0",
        "5\r\nnewer\r\n0\r\n",
        "10000\r\n" + "n" * 65536 + "\r\n",
    ],
)
async def test_a_chunked_put_without_its_end(old: WebdavServer, body: str) -> None:
    """The last chunk must have come."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n{body}")
    wire.writer.close()
    await wire.writer.wait_closed()
    assert await kept(old) == b"old"


@pytest.mark.parametrize(("expected", "status"), [("4", 400), ("6", 400), ("5", 204), ("five", 204), ("9" * 5000, 204)])
async def test_chunks_that_are_not_as_many_bytes_as_the_client_said(
    old: WebdavServer, expected: str, status: int
) -> None:
    """Finder tells the length beside the chunks: a proxy that ends them too early makes no short file."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n")
    await wire.send(f"X-Expected-Entity-Length: {expected}\r\n\r\n5\r\nnewer\r\n0\r\n\r\n")
    assert await wire.status() == status
    await wire.close()
    assert await kept(old) == (b"newer" if status == 204 else b"old")


@pytest.mark.parametrize(("expected", "status"), [("5", 204), ("6", 400), ("0", 400)])
async def test_a_proxy_that_puts_chunks_together_and_loses_some(old: WebdavServer, expected: str, status: int) -> None:
    """It tells the length of what it has; the client's own word goes along."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 5\r\n")
    await wire.send(f"X-Expected-Entity-Length: {expected}\r\n\r\nnewer")
    assert await wire.status() == status
    await wire.close()
    assert await kept(old) == (b"newer" if status == 204 else b"old")


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate", "chunked, gzip, chunked"])
async def test_a_transfer_coding_that_nobody_decodes(old: WebdavServer, coding: str) -> None:
    """What came would be kept as it is: other bytes than the client meant."""
    wire = await connect(old)
    await wire.send(
        f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: {coding}\r\n\r\n3\r\nnew\r\n0\r\n\r\n"
    )
    assert await wire.status() in (0, 400, 501)
    await wire.close()
    assert await kept(old) == b"old"


@pytest.mark.parametrize(
    "body", ["x\r\nnewer\r\n0\r\n\r\n", "-1\r\nn\r\n0\r\n\r\n", "5\r\nnewerX0\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\nn"]
)
async def test_broken_chunk_framing(old: WebdavServer, body: str) -> None:
    """400, and nothing is kept."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n{body}")
    assert await wire.status() in (0, 400)
    await wire.close()
    assert await kept(old) == b"old"


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -1\r\n",
        "Content-Length: x\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip, nonsense\r\n",
    ],
)
async def test_lengths_that_mean_nothing(old: WebdavServer, headers: str) -> None:
    """400, or the connection ends; two lengths are how requests are smuggled."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}{headers}\r\nnew")
    assert await wire.status() in (0, 400)
    await wire.close()
    assert await kept(old) == b"old"


async def test_bytes_behind_the_declared_length_are_the_next_request(old: WebdavServer) -> None:
    """They never become part of the file."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 3\r\n\r\nnewGET / nonsense\r\n\r\n")
    status = await wire.status()
    await wire.close()
    assert (status, await kept(old)) in ((204, b"new"), (400, b"old"))


async def test_a_put_without_a_body(old: WebdavServer) -> None:
    """No length and no chunks: no bytes (RFC 9112 section 6.3)."""
    wire = await connect(old)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n")
    assert await wire.status() == 204
    await wire.close()
    assert await kept(old) == b""


async def test_100_continue_comes_after_all_checks(old: WebdavServer) -> None:
    """A client that asks first sends its body only where it is wanted."""
    wire = await connect(old)
    head = "PUT {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    await wire.send(head.format("/bucket/f", AUTH))
    assert await wire.status() == 100
    await wire.send("new")
    assert await wire.status() == 204
    assert await kept(old) == b"new"
    for path, auth, status in (("/bucket/f", "", 401), ("/bucket/no/f", AUTH, 409), ("/bucket", AUTH, 405)):
        refused = await connect(old)
        await refused.send(head.format(path, auth))
        answer = await refused.head()
        assert int(answer.split()[1]) == status
        assert "connection: close" in answer.lower()
        await refused.close()
    await wire.close()


async def test_a_large_upload_without_a_login_reads_the_challenge(old: WebdavServer) -> None:
    """Windows sends the whole file first, and takes a reset for a broken network."""
    wire = await connect(old)
    size = 8 << 20
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n")
    for _ in range(size // 65536):
        await wire.send(b"n" * 65536)
    answer = await wire.head()
    assert " 401 " in answer
    assert "www-authenticate: basic" in answer.lower()
    await wire.close()
    assert await kept(old) == b"old"


async def test_a_small_refused_body_leaves_the_connection_usable(old: WebdavServer) -> None:
    """It is read and dropped, so that the client's next request, with a login, needs no new connection."""
    wire = await connect(old)
    await wire.send("PUT /bucket/f HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nnew")
    answer = await wire.head()
    assert " 401 " in answer
    length = int(answer.lower().split("content-length: ")[1].split("\r\n")[0])
    await wire.reader.readexactly(length)
    await wire.send(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 3\r\n\r\nnew")
    assert await wire.status() == 204
    await wire.close()


@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "LOCK"])
async def test_a_client_that_stops_sending_is_cut_off(method: str) -> None:
    """408 after the time it has, whatever the method; the file stays."""
    async with serve(WebdavSettings(body_timeout_s=0.05)) as dav:
        await dav("PUT", "/bucket/f", b"old")
        wire = await connect(dav)
        await wire.send(f"{method} /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}Depth: 0\r\nContent-Length: 100\r\n\r\n<a")
        answer = await wire.head()
        assert " 408 " in answer
        assert "connection: close" in answer.lower()
        await wire.close()
        assert await kept(dav) == b"old"


async def test_stalled_requests_hold_no_thread() -> None:
    """With one thread for WsgiDAV, a dozen stalled bodies do not keep anyone from it."""
    async with serve(WebdavSettings(threads=1)) as dav:
        wires = [await connect(dav) for _ in range(12)]
        for number, wire in enumerate(wires):
            method = ("PUT", "PROPPATCH", "LOCK", "PROPFIND")[number % 4]
            await wire.send(
                f"{method} /bucket/s{number} HTTP/1.1\r\nHost: x\r\n{AUTH}Depth: 0\r\nContent-Length: 9\r\n\r\n<"
            )
        async with asyncio.timeout(10):
            assert (await dav("MKCOL", "/bucket/d")).status == 201
            assert (await dav("MOVE", "/bucket/d", Destination="/bucket/e")).status == 201
        for wire in wires:
            await wire.close()


async def test_many_stalled_uploads_leave_room_for_others(old: WebdavServer) -> None:
    """A hundred large bodies that stop in the middle, declared or in chunks, also of the file that others replace."""
    wires = [await connect(old) for _ in range(100)]
    for number, wire in enumerate(wires):
        framing = "Content-Length: 10000000" if number % 2 else "Transfer-Encoding: chunked"
        path = f"/bucket/s{number}" if number % 4 else "/bucket/f"
        await wire.send(f"PUT {path} HTTP/1.1\r\nHost: x\r\n{AUTH}{framing}\r\n\r\n")
        await wire.send(b"n" * 300_000 if number % 2 else b"100000\r\n" + b"n" * 300_000)
    async with asyncio.timeout(20):
        for size in (10, 100_000, 3_000_000):
            assert (await old("PUT", "/bucket/f", io.BytesIO(b"x" * size))).status == 204
            assert (await old("GET", "/bucket/f")).body == b"x" * size
        assert (await old("PROPFIND", "/bucket/", Depth="1")).status == 207
    for wire in wires:
        await wire.close()
    assert await kept(old) == b"x" * 3_000_000


async def test_a_reader_that_stops_reading_is_cut_off() -> None:
    """It does not hold its file, nor a thread, for ever."""
    size = 12 << 20
    async with serve(WebdavSettings(body_timeout_s=0.2)) as dav:
        await dav("PUT", "/bucket/f", io.BytesIO(b"n" * size))
        wire = await connect(dav)
        await wire.send(f"GET /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n")
        assert await wire.status() == 200
        await settled(dav)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.reader.readexactly(size)
        await wire.close()


async def test_http_1_0(old: WebdavServer) -> None:
    """Without Host, without chunks: the connection's end is the answer's."""
    wire = await connect(old)
    await wire.send(f"PROPFIND /bucket/ HTTP/1.0\r\n{AUTH}Depth: 1\r\n\r\n")
    answer = (await wire.reader.read(-1)).decode()
    assert answer.startswith("HTTP/1.0 207")
    assert answer.endswith("</D:multistatus>")
    await wire.close()
    mover = await connect(old)
    await mover.send(f"MOVE /bucket/f HTTP/1.0\r\n{AUTH}Destination: /bucket/g\r\n\r\n")
    assert await mover.status() == 201
    await mover.close()


async def test_options_of_the_whole_server(old: WebdavServer) -> None:
    """``*`` is no path."""
    wire = await connect(old)
    await wire.send(f"OPTIONS * HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n")
    assert "dav: 1, 2" in (await wire.head()).lower()
    await wire.send(f"PROPFIND * HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n")
    assert await wire.status() == 400
    await wire.close()


async def test_floods_of_headers_are_refused(old: WebdavServer) -> None:
    """400 or 431 from the HTTP layer."""
    for headers in ("X: y\r\n" * 10_000, f"X: {'y' * 100_000}\r\n"):
        wire = await connect(old)
        await wire.send(f"GET /bucket/f HTTP/1.1\r\nHost: x\r\n{AUTH}{headers}\r\n")
        assert await wire.status() in (0, 400, 431)
        await wire.close()


async def test_pipelined_requests_are_answered_in_order(old: WebdavServer) -> None:
    """Each with its own body."""
    wire = await connect(old)
    put = f"PUT /bucket/p HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 3\r\n\r\nabc"
    get = f"GET /bucket/p HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n"
    await wire.send(put + get)
    assert await wire.status() == 201
    await wire.reader.readexactly(len("Created\n"))
    assert await wire.status() == 200
    assert await wire.reader.readexactly(3) == b"abc"
    await wire.close()
