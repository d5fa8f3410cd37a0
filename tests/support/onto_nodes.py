"""A store on disk whose packs go onto real nodes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from noisefs.adapters.outbound.ipfs.limits import NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.records import Copies, Extent, Pack, PackState, decode
from noisefs.core.ports.index import Table
from noisefs.core.ports.nodes import Node
from noisefs.core.services.network.service import Network, NetworkSettings
from noisefs.core.services.packs.copies import copies_of
from noisefs.core.services.store import Store
from tests.support.bodies import content, put_body
from tests.support.stores import KEYS, local_store
from tools.ipfs_daemon import IpfsDaemon

LIMITS = NodeLimits(connect_s=2, answer_s=5, state_s=2, stall_s=2, links_s=2, fetch_s=20, list_s=10, sweep_s=20)
SETTINGS = NetworkSettings(copies=2, min_free_bytes=1 << 20, min_free_inodes=0, down_after_s=0, health_every_s=1)
PATIENCE_S = 60
S = 131072


class Gateway:
    """A store and its network."""

    def __init__(self, store: Store, network: Network) -> None:
        self.store = store
        self.network = network

    async def fill(self, packs: int, *, first: int = 0) -> list[tuple[Extent, ...]]:
        """About so many full packs."""
        bodies = [await put_body(self.store, content(59 * S, first + number)) for number in range(packs)]
        await self.store.writer.seal()
        return bodies

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Run the jobs until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not await done():
                for job in self.network.jobs():
                    await job.step()
                await asyncio.sleep(0.05)

    def packs(self) -> list[PackId]:
        rows = self.store.index.read(lambda tx: tx.scan(Table.PACKS, b"", b"\xff" * 17, 1000))
        return [PackId(key) for key, raw in rows if decode(Pack, raw).state == PackState.SEALED]

    def row(self, pack_id: PackId) -> Copies:
        row = self.store.index.read(lambda tx: copies_of(tx, pack_id))
        assert row is not None
        return row

    async def pinned(self, name: str) -> set[RootId]:
        """What a daemon has pinned."""
        node = self.network.nodes.get(name)
        assert node is not None
        return {root async for root in node.pins()}

    async def settled(self, *names: str, copies: int = 2) -> bool:
        """Whether every pack has its copies on these nodes, in fact, rows say so, and nothing else is pinned there."""
        expected: dict[str, set[RootId]] = {name: set() for name in names}
        for pack_id in self.packs():
            row = self.store.index.read(lambda tx, key=pack_id: copies_of(tx, key))  # type: ignore[misc]  # a default
            held = [] if row is None else [name for name in row.nodes if name in names]
            if row is None or not row.confirmed_us or len(held) != copies:
                return False
            for name in held:
                expected[name].add(row.root)
        return {name: await self.pinned(name) for name in names} == expected

    async def is_whole(self, pack_id: PackId, name: str) -> bool:
        """Whether a node itself holds every block of a pack."""
        node = self.network.nodes.get(name)
        assert node is not None
        return all(await node.has([*await self.network.roots.links(pack_id), self.row(pack_id).root]))


@asynccontextmanager
async def gateway(
    folder: Path, daemons: Sequence[IpfsDaemon], settings: NetworkSettings = SETTINGS, *, managed: bool = False
) -> AsyncIterator[Gateway]:
    """A store in ``folder`` over these daemons, called a, b and c."""
    named = zip("abc", daemons, strict=False)
    nodes = [KuboNode(one.api, name=name, managed=managed, limits=LIMITS) for name, one in named]
    async with gateway_over(folder, nodes, settings) as made:
        yield made


@asynccontextmanager
async def gateway_over(
    folder: Path, nodes: Sequence[Node], settings: NetworkSettings = SETTINGS
) -> AsyncIterator[Gateway]:
    """A store in ``folder`` over these nodes, which it closes."""
    folder.mkdir(exist_ok=True)
    (folder / "roots").mkdir(exist_ok=True)
    async with local_store(folder) as store:
        network = Network(
            nodes,
            index=store.index,
            packs=store.packs,
            commits=store.commits,
            workers=store.workers,
            clock=store.clock,
            entropy=SystemEntropy(),
            telemetry=store.telemetry,
            keys=KEYS,
            geometry=store.geometry,
            root_files=LocalFiles(folder / "roots"),
            settings=settings,
        )
        try:
            await network.nodes.look()
            yield Gateway(store, network)
        finally:
            await network.close()
