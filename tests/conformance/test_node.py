"""Every node keeps the promises of the port."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

import pytest

from noisefs.adapters.outbound.ipfs.cluster import ClusterNode
from noisefs.adapters.outbound.ipfs.limits import NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.core.domain.ids import BlockId, RootId, StoreId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.errors import (
    FileExists,
    FileNotInStore,
    LinksMissing,
    NodeUnavailable,
    PackNotFound,
)
from noisefs.core.ports.nodes import Car, Node
from tests.support.cars import bundle, noise
from tests.support.cluster import ClusterPeer, cluster
from tests.support.kubo import swarm
from tools.ipfs_daemon import IpfsDaemon

STORE = StoreId(b"store of a test.")
LIMITS = NodeLimits(connect_s=2, answer_s=10, state_s=5, stall_s=5, links_s=3, fetch_s=20, list_s=10, sweep_s=10)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IpfsDaemon]:
    """One Kubo for all tests of this file: they use labels of their own."""
    with swarm(tmp_path_factory.mktemp("kubo")) as daemons:
        yield daemons[0]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClusterPeer]]:
    """A cluster of two for all tests of this file."""
    with cluster(tmp_path_factory.mktemp("cluster"), 2) as two:
        yield two


@pytest.fixture(
    params=[
        "memory",
        pytest.param("kubo", marks=pytest.mark.needs("ipfs")),
        pytest.param("kubo without gateway", marks=pytest.mark.needs("ipfs")),
        pytest.param("cluster", marks=pytest.mark.needs("ipfs", "ipfs-cluster-service")),
    ]
)
async def node(request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    """Every adapter."""
    made: Node
    if request.param == "memory":
        made = MemoryNode(managed=True)
    elif request.param == "cluster":
        peer: ClusterPeer = request.getfixturevalue("peers")[0]
        kubo = KuboNode(peer.kubo.api, gateway=peer.kubo.gateway, name="cluster", limits=LIMITS)
        made = ClusterNode(peer.api, kubo, name="cluster", limits=LIMITS)
        await made.state()
    else:
        daemon: IpfsDaemon = request.getfixturevalue("daemon")
        gateway = "" if request.param == "kubo without gateway" else daemon.gateway
        made = KuboNode(daemon.api, gateway=gateway, managed=True, limits=LIMITS)
    yield made
    await made.close()


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """Content of this test alone."""
    return str(request.node.name)


async def _pins(node: Node) -> set[RootId]:
    found = set()
    async with aclosing(node.pins()) as pins:  # type: ignore[type-var]  # an async generator in every adapter
        async for root in pins:
            assert root not in found
            found.add(root)
    return found


async def _readable(node: Node, names: Sequence[BlockId | RootId]) -> list[bool]:
    """Whether each block can be had, from whichever copy there is."""
    got = await asyncio.gather(*(node.block(name, timeout_s=1) for name in names), return_exceptions=True)
    assert all(isinstance(block, bytes | NodeUnavailable) for block in got)
    return [isinstance(block, bytes) for block in got]


async def _collect(node: Node, gone: BlockId | RootId) -> None:
    """Collect garbage until a block is gone: peers of a cluster hear late what was unpinned."""
    for _ in range(20):
        await node.collect_garbage()
        if not any(await _readable(node, [gone])):
            return
    raise AssertionError("the block is still there")


async def test_it_says_how_it_is(node: Node) -> None:
    state = await node.state()
    assert state.usable, state
    assert "0." in state.version
    assert state.peer_id
    assert state.free_bytes
    assert state.repo_bytes is not None
    assert state.peers == node.copies_at_most - 1
    assert state.public is False
    assert node.name
    assert node.zone


async def test_an_imported_pack_is_pinned_with_all_its_blocks(node: Node, label: str) -> None:
    pack = bundle(label, count=40, size_bytes=5000)
    assert await node.copies([pack.root]) == {pack.root: 0}
    assert await node.import_car(pack.car()) == 1
    assert await node.copies([pack.root]) == {pack.root: 1}
    assert pack.root in await _pins(node)
    assert await node.has([*pack.ids, pack.root]) == [True] * 41
    for name, block in zip(pack.ids, pack.blocks, strict=True):
        assert await node.block(name, timeout_s=5) == block
    assert await node.block(pack.root, timeout_s=5) == pack.raw_root


@pytest.mark.parametrize("piece_bytes", [1, 1000, 65_536, 1 << 20])
async def test_a_stream_may_reuse_its_buffer(node: Node, label: str, piece_bytes: int) -> None:
    size_bytes = 200 if piece_bytes == 1 else 131_088
    pack = bundle(label, count=5 if piece_bytes == 1 else 40, size_bytes=size_bytes)
    assert await node.import_car(pack.car(piece_bytes=piece_bytes)) == 1
    got = await asyncio.gather(*(node.block(name, timeout_s=10) for name in pack.ids))
    assert tuple(got) == pack.blocks


async def test_an_import_may_be_repeated(node: Node, label: str) -> None:
    pack = bundle(label)
    car = pack.car()
    assert await node.import_car(car) == 1
    assert await node.import_car(car) == 1
    assert await node.copies([pack.root]) == {pack.root: 1}


async def test_links_may_lead_to_blocks_that_are_there(node: Node, label: str) -> None:
    first = bundle(label)
    await node.import_car(first.car())
    second = bundle(f"{label} second", others=first.ids[:2])
    assert await node.import_car(second.car()) == 1
    await node.unpin([first.root])
    await _collect(node, first.root)
    assert await _readable(node, [*second.ids, *first.ids]) == [True] * 6 + [False] * 2


async def test_missing_links_pin_nothing(node: Node, label: str) -> None:
    pack = bundle(label, others=[compute_block_id(noise(f"{label} elsewhere", 100))])
    with pytest.raises(LinksMissing, match=node.name):
        await node.import_car(pack.car())
    assert await node.copies([pack.root]) == {pack.root: 0}
    assert pack.root not in await _pins(node)
    await _collect(node, pack.root)
    assert await _readable(node, pack.ids) == [False] * 4


async def test_a_stream_that_breaks_off_pins_nothing(node: Node, label: str) -> None:
    pack = bundle(label)
    whole = pack.car()

    async def parts() -> AsyncIterator[bytes | memoryview]:
        pieces = [bytes(piece) async for piece in whole.parts()]
        for piece in pieces[:-2]:
            yield piece
        raise PackNotFound(b"p" * 16)

    with pytest.raises(PackNotFound):
        await node.import_car(Car(pack.root, whole.size_bytes, whole.blocks, parts))
    assert await node.copies([pack.root]) == {pack.root: 0}
    assert (await node.state()).usable


async def test_a_block_under_a_wrong_name_is_refused(node: Node, label: str) -> None:
    pack = bundle(label)
    whole = pack.car()

    async def parts() -> AsyncIterator[bytes | memoryview]:
        async for piece in whole.parts():
            yield bytes(len(piece)) if piece == pack.blocks[1] else piece

    with pytest.raises(NodeUnavailable):
        await node.import_car(Car(pack.root, whole.size_bytes, whole.blocks, parts))
    assert await node.copies([pack.root]) == {pack.root: 0}


async def test_copies_are_told_for_each_of_few_and_of_many(node: Node, label: str) -> None:
    packs = [bundle(f"{label} {n}", count=1) for n in range(4)]
    for pack in packs[:2]:
        await node.import_car(pack.car())
    strangers = [bundle(f"{label} stranger {n}").root for n in range(60)]
    expected = {packs[0].root: 1, packs[1].root: 1, packs[2].root: 0, packs[3].root: 0}
    assert await node.copies([pack.root for pack in packs]) == expected
    assert await node.copies([*expected, *strangers]) == {**expected, **dict.fromkeys(strangers, 0)}
    assert await node.copies([packs[0].root, packs[1].root]) == {packs[0].root: 1, packs[1].root: 1}
    assert await node.copies([]) == {}


async def test_unpinning_passes_over_what_is_not_pinned(node: Node, label: str) -> None:
    packs = [bundle(f"{label} {n}", count=1) for n in range(5)]
    for pack in packs:
        await node.import_car(pack.car())
    stranger = bundle(f"{label} stranger").root
    await node.unpin([packs[0].root, stranger, packs[1].root, packs[1].root, packs[2].root])
    await node.unpin([stranger])
    await node.unpin([])
    assert {packs[3].root, packs[4].root} <= await _pins(node)
    assert not {packs[0].root, packs[1].root, packs[2].root} & await _pins(node)


async def test_many_are_unpinned_at_once(node: Node, label: str) -> None:
    packs = [bundle(f"{label} {n}", count=1, size_bytes=50) for n in range(60)]
    await asyncio.gather(*(node.import_car(pack.car()) for pack in packs))
    assert {pack.root for pack in packs} <= await _pins(node)
    await node.unpin([pack.root for pack in packs])
    assert not {pack.root for pack in packs} & await _pins(node)


async def test_only_what_no_pin_keeps_is_discarded(node: Node, label: str) -> None:
    kept, dropped = bundle(f"{label} kept"), bundle(f"{label} dropped")
    for pack in (kept, dropped):
        await node.import_car(pack.car())
    await node.unpin([dropped.root])
    stranger = compute_block_id(label.encode())
    while any(await node.has(dropped.ids)):  # peers of a cluster hear late what was unpinned
        await node.discard([*kept.ids, kept.root, stranger, *dropped.ids])
    assert await _readable(node, [*kept.ids, kept.root]) == [True] * 5
    await node.discard([])


async def test_garbage_is_what_no_pin_reaches(node: Node, label: str) -> None:
    kept, dropped = bundle(f"{label} kept"), bundle(f"{label} dropped")
    await node.import_car(kept.car())
    await node.import_car(dropped.car())
    await node.put_head(STORE, "kept-head", label.encode())
    await node.unpin([dropped.root])
    await _collect(node, dropped.root)
    assert await _readable(node, [*kept.ids, kept.root]) == [True] * 5
    assert await _readable(node, [*dropped.ids, dropped.root]) == [False] * 5
    assert await node.head(STORE, "kept-head") == label.encode()
    await node.drop_head(STORE, "kept-head")


async def test_a_block_is_read_into_its_place(node: Node, label: str) -> None:
    pack = bundle(label, count=40, size_bytes=131_088)
    await node.import_car(pack.car())
    rooms = [memoryview(bytearray(131_088)) for _ in pack.ids]
    fits = await asyncio.gather(
        *(node.read_into(name, room, timeout_s=10) for name, room in zip(pack.ids, rooms, strict=True))
    )
    assert all(fits)
    assert [bytes(room) for room in rooms] == list(pack.blocks)


async def test_a_block_of_another_length_is_not_read(node: Node, label: str) -> None:
    pack = bundle(label, size_bytes=1000)
    await node.import_car(pack.car())
    for size in (0, 999, 1001):
        assert not await node.read_into(pack.ids[0], memoryview(bytearray(size)), timeout_s=5)


async def test_a_block_that_nobody_has_is_unavailable_in_time(node: Node, label: str) -> None:
    began = time.monotonic()
    with pytest.raises(NodeUnavailable):
        await node.block(compute_block_id(label.encode()), timeout_s=0.3)
    with pytest.raises(NodeUnavailable):
        await node.read_into(compute_block_id(label.encode()), memoryview(bytearray(9)), timeout_s=0.3)
    assert time.monotonic() - began < LIMITS.answer_s


async def test_a_pin_of_what_it_has_counts(node: Node, label: str) -> None:
    pack = bundle(label)
    await node.import_car(pack.car())
    await node.unpin([pack.root])
    assert await node.pin(pack.root) == 1
    assert await node.pin(pack.root) == 1
    assert await node.copies([pack.root]) == {pack.root: 1}


async def test_a_pin_of_what_nobody_has_fails_in_time(node: Node, label: str) -> None:
    with pytest.raises(NodeUnavailable):
        await node.pin(bundle(label).root)
    assert await node.copies([bundle(label).root]) == {bundle(label).root: 0}


async def test_a_head_is_kept_and_never_replaced(node: Node, label: str) -> None:
    store = StoreId(compute_block_id(label.encode())[4:20])
    assert await node.heads(store) == []
    assert store not in await node.stores()
    await node.put_head(store, "1-1", b"first head")
    await node.put_head(store, "1-1", b"first head")
    await node.put_head(store, "1-2", noise(label, 60_000))
    with pytest.raises(FileExists):
        await node.put_head(store, "1-1", b"another head")
    assert await node.head(store, "1-1") == b"first head"
    assert await node.head(store, "1-2") == noise(label, 60_000)
    assert sorted(await node.heads(store)) == ["1-1", "1-2"]
    assert store in await node.stores()
    await node.drop_head(store, "1-1")
    await node.drop_head(store, "1-1")
    assert await node.heads(store) == ["1-2"]
    with pytest.raises(FileNotInStore):
        await node.head(store, "1-1")
    assert await node.heads(StoreId(b"another store...")) == []


async def test_heads_of_equal_bytes_have_names_of_their_own(node: Node, label: str) -> None:
    store = StoreId(compute_block_id(label.encode())[4:20])
    await node.put_head(store, "1-1", b"same")
    await node.put_head(store, "2-1", b"same")
    await node.drop_head(store, "1-1")
    assert await node.head(store, "2-1") == b"same"
