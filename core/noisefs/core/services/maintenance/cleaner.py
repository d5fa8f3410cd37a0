"""The cleaner: makes space come back after deletes.

Promise: stored bytes return to at most 1.28 times live ones (:mod:`noisefs.core.domain.packs.reclaim` counts both),
and writers get room up to 1.33 and are slowed where they want more; nothing that anybody refers to or reads is lost;
cleaning never lowers durability, because a pack goes only after everything that lived in it is durable in a sealed pack
and the keys of its dead bodies are overwritten.

A drop is two commits around the removal: ``DROPPING`` (only if nothing lives there any more), remove, forget. A
crash between them is finished by :mod:`~noisefs.core.services.packs.recovery`. Cost: see :mod:`.moving`; one step
runs at most ``STEP_S``, so that other background work gets its turn.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.packs.reclaim import START, PackSpace, Space, space_of, total, victims, weighed, writers_room
from noisefs.core.domain.records import Pack, PackState, decode
from noisefs.core.errors import CapacityExceeded
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.moving import Mover
from noisefs.core.services.packs.copies import copies_of
from noisefs.core.services.packs.recovery import live_of, pack_rows
from noisefs.core.services.packs.rows import drop_rows, set_pack
from noisefs.core.services.packs.seeds import SeedPool
from noisefs.core.services.packs.writer import PackWriter

log = logging.getLogger(__name__)

STEP_S: Final = 2.0

STUCK_S: Final = 3600.0
"""A pack that could not be emptied because it is damaged is left alone for so long..."""
LATER_S: Final = 20.0
"""...and one with cells of bodies that are still being written for so long."""

SURVEY_SHARE: Final = 0.05
"""The share of the time that :meth:`Cleaner.watch` looks at counters, at most: they are many in a large store."""

VICTIMS_AHEAD: Final = 16
"""About as many packs as one step can clean."""

DROPPABLE: Final = (PackState.SEALED, PackState.POISONED, PackState.DROPPING)

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
        networked: bool = False,
        on_dropped: Callable[[PackId], None] | None = None,
    ) -> None:
        """``writer`` fills the destination packs; it is the mover's.

        Args:
            networked: Packs go onto nodes: one that nodes hold is dropped only when they hold what came out of it.
            on_dropped: Told of each pack that is no more.
        """
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
        self._gate = gate
        self._networked = networked
        self._on_dropped = on_dropped
        self._busy = asyncio.Lock()
        self._emptied: dict[PackId, frozenset[PackId]] = {}
        """Packs with nothing left in them, and those that took it in: these must be sealed first."""
        self._unconfirmed_before: frozenset[PackId] | None = None
        """Packs that an earlier process moved to and that had not their copies when this one began: what they took in
        is not known any more."""
        self._stuck: dict[PackId, float] = {}
        """Packs that could not be emptied, and until when they are left alone."""
        self._watch_from = 0.0
        self._watched = -1

    async def run(self, *, everything: bool = False) -> Cleaned:
        """One step: drop what is dead, then move and drop while the ratio calls for it. One at a time.

        Args:
            everything: ``noisefs clean``: without a time limit, and down to packs that free little.

        Raises:
            DiskFull, ReadOnlyStore: Nothing more can be moved; what is dead was dropped.
        """
        async with self._busy:
            return await self._run(everything=everything)

    async def _run(self, *, everything: bool) -> Cleaned:
        begun = self._clock.monotonic_s()
        dropped = freed = moved = left = 0
        rested = False
        packs, rows = await self._survey()
        # What this run writes is not cleaned by it: a short destination would be moved for ever.
        open_to = set(rows) - (set() if everything else self._stuck_now())
        while True:
            while (done := await self._drop_dead(packs, rows))[0]:
                dropped, freed = dropped + done[0], freed + done[1]
                packs, rows = await self._survey()
            space = weighed(packs)
            over = space.exceeds(START, self._geometry.pack_bytes)
            candidates = [p for p in victims(packs, self._clock.now_us()) if p.pack_id in open_to]
            wanted = [p for p in candidates if over or everything or p.state == PackState.POISONED]
            late = not everything and self._clock.monotonic_s() - begun > STEP_S
            self._pace(packs, rows)
            if wanted and not await self._writer.can_settle():
                wanted = []  # what is appended while nodes are missing would be appended in vain
            if wanted and not late:
                choice = await self._choose(wanted, rows)
                open_to.discard(choice.pack_id)
                try:
                    outcome = await self._mover.empty(choice.pack_id, rows[choice.pack_id])
                except CapacityExceeded:
                    # On a full disk: what was emptied so far makes room, once its new place is sealed.
                    await self._writer.rest()
                    packs, rows = await self._survey()
                    done = await self._drop_dead(packs, rows)
                    if not done[0]:
                        raise
                    dropped, freed = dropped + done[0], freed + done[1]
                    packs, rows = await self._survey()
                    open_to.add(choice.pack_id)
                    continue
                self._emptied[choice.pack_id] = self._emptied.get(choice.pack_id, frozenset()).union(outcome.goals)
                if outcome.left:
                    pause_s = STUCK_S if outcome.damaged else LATER_S
                    self._stuck[choice.pack_id] = self._clock.monotonic_s() + pause_s
                packs, rows = await self._survey()
                moved, left = moved + outcome.moved_bytes, left + outcome.left
            elif not wanted and self._emptied and (everything or over) and not rested:
                # Sealing after every move would make short packs; now nothing else is to come.
                rested = True
                await self._writer.rest()
                packs, rows = await self._survey()
            else:
                break
        if late and wanted:
            self._gate.wake.set()
        if everything:
            await self._writer.rest()
        return Cleaned(dropped, freed, moved, left, total(packs))

    def _stuck_now(self) -> set[PackId]:
        now_s = self._clock.monotonic_s()
        self._stuck = {pack_id: until_s for pack_id, until_s in self._stuck.items() if until_s > now_s}
        return set(self._stuck)

    async def _choose(self, wanted: list[PackSpace], rows: dict[PackId, Pack]) -> PackSpace:
        """The best victim, and let nothing in the packs it moves to tell that they took in what it held."""
        for victim in wanted[:VICTIMS_AHEAD]:
            # None of these may open a destination: a block in common would give the move away.
            self._seeds.forget(victim.pack_id, rows[victim.pack_id].seeds)
        choice = wanted[0]
        await self._writer.avoid(choice.pack_id, rows[choice.pack_id].seeds)
        return choice

    # ------------------------------------------------------------------ looking

    async def watch(self) -> None:
        """Count the space for the gauges and tell this process's writers how much room they have.

        In every process, beside :meth:`run`. Where it takes long, it is left out now and then; so it is where nothing
        was committed since the last time and no writer wants more room.
        """
        begun = self._clock.monotonic_s()
        if begun < self._watch_from:
            return
        sequence = await self._workers.run(Lane.BACKGROUND, self._index.sequence)
        if sequence == self._watched and not self._gate.scarce:
            return
        self._watched = sequence
        self._pace(*await self._survey())
        ended = self._clock.monotonic_s()
        self._watch_from = ended + (ended - begun) / SURVEY_SHARE

    async def _survey(self) -> tuple[list[PackSpace], dict[PackId, Pack]]:
        """Every pack that cleaning can do something about now, and all rows."""

        def look(tx: Reading) -> tuple[list[PackSpace], dict[PackId, Pack], set[PackId]]:
            rows = pack_rows(tx)
            spaces = [space_of(key, row, live_of(tx, key), self._geometry) for key, row in rows.items()]
            return spaces, rows, self._outlasting(tx, spaces, rows) if self._networked else set()

        packs, rows, outlasting = await self._workers.run(Lane.BACKGROUND, self._index.read, look)
        space = total(packs)
        self._telemetry.gauge(Gauge.STORED_BYTES, space.stored_bytes)
        self._telemetry.gauge(Gauge.LIVE_BYTES, space.live_bytes)
        for state in PackState:
            self._telemetry.gauge(Gauge.PACKS, sum(p.state == state for p in packs), (state.name.lower(),))
        # Those that wait for the network count for nothing: cleaning more, or slowing writers, would not help them.
        return [pack for pack in packs if pack.pack_id not in outlasting], rows

    def _outlasting(self, tx: Reading, spaces: list[PackSpace], rows: dict[PackId, Pack]) -> set[PackId]:
        """Dead packs that stay, as nodes hold them and do not yet hold all that took in what was in them."""

        def lacks_copies(pack_id: PackId) -> bool:
            copies = copies_of(tx, pack_id)
            return copies is None or not copies.confirmed_us

        if self._unconfirmed_before is None:
            moved_to = (pack_id for pack_id, row in rows.items() if row.generation)
            self._unconfirmed_before = frozenset(filter(lacks_copies, moved_to))
        waiting = self._unconfirmed_before & rows.keys()
        self._unconfirmed_before = waiting = frozenset(filter(lacks_copies, waiting))
        outlasting = set()
        for pack in spaces:
            if pack.references or pack.pack_id in waiting or lacks_copies(pack.pack_id):
                continue
            goals = (self._emptied.get(pack.pack_id, frozenset()) & rows.keys()) | waiting
            if any(map(lacks_copies, goals)):
                outlasting.add(pack.pack_id)
        return outlasting

    def _pace(self, packs: list[PackSpace], rows: dict[PackId, Pack]) -> None:
        """Give writers the room there is; all they want where cleaning would free nothing."""
        stuck = self._stuck_now()
        worth_it = any(pack.pack_id not in stuck for pack in victims(packs, self._clock.now_us()))
        dead = any(not pack.references and pack.state in DROPPABLE for pack in packs)
        hopeless = not (worth_it or dead or self._waits(rows))
        self._gate.grant(None if hopeless else writers_room(weighed(packs), self._geometry.pack_bytes))

    # ------------------------------------------------------------------ dropping

    async def _drop_dead(self, packs: list[PackSpace], rows: dict[PackId, Pack]) -> tuple[int, int]:
        """Drop packs nothing refers to; returns how many and their bytes. A drop that was broken off is finished."""
        self._emptied = {pack_id: goals for pack_id, goals in self._emptied.items() if pack_id in rows}
        waiting = self._waits(rows)
        dead = [p for p in packs if not p.references and p.state in DROPPABLE and p.pack_id not in waiting]
        if not dead:
            return 0, 0
        # The keys of the dead bodies must be gone from the disk before their blocks are.
        await self._workers.run(Lane.COMMIT, self._index.checkpoint)
        dropped = freed = 0
        for pack in dead:
            if await self._commits.run(partial(_begin_drop, pack.pack_id)):
                self._seeds.forget(pack.pack_id)
                await self._workers.run(Lane.BACKGROUND, self._packs.drop, pack.pack_id)
                await self._commits.run(partial(_end_drop, pack.pack_id, self._clock.now_us()))
                self._forget(pack.pack_id)
                self._stuck.pop(pack.pack_id, None)
                if self._on_dropped is not None:
                    self._on_dropped(pack.pack_id)
                dropped, freed = dropped + 1, freed + pack.stored_bytes
        self._telemetry.count(Counter.PACKS_DROPPED, dropped)
        return dropped, freed

    def _forget(self, pack_id: PackId) -> None:
        """A pack is no more: who moved to it moved to where it was moved to itself."""
        further = self._emptied.pop(pack_id, frozenset())
        for emptied, goals in self._emptied.items():
            if pack_id in goals:
                self._emptied[emptied] = goals - {pack_id} | further

    def _waits(self, rows: dict[PackId, Pack]) -> set[PackId]:
        """Emptied packs that must stay: a pack that took something in is not sealed yet, or must be emptied itself."""
        unsealed = {pack_id for pack_id, row in rows.items() if row.state in (PackState.OPEN, PackState.POISONED)}
        return {pack_id for pack_id, goals in self._emptied.items() if goals & unsealed}


def _begin_drop(pack_id: PackId, tx: Writing) -> bool:
    """Mark the pack as dropping, if it still has nothing that lives."""
    raw, live = tx.get(Table.PACKS, pack_id), live_of(tx, pack_id)
    if raw is None or live.cells or live.slices:
        return False
    row = decode(Pack, raw)
    if row.state not in DROPPABLE:
        return False
    set_pack(tx, pack_id, Pack(PackState.DROPPING, row.owner, row.blocks, row.strategy, row.generation, row.created_us))
    return True


def _end_drop(pack_id: PackId, now_us: int, tx: Writing) -> None:
    drop_rows(tx, pack_id, now_us)


def next_generation(tx: Writing) -> int:
    """Advance the store-wide generation and return the new one. Never handed out twice: it is committed first."""
    generation = _generation(tx) + 1
    tx.put(Table.META, GENERATION_KEY, u64(generation))
    return generation


def generation_at_least(generation: int, tx: Writing) -> None:
    """Never hand out this generation, or a lower one, again: a pack has it, and an older index may not know that."""
    if _generation(tx) < generation:
        tx.put(Table.META, GENERATION_KEY, u64(generation))


def _generation(tx: Reading) -> int:
    raw = tx.get(Table.META, GENERATION_KEY)
    return int.from_bytes(raw, "big") if raw is not None else 0
