"""The pack writer: cells of all bodies that are being written, masked into one open pack after another.

Promise: what :meth:`PackWriter.settle` has returned for is on the disk; before a pack is sealed, every body with cells
in it that no commit names yet has a ``WRITING`` row; a failed write or sync poisons the pack and fails its waiters, and
nothing is tried again on it. A caller that goes away breaks nothing off in the middle.

Order at a seal: ``WRITING`` rows, manifest, sync and rename, then the pack's row. A crash between any two of these is
mended by :mod:`.recovery`; a failed commit is tried again before the next cell. Masking and copying happen on the pack
lane, one call a run; one sync serves all who wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.geometry import PACK_BLOCKS, Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId, PackId
from noisefs.core.domain.masking import strategy_named
from noisefs.core.domain.records import Pack, PackState, Run, SeedInfo, decode
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import CommitConflict, Draining, NoisefsError, PackPoisoned
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.packs import OpenPack, PackStore
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.classes import DurabilityClasses
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.filling import Filling, MakeCells, MakeSharedCell, SharedCell, Stretch
from noisefs.core.services.packs.rows import set_pack, unplace
from noisefs.core.services.packs.seeds import Seed, SeedPool, share_blocks
from noisefs.core.services.packs.settling import Settling
from noisefs.core.services.packs.staging import Staging
from noisefs.core.services.packs.unbroken import unbroken

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

PREPARE_AT_BLOCKS: Final = PACK_BLOCKS // 2
"""Blocks in the open pack from which on the next one is made ready."""

Generations = Callable[[], Awaitable[int]]
"""Gives a generation no other pack has."""


def _nothing() -> None:
    """Nobody wants to know."""


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
        on_sealed: Callable[[], None] = _nothing,
        from_reserve: bool = False,
    ) -> None:
        """``by`` labels the metrics; without ``generations`` every pack is of generation 0; ``lane`` does the work.

        ``on_sealed`` is called, on the loop, after every seal. ``from_reserve``: packs may use the space kept free.
        """
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
        self._on_sealed = on_sealed
        self._from_reserve = from_reserve
        self._lock = asyncio.Lock()
        self._current: Filling | None = None
        self._begun_s = 0.0
        """When the open pack was taken into use."""
        self._next: asyncio.Future[Filling] | None = None
        self._fillings: dict[PackId, Filling] = {}
        self._settling = Settling(self._sync)
        self._unnoted: list[Filling] = []
        """Poisoned, and the index does not know it yet."""
        self._unused: list[Filling] = []
        """Never got a cell, and are to be removed."""
        self._closed = False

    def confirm_with(self, classes: DurabilityClasses, *, always: str = "") -> None:
        """Let bodies of classes above ``local`` wait for nodes; ``always``: the class of every body, not its own."""
        self._settling.confirm_with(classes, always)

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
        await unbroken(self._append_made(staging, make, segment, count))

    async def _append_made(self, staging: Staging, make: MakeCells, segment: int, count: int) -> None:
        done = 0
        async with self._lock:
            while done < count:
                if staging.lost:
                    raise CommitConflict(f"body {staging.body_id.hex()} lost one of its packs")
                filling = await self._filling()
                plans, failure = await self._on_pack(
                    filling,
                    filling.mask,
                    make,
                    segment + done,
                    count - done,
                    filling.own_seeds(staging),
                    self._entropy,
                )
                for plan in plans:
                    run = Run(filling.pack_id, plan.position, plan.count, plan.seed, filling.generation)
                    staging.add(segment + done, run, plan.stride)
                    filling.stretches.append(
                        Stretch(plan.position, plan.count, plan.stride, segment + done, plan.seed, staging)
                    )
                    done += plan.count
                    self._count_blocks(plan.total_blocks)
                if failure is not None:
                    await self._failed(filling, failure)
                    raise failure
                self._settling.went_on(filling, staging.durability)
                if done < count:
                    await self._seal(filling)
        self._telemetry.count(Counter.CELLS_SEALED, count, self._by)

    async def append_shared(self, make: MakeSharedCell) -> SharedCell:
        """Append one cell that slices share; ``make`` gets pack id and cell position, and gives the cell's bytes."""
        return await unbroken(self._append_shared(make))

    async def _append_shared(self, make: MakeSharedCell) -> SharedCell:
        async with self._lock:
            while True:
                filling = await self._filling()
                plan = await self._on_pack(filling, filling.mask_shared, make, self._entropy)
                if plan is not None:
                    break
                await self._seal(filling)
            filling.stretches.append(Stretch(plan.position, 1, plan.stride, 0, plan.seed, None))
            self._count_blocks(plan.total_blocks)
        self._telemetry.count(Counter.CELLS_SEALED, 1, self._by)
        return SharedCell(filling.pack_id, plan.position, plan.seed)

    def _count_blocks(self, blocks: int) -> None:
        self._telemetry.count(Counter.PACK_BYTES, blocks * self._geometry.block_bytes, self._by)

    # ------------------------------------------------------------------ syncing

    async def settle(self, staging: Staging) -> None:
        """Return when every cell of the body is durable, as its class wants it.

        Raises:
            PackPoisoned: A write or sync of one of its packs failed: the body is lost and must not be published.
            NodeUnavailable: Too few nodes have confirmed it.
        """
        if not staging.runs:
            await self._settling.reach(staging.durability)
        for pack_id in dict.fromkeys(run.pack_id for _segment, run in staging.runs):
            await self.settle_pack(pack_id, staging.durability)

    async def settle_pack(self, pack_id: PackId, durability: str = HIGHEST) -> None:
        """Return when everything appended to this pack so far is durable. One sync serves all who wait.

        ``durability``: as this class wants it; by default, as the highest class of any bucket does. Raises as
        :meth:`settle`.
        """
        await self._settling.settle(pack_id, self._fillings.get(pack_id), durability)

    async def can_settle(self) -> bool:
        """Whether enough nodes answer now for the class that every body gets here."""
        return await self._settling.can_settle()

    async def _sync(self, filling: Filling) -> None:
        filling.synced = await self._on_pack(filling, filling.sync)

    async def _on_pack(self, filling: Filling, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run on the pack lane; a failure that poisons the pack is noted before it propagates."""
        try:
            return await self._workers.run(self._lane, work, *args, **kwargs)
        except PackPoisoned as exc:
            await self._failed(filling, exc)
            raise

    async def _failed(self, filling: Filling, failure: BaseException) -> None:
        """Take no more from a poisoned pack. What was committed stays readable, and the cleaner moves it away."""
        if filling.poisoned or not isinstance(failure, PackPoisoned):
            return
        filling.poisoned = True
        if self._current is filling:
            self._current = None
        log.error("pack.poisoned", extra={"pack": filling.pack_id.hex()})
        self._unnoted.append(filling)
        await self._workers.run(self._lane, filling.pack.abandon)
        await self._note_poisoned()

    async def _note_poisoned(self) -> None:
        """Tell the index which packs are poisoned; what it cannot take now it is told before the next cell."""
        noted = {filling: self._row(filling, PackState.POISONED, 0) for filling in self._unnoted}

        def note(tx: Writing) -> None:
            for filling, row in noted.items():
                raw = tx.get(Table.PACKS, filling.pack_id)
                if raw is not None and decode(Pack, raw).state == PackState.OPEN:
                    set_pack(tx, filling.pack_id, row)

        try:
            await self._commits.run(note)
        except NoisefsError as exc:
            log.warning("pack.poisoned_unnoted", extra={"packs": len(noted), "cause": str(exc)})
        else:
            self._unnoted = [filling for filling in self._unnoted if filling not in noted]

    # ------------------------------------------------------------------ opening

    async def _filling(self) -> Filling:
        """The open pack; the caller holds the lock, and is not broken off."""
        if self._closed:
            raise Draining("the pack writer is closed")
        await self._catch_up()
        if self._current is not None and (self._current.sealed or self._current.turned):
            await self._seal(self._current)
        if self._current is None:
            self._current = await self._next_filling()
            self._begun_s = self._clock.monotonic_s()
            self._fillings[self._current.pack_id] = self._current
        elif self._next is None and self._current.pack.blocks >= PREPARE_AT_BLOCKS:
            self._next = asyncio.create_task(self._open())
            # A failure is met again by whoever needs the pack.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._current

    async def _catch_up(self) -> None:
        """Do what could not be done before; the caller holds the lock."""
        if self._unnoted:
            await self._note_poisoned()
        if self._unused:
            await self._remove_unused()

    async def _next_filling(self) -> Filling:
        task, self._next = self._next, None
        if task is not None:
            try:
                return await task
            except NoisefsError as exc:  # it may have been long ago
                log.info("pack.prepare_failed", extra={"cause": str(exc)})
        return await self._open()

    async def _open(self) -> Filling:
        """Make a pack: file, seeds, then its row, before any commit names it."""
        pack_id = PackId(self._entropy.secret(ID_BYTES))
        generation = 0 if self._generations is None else await self._generations()
        strategy = strategy_named(self._geometry.strategy, pack_id=pack_id, prf_key=self._keys.prf)
        choose = self._seeds.candidates()

        def create() -> tuple[OpenPack, list[Seed]]:
            seeds = choose(strategy.seeds)
            pack = self._packs.create(pack_id, from_reserve=self._from_reserve)
            try:
                if seeds:
                    place = pack.reserve(len(seeds))
                    for number, seed in enumerate(seeds):
                        start = number * self._geometry.block_bytes
                        place[start : start + self._geometry.block_bytes] = seed.block
                    pack.advance(len(seeds))
            except BaseException:
                pack.abandon()
                self._packs.drop(pack_id)
                raise
            return pack, seeds

        pack, seeds = await self._workers.run(self._lane, create)
        filling = Filling(
            pack,
            pack_id,
            strategy,
            tuple(seed.info for seed in seeds),
            tuple(seed.group for seed in seeds),
            self._clock.now_us(),
            generation,
        )
        row = self._row(filling, PackState.OPEN, 0)
        try:
            await self._commits.run(lambda tx: set_pack(tx, pack_id, row))
        except BaseException:
            await self._workers.run(self._lane, pack.abandon)
            await self._workers.run(self._lane, self._packs.drop, pack_id)
            raise
        self._count_blocks(len(seeds))
        return filling

    def _row(self, filling: Filling, state: PackState, blocks: int) -> Pack:
        return Pack(
            state,
            self._instance_id,
            blocks,
            self._geometry.strategy,
            filling.generation,
            filling.created_us,
            0 if state == PackState.OPEN else self._clock.now_us(),
            filling.seeds,
        )

    # ------------------------------------------------------------------ sealing

    async def generation(self) -> int:
        """The generation of the open pack; opens one if there is none."""
        return await unbroken(self._generation())

    async def _generation(self) -> int:
        async with self._lock:
            return (await self._filling()).generation

    def turn(self) -> None:
        """Put nothing more into the open pack: what was sealed under its generation may never be so again."""
        if self._current is not None and self._current.cells:
            self._current.turned = True

    async def avoid(self, pack_id: PackId, seeds: tuple[SeedInfo, ...]) -> None:
        """Let what is appended next go to a pack that has no block in common with this one (``seeds``: its own).

        An observer must not see by a block they share that the one took in what the other held.
        """
        await unbroken(self._avoid(pack_id, seeds))

    async def _avoid(self, pack_id: PackId, seeds: tuple[SeedInfo, ...]) -> None:
        async with self._lock:
            if self._current is not None and share_blocks(pack_id, seeds, self._current.seeds):
                await self._end_current()
            prepared = await self._take_prepared()
            if prepared is None:
                return
            if self._closed or share_blocks(pack_id, seeds, prepared.seeds):
                await self._remove(prepared)
            else:
                self._next = asyncio.get_running_loop().create_future()
                self._next.set_result(prepared)

    async def seal(self) -> None:
        """Seal the open pack, if there is one with cells."""
        await unbroken(self._seal_current())

    async def seal_aged(self, max_age_s: float) -> None:
        """Seal the open pack, if it has cells and was taken into use so long ago."""
        if self._current is not None and self._clock.monotonic_s() - self._begun_s >= max_age_s:
            await self.seal()

    async def _seal_current(self) -> None:
        async with self._lock:
            if self._current is not None and self._current.cells:
                await self._seal(self._current)

    async def _seal(self, filling: Filling) -> None:
        """The caller holds the lock. May be called again after a failed commit: finished steps are not repeated."""
        if not filling.sealed:
            await self._mark(filling)
            await self._on_pack(filling, filling.write_manifest, self._keys, self._geometry, self._entropy)
            self._count_blocks(1)
        row = self._row(filling, PackState.SEALED, filling.pack.blocks)

        def close(tx: Writing) -> None:
            set_pack(tx, filling.pack_id, row)
            unplace(tx, filling.pack_id)

        await self._commits.run(close)
        self._current = None
        self._fillings.pop(filling.pack_id, None)
        self._seeds.remember(filling.pack_id, filling.sources(), row.blocks - 1)
        self._on_sealed()

    async def _mark(self, filling: Filling) -> None:
        """Give every body that no commit names yet its ``WRITING`` row."""
        stagings = dict.fromkeys(s.staging for s in filling.stretches if s.staging is not None)
        waiting = [staging for staging in stagings if not (staging.enlisted or staging.discarded)]
        if not waiting:
            return
        now_us = self._clock.now_us()

        def mark(tx: Writing) -> None:
            for staging in waiting:
                staging.mark(tx, now_us)

        for staging in waiting:
            staging.marked = True
        committed = False
        try:
            await self._commits.run(mark)
            committed = True
        finally:
            for staging in waiting:
                staging.mark_ended(committed=committed)

    # ------------------------------------------------------------------ ending

    async def close(self) -> None:
        """Seal what is open and drop what was prepared. Appending afterwards raises ``Draining``."""
        self._closed = True
        try:
            await self.rest()
        except NoisefsError as exc:
            # The next start closes the pack: it lacks nothing but its manifest.
            log.warning("pack.left_open", extra={"cause": str(exc)})

    async def rest(self) -> None:
        """Seal what is open and drop what was prepared: nothing more is to come for a while."""
        await unbroken(self._rest())

    async def _rest(self) -> None:
        async with self._lock:
            await self._catch_up()
            prepared = await self._take_prepared()
            if prepared is not None:
                await self._remove(prepared)
            await self._end_current()

    async def _end_current(self) -> None:
        current = self._current
        if current is None:
            return
        if current.cells:
            await self._seal(current)
        else:
            self._current = None
            self._fillings.pop(current.pack_id, None)
            await self._remove(current)

    async def _take_prepared(self) -> Filling | None:
        task, self._next = self._next, None
        if task is None:
            return None
        try:
            return await task
        except NoisefsError as exc:
            log.info("pack.prepare_failed", extra={"cause": str(exc)})
            return None

    async def _remove(self, filling: Filling) -> None:
        """Remove a pack that never got a cell; what a full disk forbids now is done before the next one is made."""
        self._unused.append(filling)
        await self._workers.run(self._lane, filling.pack.abandon)
        await self._remove_unused()

    async def _remove_unused(self) -> None:
        try:
            while self._unused:
                pack_id = self._unused[0].pack_id
                await self._commits.run(partial(_forget_pack, pack_id))
                await self._workers.run(self._lane, self._packs.drop, pack_id)
                self._unused.pop(0)
        except NoisefsError as exc:
            log.info("pack.remove_waits", extra={"packs": len(self._unused), "cause": str(exc)})


def _forget_pack(pack_id: PackId, tx: Writing) -> None:
    tx.delete(Table.PACKS, pack_id)
