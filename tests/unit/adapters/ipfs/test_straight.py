"""Blocks read straight into memory: what a plain server may do, and what is left to the other client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from noisefs.adapters.outbound.ipfs.straight import ERROR_BYTES, HEAD_BYTES, Answer, NotStraight, StraightReader
from noisefs.core.errors import NodeUnavailable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = bytes(range(256)) * 512


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[StraightReader]:
    """A reader in front of a server that does what a test says."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    straight = StraightReader("it", f"http://127.0.0.1:{port}/base", connect_s=5.0)
    try:
        yield straight
    finally:
        straight.close()
        server.close()
        for writer in writers:
            writer.transport.abort()


async def ask(straight: StraightReader, size: int = len(BODY), wait_s: float = 10.0) -> tuple[Answer, bytes]:
    """One request, and what is in its room then."""
    room = memoryview(bytearray(size))
    return await straight.get("/block", "raw", room, "gateway", wait_s=wait_s), bytes(room)


def always(*pieces: bytes) -> Serve:
    """The same answer to every request, in these pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    return serve


def plain(body: bytes = BODY, *, status: str = "200 OK", more: str = "") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def test_a_block_arrives_where_it_belongs() -> None:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            requests.append(request)
            writer.write(plain())

    async with serving(serve) as straight:
        for _ in range(3):
            assert await ask(straight) == (Answer(200, len(BODY)), BODY)
    assert requests[0].startswith(b"GET /base/block HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAccept: raw\r\n" in requests[0]


@pytest.mark.parametrize("cut", [1, 5, 17, 30, 43, 44, 45, 100, 70_000])
async def test_it_may_come_in_any_pieces(cut: int) -> None:
    whole = plain()
    async with serving(always(whole[:cut], whole[cut:])) as straight:
        for _ in range(2):
            assert await ask(straight) == (Answer(200, len(BODY)), BODY)


async def test_an_empty_block_is_one_too() -> None:
    async with serving(always(plain(b""))) as straight:
        assert await ask(straight, 0) == (Answer(200, 0), b"")


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_many_at_once_do_not_get_mixed_up(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """On both kinds of loop: they fill buffers each in their own way."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readuntil(b"\r\n\r\n"):
            number = int(request.split(b" ", 2)[1].rpartition(b"/")[2])
            writer.write(plain(bytes([number]) * 100_000))

    async def read() -> None:
        async with serving(serve) as straight:
            rooms = [memoryview(bytearray(100_000)) for _ in range(50)]
            for _ in range(3):
                await asyncio.gather(
                    *(straight.get(f"/{n}", "raw", room, "gateway", wait_s=10) for n, room in enumerate(rooms))
                )
                assert [bytes(room) for room in rooms] == [bytes([n]) * 100_000 for n in range(50)]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(read())


async def test_an_error_brings_its_text() -> None:
    async with serving(always(plain(b"no such block", status="404 Not Found"))) as straight:
        for _ in range(2):
            answer, room = await ask(straight)
            assert answer == Answer(404, 13, b"no such block")
            assert not any(room)


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"x"])
async def test_a_block_of_another_length_is_told_and_not_taken(body: bytes) -> None:
    async with serving(always(plain(body))) as straight:
        answer, room = await ask(straight)
        assert answer == Answer(200, len(body))
        assert not any(room)


async def test_an_error_that_is_too_long_is_not_taken() -> None:
    async with serving(always(plain(bytes(ERROR_BYTES + 1), status="500 Oops"))) as straight:
        assert (await ask(straight))[0] == Answer(500, ERROR_BYTES + 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding : chunked\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nabcd",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(b"x" * HEAD_BYTES) + b"\r\n\r\n",
        plain(b"abcd") + b"more",
    ],
)
async def test_whatever_is_not_plain_is_left_to_others(answer: bytes) -> None:
    async with serving(always(answer)) as straight:
        with pytest.raises(NotStraight):
            await ask(straight, 4)


async def test_bytes_nobody_asked_for_end_the_connection() -> None:
    sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain())
        await asyncio.sleep(0.05)  # so that they do not come along with the answer
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await reader.read()
        sent.set()

    async with serving(serve) as straight:
        await ask(straight)
        await asyncio.wait_for(sent.wait(), 10)


async def test_a_kept_connection_that_was_closed_costs_no_error() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain())
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # the second request is taken, and not answered

    async with serving(serve) as straight:
        for _ in range(3):
            assert (await ask(straight))[1] == BODY
    assert connections == 3


async def test_a_server_that_says_that_it_closes_is_not_asked_again_there() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await always(plain(more="Connection: close\r\n"))(reader, writer)

    async with serving(serve) as straight:
        for _ in range(2):
            assert (await ask(straight))[1] == BODY
    assert connections == 2


@pytest.mark.parametrize("upto", [0, 10, 200])
async def test_an_answer_that_breaks_off_is_unavailable(upto: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain()[:upto])

    async with serving(serve) as straight:
        with pytest.raises(NodeUnavailable):
            await ask(straight)


async def test_a_hang_is_unavailable_in_time_and_writes_nothing_later() -> None:
    go_on = asyncio.Event()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain()[:100])
        await go_on.wait()
        writer.write(plain()[100:])
        await reader.read()
        ended.set()

    async with serving(serve) as straight:
        room = memoryview(bytearray(len(BODY)))
        with pytest.raises(NodeUnavailable, match="within"):
            await straight.get("/block", "raw", room, "gateway", wait_s=0.2)
        room[:] = bytes(len(room))
        go_on.set()
        await asyncio.wait_for(ended.wait(), 10)
        assert not any(room)


async def test_nobody_listening_is_unavailable() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    straight = StraightReader("it", f"http://127.0.0.1:{port}", connect_s=5)
    with pytest.raises(NodeUnavailable):
        await ask(straight)


async def test_after_close_calls_fail_and_those_under_way_too() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()

    async with serving(serve) as straight:
        waiting = asyncio.create_task(ask(straight))
        await asked.wait()
        straight.close()
        with pytest.raises(NodeUnavailable):
            await waiting
        with pytest.raises(NodeUnavailable):
            await ask(straight)
