"""Eviction: packs that nodes hold leave this machine's disk, so that it never fills.

Promise: a pack leaves only when as many nodes as it shall have hold it, now, and its row says so in the same commit;
the row says that it is away before its file goes, so a crash between the two leaves a file that the next run removes.
The pack that was read, or sealed, longest ago goes first. Where packs that are not on nodes yet take all the room,
writers are slowed down and then refused (:meth:`~noisefs.core.services.bodies.gate.SpaceGate.crowd`), never lost.
Whoever reads a pack that goes keeps its open file, and finds it on nodes afterwards.
Cost: a look at every local pack's name and row, at most a twentieth of the time.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Copies, Pack, PackState, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.reading.reads import ReadTimes, write
from noisefs.core.services.packs.copies import copies_of, set_copies
from noisefs.core.services.packs.seeds import SeedPool

log = logging.getLogger(__name__)

LEAST_PACKS: Final = 4
"""The limit is never below so many packs: two that are open, and some on their way to nodes."""

DOWN_TO: Final = 0.95
"""Packs leave until so much of the limit is taken."""

AT_ONCE: Final = 32
"""Packs of one commit."""

SURVEY_SHARE: Final = 0.05
"""The share of the time that is spent on looking, at most."""

NOTES_EVERY_S: Final = 600.0
"""Pause between two writes of when packs were read."""


@dataclass(frozen=True, slots=True)
class _Local:
    """A sealed pack on the disk."""

    pack_id: PackId
    size_bytes: int
    read_us: int
    """When it was last read or, if that was earlier, sealed."""


@dataclass(frozen=True, slots=True)
class _Survey:
    """What lies on the disk: all of it, what may go, and files that are known to be away."""

    bytes: int
    evictable: list[_Local]
    leftovers: list[PackId]

    @property
    def evictable_bytes(self) -> int:
        return sum(pack.size_bytes for pack in self.evictable)


class Evictor:
    """Keeps the local packs below a limit. Belongs to the event loop."""

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
        nodes: Nodes,
        reads: ReadTimes,
        seeds: SeedPool,
        gate: SpaceGate,
        limit_bytes: int,
    ) -> None:
        """``packs``: those of the disk. ``limit_bytes``: what they may take; 0: as much as there is."""
        self._index = index
        self._packs = packs
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._nodes = nodes
        self._reads = reads
        self._seeds = seeds
        self._gate = gate
        self.limit_bytes = max(limit_bytes, LEAST_PACKS * geometry.pack_bytes) if limit_bytes else 0
        self._look_from = 0.0

    async def watch(self) -> None:
        """Tell this process's writers how crowded the disk is. In every process; left out where looking takes long."""
        if self._clock.monotonic_s() < self._look_from:
            return
        await self._look()

    async def run(self) -> int:
        """Let packs go until there is room; returns how many went. Two processes that do it do no harm."""
        survey = await self._look()
        for pack_id in survey.leftovers:
            await self._workers.run(Lane.BACKGROUND, self._packs.drop, pack_id)
        over = survey.bytes - self.limit_bytes
        if not self.limit_bytes or over <= 0:
            return 0
        over = survey.bytes - int(self.limit_bytes * DOWN_TO)
        leaving: list[PackId] = []
        for pack in sorted(survey.evictable, key=lambda pack: pack.read_us):
            if over <= 0:
                break
            leaving.append(pack.pack_id)
            over -= pack.size_bytes
        gone = 0
        for first in range(0, len(leaving), AT_ONCE):
            gone += await self._let_go(leaving[first : first + AT_ONCE])
        if gone:
            log.info("packs.evicted", extra={"packs": gone})
            await self._look()
        return gone

    async def note_reads(self) -> None:
        """Write down when packs were read. In every process, and at the end of each."""
        notes = self._reads.unwritten()
        if notes:
            await self._commits.run(partial(write, notes))
            self._reads.wrote(notes)

    async def _let_go(self, packs: list[PackId]) -> int:
        away = await self._commits.run(partial(self._mark, packs))
        for pack_id in away:
            self._seeds.forget(pack_id)
            await self._workers.run(Lane.BACKGROUND, self._packs.drop, pack_id)
        self._telemetry.count(Counter.PACKS_EVICTED, len(away))
        return len(away)

    def _mark(self, packs: list[PackId], tx: Writing) -> list[PackId]:
        """Note that these are away, of those that may still go."""
        away: list[PackId] = []
        for pack_id in packs:
            row = copies_of(tx, pack_id)
            if row is not None and self._may_go(row) and _is_sealed(tx, pack_id):
                set_copies(tx, pack_id, msgspec.structs.replace(row, local=False))
                away.append(pack_id)
        return away

    def _may_go(self, row: Copies) -> bool:
        return row.local and bool(row.confirmed_us) and len(self._nodes.counted(row.nodes)) >= row.wanted

    # ------------------------------------------------------------------ looking

    async def _look(self) -> _Survey:
        began_s = self._clock.monotonic_s()
        survey = await self._workers.run(Lane.BACKGROUND, self._survey)
        self._telemetry.gauge(Gauge.LOCAL_PACK_BYTES, survey.bytes)
        if self.limit_bytes:
            self._gate.crowd((survey.bytes - survey.evictable_bytes) / self.limit_bytes)
        ended_s = self._clock.monotonic_s()
        self._look_from = ended_s + (ended_s - began_s) / SURVEY_SHARE
        return survey

    def _survey(self) -> _Survey:
        stored = self._packs.list()
        sealed = [pack for pack in stored if pack.sealed]
        self._reads.keep_only({pack.pack_id for pack in sealed})

        def look(tx: Reading) -> list[tuple[Copies | None, Pack | None]]:
            rows = []
            for pack in sealed:
                raw = tx.get(Table.PACKS, pack.pack_id)
                rows.append((copies_of(tx, pack.pack_id), None if raw is None else decode(Pack, raw)))
            return rows

        evictable: list[_Local] = []
        leftovers: list[PackId] = []
        for pack, (copies, row) in zip(sealed, self._index.read(look), strict=True):
            if copies is None or row is None or row.state != PackState.SEALED:
                continue
            if not copies.local:
                leftovers.append(pack.pack_id)
            elif self._may_go(copies):
                last_us = max(self._reads.read_us(pack.pack_id, copies), row.sealed_us)
                evictable.append(_Local(pack.pack_id, pack.size_bytes, last_us))
        return _Survey(sum(pack.size_bytes for pack in stored), evictable, leftovers)


def _is_sealed(tx: Reading, pack_id: PackId) -> bool:
    raw = tx.get(Table.PACKS, pack_id)
    return raw is not None and decode(Pack, raw).state == PackState.SEALED
