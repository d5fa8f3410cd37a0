"""Real Kubo daemons that are stopped, killed, frozen, full, rotten, locked, or cut off in the middle."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Generic, TypeVar

import pytest
import uvloop

from noisefs.adapters.outbound.ipfs.answers import id_text
from noisefs.adapters.outbound.ipfs.client import HttpNode, rpc_path
from noisefs.adapters.outbound.ipfs.limits import Credentials, NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.errors import LinksMissing, NodeFull, NodeRefused, NodeUnavailable
from noisefs.core.ports.nodes import Car
from noisefs.core.ports.telemetry import Counter
from tests.support.cars import bundle, noise
from tests.support.kubo import SECRET, call, connect, swarm
from tests.support.proxies import DamagingProxy, Relay
from tests.support.small_disk import small_disk
from tools.ipfs_daemon import IpfsDaemon, NotReady

pytestmark = pytest.mark.needs("ipfs")

STORE = StoreId(b"store of a test.")
LIMITS = NodeLimits(connect_s=5, answer_s=20, state_s=5, stall_s=5, links_s=3, fetch_s=20, list_s=20, sweep_s=20)
QUICK = NodeLimits(connect_s=2, answer_s=2, state_s=2, stall_s=2, links_s=2, fetch_s=3, list_s=2, sweep_s=3)
N = TypeVar("N", bound=KuboNode | HttpNode)
LATE_S = 30
"""What is over the sum of all quick limits, on a busy machine."""


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[IpfsDaemon]]:
    """Three connected nodes that nothing bad happens to."""
    with swarm(tmp_path_factory.mktemp("swarm"), 3) as three:
        yield three


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[IpfsDaemon]:
    """A node for one test, with the shipped settings."""
    with IpfsDaemon(tmp_path / "lone", secret=SECRET) as daemon:
        yield daemon


async def test_a_collection_of_garbage_that_is_broken_off_lets_imports_in(lone: IpfsDaemon) -> None:
    """At once, and leaves a node on which another one ends; Kubo pins nothing while it collects."""
    node = KuboNode(lone.api, limits=LIMITS)
    try:
        garbage = [bundle(f"garbage {number}", count=1000, size_bytes=100) for number in range(4)]
        for pack in garbage:
            await node.import_car(pack.car())
        await node.unpin([pack.root for pack in garbage])
        collecting = asyncio.create_task(node.collect_garbage())
        while all(await node.has([pack.ids[0] for pack in garbage])) and not collecting.done():
            await asyncio.sleep(0)
        collecting.cancel()
        await asyncio.wait([collecting])
        pack = bundle("waits")
        assert await node.import_car(pack.car()) == 1
        await node.collect_garbage()
        assert await node.has([*(one.ids[-1] for one in garbage), pack.ids[0]]) == [*[False] * 4, True]
    finally:
        await node.close()


@pytest.fixture
async def nodes(daemons: list[IpfsDaemon]) -> AsyncIterator[list[KuboNode]]:
    """The three."""
    made = [KuboNode(daemon.api, gateway=daemon.gateway, limits=LIMITS) for daemon in daemons]
    yield made
    for node in made:
        await node.close()


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """Content of this test alone."""
    return str(request.node.name)


async def _every_call_fails(node: KuboNode, label: str) -> None:
    """Each method raises NodeUnavailable in time, and ``state`` tells."""
    pack = bundle(label, count=8, size_bytes=131_088)
    calls = [
        node.import_car(pack.car()),
        node.pin(pack.root),
        node.copies([pack.root]),
        node.unpin([pack.root]),
        node.block(pack.ids[0], timeout_s=0.5),
        node.read_into(pack.ids[0], memoryview(bytearray(131_088)), timeout_s=0.5),
        node.has(pack.ids),
        node.collect_garbage(),
        node.put_head(STORE, "1-1", b"head"),
        node.heads(STORE),
        node.stores(),
        node.head(STORE, "1-1"),
        node.drop_head(STORE, "1-1"),
        anext(aiter(node.pins())),
    ]
    began = time.monotonic()
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, NodeUnavailable), repr(error)
        assert node.name in str(error)
    state = await node.state()
    assert not state.usable
    assert state.reason
    assert time.monotonic() - began < LATE_S


async def test_a_pack_of_another_node_is_fetched_and_pinned(nodes: list[KuboNode], label: str) -> None:
    pack = bundle(label, count=60, size_bytes=131_088)
    await nodes[0].import_car(pack.car())
    assert await nodes[1].pin(pack.root) == 1
    assert await nodes[1].has([*pack.ids, pack.root]) == [True] * 61
    assert await nodes[2].has(pack.ids) == [False] * 60
    assert await nodes[2].block(pack.ids[7], timeout_s=10) == pack.blocks[7]


async def test_missing_links_are_fetched_from_others(nodes: list[KuboNode], label: str) -> None:
    first = bundle(label)
    await nodes[0].import_car(first.car())
    second = bundle(f"{label} second", others=first.ids)
    assert await nodes[1].import_car(second.car()) == 1
    assert await nodes[1].has(first.ids) == [True] * 4


async def test_nodes_of_a_swarm_see_each_other(nodes: list[KuboNode]) -> None:
    states = [await node.state() for node in nodes]
    assert [state.peers for state in states] == [2, 2, 2]
    assert len({state.peer_id for state in states}) == 3
    assert all(state.usable and not state.reason and state.public is False for state in states), states


async def test_shipped_settings_are_private_and_durable(lone: IpfsDaemon) -> None:
    config = lone.config()
    assert [mount["sync"] for mount in config["Datastore"]["Spec"]["mounts"] if mount["type"] == "flatfs"] == [True]
    identity = call(lone, "id")
    assert isinstance(identity, dict)
    assert identity["Addresses"] == [lone.swarm]
    assert not any("kad" in protocol for protocol in identity["Protocols"])
    assert call(lone, "bootstrap/list") == {"Peers": []}


async def test_a_stranger_with_another_key_does_not_get_in(lone: IpfsDaemon, tmp_path: Path) -> None:
    with IpfsDaemon(tmp_path / "stranger", secret=b"x" * 32) as stranger, pytest.raises(OSError, match="500"):
        connect([stranger, lone])


async def test_without_its_key_a_node_does_not_start(lone: IpfsDaemon) -> None:
    lone.stop()
    (lone.repo / "swarm.key").unlink()
    with pytest.raises(NotReady, match="private network"):
        lone.start()


async def test_a_public_node_is_told(lone: IpfsDaemon) -> None:
    lone.stop()
    lone.configure({"Routing.Type": "auto", "Provide.Enabled": True})
    lone.start()
    async with aclosing(_Closing(KuboNode(lone.api, limits=LIMITS))) as held:
        assert (await held.node.state()).public is False, "the key keeps strangers out"
        (lone.repo / "swarm.key").rename(lone.repo / "away")
        state = await held.node.state()
    assert state.public
    assert "Routing.Type is 'auto'" in state.reason
    assert state.usable


class _Closing(Generic[N]):
    """A node that is closed at the end of a block."""

    def __init__(self, node: N) -> None:
        self.node = node

    async def aclose(self) -> None:
        """Close it."""
        await self.node.close()


@pytest.mark.parametrize("how", ["bearer", "basic"])
async def test_only_the_right_secret_lets_us_in(tmp_path: Path, label: str, how: str) -> None:
    secret = "bearer:open sesame" if how == "bearer" else "basic:ali:open sesame"
    right = Credentials(token="open sesame") if how == "bearer" else Credentials(user="ali", password="open sesame")
    rights = {"us": {"AuthSecret": secret, "AllowedPaths": ["/api/v0"]}}
    pack = bundle(label, count=40, size_bytes=131_088)
    with IpfsDaemon(tmp_path / "locked", secret=SECRET, settings={"API.Authorizations": rights}) as daemon:
        async with aclosing(_Closing(KuboNode(daemon.api, credentials=right, limits=LIMITS))) as held:
            assert (await held.node.state()).usable
            assert await held.node.import_car(pack.car()) == 1
        for wrong in (None, Credentials(token="open sesam"), Credentials(user="ali", password="open")):
            async with aclosing(_Closing(KuboNode(daemon.api, credentials=wrong, limits=LIMITS))) as held:
                state = await held.node.state()
                assert not state.usable
                assert "does not let us in" in state.reason
                with pytest.raises(NodeRefused):
                    await held.node.import_car(pack.car())
                with pytest.raises(NodeRefused):
                    await held.node.copies([pack.root])


async def test_secrets_are_not_shown() -> None:
    assert "sesame" not in repr(Credentials(token="sesame", user="ali", password="sesame"))


async def test_a_stopped_node_is_unavailable_and_comes_back(lone: IpfsDaemon, label: str) -> None:
    node = KuboNode(lone.api, gateway=lone.gateway, limits=QUICK)
    pack = bundle(label)
    async with aclosing(_Closing(node)):
        api = lone.api
        await node.import_car(pack.car())
        lone.stop()
        await _every_call_fails(node, f"{label} down")
        lone.start()
        assert lone.api == api
        assert await node.copies([pack.root]) == {pack.root: 1}
        assert await node.block(pack.ids[0], timeout_s=5) == pack.blocks[0]


async def test_a_kept_connection_that_was_closed_costs_no_error(lone: IpfsDaemon, label: str) -> None:
    node = KuboNode(lone.api, gateway=lone.gateway, limits=LIMITS)
    pack = bundle(label)
    async with aclosing(_Closing(node)):
        await node.import_car(pack.car())
        assert all(await node.has(pack.ids * 20))
        lone.stop()
        lone.start()
        assert all(await node.has(pack.ids * 20))


async def test_a_hanging_node_is_unavailable_in_time(label: str) -> None:
    async with Relay() as relay:
        node = KuboNode(relay.url, gateway=relay.url, limits=QUICK)
        async with aclosing(_Closing(node)):
            await _every_call_fails(node, label)


async def test_a_node_that_freezes_is_unavailable_in_time(lone: IpfsDaemon, label: str) -> None:
    node = KuboNode(lone.api, gateway=lone.gateway, limits=QUICK)
    async with aclosing(_Closing(node)):
        assert (await node.state()).usable
        lone.freeze()
        await _every_call_fails(node, label)
        lone.thaw()


async def test_a_node_that_stops_taking_a_stream_is_unavailable_in_time(daemons: list[IpfsDaemon], label: str) -> None:
    pack = bundle(label, count=400, size_bytes=131_088)
    async with Relay(daemons[0].api) as relay:
        node = KuboNode(relay.url, limits=QUICK)
        async with aclosing(_Closing(node)):
            stuck = asyncio.get_running_loop().create_task(node.import_car(pack.car()))
            while not relay.connections:
                await asyncio.sleep(0)
            relay.hanging = True
            with pytest.raises(NodeUnavailable):
                await stuck
            relay.hanging = False
            assert await node.copies([pack.root]) == {pack.root: 0}


@pytest.mark.parametrize("after", [1000, 300_000, 3_000_000])
async def test_a_stream_that_is_cut_pins_nothing(daemons: list[IpfsDaemon], label: str, after: int) -> None:
    pack = bundle(label, count=40, size_bytes=131_088)
    async with Relay(daemons[0].api) as relay:
        node = KuboNode(relay.url, limits=LIMITS)
        async with aclosing(_Closing(node)):
            relay.cut_up_after = after
            with pytest.raises(NodeUnavailable):
                await node.import_car(pack.car())
            relay.cut_up_after = None
            assert await node.copies([pack.root]) == {pack.root: 0}
            assert await node.import_car(pack.car()) == 1


@pytest.mark.parametrize("after", [0, 100, 400, 3000])
async def test_a_list_that_is_cut_is_an_error(
    nodes: list[KuboNode], daemons: list[IpfsDaemon], label: str, after: int
) -> None:
    for number in range(60):
        await nodes[0].import_car(bundle(f"{label} {number}", count=1, size_bytes=9).car())
    async with Relay(daemons[0].api) as relay:
        relay.cut_down_after = after
        async with aclosing(_Closing(KuboNode(relay.url, limits=LIMITS))) as held:
            with pytest.raises(NodeUnavailable):
                [root async for root in held.node.pins()]


async def test_an_error_in_a_trailer_is_an_error(daemons: list[IpfsDaemon], label: str) -> None:
    pack = bundle(label)
    rpc = HttpNode("it", daemons[0].api, limits=LIMITS)
    node = KuboNode(daemons[0].api, limits=LIMITS)
    async with aclosing(_Closing(rpc)), aclosing(_Closing(node)):
        await node.import_car(pack.car())
        path = rpc_path("pin/ls", [id_text(pack.root), id_text(bundle("nobody's").root)], type="recursive", stream=True)
        rows = rpc.rows(path, "pin/ls", begin_s=5)
        assert (await anext(rows))["Cid"] == id_text(pack.root)
        with pytest.raises(NodeUnavailable, match="is not pinned"):
            await anext(rows)
        with pytest.raises(NodeUnavailable, match="is not pinned"):
            await rpc.whole("POST", path, "pin/ls")
        assert await rpc.whole("POST", path, "pin/ls", unless=["is not pinned"]) is None


async def test_a_slow_node_is_waited_for(daemons: list[IpfsDaemon], label: str) -> None:
    pack = bundle(label, count=10)
    async with Relay(daemons[0].api) as relay:
        relay.delay_s = 0.02
        node = KuboNode(relay.url, limits=LIMITS)
        async with aclosing(_Closing(node)):
            assert await node.import_car(pack.car()) == 1
            assert await node.block(pack.ids[3], timeout_s=5) == pack.blocks[3]


async def test_damage_passes_through_unseen(daemons: list[IpfsDaemon], label: str) -> None:
    """So whoever reads verifies."""
    pack = bundle(label)
    async with DamagingProxy(daemons[0].gateway) as proxy:
        node = KuboNode(daemons[0].api, gateway=proxy.url, limits=LIMITS)
        async with aclosing(_Closing(node)):
            await node.import_car(pack.car())
            got = await node.block(pack.ids[0], timeout_s=5)
            assert got != pack.blocks[0]
            assert len(got) == len(pack.blocks[0])
            assert proxy.damaged == 1
            room = memoryview(bytearray(len(got)))
            assert await node.read_into(pack.ids[0], room, timeout_s=5)
            assert room == got


@pytest.mark.parametrize("reading", ["gateway", "rpc"])
async def test_bit_rot_is_answered_as_if_it_were_right(lone: IpfsDaemon, label: str, reading: str) -> None:
    """And stays until the block is discarded: Kubo does not write over what it has."""
    pack = bundle(label)
    node = KuboNode(lone.api, gateway=lone.gateway if reading == "gateway" else "", limits=LIMITS)
    async with aclosing(_Closing(node)):
        await node.import_car(pack.car())
        file = lone.block_file(pack.ids[0])
        file.chmod(0o600)
        file.write_bytes(bytes(1000))
        assert await node.block(pack.ids[0], timeout_s=5) == bytes(1000)
        await node.import_car(pack.car())
        assert await node.block(pack.ids[0], timeout_s=5) == bytes(1000)
        await node.unpin([pack.root])
        await node.discard([pack.ids[0]])
        await node.import_car(pack.car())
        assert await node.block(pack.ids[0], timeout_s=5) == pack.blocks[0]


async def test_a_full_disk_is_told(tmp_path: Path, label: str) -> None:
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "small", 24 << 20))
        daemon = stack.enter_context(IpfsDaemon(disk.folder / "repo", secret=SECRET, sync=False))
        node = KuboNode(daemon.api, gateway=daemon.gateway, limits=LIMITS)
        async with aclosing(_Closing(node)):
            first = bundle(label, count=20, size_bytes=131_088)
            await node.import_car(first.car())
            state = await node.state()
            assert state.free_bytes is not None
            assert state.free_bytes < 22 << 20
            assert state.free_inodes
            disk.fill()
            pack = bundle(f"{label} second", count=200, size_bytes=131_088)
            with pytest.raises(NodeFull):
                await node.import_car(pack.car())
            with pytest.raises(NodeFull):
                await node.put_head(STORE, "1-1", noise(label, 200_000))
            assert await node.block(first.ids[0], timeout_s=5) == first.blocks[0]
            disk.relieve()
            assert await node.copies([first.root]) == {first.root: 1}
            assert await node.import_car(bundle(f"{label} third", count=20, size_bytes=131_088).car()) == 1


async def test_a_kill_right_after_the_answer_loses_nothing(lone: IpfsDaemon, label: str) -> None:
    node = KuboNode(lone.api, gateway=lone.gateway, limits=LIMITS)
    async with aclosing(_Closing(node)):
        for number in range(3):
            pack = bundle(f"{label} {number}", count=20)
            await node.import_car(pack.car())
            await node.put_head(STORE, f"1-{number}", b"head of %d" % number)
            lone.kill()
            lone.start()
            room = memoryview(bytearray(len(pack.blocks[0])))
            assert await node.read_into(pack.ids[0], room, timeout_s=5)
            assert room == pack.blocks[0]
            assert await node.copies([pack.root]) == {pack.root: 1}
            assert await node.has([*pack.ids, pack.root]) == [True] * 21
            assert await node.head(STORE, f"1-{number}") == b"head of %d" % number


async def test_a_kill_in_the_middle_of_a_stream_pins_nothing(lone: IpfsDaemon, label: str) -> None:
    node = KuboNode(lone.api, gateway=lone.gateway, limits=LIMITS)
    pack = bundle(label, count=40, size_bytes=131_088)
    whole = pack.car()

    async def parts() -> AsyncIterator[bytes | memoryview]:
        number = 0
        async for piece in whole.parts():
            number += 1
            if number == 40:
                lone.kill()
            yield piece

    async with aclosing(_Closing(node)):
        with pytest.raises(NodeUnavailable):
            await node.import_car(Car(pack.root, whole.size_bytes, whole.blocks, parts))
        lone.start()
        assert await node.copies([pack.root]) == {pack.root: 0}
        assert await node.import_car(pack.car()) == 1


async def test_an_import_that_lacks_links_leaves_no_lock_behind(lone: IpfsDaemon, label: str) -> None:
    """Kubo holds the lock of its pins while it looks for links: it must stop when we have stopped waiting."""
    node = KuboNode(lone.api, limits=LIMITS, managed=True)
    pack = bundle(label, others=[compute_block_id(b"nowhere")])
    async with aclosing(_Closing(node)):
        with pytest.raises(LinksMissing):
            await node.import_car(pack.car())
        await node.collect_garbage()
        assert await node.has(pack.ids) == [False] * 4


async def test_a_gateway_that_fails_is_done_without(lone: IpfsDaemon, label: str) -> None:
    async with Relay() as relay:
        node = KuboNode(lone.api, gateway=relay.url, limits=QUICK)
        async with aclosing(_Closing(node)):
            pack = bundle(label)
            await node.import_car(pack.car())
            with pytest.raises(NodeUnavailable):
                await node.block(pack.ids[0], timeout_s=0.3)
            state = await node.state()
            assert state.usable
            assert "gateway" in state.reason
            assert await node.block(pack.ids[0], timeout_s=5) == pack.blocks[0]


async def test_something_else_at_the_address_is_refused(label: str, lone: IpfsDaemon) -> None:
    node = KuboNode(lone.gateway, limits=LIMITS)
    async with aclosing(_Closing(node)):
        assert not (await node.state()).usable
        with pytest.raises(NodeUnavailable):
            await node.import_car(bundle(label).car())


async def test_calls_are_counted_and_a_pack_is_one(lone: IpfsDaemon, label: str) -> None:
    telemetry = MemoryTelemetry()
    node = KuboNode(lone.api, gateway=lone.gateway, limits=LIMITS, telemetry=telemetry)
    pack = bundle(label, count=100)
    async with aclosing(_Closing(node)):
        await node.import_car(pack.car())
        await node.block(pack.ids[0], timeout_s=5)
        await node.read_into(pack.ids[1], memoryview(bytearray(len(pack.blocks[1]))), timeout_s=5)
        assert telemetry.counted(Counter.NODE_CALLS, (node.name, "dag/import")) == 1
        assert telemetry.counted(Counter.NODE_CALLS, (node.name, "gateway")) == 2


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_loop_sends_a_piece_after_it_was_given_up(
    lone: IpfsDaemon, label: str, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A transport that keeps a piece to send it later would send what the next one holds, which Kubo refuses."""
    pack = bundle(label, count=60, size_bytes=131_088)

    async def send() -> list[bytes]:
        async with aclosing(_Closing(KuboNode(lone.api, limits=LIMITS))) as held:
            await held.node.import_car(pack.car(piece_bytes=1 << 20))
            return [await held.node.block(name, timeout_s=5) for name in pack.ids]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert tuple(runner.run(send())) == pack.blocks


async def test_kubo_reads_our_roots_as_we_do(nodes: list[KuboNode], daemons: list[IpfsDaemon], label: str) -> None:
    """Its dag-cbor is the oracle of ours, canonical form included: the name it gives is the name we gave."""
    pack = bundle(label, count=30)
    await nodes[0].import_car(pack.car())
    told = call(daemons[0], "dag/get", id_text(pack.root))
    assert isinstance(told, dict)
    assert told["v"] == 1
    assert told["b"] == [{"/": id_text(name)} for name in pack.ids]
    assert call(daemons[0], "refs", id_text(pack.root)) == [{"Ref": id_text(name), "Err": ""} for name in pack.ids]
