"""Two processes of one store: a cell is fetched from nodes once, by its owner, and nobody waits for the dead."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from noisefs.adapters.inbound.peers.handler import PeerHandler
from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.peers.client import HttpPeer
from noisefs.core.domain.caching import peering
from noisefs.core.domain.caching.peering import STRETCH, Answer, Question, owner_of
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import AccessDenied, InvalidArgument, Unavailable
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.peers import Peer
from noisefs.core.ports.telemetry import Counter as Telemetered
from noisefs.core.ports.workers import Lane
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.caching.peers import REST_S, Lending, Peers
from noisefs.core.services.caching.tiers import Tiers
from tests.support.bodies import content, put_body
from tests.support.disk_cache import key_of
from tests.support.network import NetworkedStore, networked_store
from tests.support.stores import KEYS

S = 131072


class Process:
    """One of several over the same store: memory and tiers of its own."""

    def __init__(self, net: NetworkedStore, number: int, folder: Path) -> None:
        self.net = net
        self.telemetry = MemoryTelemetry()
        self.path = folder / f"{number}.sock"
        self.tiers = Tiers(self.telemetry)
        self.cells = CellReader(
            index=net.parts.index,
            packs=net.packs,
            telemetry=self.telemetry,
            keys=KEYS,
            geometry=net.parts.geometry,
            hot_bytes=1 << 28,
            tiers=self.tiers,
        )
        self.gate: asyncio.Event | None = None
        handler = PeerHandler(Lending(self.cells, net.parts.geometry.block_bytes), KEYS, net.clock, net.workers)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if self.gate is not None:
                await self.gate.wait()
            return await handler.handle(request)

        self.runner = web.ServerRunner(web.Server(handle))

    async def listen(self) -> None:
        """Begin to give cells."""
        await self.runner.setup()
        await web.UnixSite(self.runner, str(self.path)).start()

    async def read(self, body_id: BodyId, first: int, count: int) -> bytes:
        """Cells as they are sealed."""
        found = await self.net.workers.run(
            Lane.NETWORK, self.cells.cells, body_id, first, count, keep=True, reach=Reach.NETWORK
        )
        return b"".join(bytes(cells) for _, cells, _ in found)

    async def read_slice(self, body_id: BodyId, segment: int) -> bytes:
        """A slice as it is sealed."""
        held = await self.net.workers.run(Lane.NETWORK, self.cells.slice, body_id, segment, reach=Reach.NETWORK)
        assert held is not None
        return held.sealed

    def fetched(self) -> float:
        """Cells that nodes gave this process."""
        return self.telemetry.counted(Telemetered.NETWORK_BLOCKS, ("cell", "read"))


def owners_in_turn(body_id: BodyId) -> list[str]:
    """Two names of which the second one owns the first stretch of this body, the first one the second."""
    for number in range(10_000):
        names = [f"a{number}", f"b{number}"]
        if [owner_of(body_id, stretch * STRETCH, names) for stretch in (0, 1)] == names[::-1]:
            return names
    raise AssertionError("no such names")


@asynccontextmanager
async def two(tmp_path: Path, data: bytes, *, patience_s: float = 30) -> AsyncIterator[tuple[list[Process], BodyId]]:
    """Two processes that know of each other, and an object that only the node has."""
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(networked_store("one"))
        extents = await put_body(net.store, data)
        await net.store.packer.run(flush=True)
        await net.upload("one")
        net.take_away()
        both = [Process(net, number, tmp_path) for number in range(2)]
        names = owners_in_turn(extents[0].body_id)
        for number, process in enumerate(both):
            await process.listen()
            stack.push_async_callback(process.runner.cleanup)
            other = both[1 - number]
            peer = HttpPeer(names[1 - number], keys=KEYS, clock=net.clock, socket_path=str(other.path))
            peers = Peers(names[number], [peer], net.clock, patience_s=patience_s)
            stack.push_async_callback(peers.close)
            process.tiers.others = peers
        yield both, extents[0].body_id


async def test_each_cell_is_fetched_from_nodes_once_by_its_owner(tmp_path: Path) -> None:
    """Whoever wants it, and however many at once."""
    async with two(tmp_path, content(100 * S + 5000)) as (both, body_id):
        reads = [process.read(body_id, first, 25) for first in range(0, 100, 25) for process in both]
        found = await asyncio.gather(*reads)
        assert found[::2] == found[1::2]
        assert both[0].fetched() + both[1].fetched() == 100
        assert min(process.fetched() for process in both) >= 4
        slices = await asyncio.gather(*(process.read_slice(body_id, 100) for process in both))
        assert slices[0] == slices[1]
        assert both[0].fetched() + both[1].fetched() <= 102
        given = sum(process.telemetry.counted(Telemetered.PEER_READS, ("given",)) for process in both)
        assert given == 101


async def test_without_its_owner_a_process_fetches_for_itself(tmp_path: Path) -> None:
    async with two(tmp_path, content(64 * S)) as (both, body_id):
        expected = await both[1].read(body_id, 0, 64)
        await both[1].runner.cleanup()
        assert await both[0].read(body_id, 0, 64) == expected
        assert both[0].telemetry.counted(Telemetered.PEER_READS, ("not given",)) > 0


class Gone(Peer):
    """A process that is not there."""

    @property
    def name(self) -> str:
        """Its name."""
        return "gone"

    async def cells(self, body_id: BodyId, segments: Sequence[int], *, slices: bool, timeout_s: float) -> list[Answer]:
        """Nobody answers."""
        raise Unavailable("connection refused")

    async def close(self) -> None:
        """Nothing is open."""


async def test_while_an_owner_is_away_others_keep_its_cells_on_the_disk() -> None:
    clock = ManualClock()
    peers = Peers("here", [Gone()], clock)
    mine, others = (
        next(key for key in map(key_of, range(0, 1000, 10)) if peers.is_mine(key) is wanted) for wanted in (True, False)
    )
    assert (peers.is_kept_here(mine), peers.is_kept_here(others)) == (True, False)
    assert await asyncio.to_thread(peers.ask, [others], slices=False) == {}
    assert (peers.is_kept_here(mine), peers.is_kept_here(others)) == (True, True)
    clock.advance(REST_S)
    assert not peers.is_kept_here(others)


async def test_a_slow_owner_is_not_waited_for(tmp_path: Path) -> None:
    async with two(tmp_path, content(64 * S), patience_s=0.2) as (both, body_id):
        both[1].gate = asyncio.Event()
        both[0].gate = asyncio.Event()
        assert len(await both[0].read(body_id, 0, 64)) == 64 * (S + 16)
        assert both[0].fetched() >= 63  # the one that masks the next stretch is there already
        both[1].gate.set()
        both[0].gate.set()


async def test_only_processes_of_the_store_are_answered(tmp_path: Path) -> None:
    async with two(tmp_path, content(4 * S)) as (both, body_id):
        raw = peering.encode_question(Question(body_id, (0, 1), False))
        connector = aiohttp.UnixConnector(str(both[0].path))
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post("http://p/cells", data=raw) as answer:
                assert answer.status == 403
            async with session.get("http://p/cells") as answer:
                assert answer.status == 404
            async with session.post("http://p/cells", data=bytes(peering.MOST_QUESTION_BYTES + 1)) as answer:
                assert answer.status == 413
            key = derive(KEYS.store_key, Label.PEERS)
            now_s = both[0].net.clock.now_us() // 1_000_000
            odd = b"odd"
            async with session.post(
                "http://p/cells", data=odd, headers={peering.PROOF: peering.prove(key, now_s, odd)}
            ) as answer:
                assert answer.status == 400


def test_every_name_owns_about_as_much_and_keeps_it_when_another_goes() -> None:
    names = ["0", "1", "2"]
    keys = [(BodyId(number.to_bytes(16, "big")), 0) for number in range(3000)]
    owners = {key: owner_of(*key, names) for key in keys}
    assert all(800 < count < 1200 for count in Counter(owners.values()).values())
    assert all(owner_of(*key, ["0", "1"]) == owner for key, owner in owners.items() if owner != "2")


def test_neighbours_have_one_owner() -> None:
    body_id = BodyId(b"b" * 16)
    assert len({owner_of(body_id, number, ["0", "1"]) for number in range(STRETCH)}) == 1
    assert len({owner_of(body_id, number, ["0", "1"]) for number in range(20 * STRETCH)}) == 2


def test_a_question_without_its_proof_is_refused() -> None:
    key, body = b"k" * 32, b"question"
    good = peering.prove(key, 1000, body)
    peering.check(key, 1030, body, good)
    for now_s, said, proof in (
        (1100, body, good),
        (1000, b"another", good),
        (1000, body, ""),
        (1000, body, "1000:"),
        (1000, body, "x:y"),
        (1000, body, peering.prove(b"o" * 32, 1000, body)),
        (1001, body, good.replace("1000:", "1001:")),
    ):
        with pytest.raises(AccessDenied):
            peering.check(key, now_s, said, proof)


@pytest.mark.parametrize("raw", [b"", b"\x93", peering.encode_question(Question(b"short", (1,), False))])
def test_a_question_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument):
        peering.decode_question(raw)
    with pytest.raises(InvalidArgument):
        peering.decode_question(peering.encode_question(Question(b"b" * 16, tuple(range(100)), False)))
