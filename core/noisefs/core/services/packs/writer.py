"""The pack writer: cells of all bodies that are being written, masked into one open pack after another.

Promise: what :meth:`PackWriter.settle` has returned for is on the disk; before a pack is sealed, every body with cells
in it that no commit names yet has a ``WRITING`` row; a failed write or sync poisons the pack and fails its waiters, and
nothing is tried again on it.

Order at a seal: ``WRITING`` rows, manifest, sync and rename, then the pack's row. A crash between any two of these is
mended by :mod:`.recovery`. Masking and copying happen on the pack lane, one call a run; one sync serves all who wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

from noisefs.core.domain.geometry import PACK_BLOCKS, Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId, PackId
from noisefs.core.domain.manifest import Entry, FillerEntry, Manifest, RunEntry, SharedEntry, seal_manifest
from noisefs.core.domain.masking import RunPlan, Strategy, strategy_named
from noisefs.core.domain.records import Pack, PackState, Run
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import Draining, NoisefsError, PackPoisoned
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.packs import OpenPack, PackStore
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.rows import set_pack, unplace
from noisefs.core.services.packs.seeds import Seed, SeedPool, Source
from noisefs.core.services.packs.staging import Staging

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

RUN_CELLS: Final = 8
"""Interleaving: cells one body gets before another one's turn (DESIGN.md section 3)."""

PREPARE_AT_BLOCKS: Final = PACK_BLOCKS // 2
"""Blocks in the open pack from which on the next one is made ready."""

MANIFEST_SALT_BYTES: Final = 24


@dataclass(slots=True, eq=False)
class Stretch:
    """Cells in the open pack: of a body (``staging``), or one shared by slices (``None``)."""

    position: int
    count: int
    stride: int
    segment: int
    seed: int
    staging: Staging | None


@dataclass(slots=True, eq=False)
class _Filling:
    """A pack that is being filled."""

    pack: OpenPack
    pack_id: PackId
    strategy: Strategy
    seeds: list[Seed]
    created_us: int
    generation: int
    stretches: list[Stretch] = field(default_factory=list)
    synced: int = 0
    sealed: bool = False
    poisoned: bool = False
    cells: int = 0


@dataclass(frozen=True, slots=True)
class SharedCell:
    """Where a cell of slices went."""

    pack_id: PackId
    position: int
    seed: int


MakeCells = Callable[[int, int, int], memoryview]
"""Gets the pack's generation, the first segment and how many; gives their cells. Called on the writer's lane."""

Generations = Callable[[], Awaitable[int]]
"""Gives a generation no other pack has."""


class PackWriter:
    """Fills packs of one process: of writers (generation 0), or of the cleaner (each pack its own generation)."""

    def __init__(
        self,
        *,
        packs: PackStore,
        commits: CommitQueue,
        workers: Workers,
        entropy: Entropy,
        clock: Clock,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        instance_id: InstanceId,
        seeds: SeedPool,
        generations: Generations | None = None,
        lane: Lane = Lane.PACK,
        by: str = "writer",
    ) -> None:
        """``by`` labels the metrics; without ``generations`` every pack is of generation 0; ``lane`` does the work."""
        self._packs = packs
        self._commits = commits
        self._workers = workers
        self._entropy = entropy
        self._clock = clock
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._instance_id = instance_id
        self._seeds = seeds
        self._generations = generations
        self._lane = lane
        self._by = (by,)
        self._lock = asyncio.Lock()
        self._current: _Filling | None = None
        self._next: asyncio.Task[_Filling] | None = None
        self._fillings: dict[PackId, _Filling] = {}
        self._syncing: dict[PackId, asyncio.Task[None]] = {}
        self._closed = False

    # ------------------------------------------------------------------ appending

    async def append(self, staging: Staging, cells: memoryview, segment: int, count: int) -> None:
        """Append ``count`` sealed cells of a body, beginning with its segment ``segment``; notes runs in ``staging``.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed, PackPoisoned: What was appended is filler now.
        """
        block = self._geometry.block_bytes

        def given(_generation: int, first: int, n: int) -> memoryview:
            return cells[(first - segment) * block : (first - segment + n) * block]

        await self.append_made(staging, given, segment, count)

    async def append_made(self, staging: Staging, make: MakeCells, segment: int, count: int) -> None:
        """Append cells that are made when their pack, and so their generation, is known. Else as :meth:`append`."""
        done = 0
        async with self._lock:
            while done < count:
                filling = await self._filling()
                own = frozenset(
                    number
                    for number, seed in enumerate(filling.seeds)
                    if seed.group and (seed.group == staging.group or seed.info.body_id == staging.body_id)
                )
                plans = await self._on_pack(filling, self._mask, filling, make, segment + done, count - done, own)
                for plan in plans:
                    run = Run(filling.pack_id, plan.position, plan.count, plan.seed, filling.generation)
                    staging.add(segment + done, run, plan.stride)
                    filling.stretches.append(
                        Stretch(plan.position, plan.count, plan.stride, segment + done, plan.seed, staging)
                    )
                    done += plan.count
                if done < count:
                    await self._seal(filling)
        self._telemetry.count(Counter.CELLS_SEALED, count, self._by)

    async def append_shared(self, make: Callable[[PackId, int], bytes]) -> SharedCell:
        """Append one cell that slices share; ``make`` gets pack id and cell position, and gives the cell's bytes."""
        async with self._lock:
            while True:
                filling = await self._filling()
                plan = await self._on_pack(filling, self._mask_shared, filling, make)
                if plan is not None:
                    break
                await self._seal(filling)
            filling.stretches.append(Stretch(plan.position, 1, plan.stride, 0, plan.seed, None))
        self._telemetry.count(Counter.CELLS_SEALED, 1, self._by)
        return SharedCell(filling.pack_id, plan.position, plan.seed)

    def _mask(self, filling: _Filling, make: MakeCells, segment: int, count: int, own: frozenset[int]) -> list[RunPlan]:
        """On the lane: mask as many cells as the pack takes, in runs of at most ``RUN_CELLS``."""
        done = 0
        plans: list[RunPlan] = []
        while done < count:
            plan = filling.strategy.plan(filling.pack.blocks, min(RUN_CELLS, count - done), own)
            if plan is None:
                break
            self._mask_run(filling, plan, make(filling.generation, segment + done, plan.count))
            plans.append(plan)
            done += plan.count
        return plans

    def _mask_shared(self, filling: _Filling, make: Callable[[PackId, int], bytes]) -> RunPlan | None:
        plan = filling.strategy.plan(filling.pack.blocks, 1)
        if plan is not None:
            self._mask_run(filling, plan, memoryview(make(filling.pack_id, plan.position)))
        return plan

    def _mask_run(self, filling: _Filling, plan: RunPlan, cells: memoryview) -> None:
        out = filling.pack.reserve(plan.total_blocks)
        filling.strategy.mask_run(plan, cells, out, filling.pack.block, self._entropy.noise)
        filling.pack.advance(plan.total_blocks)
        filling.cells += plan.count
        self._telemetry.count(Counter.PACK_BYTES, plan.total_blocks * self._geometry.block_bytes, self._by)

    # ------------------------------------------------------------------ syncing

    async def settle(self, staging: Staging) -> None:
        """Return when every cell of the body is durable.

        Raises:
            PackPoisoned: A write or sync of one of its packs failed: the body is lost and must not be published.
        """
        for pack_id in dict.fromkeys(run.pack_id for _segment, run in staging.runs):
            await self.settle_pack(pack_id)

    async def settle_pack(self, pack_id: PackId) -> None:
        """Return when everything appended to this pack so far is durable. One sync serves all who wait."""
        filling = self._fillings.get(pack_id)
        if filling is None:
            return  # sealed, and so synced, and no longer in mind
        wanted = filling.pack.blocks if not (filling.sealed or filling.poisoned) else 0
        while True:
            if filling.poisoned:
                raise PackPoisoned(pack_id)
            if filling.sealed or filling.synced >= wanted:
                return
            task = self._syncing.get(pack_id)
            if task is None:
                task = self._syncing[pack_id] = asyncio.create_task(self._sync(filling))
                task.add_done_callback(lambda _task: self._syncing.pop(pack_id, None))
            await asyncio.wait([task])
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure

    async def _sync(self, filling: _Filling) -> None:
        def sync() -> int:
            return filling.synced if filling.sealed or filling.poisoned else filling.pack.sync()

        filling.synced = await self._on_pack(filling, sync)

    async def _on_pack(self, filling: _Filling, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run on the pack lane; a failure that poisons the pack is noted before it propagates."""
        try:
            return await self._workers.run(self._lane, work, *args, **kwargs)
        except PackPoisoned:
            await self._poison(filling)
            raise

    async def _poison(self, filling: _Filling) -> None:
        """Take no more from this pack. Its committed cells stay readable as far as they are; the cleaner moves them."""
        if filling.poisoned:
            return
        filling.poisoned = True
        if self._current is filling:
            self._current = None
        log.error("pack.poisoned", extra={"pack": filling.pack_id.hex()})
        await self._workers.run(self._lane, filling.pack.abandon)
        row = self._row(filling, PackState.POISONED, 0)
        await self._commits.run(lambda tx: set_pack(tx, filling.pack_id, row))

    # ------------------------------------------------------------------ opening

    async def _filling(self) -> _Filling:
        """The open pack; the caller holds the lock."""
        if self._closed:
            raise Draining("the pack writer is closed")
        if self._current is None:
            task, self._next = self._next, None
            self._current = await (task if task is not None else self._open())
            self._fillings[self._current.pack_id] = self._current
        elif self._next is None and self._current.pack.blocks >= PREPARE_AT_BLOCKS:
            self._next = asyncio.create_task(self._open())
            # A failure is met again, and told, by whoever needs the pack.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._current

    async def _open(self) -> _Filling:
        """Make a pack: file, seeds, then its row, before any commit names it."""
        pack_id = PackId(self._entropy.secret(ID_BYTES))
        generation = 0 if self._generations is None else await self._generations()
        strategy = strategy_named(self._geometry.strategy, pack_id=pack_id, prf_key=self._keys.prf)
        choose = self._seeds.candidates()

        def create() -> tuple[OpenPack, list[Seed]]:
            seeds = choose(strategy.seeds)
            pack = self._packs.create(pack_id)
            if seeds:
                place = pack.reserve(len(seeds))
                for number, seed in enumerate(seeds):
                    start = number * self._geometry.block_bytes
                    place[start : start + self._geometry.block_bytes] = seed.block
                pack.advance(len(seeds))
            return pack, seeds

        pack, seeds = await self._workers.run(self._lane, create)
        filling = _Filling(pack, pack_id, strategy, seeds, self._clock.now_us(), generation)
        row = self._row(filling, PackState.OPEN, 0)
        try:
            await self._commits.run(lambda tx: set_pack(tx, pack_id, row))
        except BaseException:
            await self._workers.run(self._lane, pack.abandon)
            await self._workers.run(self._lane, self._packs.drop, pack_id)
            raise
        self._telemetry.count(Counter.PACK_BYTES, len(seeds) * self._geometry.block_bytes, self._by)
        return filling

    def _row(self, filling: _Filling, state: PackState, blocks: int) -> Pack:
        return Pack(
            state,
            self._instance_id,
            blocks,
            self._geometry.strategy,
            filling.generation,
            filling.created_us,
            0 if state == PackState.OPEN else self._clock.now_us(),
            tuple(seed.info for seed in filling.seeds),
        )

    # ------------------------------------------------------------------ sealing

    async def generation(self) -> int:
        """The generation of the open pack; opens one if there is none."""
        async with self._lock:
            return (await self._filling()).generation

    @property
    def open_pack_id(self) -> PackId | None:
        """The pack that is being filled now."""
        return self._current.pack_id if self._current is not None else None

    def is_open(self, pack_id: PackId) -> bool:
        """Whether this pack is still being filled by this writer."""
        return pack_id in self._fillings

    async def seal(self) -> None:
        """Seal the open pack, if there is one with cells: at clean shutdown, by age, or when a cleaner is done."""
        async with self._lock:
            if self._current is not None and self._current.cells:
                await self._seal(self._current)

    async def _seal(self, filling: _Filling) -> None:
        """The caller holds the lock. May be called again after a failed commit: finished steps are not repeated."""
        stagings = {s.staging for s in filling.stretches if s.staging is not None}
        waiting = [staging for staging in stagings if not (staging.enlisted or staging.discarded)]
        if waiting:
            now_us = self._clock.now_us()

            def mark(tx: Writing) -> None:
                for staging in waiting:
                    staging.mark(tx, now_us)

            for staging in waiting:
                staging.marked = True
            await self._commits.run(mark)
        if not filling.sealed:
            await self._on_pack(filling, self._write_manifest, filling)
        row = self._row(filling, PackState.SEALED, filling.pack.blocks)

        def close(tx: Writing) -> None:
            set_pack(tx, filling.pack_id, row)
            unplace(tx, filling.pack_id)

        await self._commits.run(close)
        self._current = None
        self._fillings.pop(filling.pack_id, None)
        sources = tuple(
            Source(s.position, s.staging.body_id if s.staging else None, s.staging.group if s.staging else b"shared")
            for s in filling.stretches
        )
        self._seeds.remember(filling.pack_id, sources, row.blocks - 1)

    def _write_manifest(self, filling: _Filling) -> None:
        """On the pack lane: the manifest is the last block; then the pack is closed."""
        position = filling.pack.blocks
        manifest = Manifest(
            pack_id=filling.pack_id,
            strategy=self._geometry.strategy,
            generation=filling.generation,
            seeds=tuple(seed.info for seed in filling.seeds),
            blocks=position + 1,
            entries=self._entries(filling),
        )
        append_manifest(filling.pack, filling.strategy, manifest, self._keys, self._geometry, self._entropy)
        filling.pack.seal()
        filling.sealed = True
        self._telemetry.count(Counter.PACK_BYTES, self._geometry.block_bytes, self._by)

    def _entries(self, filling: _Filling) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for s in filling.stretches:
            if s.staging is None:
                entries.append(SharedEntry(s.position, s.seed, filling.generation))
            elif s.staging.discarded and not s.staging.enlisted:
                entries.extend(FillerEntry(s.position + i * s.stride, 1) for i in range(s.count))
            else:
                entries.append(
                    RunEntry(s.position, s.count, s.stride, s.staging.body_id, s.segment, s.seed, filling.generation)
                )
        return tuple(entries)

    async def close(self) -> None:
        """Seal what is open and drop what was prepared. Appending afterwards raises ``Draining``."""
        self._closed = True
        await self.rest()

    async def rest(self) -> None:
        """Seal what is open and drop what was prepared: nothing more is to come for a while."""
        async with self._lock:
            task, self._next = self._next, None
            if task is not None:
                try:
                    prepared = await task
                except NoisefsError:
                    log.debug("pack.prepare_failed")
                else:
                    await self._discard(prepared)
            if self._current is not None and self._current.cells:
                await self._seal(self._current)
            elif self._current is not None:
                current, self._current = self._current, None
                self._fillings.pop(current.pack_id, None)
                await self._discard(current)

    async def _discard(self, filling: _Filling) -> None:
        """Remove a pack that never got a cell."""
        await self._workers.run(self._lane, filling.pack.abandon)
        await self._commits.run(lambda tx: tx.delete(Table.PACKS, filling.pack_id))
        await self._workers.run(self._lane, self._packs.drop, filling.pack_id)


def append_manifest(
    pack: OpenPack, strategy: Strategy, manifest: Manifest, keys: StoreKeys, geometry: Geometry, entropy: Entropy
) -> None:
    """Seal and mask the manifest and append it as the pack's last block."""
    cell = seal_manifest(
        manifest,
        store_key=keys.store_key,
        store_id=keys.store_id,
        segment_bytes=geometry.segment_bytes,
        salt=entropy.secret(MANIFEST_SALT_BYTES),
        padding=entropy.noise,
    )
    strategy.mask_manifest(pack.blocks, memoryview(cell), pack.reserve(1), pack.block)
    pack.advance(1)
