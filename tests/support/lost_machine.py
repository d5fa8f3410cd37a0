"""A store in memory whose machine is lost, and the one that is restored from its nodes in a folder."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.records import Extent
from noisefs.core.ports.nodes import Node
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.heads.files import NodeFiles
from noisefs.core.services.network.heads.heads import Heads
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.packs import NetworkPacks
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.network.service import Network, NetworkSettings
from noisefs.core.services.snapshots.service import Snapshots
from noisefs.core.services.store import Store, StoreSettings
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.restoring import Restored, RootSecret, restore_from_nodes
from tests.support.bodies import content, get_body, put_body
from tests.support.gateways import ROOT_KEY, MemoryHeadKeeper, first_head
from tests.support.stores import KEYS
from tests.support.upkeep import ShakyNode, Upkeep

Written = list[tuple[tuple[Extent, ...], bytes]]
"""Bodies: where they are, and what they hold."""


class Machine:
    """A store whose packs, snapshots and heads go onto nodes."""

    def __init__(self, *nodes: ShakyNode, copies: int = 1) -> None:
        self.world = Upkeep(*nodes, settings=NetworkSettings(copies=copies))
        self._copies = copies
        self.written: Written = []

    async def begin(self) -> "Machine":
        """Start."""
        world = self.world
        await world.begin()
        parts, store = world.parts, world.store
        keeper = MemoryHeadKeeper(first_head(parts.entropy), store.presence.instance_id, parts.entropy)
        folder = MemoryFiles()
        self.snapshots = Snapshots(
            index=parts.index,
            commits=store.commits,
            snapshots=folder,
            logs=MemoryFiles(),
            keys=keeper,
            store_id=KEYS.store_id,
            clock=world.clock,
            entropy=parts.entropy,
            workers=store.workers,
        )
        files = NodeFiles(
            snapshots=folder,
            nodes=world.network.nodes,
            index=parts.index,
            commits=store.commits,
            workers=store.workers,
            clock=world.clock,
            telemetry=world.telemetry,
            keys=KEYS,
            geometry=parts.geometry,
            copies=self._copies,
        )
        world.network.remake_with(files.remake)
        self.heads = Heads(
            keeper=keeper,
            nodes=world.network.nodes,
            store_id=KEYS.store_id,
            index=parts.index,
            commits=store.commits,
            workers=store.workers,
            on_superseded=lambda error: store.commits.supersede(str(error)),
        )
        self.shipping = SnapshotShipping(self.snapshots, files, self.heads, self.flush, world.telemetry)
        return self

    async def flush(self, *, patient: bool = True) -> None:
        """Seal what is open and upload it."""
        await self.world.store.seal()
        await self.world.network.census.look(fresh=True)
        await self.world.network.uploads.run()

    async def put(self, size: int, *, seal: bool = True) -> None:
        """Write a body; ``seal``: in a pack of its own."""
        data = content(size, len(self.written) + 1)
        self.written.append((await put_body(self.world.store, data), data))
        if seal:
            await self.world.store.writer.seal()


async def restore(folder: Path, nodes: Sequence[Node], key: bytes = ROOT_KEY) -> Restored:
    """What the command does."""
    secret = RootSecret(key, lambda: "no passphrase")
    return await restore_from_nodes(Folder(folder), Config(), MemoryTelemetry(), nodes, secret)


@asynccontextmanager
async def restored_store(folder: Path, nodes: Sequence[Node]) -> AsyncIterator[Store]:
    """The started store of a restored folder, that reads through nodes."""
    places, telemetry, clock, entropy = Folder(folder), MemoryTelemetry(), SystemClock(), SystemEntropy()
    disk, workers, geometry = LocalDisk(), ThreadWorkers(), Geometry()
    index = SqliteIndex.open(places.index, KEYS.index, create=False)
    local = LocalPackStore(disk, str(places.packs), geometry.block_bytes)
    presence = FilePresence(disk, str(places.locks), InstanceId(entropy.secret(ID_BYTES)))
    commits = CommitQueue(index, workers, telemetry)
    network = Network(
        nodes,
        index=index,
        packs=local,
        commits=commits,
        workers=workers,
        clock=clock,
        entropy=entropy,
        telemetry=telemetry,
        keys=KEYS,
        geometry=geometry,
        root_files=LocalFiles(places.roots),
        settings=NetworkSettings(),
        epoch=lambda: 2,
    )
    fetcher = Fetcher(
        nodes=network.nodes,
        roots=network.roots,
        index=index,
        workers=workers,
        clock=clock,
        telemetry=telemetry,
        timeout_s=5,
    )
    packs = NetworkPacks(local, geometry.block_bytes, fetcher=fetcher, reads=ReadTimes(clock), telemetry=telemetry)
    store = Store(
        index=index,
        packs=packs,
        clock=clock,
        entropy=entropy,
        workers=workers,
        telemetry=telemetry,
        presence=presence,
        keys=KEYS,
        geometry=geometry,
        settings=StoreSettings(),
        commits=commits,
    )
    await network.nodes.look()
    await store.start(background=False)
    try:
        yield store
    finally:
        await fetcher.close()
        await store.close()
        local.close()
        index.close()
        presence.close()
        workers.close()


async def check_read(store: Store, written: Written) -> None:
    """Every byte is what was written."""
    for extents, data in written:
        assert await get_body(store, extents) == data
