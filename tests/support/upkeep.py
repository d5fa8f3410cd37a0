"""A store in memory and the jobs that keep its packs on nodes; nodes that fail before or after they did something."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.nodes.root import RootSealer
from noisefs.core.domain.records import Copies, Extent, Pack, PackState, decode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Table
from noisefs.core.ports.nodes import Car
from noisefs.core.services.network.placing.ahead import NothingAhead
from noisefs.core.services.network.service import Network, NetworkSettings
from noisefs.core.services.packs.copies import copies_of
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, put_body
from tests.support.stores import KEYS, MemoryParts

S = 131072


class ShakyNode(MemoryNode):
    """Fails when it is told to, before it does what it is asked or after it.

    ``verdict``: asked before each call with its name; answers ``"ok"``, ``"before"`` or ``"after"``.
    ``watch``: told what it is about to let go of.
    """

    def __init__(
        self,
        name: str,
        *,
        zone: str = "",
        managed: bool = False,
        copies_at_most: int = 1,
        clock: ManualClock | None = None,
    ) -> None:
        super().__init__(name, zone=zone, managed=managed, copies_at_most=copies_at_most, clock=clock)
        self.verdict: Callable[[str], str] = lambda _call: "ok"
        self.watch: Callable[[Sequence[RootId]], None] = lambda _roots: None
        self.gate: asyncio.Event | None = None
        """Imports wait for it."""
        self.answers: asyncio.Event | None = None
        """What it says of copies is held back until then."""

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        if self.gate is not None:
            await self.gate.wait()
        verdict = self._before("import")
        count = await super().import_car(car, copies=copies)
        self._after(verdict, "import")
        return count

    async def pin(self, root: RootId, *, copies: int = 1) -> int:
        verdict = self._before("pin")
        count = await super().pin(root, copies=copies)
        self._after(verdict, "pin")
        return count

    async def unpin(self, roots: Sequence[RootId]) -> None:
        verdict = self._before("unpin")
        if not self.down:
            self.watch(roots)
        await super().unpin(roots)
        self._after(verdict, "unpin")

    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        self._before("copies")
        said = await super().copies(roots)
        if self.answers is not None:
            await self.answers.wait()
        return said

    def wipe(self) -> None:
        """Its disk is replaced by an empty one."""
        self.blocks.clear()
        self.pinned.clear()

    def _before(self, call: str) -> str:
        verdict = self.verdict(call)
        if verdict == "before":
            raise NodeUnavailable(self.name, call, "failed before")
        return verdict

    def _after(self, verdict: str, call: str) -> None:
        if verdict == "after":
            raise NodeUnavailable(self.name, call, "failed after")


class BlocksAhead(NothingAhead):
    """Says of every pack that nodes hold so many of its first blocks; notes of which packs it was told."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.forgotten: list[PackId] = []

    async def hand_over(self, pack_id: PackId) -> Mapping[str, int]:
        """As a test has set it."""
        return self.held

    def forget(self, pack_id: PackId) -> None:
        """Note it."""
        self.forgotten.append(pack_id)


class _WithNodes(MemoryPackStore):
    """Packs of a store that has nodes: what its cleaner goes by. Blocks come from the disk alone."""

    @property
    def reaches_network(self) -> bool:
        return True


class Upkeep:
    """A store whose packs go onto nodes. ``restart`` is a crash: only parts, files and nodes outlive it."""

    def __init__(
        self,
        *nodes: ShakyNode,
        settings: NetworkSettings | None = None,
        workers_seed: int | None = None,
        owns: Callable[[], Awaitable[bool]] | None = None,
        covered: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self.parts = MemoryParts(workers_seed=workers_seed)
        self.parts.packs = _WithNodes(self.parts.geometry.block_bytes)
        self.clock = self.parts.clock
        self.telemetry = self.parts.telemetry
        self.files = MemoryFiles()
        self.nodes = {node.name: node for node in nodes}
        for node in nodes:
            node.swarm = list(nodes)
        self.settings = settings if settings is not None else NetworkSettings()
        self.owns = owns
        self.covered = covered
        self.ahead = BlocksAhead()
        self.epoch = 1
        self.kept: list[tuple[Extent, ...]] = []
        self._number = 0
        self.store: Store
        self.network: Network

    async def begin(self) -> None:
        """Start, or start again."""
        self.store = self.parts.store()
        await self.store.start(background=False)
        self.network = Network(
            list(self.nodes.values()),
            index=self.parts.index,
            packs=self.parts.packs,
            commits=self.store.commits,
            workers=self.store.workers,
            clock=self.clock,
            entropy=self.parts.entropy,
            telemetry=self.telemetry,
            keys=KEYS,
            geometry=self.parts.geometry,
            root_files=self.files,
            settings=self.settings,
            epoch=lambda: self.epoch,
            owns=self.owns,
            covered=self.covered,
        )
        self.network.take_over_from(self.ahead)
        await self.network.nodes.look()

    async def restart(self, settings: NetworkSettings | None = None) -> None:
        """A crash, and a start after it, perhaps with another configuration."""
        self.settings = settings if settings is not None else self.settings
        await self.begin()

    async def fill(self, packs: int = 1, *, cells: int = 3) -> list[PackId]:
        """Write so many short packs; those that came to be."""
        before = set(self.sealed())
        for _ in range(packs):
            self._number += 1
            self.kept.append(await put_body(self.store, content(cells * S, self._number)))
            await self.store.writer.seal()
        return [pack_id for pack_id in self.sealed() if pack_id not in before]

    async def forget(self, count: int = 1) -> None:
        """Delete the oldest objects, and clean."""
        for _ in range(min(count, len(self.kept))):
            await drop_body(self.store, self.kept.pop(0))
        await self.store.reaper.run()
        await self.store.cleaner.run(everything=True)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    async def step(self) -> None:
        """Every job once."""
        for job in self.network.jobs():
            await job.step()

    async def settle(self, rounds: int = 12) -> None:
        """Every job again and again, with enough time between for whatever waits."""
        for _ in range(rounds):
            self.later(self.settings.reconcile_every_s + 1000)
            await self.step()

    # ------------------------------------------------------------------ looking

    def sealed(self) -> list[PackId]:
        """Packs that are sealed."""
        rows = self.parts.index.read(lambda tx: tx.scan(Table.PACKS, b"", b"\xff" * 17, 10_000))
        return [PackId(key) for key, raw in rows if decode(Pack, raw).state == PackState.SEALED]

    def row(self, key: bytes) -> Copies | None:
        """Its row."""
        return self.parts.index.read(lambda tx: copies_of(tx, key))

    def holders(self, pack_id: PackId) -> set[str]:
        """Nodes that have the root of its row pinned, in fact."""
        row = self.row(pack_id)
        return set() if row is None else {name for name, node in self.nodes.items() if row.root in node.pinned}

    def unpins(self) -> list[bytes]:
        """Keys of what nodes have still to let go of."""
        return [key for key, _ in self.parts.index.read(lambda tx: tx.scan(Table.UNPINS, b"", b"\xff" * 64, 10_000))]

    def check(self, copies: int) -> None:
        """Every live pack has its copies, rows say what is, and nothing else is pinned."""
        expected: dict[str, set[RootId]] = {name: set() for name in self.nodes}
        for pack_id in self.sealed():
            row = self.row(pack_id)
            assert row is not None, pack_id.hex()
            assert row.confirmed_us
            assert set(row.nodes) == self.holders(pack_id)
            assert not row.asked
            assert len(row.nodes) == copies, row
            for name in row.nodes:
                expected[name].add(row.root)
        assert {name: set(node.pinned) for name, node in self.nodes.items()} == expected
        assert not self.unpins()
        assert {file.name for file in self.files.list()} == {pack_id.hex() for pack_id in self.sealed()}

    @property
    def sealer(self) -> RootSealer:
        """Of the store."""
        return RootSealer(KEYS.store_id, KEYS.store_key)


@asynccontextmanager
async def upkeep(
    *nodes: ShakyNode,
    settings: NetworkSettings | None = None,
    workers_seed: int | None = None,
    owns: Callable[[], Awaitable[bool]] | None = None,
    covered: Callable[[], Awaitable[int]] | None = None,
) -> AsyncIterator[Upkeep]:
    """Begun, and looked at."""
    world = Upkeep(*nodes, settings=settings, workers_seed=workers_seed, owns=owns, covered=covered)
    await world.begin()
    yield world


def three(**zones: str) -> list[ShakyNode]:
    """Nodes a, b and c."""
    return [ShakyNode(name, zone=zones.get(name, "")) for name in "abc"]
