"""A store with nodes in memory: packs are put on them by hand, and the nodes do what a test tells them."""

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.presence import MemoryPresence
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, BlockId, InstanceId, PackId, RootId, StoreId
from noisefs.core.domain.nodes.root import RootSealer, root_id
from noisefs.core.domain.records import Copies
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Car, Node, NodeState
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.warm import WarmTier
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.reading.asking import Place
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.packs import NetworkPacks
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.packs.copies import set_copies
from noisefs.core.services.store import Store, StoreSettings
from tests.support.stores import KEYS, MemoryParts


class BlockShelf(Node):
    """A node that is read from only. Blocks are put on it by a test; so is what is wrong with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.blocks: dict[bytes, bytes] = {}
        self.asked: Tally[bytes] = Tally()
        self.under_way = 0
        self.most_under_way = 0
        self.down = False
        self.hangs = False
        """Accepts and never answers."""
        self.damages = False
        """Answers with a flipped bit."""
        self.gate: Callable[[bytes], asyncio.Event | None] = lambda _block_id: None
        """An event that an answer waits for."""

    @property
    def name(self) -> str:
        return self._name

    @property
    def zone(self) -> str:
        return ""

    @property
    def managed(self) -> bool:
        return False

    @property
    def copies_at_most(self) -> int:
        return 1

    async def state(self) -> NodeState:
        return NodeState(not self.down, "down" if self.down else "")

    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        self.asked[block_id] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            if self.down:
                raise NodeUnavailable(self._name, "block", "connection refused")
            if self.hangs:
                try:
                    async with asyncio.timeout(timeout_s):
                        await asyncio.Event().wait()
                except TimeoutError:
                    raise NodeUnavailable(self._name, "block", "no answer") from None
            opened = self.gate(block_id)
            if opened is not None:
                await opened.wait()
            if block_id not in self.blocks:
                raise NodeUnavailable(self._name, "block", "not found")
            block = self.blocks[block_id]
            return bytes([block[0] ^ 1]) + block[1:] if self.damages else block
        finally:
            self.under_way -= 1

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        raise NotImplementedError

    async def pin(self, root: RootId, *, copies: int = 1) -> int:
        raise NotImplementedError

    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        return {root: int(root in self.blocks) for root in roots}

    def pins(self) -> AsyncIterator[RootId]:
        raise NotImplementedError

    async def unpin(self, roots: Sequence[RootId]) -> None:
        raise NotImplementedError

    async def has(self, block_ids: Sequence[BlockId | RootId]) -> list[bool]:
        return [block_id in self.blocks for block_id in block_ids]

    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        raise NotImplementedError

    async def collect_garbage(self) -> None:
        raise NotImplementedError

    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        raise NotImplementedError

    async def heads(self, store_id: StoreId) -> list[str]:
        raise NotImplementedError

    async def stores(self) -> list[StoreId]:
        raise NotImplementedError

    async def head(self, store_id: StoreId, name: str) -> bytes:
        raise NotImplementedError

    async def drop_head(self, store_id: StoreId, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class NetworkedStore:
    """A store in memory, on threads, whose packs may be taken away to shelves."""

    def __init__(
        self,
        *names: str,
        timeout_s: float = 5.0,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        warm: WarmTier | None = None,
        kept: SealedList | None = None,
    ) -> None:
        """Made on the running event loop."""
        self.parts = MemoryParts(Geometry())
        self.telemetry = self.parts.telemetry
        self.workers = ThreadWorkers(network_threads=8)
        self.clock = clock if clock is not None else SystemClock()
        self.shelves = {name: BlockShelf(name) for name in names}
        self.nodes = Nodes(
            list(self.shelves.values()), clock=self.clock, entropy=self.parts.entropy, telemetry=self.telemetry
        )
        self.root_files = MemoryFiles()
        self.roots = RootFiles(
            files=self.root_files,
            index=self.parts.index,
            packs=self.parts.packs,
            nodes=self.nodes,
            sealer=RootSealer(KEYS.store_id, KEYS.store_key),
            workers=self.workers,
            clock=self.clock,
            entropy=self.parts.entropy,
            geometry=self.parts.geometry,
            epoch=lambda: 1,
        )
        self.fetcher = Fetcher(
            nodes=self.nodes,
            roots=self.roots,
            index=self.parts.index,
            workers=self.workers,
            clock=self.clock,
            telemetry=self.telemetry,
            timeout_s=timeout_s,
        )
        self.reads = ReadTimes(self.clock)
        self.packs = NetworkPacks(
            self.parts.packs,
            self.parts.geometry.block_bytes,
            fetcher=self.fetcher,
            reads=self.reads,
            telemetry=self.telemetry,
        )
        self.store = Store(
            index=self.parts.index,
            packs=self.packs,
            clock=self.clock,
            entropy=self.parts.entropy,
            workers=self.workers,
            telemetry=self.telemetry,
            presence=MemoryPresence(InstanceId(self.parts.entropy.secret(ID_BYTES))),
            keys=KEYS,
            geometry=self.parts.geometry,
            settings=settings if settings is not None else StoreSettings(),
            warm=warm,
            kept=kept,
        )

    def rooms(self, places: Iterable[Place]) -> dict[Place, memoryview]:
        """Memory for blocks that are to be fetched."""
        return {place: memoryview(bytearray(self.parts.geometry.block_bytes)) for place in places}

    def local(self) -> list[PackId]:
        """Sealed packs on the disk."""
        return [pack.pack_id for pack in self.parts.packs.list() if pack.sealed]

    async def upload(self, *names: str, confirmed: bool = True) -> list[PackId]:
        """Seal what is open and put all local packs on these nodes, with their rows."""
        await self.store.writer.seal()
        packs = [pack for pack in self.parts.packs.list() if pack.sealed]
        for pack in packs:
            raw = await self.roots.make(pack.pack_id, pack.blocks, 1)
            links = await self.roots.links(pack.pack_id)
            for position, link in enumerate(links):
                block = bytearray(self.parts.geometry.block_bytes)
                self.parts.packs.read(pack.pack_id, position, [memoryview(block)])
                for name in names:
                    self.shelves[name].blocks[link] = bytes(block)
            for name in names:
                self.shelves[name].blocks[root_id(raw)] = raw
            row = Copies(root_id(raw), names, confirmed_us=self.clock.now_us() if confirmed else 0)
            await self.store.commits.run(partial(set_copies, key=pack.pack_id, row=row))
        return [pack.pack_id for pack in packs]

    def take_away(self) -> None:
        """Drop every sealed pack from the disk, as eviction does."""
        for pack_id in self.local():
            self.parts.packs.drop(pack_id)


@asynccontextmanager
async def networked_store(
    *names: str,
    timeout_s: float = 5.0,
    settings: StoreSettings | None = None,
    clock: Clock | None = None,
    warm: WarmTier | None = None,
    kept: SealedList | None = None,
) -> AsyncIterator[NetworkedStore]:
    """A started store with these nodes, without background jobs."""
    net = NetworkedStore(*names, timeout_s=timeout_s, settings=settings, clock=clock, warm=warm, kept=kept)
    await net.nodes.look()
    await net.store.start(background=False)
    try:
        yield net
    finally:
        await net.fetcher.close()
        await net.store.close()
        await asyncio.to_thread(net.workers.close)
