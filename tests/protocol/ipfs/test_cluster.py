"""A real ipfs-cluster that spreads copies, loses a peer, and gets them back when asked."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from noisefs.adapters.outbound.ipfs.cluster import ClusterNode
from noisefs.adapters.outbound.ipfs.limits import Credentials, NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.core.domain.ids import RootId
from noisefs.core.errors import NodeRefused, NodeUnavailable
from noisefs.core.services.packs.copies import copies_of
from tests.support.cars import bundle
from tests.support.cluster import LOOK_S, ClusterPeer, cluster
from tests.support.faults import packs_of
from tests.support.onto_nodes import Gateway, gateway_over

pytestmark = pytest.mark.needs("ipfs", "ipfs-cluster-service")

LIMITS = NodeLimits(connect_s=2, answer_s=10, state_s=5, stall_s=5, links_s=10, fetch_s=30, list_s=10, sweep_s=10)
USERS = {"ali": "open sesame"}
RIGHT = Credentials(user="ali", password="open sesame")
WAIT_S = 60


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ClusterPeer]]:
    """Three peers, which ask for a password. One of them does not live to the end of this file."""
    with cluster(tmp_path_factory.mktemp("cluster"), 3, credentials=USERS) as three:
        yield three


@asynccontextmanager
async def _open(peer: ClusterPeer, credentials: Credentials | None = RIGHT) -> AsyncIterator[ClusterNode]:
    kubo = KuboNode(peer.kubo.api, gateway=peer.kubo.gateway, name="cluster", limits=LIMITS)
    node = ClusterNode(peer.api, kubo, name="cluster", credentials=credentials, limits=LIMITS)
    try:
        yield node
    finally:
        await node.close()


@pytest.fixture
async def node(peers: list[ClusterPeer]) -> AsyncIterator[ClusterNode]:
    """Through the first peer."""
    async with _open(peers[0]) as made:
        yield made


async def test_a_cluster_says_how_it_is(node: ClusterNode) -> None:
    state = await node.state()
    assert state.usable, state
    assert state.version.startswith("ipfs-cluster 1.")
    assert "Kubo" in state.version
    assert state.peers == 2
    assert node.copies_at_most == 3
    assert state.free_bytes
    assert state.free_inodes is None
    assert state.public is False


@pytest.mark.parametrize("copies", [1, 2, 3])
async def test_as_many_copies_as_asked_for(
    node: ClusterNode, peers: list[ClusterPeer], request: pytest.FixtureRequest, copies: int
) -> None:
    pack = bundle(request.node.name, count=20)
    assert await node.import_car(pack.car(), copies=copies) == copies
    assert await node.copies([pack.root]) == {pack.root: copies}
    kubos = [KuboNode(peer.kubo.api, limits=LIMITS) for peer in peers]
    pinned = [(await kubo.copies([pack.root]))[pack.root] for kubo in kubos]
    await asyncio.gather(*(kubo.close() for kubo in kubos))
    assert sum(pinned) == copies
    await node.unpin([pack.root])


async def test_copies_of_more_roots_than_fit_in_one_question(node: ClusterNode) -> None:
    strangers = [bundle(f"stranger {n}").root for n in range(100)]
    assert await node.copies(strangers) == dict.fromkeys(strangers, 0)


async def test_only_the_right_password_lets_us_in(peers: list[ClusterPeer]) -> None:
    for wrong in (None, Credentials(user="ali", password="open")):
        async with _open(peers[0], wrong) as node:
            state = await node.state()
            assert not state.usable
            assert "does not let us in" in state.reason
            with pytest.raises(NodeRefused):
                await node.copies([bundle("any").root])
            with pytest.raises(NodeRefused):
                await node.import_car(bundle("any").car())


async def test_copies_of_a_dead_peer_do_not_count_and_come_back_elsewhere(
    node: ClusterNode, peers: list[ClusterPeer]
) -> None:
    packs = [bundle(f"pack {n}", count=5) for n in range(4)]
    for pack in packs:
        assert await node.import_car(pack.car(), copies=2) == 2
    peers[2].stop()
    peers[2].kubo.kill()
    roots = [pack.root for pack in packs]
    await _until_gone(node, peers)
    found = await node.copies(roots)
    assert set(found.values()) <= {1, 2}
    for root in roots:
        await _pinned_again(node, root, copies=2, on=2)
    assert await node.copies(roots) == dict.fromkeys(roots, 2)
    few = bundle("more copies than peers", count=3)
    assert await node.import_car(few.car(), copies=3) in (1, 2)
    await _pinned_again(node, few.root, copies=3, on=2)


async def test_a_store_gets_its_copies_back_when_a_peer_dies(tmp_path: Path) -> None:
    """The cluster does nothing about it by itself, as it is by default; the gateway's repair orders them again."""
    with cluster(tmp_path / "cluster", 3, credentials=USERS) as three, packs_of(64):
        async with _open(three[0]) as node, gateway_over(tmp_path / "store", [node]) as it:
            await it.fill(3)
            await it.until(partial(_has_copies, it, node))
            roots = [it.row(pack_id).root for pack_id in it.packs()]
            (dying,) = [peer for peer in three[1:] if await _holds_any(peer, roots)][:1]
            dying.stop(signal.SIGKILL)
            dying.kubo.kill()
            await _until_gone(node, three)
            assert min((await node.copies(roots)).values()) == 1

            await it.until(partial(_has_copies, it, node))

            assert [it.row(pack_id).root for pack_id in it.packs()] == roots


async def _has_copies(it: Gateway, node: ClusterNode) -> bool:
    """Whether rows and the cluster say that every pack has two."""
    rows = [it.store.index.read(lambda tx, key=pack_id: copies_of(tx, key)) for pack_id in it.packs()]  # type: ignore[misc]  # a default
    if not all(row is not None and len(row.nodes) == 2 for row in rows):
        return False
    return set((await node.copies([row.root for row in rows if row is not None])).values()) == {2}


async def _holds_any(peer: ClusterPeer, roots: list[RootId]) -> bool:
    kubo = KuboNode(peer.kubo.api, limits=LIMITS)
    try:
        return any((await kubo.copies(roots)).values())
    finally:
        await kubo.close()


async def _pinned_again(node: ClusterNode, root: RootId, *, copies: int, on: int) -> None:
    """Order again until so many have it, as repair does: a peer may be late to say that it lives."""
    async with asyncio.timeout(WAIT_S):
        while await node.pin(root, copies=copies) < on:
            await asyncio.sleep(LOOK_S)


async def _until_gone(node: ClusterNode, peers: list[ClusterPeer]) -> None:
    """Wait until the others notice: their last word of it must grow old."""
    while len(peers[0].ask("/monitor/metrics/freespace") or ()) != 2:
        await asyncio.sleep(LOOK_S)


async def test_a_stopped_cluster_is_unavailable(peers: list[ClusterPeer]) -> None:
    peers[1].stop()
    any_root: RootId = bundle("any").root
    async with _open(peers[1]) as node:
        with pytest.raises(NodeUnavailable):
            await node.copies([any_root])
        with pytest.raises(NodeUnavailable):
            await node.unpin([any_root])
        with pytest.raises(NodeUnavailable):
            [root async for root in node.pins()]
        assert not (await node.state()).usable
