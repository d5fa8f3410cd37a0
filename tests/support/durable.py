"""A store whose writes wait for nodes in memory, and what a restore would find there."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.core.domain.files.log_records import in_order, open_records
from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.nodes.root import Root, RootKind, RootSealer
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Car
from noisefs.core.services.network.confirming.blocks import Confirmer
from noisefs.core.services.network.confirming.durable import Durable
from noisefs.core.services.network.confirming.footing import Footing
from noisefs.core.services.network.confirming.log import NetworkLog
from noisefs.core.services.network.confirming.means import ConfirmingSettings, Means
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.cars import Limiter
from noisefs.core.services.store import Store
from tests.support.stores import KEYS, MemoryParts

T = TypeVar("T")

SET_KEY = SnapshotKey(b"set of snapshots", b"key of snapshots of 32 bytes....", 0)
EPOCH = 3
Rows = dict[tuple[Table, bytes], bytes]


async def driven(clock: ManualClock, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields
    """Run ``work`` to its end, and let time pass whenever everybody waits for it."""
    task = asyncio.ensure_future(work)
    while not task.done():
        for _ in range(200):
            await asyncio.sleep(0)
        wait_s = clock.next_wake_s()
        if not task.done() and wait_s is not None:
            clock.advance(wait_s)
    return task.result()


def rows_of(index: Index) -> Rows:
    """All rows."""

    def collect(tx: Reading) -> Rows:
        return {(table, key): value for table in Table for key, value in tx.scan(table, b"", b"\xff" * 64, 10**9)}

    return index.read(collect)


class FlakyNode(MemoryNode):
    """Now and then a call fails, before it did anything or after it did all."""

    rng: random.Random | None = None
    """Set: from then on."""

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        """Import, or fail, or both."""
        confirmed = await super().import_car(car, copies=copies)
        self._fail("import")
        return confirmed

    async def _answer(self, call: str, wait_s: float | None = None, *, counted: bool = True) -> None:
        self._fail(call)
        await super()._answer(call, wait_s, counted=counted)

    def _fail(self, call: str) -> None:
        if self.rng is not None and self.rng.random() < 0.05:
            raise NodeUnavailable(self.name, call, "the connection broke")


@dataclass
class Snapshot:
    """What a snapshot on nodes would hold."""

    number: int
    rows: Rows


class DurableLab:
    """Parts of a store that survive the process, with nodes; and services of one process over them."""

    def __init__(self, *names: str, seed: int = 0, settings: ConfirmingSettings | None = None) -> None:
        """Nodes by name, all up. Snapshots are kept aside: every node is taken to hold the newest."""
        self.parts = MemoryParts(seed=seed)
        self.clock = self.parts.clock
        self.nodes = {name: FlakyNode(name, clock=self.clock) for name in names}
        self.sealer = RootSealer(KEYS.store_id, KEYS.store_key)
        self.settings = settings or ConfirmingSettings()
        self.snapshots: list[Snapshot] = []
        self.renewals = 0
        self.renewing = True
        """Whether snapshots can be brought onto nodes."""
        self.boot()

    def boot(self) -> None:
        """A new process."""
        self.store: Store = self.parts.store()
        self.known = Nodes(
            list(self.nodes.values()), clock=self.clock, entropy=self.parts.entropy, telemetry=self.parts.telemetry
        )
        means = Means(
            nodes=self.known,
            index=self.parts.index,
            commits=self.store.commits,
            workers=self.store.workers,
            clock=self.clock,
            entropy=self.parts.entropy,
            telemetry=self.parts.telemetry,
            keys=KEYS,
            geometry=self.parts.geometry,
            sealer=self.sealer,
            limiter=Limiter(self.clock, 0),
            epoch=lambda: EPOCH,
            settings=self.settings,
        )
        self.confirmer = Confirmer(means, self.parts.packs)
        self.log = NetworkLog(means, footing=self.footing, renew=self.renew)
        self.durable = Durable(
            nodes=self.known,
            confirmer=self.confirmer,
            log=self.log,
            index=self.parts.index,
            workers=self.store.workers,
            clock=self.clock,
            copies=1,
            patience_s=self.settings.patience_s,
        )
        self.store.confirm_with(self.durable)

    def orphan(self) -> None:
        """The process is gone, and the power is not."""
        for pack in self.parts.packs._packs.values():
            pack.writer = None

    async def footing(self, _copies: int) -> Footing | None:
        """The newest snapshot."""
        return Footing(self.snapshots[-1].number, SET_KEY) if self.snapshots else None

    async def renew(self) -> None:
        """Take a snapshot, as the snapshots' service does: then the index forgets what it covers."""
        self.renewals += 1
        if self.renewing:
            number = self.parts.index.sequence()
            self.snapshots.append(Snapshot(number, rows_of(self.parts.index)))
            self.parts.index.forget_changes(number)

    # ------------------------------------------------------------------ what nodes hold

    def roots(self, *names: str) -> list[Root]:
        """Every pinned root of these nodes (of all), opened."""
        found: dict[RootId, bytes] = {}
        for name in names or self.nodes:
            found |= {root: self.nodes[name].blocks[root] for root in self.nodes[name].pinned}
        return [self.sealer.open(raw) for raw in found.values()]

    def blocks(self, *names: str) -> dict[bytes, bytes]:
        """Blocks of these nodes (of all)."""
        return {key: block for name in names or self.nodes for key, block in self.nodes[name].blocks.items()}

    def restored_rows(self, *names: str) -> tuple[Rows, int]:
        """The index that a restore from these nodes would make, and the last commit in it."""
        snapshot = self.snapshots[-1] if self.snapshots else Snapshot(0, {})
        rows, reached = dict(snapshot.rows), snapshot.number
        roots = {root.meta: root for root in self.roots(*names) if root.meta.kind == RootKind.LOG}
        blocks = self.blocks(*names)
        for meta in in_order(roots, reached, EPOCH):
            records = open_records(
                [blocks[link] for link in roots[meta].links],
                meta,
                store_id=KEYS.store_id,
                store_key=KEYS.store_key,
                keys={SET_KEY.key_id: SET_KEY},
                block_bytes=self.parts.geometry.block_bytes,
            )
            for record in records:
                for table, pairs in record.tables:
                    for key, value in pairs:
                        if value is None:
                            rows.pop((Table(table), key), None)
                        else:
                            rows[Table(table), key] = value
            reached = meta.log_number
        return rows, reached

    def restored_packs(self, *names: str) -> dict[PackId, dict[int, bytes]]:
        """Blocks by pack and position, as roots on these nodes give them."""
        blocks = self.blocks(*names)
        packs: dict[PackId, dict[int, bytes]] = {}
        for root in sorted(self.roots(*names), key=lambda one: one.meta.kind, reverse=True):
            if root.meta.kind in (RootKind.INTERIM, RootKind.PACK):
                pack = packs.setdefault(PackId(root.meta.pack_id), {})
                for number in range(root.meta.count):
                    pack[root.meta.first + number] = blocks[root.links[number]]
        return packs

    def restored(self, *names: str) -> MemoryParts:
        """The parts of a store on a new machine, from these nodes alone; its recovery has not run."""
        parts = MemoryParts(self.parts.geometry, seed=99)
        rows, _reached = self.restored_rows(*names)
        parts.index = MemoryIndex()

        def fill(tx: Writing) -> None:
            for (table, key), value in rows.items():
                tx.put(table, key, value)

        for outcome in parts.index.transact([fill]):
            assert outcome.error is None
        for pack_id, blocks in self.restored_packs(*names).items():
            assert sorted(blocks) == list(range(len(blocks))), "a node holds a pack with a hole"
            put_pack(parts.packs, pack_id, [blocks[at] for at in range(len(blocks))])
        return parts


def put_pack(packs: MemoryPackStore, pack_id: PackId, blocks: list[bytes]) -> None:
    """An open pack without a writer, durable."""
    pack = packs.create(pack_id)
    for block in blocks:
        pack.reserve(1)[:] = block
        pack.advance(1)
    pack.sync()
    pack.abandon()
