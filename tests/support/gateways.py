"""Gateways over nodes in memory: snapshots and heads go there, and another gateway may be restored from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId, RootId
from noisefs.core.domain.nodes.file_parts import MOST_BLOCKS
from noisefs.core.domain.sealing.head import HEAD_SALT_BYTES, Epoch, Head, SnapshotPointer, decode_head, encode_head
from noisefs.core.domain.sealing.keyring import Keyring, SnapshotKey
from noisefs.core.errors import StoreSuperseded
from noisefs.core.ports.heads import HeadKeeper, SealedHead
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.ports.snapshot_keys import SnapshotKeys
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.heads.files import NodeFiles, file_rows
from noisefs.core.services.network.heads.heads import Heads
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.restoring.announcing import announce, note_heads
from noisefs.core.services.network.restoring.index import Found, IndexFromNodes
from noisefs.core.services.network.restoring.retrieving import Retriever
from noisefs.core.services.network.restoring.survey import find_store, survey
from noisefs.core.services.packs.copies import waiting_of
from noisefs.core.services.snapshots.service import Snapshots, SnapshotSettings
from tests.support.snapshots import everything
from tests.support.stores import KEYS

ROOT_KEY = b"the root key that nodes never see"[:32]
_Keys = list[SnapshotKey]


class MemoryHeadKeeper(HeadKeeper, SnapshotKeys):
    """A head in memory, and the snapshot keys in it."""

    def __init__(self, sealed: SealedHead, writer: InstanceId, entropy: SeededEntropy) -> None:
        self._sealed = sealed
        self._entropy = entropy
        self.writer = writer

    def read(self) -> SealedHead:
        return self._sealed

    def open(self, raw: bytes) -> Head:
        return decode_head(raw, ROOT_KEY)

    def point(self, pointer: SnapshotPointer) -> SealedHead:
        return self.change(snapshot=pointer)

    def change(self, **fields: object) -> SealedHead:
        """Another head with these fields, one number higher."""
        old = self._sealed.head
        changed = {"sequence": old.sequence + 1, "writer": self.writer, **fields}
        self._sealed = seal(msgspec.structs.replace(old, **changed), self._entropy)
        return self._sealed

    def list(self) -> _Keys:
        return [*self._sealed.head.keyring.snapshot_keys]

    def add(self, key: SnapshotKey) -> None:
        self.change(keyring=self._sealed.head.keyring.with_snapshot_key(key))

    def remove(self, key_id: bytes) -> None:
        keyring = self._sealed.head.keyring
        kept = tuple(key for key in keyring.snapshot_keys if key.key_id != key_id)
        self.change(keyring=msgspec.structs.replace(keyring, snapshot_keys=kept))


def seal(head: Head, entropy: SeededEntropy) -> SealedHead:
    """A head and its bytes."""
    return SealedHead(head, encode_head(head, ROOT_KEY, salt=entropy.secret(HEAD_SALT_BYTES)))


def first_head(entropy: SeededEntropy) -> SealedHead:
    """Of a new store."""
    keyring = Keyring(KEYS.store_id, KEYS.store_key)
    return seal(Head(Geometry(), keyring, Epoch(1, entropy.secret(ID_BYTES)), sequence=1), entropy)


@dataclass
class Gateway:
    """One machine. What survives a crash is in its fields; what lives is made by :meth:`boot`."""

    network: Sequence[MemoryNode]
    seed: int = 1
    copies: int = 1
    settings: SnapshotSettings = field(default_factory=SnapshotSettings)
    snapshots: MemoryFiles = field(default_factory=MemoryFiles)
    logs: MemoryFiles = field(default_factory=MemoryFiles)
    index: Index = field(default_factory=MemoryIndex)
    clock: ManualClock = field(default_factory=ManualClock)
    head: SealedHead | None = None
    most_blocks: int = MOST_BLOCKS

    def __post_init__(self) -> None:
        self.entropy = SeededEntropy(self.seed)
        head = self.head or first_head(self.entropy)
        self.keeper = MemoryHeadKeeper(head, InstanceId(self.entropy.secret(ID_BYTES)), self.entropy)

    async def boot(self) -> "Gateway":
        """Begin, also after a crash: with another instance id."""
        workers = InlineWorkers()
        self.telemetry = telemetry = MemoryTelemetry()
        self.keeper.writer = InstanceId(self.entropy.secret(ID_BYTES))
        self.commits = CommitQueue(self.index, workers, telemetry)
        self.nodes = Nodes(self.network, clock=self.clock, entropy=self.entropy, telemetry=telemetry)
        self.taken = Snapshots(
            index=self.index,
            commits=self.commits,
            snapshots=self.snapshots,
            logs=self.logs,
            keys=self.keeper,
            store_id=KEYS.store_id,
            clock=self.clock,
            entropy=self.entropy,
            workers=workers,
            settings=self.settings,
        )
        await self.nodes.look()
        self.files = NodeFiles(
            snapshots=self.snapshots,
            nodes=self.nodes,
            index=self.index,
            commits=self.commits,
            workers=workers,
            clock=self.clock,
            telemetry=telemetry,
            keys=KEYS,
            geometry=Geometry(),
            copies=self.copies,
            most_blocks=self.most_blocks,
        )
        self.heads = Heads(
            keeper=self.keeper,
            nodes=self.nodes,
            store_id=KEYS.store_id,
            index=self.index,
            commits=self.commits,
            workers=workers,
            on_superseded=self._superseded,
        )
        self.flushed = 0
        self.shipping = SnapshotShipping(self.taken, self.files, self.heads, self._flush, telemetry)
        return self

    def _superseded(self, error: StoreSuperseded) -> None:
        self.commits.supersede(str(error))

    async def _flush(self, *, patient: bool) -> None:
        self.flushed += 1

    async def write(self, key: bytes, value: bytes = b"1") -> None:
        """A commit."""

        def work(tx: Writing) -> None:
            tx.put(Table.OBJECTS, key, value)

        await self.commits.run(work)

    async def heal(self) -> None:
        """Nodes came back: let them be tried at once."""
        self.clock.advance(1000)
        await self.nodes.look()

    def objects(self) -> dict[bytes, bytes]:
        """What was written."""
        return {key: value for (table, key), value in everything(self.index).items() if table is Table.OBJECTS}

    def unpins(self, node: MemoryNode) -> set[RootId]:
        """What a node has still to let go of."""
        return {waiting.root for waiting in self.index.read(lambda tx: waiting_of(tx, node.name, 10_000))}

    def files_on_nodes(self) -> dict[str, tuple[str, ...]]:
        """Which nodes hold which file, as rows say."""
        return {name: row.nodes for name, row in self.index.read(file_rows).items()}


def names_on(node: MemoryNode) -> list[str]:
    """The heads a node keeps."""
    return sorted(node.kept_heads.get(KEYS.store_id, {}))


async def restored(
    network: Sequence[MemoryNode], *, seed: int = 2, copies: int = 1
) -> tuple[Gateway, Found, list[str]]:
    """A gateway on another machine, from nodes alone; what it found, and what it was warned of."""
    workers, entropy = InlineWorkers(), SeededEntropy(seed)
    store_id, warnings = await find_store(network, None)
    surveyed = await survey(network, store_id, lambda raw: decode_head(raw, ROOT_KEY), workers)
    gateway = Gateway(network, seed, copies)
    found = await IndexFromNodes(
        nodes=network,
        head=surveyed.head,
        keys=KEYS,
        geometry=Geometry(),
        snapshots=gateway.snapshots,
        logs=gateway.logs,
        retriever=Retriever(network, KEYS, Geometry(), workers),
        workers=workers,
        copies=copies,
    ).run(gateway.index, gateway.clock.now_us())
    old = surveyed.head
    head = msgspec.structs.replace(
        old,
        epoch=Epoch(old.epoch.counter + 1, entropy.secret(ID_BYTES)),
        sequence=old.sequence + 1,
        writer=InstanceId(entropy.secret(ID_BYTES)),
    )
    sealed = seal(head, entropy)
    note_heads(gateway.index, surveyed.holders, head, [info.name for info in found.snapshots.chain])
    warnings += surveyed.warnings + found.warnings
    await announce(network, sealed, gateway.index, workers, warnings)
    gateway.head = sealed
    gateway.__post_init__()
    return gateway, found, warnings
