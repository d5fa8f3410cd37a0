"""Streams of a real Redis server, and of servers that are none."""

import asyncio

import pytest

from noisefs.adapters.outbound.redisstream.sink import RedisStream
from noisefs.core.errors import EventRefused
from tests.support.redis_server import redis_server


@pytest.mark.needs("redis-server")
async def test_a_message_is_an_entry_with_its_id_and_old_ones_go() -> None:
    with redis_server("--stream-node-max-entries", "1") as server:
        sink = RedisStream("stream", server.url, "events", timeout_s=5, most=2)
        for number in range(5):
            await sink.send(f"msg_{number}", b'{"a":1}')
        await sink.close()
        assert server.messages() == [{b"id": f"msg_{number}".encode(), b"body": b'{"a":1}'} for number in (3, 4)]


@pytest.mark.needs("redis-server")
async def test_a_password_is_needed_where_there_is_one_and_never_repeated() -> None:
    with redis_server(password="pass word 1") as server:
        for password in (None, "wrong"):
            sink = RedisStream("stream", server.url, "events", timeout_s=5, password=password)
            with pytest.raises(EventRefused, match="stream") as refused:
                await sink.send("msg_1", b"{}")
            await sink.close()
            assert "wrong" not in str(refused.value)
        sink = RedisStream("stream", server.url, "events", timeout_s=5, password="pass word 1")
        await sink.send("msg_1", b"{}")
        await sink.close()
        assert server.entries() == 1


@pytest.mark.needs("redis-server")
async def test_what_is_no_stream_is_a_refusal() -> None:
    with redis_server() as server:
        server.client.set("events", "text")
        sink = RedisStream("stream", server.url, "events", timeout_s=5)
        with pytest.raises(EventRefused, match=r"stream: \w+"):
            await sink.send("msg_1", b"{}")
        await sink.close()


async def test_nobody_there_and_silence_are_refusals() -> None:
    sink = RedisStream("stream", "redis://127.0.0.1:1", "events", timeout_s=5)
    with pytest.raises(EventRefused, match="stream"):
        await sink.send("msg_1", b"{}")
    await sink.close()
    released = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sink = RedisStream("stream", f"redis://127.0.0.1:{port}", "events", timeout_s=0.05)
    with pytest.raises(EventRefused, match="TimeoutError"):
        await sink.send("msg_1", b"{}")
    await sink.close()
    released.set()
    server.close()
    await server.wait_closed()


async def test_a_closed_one_takes_nothing() -> None:
    sink = RedisStream("stream", "redis://127.0.0.1:1", "events", timeout_s=5)
    await sink.close()
    with pytest.raises(EventRefused, match="closed"):
        await sink.send("msg_1", b"{}")
