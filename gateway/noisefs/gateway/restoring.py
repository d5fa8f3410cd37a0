"""A store brought back on an empty machine from the nodes that hold it, with nothing but its root key.

Promise: the folder is marked as unfinished until all is in it; an attempt that was cut off is begun anew and does no
harm: nodes are only read until the end, when the head of a new epoch stops whatever gateway may still run elsewhere.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec

from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.localhead.head_file import HeadFile, HeadSnapshotKeys
from noisefs.adapters.outbound.localhead.keeper import LocalHeadKeeper
from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.ids import ID_BYTES, InstanceId, StoreId
from noisefs.core.domain.nodes.root import RootSealer
from noisefs.core.domain.sealing.head import HEAD_SALT_BYTES, Epoch, Head, decode_head, encode_head, read_passphrase
from noisefs.core.domain.sealing.keyring import Passphrase, format_root_key
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import ForeignDirectory, WrongRootKey
from noisefs.core.ports.disk import atomic_write
from noisefs.core.ports.index import Index
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.reconcile import ReconcileReport
from noisefs.core.services.network.heads.files import NodeFiles
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.network.restoring.announcing import announce, note_heads
from noisefs.core.services.network.restoring.index import Found, IndexFromNodes
from noisefs.core.services.network.restoring.open_packs import rebuild_open_packs
from noisefs.core.services.network.restoring.retrieving import Retriever
from noisefs.core.services.network.restoring.settling import RestoredPacks, Settler, away_of
from noisefs.core.services.network.restoring.survey import Survey, find_store, survey
from noisefs.core.services.snapshots.service import Snapshots
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder, State

log = logging.getLogger(__name__)

_READ_LIMIT_S = 60.0
"""For a block, from all nodes together: nobody waits for a client here."""

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class RootSecret:
    """What opens the store: the root key itself, or how to ask for the passphrase that becomes it."""

    key: bytes | None
    phrase: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back.

    Attributes:
        head: Of the new epoch.
        found: What nodes gave.
        settled: What was found and mended.
        packs_lost: Packs that no node holds, and in which something lived.
        packs_rebuilt: Packs that were open, put together again.
        lost_s: Age of the newest thing that came back: what was written since may be lost (RPO).
        took_s: How long it took (RTO).
        warnings: What a person should know.
    """

    head: Head
    found: Found
    settled: ReconcileReport
    packs_lost: list[str]
    packs_rebuilt: int
    lost_s: float
    took_s: float
    warnings: list[str]


async def restore_from_nodes(
    folder: Folder,
    config: Config,
    telemetry: Telemetry,
    nodes: Sequence[Node],
    secret: RootSecret,
    store_id: StoreId | None = None,
) -> Restored:
    """Bring a store back in an absent or empty folder.

    Args:
        folder: Where.
        config: How it will work.
        telemetry: Who counts.
        nodes: All that are known: they are compared. Closed by the caller.
        secret: What opens it.
        store_id: Which, where nodes keep several.

    Raises:
        ForeignDirectory: There is a store already, or something else.
        StoreNotFound, SnapshotNotFound: Nodes give nothing to begin with.
        WrongRootKey: The secret does not open it.
        StoreSuperseded: Somebody else restores it at this moment.
        NodeUnavailable: No node takes the new head.
        DiskFull, ReadOnlyStore, StorageFailed, StoreBusy: The folder cannot be written.
    """
    with folder.made_alone():
        if folder.state() is State.STORE:
            raise ForeignDirectory(f"there is a store in {str(folder.path)!r} already: name an empty or absent folder")
        async with AsyncExitStack() as stack:
            return await _Restoring(folder, config, telemetry, nodes, secret, stack).run(store_id)


class _Restoring:
    """One attempt."""

    def __init__(
        self,
        folder: Folder,
        config: Config,
        telemetry: Telemetry,
        nodes: Sequence[Node],
        secret: RootSecret,
        stack: AsyncExitStack,
    ) -> None:
        self._folder = folder
        self._config = config
        self._telemetry = telemetry
        self._nodes = nodes
        self._secret = secret
        self._stack = stack
        self._disk, self._clock, self._entropy = LocalDisk(), SystemClock(), SystemEntropy()
        self._workers = ThreadWorkers()
        stack.callback(self._workers.close)
        self._stretched: dict[Passphrase, bytes] = {}

    async def run(self, wanted: StoreId | None) -> Restored:
        began_s = self._clock.monotonic_s()
        store_id, warnings = await find_store(self._nodes, wanted)
        surveyed = await survey(self._nodes, store_id, self._open_head, self._workers)
        old = surveyed.head
        keys = StoreKeys(store_id, old.keyring.store_key)
        folder = self._folder
        folder.begin(self._disk, restore=True)
        index = SqliteIndex.open(folder.index, keys.index, create=True, sync=self._config.store.sync)
        self._stack.callback(index.close)
        retriever = Retriever(self._nodes, keys, old.geometry, self._workers)
        found = await IndexFromNodes(
            nodes=self._nodes,
            head=old,
            keys=keys,
            geometry=old.geometry,
            snapshots=LocalFiles(folder.snapshots),
            logs=LocalFiles(folder.logs),
            retriever=retriever,
            workers=self._workers,
        ).run(index, self._clock.now_us())
        packs = LocalPackStore(
            self._disk, str(folder.packs), old.geometry.block_bytes, reserve_bytes=0, sync=self._config.store.sync
        )
        self._stack.callback(packs.close)
        rebuilt = await rebuild_open_packs(
            index, packs, found.interims, found.packs, retriever, old.geometry, self._workers
        )
        nodes = Nodes(self._nodes, clock=self._clock, entropy=self._entropy, telemetry=self._telemetry, public=True)
        await nodes.look()
        settled, lost = await self._settle(index, packs, keys, old, found, nodes)
        warnings += surveyed.warnings + found.warnings
        keeper = self._new_head(surveyed)
        chain = await self._snapshot(index, keys, old, keeper, nodes)
        if not chain:
            warnings.append("no node took a snapshot of the restored store: until one does, a second loss costs more")
            chain = [info.name for info in found.snapshots.chain]
        sealed = keeper.read()
        await self._workers.run(Lane.BACKGROUND, note_heads, index, surveyed.holders, sealed.head, chain)
        await announce(self._nodes, sealed, index, self._workers, warnings)
        await self._workers.run(Lane.BACKGROUND, index.checkpoint)
        folder.finish(self._disk)
        log.info("store.restored", extra={"store": store_id.hex(), "epoch": sealed.head.epoch.counter})
        return Restored(
            sealed.head,
            found,
            settled,
            lost,
            rebuilt,
            max(0.0, (self._clock.now_us() - found.newest_us) / _US),
            self._clock.monotonic_s() - began_s,
            list(dict.fromkeys(warnings)),
        )

    def _open_head(self, raw: bytes) -> Head:
        return decode_head(raw, self._root_key(read_passphrase(raw)))

    def _root_key(self, passphrase: Passphrase | None) -> bytes:
        if passphrase is None:
            if self._secret.key is None:
                raise WrongRootKey(
                    "the store has a root key, not a passphrase: give it with --root-key-file, or --root-key -"
                )
            return self._secret.key
        if passphrase not in self._stretched:
            self._stretched[passphrase] = passphrase.stretch(self._secret.phrase())
        return self._stretched[passphrase]

    async def _settle(
        self, index: Index, packs: LocalPackStore, keys: StoreKeys, old: Head, found: Found, nodes: Nodes
    ) -> tuple[ReconcileReport, list[str]]:
        """A place for every segment."""
        roots = RootFiles(
            files=LocalFiles(self._folder.roots),
            index=index,
            packs=packs,
            nodes=nodes,
            sealer=RootSealer(keys.store_id, keys.store_key),
            workers=self._workers,
            clock=self._clock,
            entropy=self._entropy,
            geometry=old.geometry,
            epoch=lambda: old.epoch.counter,
        )
        fetcher = Fetcher(
            nodes=nodes,
            roots=roots,
            index=index,
            workers=self._workers,
            clock=self._clock,
            telemetry=self._telemetry,
            timeout_s=_READ_LIMIT_S,
        )
        self._stack.push_async_callback(fetcher.close)
        away = await self._workers.run(Lane.BACKGROUND, away_of, index, found)
        store = RestoredPacks(
            packs,
            old.geometry.block_bytes,
            away,
            fetcher=fetcher,
            reads=ReadTimes(self._clock),
            telemetry=self._telemetry,
        )
        cells = CellReader(
            index=index, packs=store, telemetry=self._telemetry, keys=keys, geometry=old.geometry, hot_bytes=0
        )
        settler = Settler(index, store, cells, keys, old.geometry)
        return await self._workers.run(Lane.BACKGROUND, settler.run, self._clock.now_us())

    async def _snapshot(
        self, index: Index, keys: StoreKeys, old: Head, keeper: LocalHeadKeeper, nodes: Nodes
    ) -> list[str]:
        """Bring a snapshot of what came back onto nodes, and let the head name it; the names of its files.

        Log records belong to the epoch they were written in: what they brought back must not depend on them any more.
        """
        commits = CommitQueue(index, self._workers, self._telemetry)
        folder = LocalFiles(self._folder.snapshots)
        snapshots = Snapshots(
            index=index,
            commits=commits,
            snapshots=folder,
            logs=LocalFiles(self._folder.logs),
            keys=HeadSnapshotKeys(keeper.file),
            store_id=keys.store_id,
            clock=self._clock,
            entropy=self._entropy,
            workers=self._workers,
        )
        files = NodeFiles(
            snapshots=folder,
            nodes=nodes,
            index=index,
            commits=commits,
            workers=self._workers,
            clock=self._clock,
            telemetry=self._telemetry,
            keys=keys,
            geometry=old.geometry,
            copies=self._config.ipfs.copies,
        )
        try:
            info = await snapshots.create(full=True)
            placed = await files.place()
            if placed is None or placed.chain[-1].name != info.name:
                return []
            await self._workers.run(Lane.BACKGROUND, keeper.point, placed.pointer)
            return [one.name for one in placed.chain]
        finally:
            await snapshots.close()
            await commits.close()

    def _new_head(self, surveyed: Survey) -> LocalHeadKeeper:
        """The head of a new epoch, in this folder; with the root key, unless that is kept elsewhere."""
        old = surveyed.head
        head = msgspec.structs.replace(
            old,
            epoch=Epoch(old.epoch.counter + 1, self._entropy.secret(ID_BYTES)),
            sequence=old.sequence + 1,
            writer=InstanceId(self._entropy.secret(ID_BYTES)),
        )
        root_key = self._root_key(old.passphrase)
        raw = encode_head(head, root_key, salt=self._entropy.secret(HEAD_SALT_BYTES))
        if old.passphrase is None and self._config.root_key.file is None:
            atomic_write(self._disk, str(self._folder.root_key), format_root_key(root_key).encode())
        atomic_write(self._disk, str(self._folder.head), raw)
        file = HeadFile(
            self._disk,
            str(self._folder.head),
            str(self._folder.head_lock),
            root_key,
            self._entropy,
            self._clock,
            head.writer,
        )
        return LocalHeadKeeper(file)
