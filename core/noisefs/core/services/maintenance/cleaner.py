"""The cleaner: makes space come back after deletes.

Promise: stored bytes return to at most 1.30 times live ones (:mod:`noisefs.core.domain.reclaim`), and writers are
slowed at 1.33; nothing that anybody refers to or reads is lost; cleaning never lowers durability, because a pack
goes only after everything that lived in it is durable in a sealed pack and the keys of its dead bodies are
overwritten.

A drop is two commits around the removal: ``DROPPING`` (only if nothing lives there any more), remove, forget. A
crash between them is finished by :mod:`~noisefs.core.services.packs.recovery`. Cost: see :mod:`.moving`; one step
runs at most ``STEP_S``, so that other background work gets its turn.
"""

import logging
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.reclaim import HOLD, SLOW, START, PackSpace, Space, space_of, total, victims
from noisefs.core.domain.records import Pack, PackState, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.moving import Mover
from noisefs.core.services.packs.recovery import live_of, pack_rows
from noisefs.core.services.packs.rows import drop_rows, set_pack
from noisefs.core.services.packs.seeds import SeedPool
from noisefs.core.services.packs.writer import PackWriter

log = logging.getLogger(__name__)

STEP_S: Final = 2.0

GENERATION_KEY: Final = b"generation"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What one run did."""

    packs_dropped: int
    bytes_freed: int
    bytes_moved: int
    rows_left: int
    space: Space


class Cleaner:
    """Watches the space of all packs, moves what lives out of the worst, and drops what is dead."""

    def __init__(
        self,
        *,
        index: Index,
        packs: PackStore,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        geometry: Geometry,
        seeds: SeedPool,
        writer: PackWriter,
        mover: Mover,
        gate: SpaceGate,
    ) -> None:
        """``writer`` fills the destination packs; it is the mover's."""
        self._index = index
        self._packs = packs
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._geometry = geometry
        self._seeds = seeds
        self._writer = writer
        self._mover = mover
        self._emptied: dict[PackId, PackId] = {}
        self._gate = gate

    async def run(self, *, everything: bool = False) -> Cleaned:
        """One step: drop what is dead, then move and drop while the ratio calls for it.

        Args:
            everything: ``noisefs clean``: without a time limit, and down to packs that free little.
        """
        begun = self._clock.monotonic_s()
        dropped = freed = moved = left = 0
        tried: set[PackId] = set()
        packs, rows = await self._survey()
        # What this run writes is not cleaned by it: a short destination would be moved for ever.
        before = set(rows)
        while True:
            count, size = await self._drop_dead(packs)
            dropped, freed = dropped + count, freed + size
            if count:
                packs, rows = await self._survey()
            space = total(packs)
            over = space.exceeds(START, self._geometry.pack_bytes)
            self._slow(space)
            choice = next((p for p in victims(packs, self._clock.now_us()) if p.pack_id in before - tried), None)
            if choice is None and self._emptied:
                await self._writer.rest()
                packs, rows = await self._survey()
                continue
            wanted = choice is not None and (over or everything or choice.state == PackState.POISONED)
            late = not everything and self._clock.monotonic_s() - begun > STEP_S
            if choice is None or not wanted or late:
                break
            tried.add(choice.pack_id)
            self._seeds.forget(choice.pack_id)
            outcome = await self._mover.empty(choice.pack_id, rows[choice.pack_id])
            goal = self._writer.open_pack_id
            if goal is not None:
                self._emptied[choice.pack_id] = goal
            packs, rows = await self._survey()
            moved, left = moved + outcome.moved_bytes, left + outcome.left
        if late and wanted:
            self._gate.wake.set()
        if everything:
            await self._writer.rest()
        return Cleaned(dropped, freed, moved, left, space)

    # ------------------------------------------------------------------ looking

    async def _survey(self) -> tuple[list[PackSpace], dict[PackId, Pack]]:
        def look(tx: Reading) -> tuple[list[PackSpace], dict[PackId, Pack]]:
            rows = pack_rows(tx)
            return [space_of(pack_id, row, live_of(tx, pack_id), self._geometry) for pack_id, row in rows.items()], rows

        packs, rows = await self._workers.run(Lane.BACKGROUND, self._index.read, look)
        space = total(packs)
        self._telemetry.gauge(Gauge.STORED_BYTES, space.stored_bytes)
        self._telemetry.gauge(Gauge.LIVE_BYTES, space.live_bytes)
        for state in PackState:
            self._telemetry.gauge(Gauge.PACKS, sum(p.state == state for p in packs), (state.name.lower(),))
        return packs, rows

    def _slow(self, space: Space) -> None:
        if space.exceeds(SLOW, self._geometry.pack_bytes):
            self._gate.set(relaxed=False)
        elif not space.exceeds(HOLD, self._geometry.pack_bytes):
            self._gate.set(relaxed=True)

    # ------------------------------------------------------------------ dropping

    async def _drop_dead(self, packs: list[PackSpace]) -> tuple[int, int]:
        """Drop sealed (or poisoned) packs nothing refers to; returns how many and their bytes."""
        # What lived in an emptied pack must be in a sealed one first. Sealing after every move would make short packs,
        # so emptied ones wait for their destination to fill.
        self._emptied = {victim: goal for victim, goal in self._emptied.items() if self._writer.is_open(goal)}
        dead = [
            p
            for p in packs
            if not p.references and p.state in (PackState.SEALED, PackState.POISONED) and p.pack_id not in self._emptied
        ]
        if not dead:
            return 0, 0
        # The keys of the dead bodies must be gone from the disk before their blocks are.
        await self._workers.run(Lane.COMMIT, self._index.checkpoint)
        dropped = freed = 0
        for pack in dead:
            if await self._commits.run(lambda tx, pack=pack: _begin_drop(tx, pack.pack_id)):  # type: ignore[misc]
                self._seeds.forget(pack.pack_id)
                await self._workers.run(Lane.BACKGROUND, self._packs.drop, pack.pack_id)
                await self._commits.run(lambda tx, pack=pack: drop_rows(tx, pack.pack_id))  # type: ignore[misc]
                dropped, freed = dropped + 1, freed + pack.stored_bytes
        self._telemetry.count(Counter.PACKS_DROPPED, dropped)
        return dropped, freed


def _begin_drop(tx: Writing, pack_id: PackId) -> bool:
    """Mark the pack as dropping, if it still has nothing that lives."""
    raw, live = tx.get(Table.PACKS, pack_id), live_of(tx, pack_id)
    if raw is None or live.cells or live.slices:
        return False
    row = decode(Pack, raw)
    if row.state not in (PackState.SEALED, PackState.POISONED):
        return False
    set_pack(tx, pack_id, Pack(PackState.DROPPING, row.owner, row.blocks, row.strategy, row.generation, row.created_us))
    return True


def next_generation(tx: Writing) -> int:
    """Advance the store-wide generation and return the new one. Never handed out twice: it is committed first."""
    raw = tx.get(Table.META, GENERATION_KEY)
    generation = (int.from_bytes(raw, "big") if raw is not None else 0) + 1
    tx.put(Table.META, GENERATION_KEY, u64(generation))
    return generation
