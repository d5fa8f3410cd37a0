"""A node that does not keep to its protocol: too much, too little, the wrong thing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from noisefs.adapters.outbound.ipfs.limits import NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import MAX_SECTION_BYTES
from noisefs.core.errors import NodeRefused, NodeUnavailable
from tests.support.cars import bundle

LIMITS = NodeLimits(connect_s=5, answer_s=5, state_s=5, stall_s=5, links_s=5, fetch_s=5, list_s=5, sweep_s=5)
STORE = StoreId(b"store of a test.")
BLOCK = compute_block_id(b"any")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Lie = Callable[[Answer], Awaitable[KuboNode]]


@pytest.fixture
async def lie() -> AsyncIterator[Lie]:
    """Starts a server that gives one answer to everything, and a node before it."""
    held: list[tuple[web.AppRunner, KuboNode]] = []

    async def start(answer: Answer) -> KuboNode:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        held.append((runner, KuboNode(url, gateway=url, limits=LIMITS)))
        return held[-1][1]

    yield start
    for runner, node in held:
        await node.close()
        await runner.cleanup()


def _always(body: bytes, status: int = 200, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def _endless(piece: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(piece)

    return answer


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"Version": 7}', b'{"Version":"0.43.0"', b"<html></html>", b'{"Peers": 7}']
)
async def test_nonsense_makes_a_node_unusable_and_no_error(lie: Lie, body: bytes) -> None:
    state = await (await lie(_always(body))).state()
    assert not state.usable
    assert state.reason


async def test_too_large_a_block_is_not_taken(lie: Lie) -> None:
    for answer in (_always(bytes(MAX_SECTION_BYTES + 1)), _endless(bytes(65_536))):
        node = await lie(answer)
        with pytest.raises(NodeUnavailable, match="more than"):
            await node.block(BLOCK, timeout_s=10)


async def test_a_gateway_that_does_not_tell_lengths_is_read_all_the_same(lie: Lie) -> None:
    """As it is when a proxy in front of it sends answers in chunks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"a", b"n", b"y"):
            await response.write(piece)
        return response

    node = await lie(answer)
    for _ in range(2):
        room = memoryview(bytearray(3))
        assert await node.read_into(BLOCK, room, timeout_s=10)
        assert bytes(room) == b"any"
    assert not await node.read_into(BLOCK, memoryview(bytearray(4)), timeout_s=10)


@pytest.mark.parametrize("size", [0, 1000, 131_087, 131_089, MAX_SECTION_BYTES + 1])
async def test_a_block_of_another_length_is_not_read_into_a_place(lie: Lie, size: int) -> None:
    node = await lie(_always(bytes(b"x" * size)))
    room = memoryview(bytearray(131_088))
    assert not await node.read_into(BLOCK, room, timeout_s=10)
    assert not any(room)


async def test_errors_of_a_gateway_are_told(lie: Lie) -> None:
    for status, error in ((404, NodeRefused), (500, NodeUnavailable), (403, NodeRefused), (307, NodeUnavailable)):
        node = await lie(_always(b"no such thing", status=status))
        with pytest.raises(error):
            await node.read_into(BLOCK, memoryview(bytearray(100)), timeout_s=10)


async def test_endless_answers_are_not_taken(lie: Lie) -> None:
    node = await lie(_endless(b"x" * 65_536))
    for call in (
        node.heads(STORE),
        node.head(STORE, "1-1"),
        node.copies([bundle("a").root]),
        node.collect_garbage(),
        node.pin(bundle("a").root),
        node.unpin([bundle("a").root]),
    ):
        with pytest.raises(NodeUnavailable):
            await asyncio.wait_for(call, 20)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"Root":{"Cid":{"/":"bafy"}}}\n', b'{"Stats":{}}\n', b"x"])
async def test_an_import_is_not_believed_without_its_row(lie: Lie, body: bytes) -> None:
    node = await lie(_always(body))
    with pytest.raises(NodeUnavailable):
        await node.import_car(bundle("a").car())
    with pytest.raises(NodeUnavailable):
        await node.import_blocks(bundle("a").car())
    with pytest.raises(NodeUnavailable):
        await node.pin(bundle("a").root)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"Entries":7}', b'{"Entries":[{}]}', b"null", b"x"])
async def test_a_broken_list_of_heads_is_an_error(lie: Lie, body: bytes) -> None:
    node = await lie(_always(body))
    with pytest.raises(NodeUnavailable):
        await node.heads(STORE)


@pytest.mark.parametrize("body", [b"", b'{"Keys":{', b'{"Cid":"x","Type":"recursive"}', b"<html>"])
async def test_a_broken_list_of_pins_is_an_error(lie: Lie, body: bytes) -> None:
    node = await lie(_always(body))
    with pytest.raises(NodeUnavailable):
        [root async for root in node.pins()]


async def test_names_of_heads_that_are_none_of_ours_are_left_out(lie: Lie) -> None:
    node = await lie(_always(b'{"Entries":[{"Name":"1-2"},{"Name":"../x"},{"Name":".x"},{"Name":""}]}'))
    assert await node.heads(STORE) == ["1-2"]
    assert await node.stores() == []


async def test_a_head_stored_under_another_name_is_an_error(lie: Lie) -> None:
    node = await lie(_always(b'{"Key":"bafkqaaa","Size":4}'))
    with pytest.raises(NodeUnavailable, match="something else"):
        await node.put_head(STORE, "1-1", b"head")


async def test_redirects_are_not_followed(lie: Lie) -> None:
    """They would take the authorization along."""
    node = await lie(_always(b"", status=307, Location="http://127.0.0.1:1/"))
    with pytest.raises(NodeUnavailable, match="307"):
        await node.copies([bundle("a").root])


async def test_errors_of_a_collection_are_found_among_its_rows(lie: Lie) -> None:
    node = await lie(_always(b'{"Key":{"/":"bafk"}}\n{"Error":"could not remove bafk: permission denied"}\n'))
    with pytest.raises(NodeUnavailable, match="permission denied"):
        await node.collect_garbage()
