"""What clients see of broken storage: an error or a cut connection, never a wrong byte, never a short body as whole."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.core.ports.telemetry import Counter
from tests.support.s3_raw import Wire, request, signed_head
from tests.support.s3_server import S3Server, serve

SEGMENT = 1 << 17
SEGMENTS = 200
FIRST_CELL = 4
"""Position of the first cell in a pack, behind the seeds."""
BODY = b"".join(number.to_bytes(4, "big") for number in range(SEGMENTS * SEGMENT // 4))


@pytest.fixture
def server() -> Iterator[S3Server]:
    """A server of its own with one object in a sealed pack."""
    with serve() as running:
        running.client().put_object(Bucket="bucket", Key="k", Body=BODY)
        on_loop(running, running.world.store.writer.seal())
        yield running


def on_loop(server: S3Server, work: Coroutine[Any, Any, Any]) -> None:
    """Run something where the server runs."""
    asyncio.run_coroutine_threadsafe(work, server.loop).result()


def damage(server: S3Server, segment: int) -> None:
    """Overwrite the block of a segment."""
    packs = server.world.store.packs
    assert isinstance(packs, MemoryPackStore)
    (pack,) = packs.list()
    packs.overwrite(pack.pack_id, FIRST_CELL + segment, bytes(packs.block_bytes))


def test_damage_at_the_begin_is_an_error(server: S3Server) -> None:
    damage(server, 0)
    reply = request(server, "GET", "/bucket/k")
    assert (reply.status, reply.code) == (500, "InternalError")
    assert request(server, "HEAD", "/bucket/k").status == 200


def test_damage_further_on_cuts_the_connection(server: S3Server) -> None:
    damage(server, 150)
    with Wire(server) as wire:
        wire.send(signed_head(server, "GET", "/bucket/k"))
        received = b""
        try:
            while piece := wire.socket.recv(1 << 20):
                received += piece
        except ConnectionError:
            pass
    body = received.partition(b"\r\n\r\n")[2]
    assert len(body) <= 150 * SEGMENT
    assert BODY.startswith(body)
    assert server.world.telemetry.counted(Counter.REQUESTS, ("s3", "GetObject", "500")) == 1


def test_what_is_not_damaged_is_served(server: S3Server) -> None:
    damage(server, 150)
    wanted = {"range": f"bytes=0-{100 * SEGMENT - 1}"}
    assert request(server, "GET", "/bucket/k", headers=wanted).body == BODY[: 100 * SEGMENT]
    wanted = {"range": f"bytes={160 * SEGMENT}-"}
    assert request(server, "GET", "/bucket/k", headers=wanted).body == BODY[160 * SEGMENT :]


def test_a_missing_pack_is_unavailable(server: S3Server) -> None:
    packs = server.world.store.packs
    for pack in packs.list():
        packs.drop(pack.pack_id)
    reply = request(server, "GET", "/bucket/k")
    assert (reply.status, reply.code) == (503, "ServiceUnavailable")
    assert reply.headers["retry-after"]


def test_a_full_disk_refuses_writes_and_lets_deletes_pass(server: S3Server) -> None:
    packs = server.world.store.packs
    assert isinstance(packs, MemoryPackStore)
    packs.capacity_bytes = 0
    reply = request(server, "PUT", "/bucket/new", BODY)
    assert (reply.status, reply.code) == (507, "InsufficientStorage")
    assert request(server, "HEAD", "/bucket/new").status == 404
    assert request(server, "DELETE", "/bucket/k").status == 204


def test_a_sync_that_fails_is_told_and_the_old_object_stays(server: S3Server) -> None:
    packs = server.world.store.packs
    assert isinstance(packs, MemoryPackStore)
    packs.fail_syncs(1)
    reply = request(server, "PUT", "/bucket/k", BODY[:-4])
    assert (reply.status, reply.code) == (503, "ServiceUnavailable")
    assert request(server, "GET", "/bucket/k").body == BODY
