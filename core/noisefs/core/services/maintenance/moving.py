"""Moving what lives in a pack to another one: every segment and slice is opened and sealed again.

Promise: a move is a compare-and-set on its row, after its new cells are durable: two movers do no harm, and what is
deleted or moved meanwhile stays so. Nothing links old and new bytes: the destination pack has a generation of its own,
and it goes into every nonce. Rot is never copied: what does not verify is left where it is and reported.
Cost: one read, one open, one seal, one append of what lives; one sync and one index commit some 4 MiB.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from noisefs.core.domain.geometry import TAG_BYTES, Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.packs.manifest import RunEntry, SharedEntry
from noisefs.core.domain.records import Body, BodyState, Pack, PackState, Run, SlicePlace, decode, encode
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import open_directory
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import (
    CapacityExceeded,
    CommitConflict,
    IntegrityError,
    NodeUnavailable,
    NotFound,
    PackPoisoned,
    Unavailable,
)
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.packer import SlicePlacer, Waiting, name_shared_cells
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import placements
from noisefs.core.services.packs.staging import Staging, change_live, place_runs, require_pack
from noisefs.core.services.packs.writer import PackWriter

log = logging.getLogger(__name__)

SEGMENTS_AT_ONCE: Final = 8

CELLS_A_COMMIT: Final = 32
"""Runs of about so many cells are appended before they are synced and named: 4 MiB at the default S. More would save
little, and what is deleted meanwhile was moved in vain."""

SHARED_CELLS_AT_ONCE: Final = 64
"""Shared cells whose slices are in memory at a time: 8 MiB at the default S."""


@dataclass(slots=True)
class Moved:
    """What one pack's move came to.

    Attributes:
        moved_bytes: Live bytes that lie elsewhere now.
        left: Rows that could not be moved: damaged, being written, or changed meanwhile.
        damaged: Those of them that do not open: trying again soon is of no use.
        goals: Packs that took something in.
    """

    moved_bytes: int = 0
    left: int = 0
    damaged: int = 0
    goals: set[PackId] = field(default_factory=set)


class Shared(NamedTuple):
    """Where a shared cell lies in its pack."""

    position: int
    seed: int


@dataclass(slots=True)
class _Contents:
    """What lies in a pack: bodies with the range of their segments, and shared cells."""

    bodies: dict[BodyId, tuple[int, int]] = field(default_factory=dict)
    shared: list[Shared] = field(default_factory=list)

    def note(self, body_id: BodyId, segment: int, count: int) -> None:
        """Segments of a body lie here."""
        low, high = self.bodies.get(body_id, (segment, segment + count))
        self.bodies[body_id] = min(low, segment), max(high, segment + count)


class _Outcome(Enum):
    """What came of a run that was appended elsewhere."""

    MOVED = "moved"
    GONE = "gone"
    """The body was deleted meanwhile: nobody seals it again."""
    CONFLICT = "conflict"
    """Somebody else moved the run, or its new pack takes no names any more."""


class _Where(NamedTuple):
    """A run row: the body, its first segment, and the run."""

    body_id: BodyId
    segment: int
    run: Run


@dataclass(frozen=True, slots=True)
class _Slice:
    """A live slice with a piece in the pack, opened."""

    body_id: BodyId
    body: Body
    place: SlicePlace
    plain: bytes


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves live cells and slices out of one pack at a time."""

    index: Index
    commits: CommitQueue
    workers: Workers
    telemetry: Telemetry
    writer: PackWriter
    placer: SlicePlacer
    cells: CellReader
    manifests: ManifestReader
    keys: StoreKeys
    geometry: Geometry
    instance_id: InstanceId

    async def empty(self, pack_id: PackId, row: Pack) -> Moved:
        """Move everything that lives in this pack.

        Raises:
            DiskFull, ReadOnlyStore: Nothing more can be written; what was moved before stays moved.
        """
        moved = Moved()
        try:
            bodies, shared = await self.workers.run(self._lane, self._contents, pack_id, row)
            batch: list[_Where] = []
            for body_id, (low, high) in bodies.items():
                batch += await self.workers.run(
                    Lane.BACKGROUND, self.index.read, partial(_runs_in, body_id, pack_id, low, high)
                )
                if sum(where.run.count for where in batch) >= CELLS_A_COMMIT:
                    await self._move_runs(batch, moved)
                    batch = []
            await self._move_runs(batch, moved)
            await self._move_shared(pack_id, shared, moved)
        finally:
            self.telemetry.count(Counter.CLEANER_MOVED, moved.moved_bytes)
        return moved

    @property
    def _lane(self) -> Lane:
        """Where blocks are read: what may have to wait for a node holds up nobody else."""
        return Lane.NETWORK if self.cells.reaches_network else Lane.BACKGROUND

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Around appends and their commit: what was appended and not named is never sealed again in that pack."""
        try:
            yield
        except BaseException:
            self.writer.turn()
            raise

    # ------------------------------------------------------------------ what is in it

    def _contents(self, pack_id: PackId, row: Pack) -> tuple[dict[BodyId, tuple[int, int]], list[Shared]]:
        """Bodies with cells in the pack and the range of their segments, and its shared cells."""
        found = _Contents()
        if row.state == PackState.POISONED:
            for position, what in self.index.read(lambda tx: placements(tx, pack_id)):
                if what.body_id:
                    found.note(what.body_id, what.segment, what.count)
                else:
                    found.shared.append(Shared(position, what.seed))
            return found.bodies, found.shared
        try:
            for entry in self.manifests.read(pack_id, row.blocks, row.strategy).entries:
                if isinstance(entry, RunEntry):
                    found.note(entry.body_id, entry.segment, entry.count)
                elif isinstance(entry, SharedEntry):
                    found.shared.append(Shared(entry.position, entry.seed))
        except (IntegrityError, Unavailable, NotFound) as exc:
            # Without its manifest the rows still tell what lives there: all of them have to be looked at.
            log.error("clean.manifest_unreadable", extra={"pack": pack_id.hex(), "cause": str(exc)})
            found = _Contents()
            for key, raw in walk(self.index, Table.RUNS):
                run = decode(Run, raw)
                if run.pack_id == pack_id:
                    found.note(BodyId(key[:16]), int.from_bytes(key[16:], "big"), run.count)
            pieces = (piece for _key, raw in walk(self.index, Table.SLICES) for piece in decode(SlicePlace, raw).pieces)
            found.shared = sorted({Shared(p.position, p.seed) for p in pieces if p.pack_id == pack_id})
        return found.bodies, found.shared

    # ------------------------------------------------------------------ runs

    async def _move_runs(self, batch: list[_Where], moved: Moved) -> None:
        """Append all runs, make them durable, name them in one commit. One that cannot be moved stops no other.

        Raises:
            DiskFull, ReadOnlyStore: Not all could be appended; those before were moved.
        """
        placed: list[tuple[_Where, Staging]] = []
        full: CapacityExceeded | None = None
        with self._naming():
            for where in batch:
                try:
                    staging = await self._append_again(where, moved)
                except CapacityExceeded as exc:
                    self.writer.turn()
                    full = exc
                    break
                if staging is not None:
                    placed.append((where, staging))
            for where, staging in list(placed):
                try:
                    await self.writer.settle(staging)
                except (PackPoisoned, NodeUnavailable) as exc:
                    self._left_behind(where, exc, moved)
                    placed.remove((where, staging))
            outcomes = await self.commits.run(partial(_rename, placed, self.instance_id)) if placed else []
        for (where, _staging), outcome in zip(placed, outcomes, strict=True):
            if outcome is _Outcome.MOVED:
                moved.moved_bytes += where.run.count * self.geometry.block_bytes
            elif outcome is _Outcome.CONFLICT:
                moved.left += 1
                self.writer.turn()
        if full is not None:
            raise full

    async def _append_again(self, where: _Where, moved: Moved) -> Staging | None:
        """Open a run and seal it into the destination; ``None`` where there is nothing, or no way, to move it."""
        body_id, segment, run = where
        raw = await self.workers.run(Lane.BACKGROUND, self.index.read, lambda tx: tx.get(Table.BODIES, body_id))
        if raw is None:
            return None  # dead: the reaper has it
        body = decode(Body, raw)
        if body.state == BodyState.WRITING:  # its writer still knows these cells by their old place
            moved.left += 1
            return None
        # Not to be marked as being written at a seal: it has its row already.
        staging = Staging(body_id, body_id, body.wrapped_key, self.instance_id, enlisted=True)
        try:
            cipher = self._cipher(body_id, body)
            size = self.geometry.segment_bytes
            last = body.size // size - 1 if body.size % size == 0 and body.size else -1
            for first in range(segment, segment + run.count, SEGMENTS_AT_ONCE):
                count = min(SEGMENTS_AT_ONCE, segment + run.count - first)
                plain = await self.workers.run(self._lane, self._open_cells, cipher, run, (segment, first, count), last)
                make = partial(self._seal_cells, cipher, plain, first, last)
                await self.writer.append_made(staging, make, first, count)
                moved.goals.update(goal.pack_id for _segment, goal in staging.runs)
        except (IntegrityError, Unavailable, NotFound) as exc:
            self._left_behind(where, exc, moved)
            return None
        return staging

    def _left_behind(self, where: _Where, exc: Exception, moved: Moved) -> None:
        self.writer.turn()
        moved.left += 1
        moved.damaged += not isinstance(exc, PackPoisoned | NodeUnavailable)
        log.error("clean.cannot_move", extra={"pack": where.run.pack_id.hex(), "cause": str(exc)})

    def _seal_cells(
        self, cipher: BodyCipher, plain: memoryview, first: int, last: int, generation: int, start: int, count: int
    ) -> memoryview:
        """On the writer's lane: ``count`` cells from segment ``start`` on; ``plain`` begins at segment ``first``."""
        size = self.geometry.segment_bytes
        cells = np.empty(count * self.geometry.block_bytes, np.uint8).data
        part = plain[(start - first) * size : (start - first + count) * size]
        cipher.seal_segments(part, start, generation, size, cells, final=start + count - 1 == last)
        return cells

    def _open_cells(self, cipher: BodyCipher, run: Run, where: tuple[int, int, int], last: int) -> memoryview:
        segment, first, count = where
        size = self.geometry.segment_bytes
        sealed = np.empty(count * self.geometry.block_bytes, np.uint8).data
        plain = np.empty(count * size, np.uint8).data
        self.cells.unmask(run, first - segment, count, sealed)
        cipher.open_segments(sealed, first, run.generation, size, plain, final=first + count - 1 == last)
        return plain

    def _cipher(self, body_id: BodyId, body: Body) -> BodyCipher:
        key = self.keys.wrap.unwrap_body_key(body.wrapped_key, body_id)
        return BodyCipher(key, self.keys.store_id, body_id, body.format)

    # ------------------------------------------------------------------ slices

    async def _move_shared(self, pack_id: PackId, shared: list[Shared], moved: Moved) -> None:
        """Move the slices of these cells, a bounded number of cells at a time; only the last goal cell is not full."""
        waiting: list[_Slice] = []
        for start in range(0, len(shared), SHARED_CELLS_AT_ONCE):
            cells = shared[start : start + SHARED_CELLS_AT_ONCE]
            known = {item.body_id for item in waiting}
            found, damaged = await self.workers.run(self._lane, self._open_slices, pack_id, cells, known)
            moved.left += damaged
            moved.damaged += damaged
            waiting += found
            ready = self.placer.fits([len(item.plain) + TAG_BYTES for item in waiting])
            if start + SHARED_CELLS_AT_ONCE >= len(shared):
                ready = len(waiting)
            try:
                await self._move_slices(waiting[:ready], moved)
            except (PackPoisoned, CommitConflict, NodeUnavailable) as exc:
                moved.left += ready
                log.error("clean.cannot_move", extra={"pack": pack_id.hex(), "cause": str(exc)})
            del waiting[:ready]

    def _open_slices(self, pack_id: PackId, shared: list[Shared], known: set[BodyId]) -> tuple[list[_Slice], int]:
        """Live slices with a piece in these cells, but for ``known`` ones, and how many could not be opened."""
        wanted: dict[BodyId, None] = {}
        damaged = 0
        for position, seed in shared:
            cell = bytearray(self.geometry.block_bytes)
            try:
                self.cells.piece(pack_id, position, seed, 0, memoryview(cell))
                directory = open_directory(
                    memoryview(cell),
                    store_key=self.keys.store_key,
                    store_id=self.keys.store_id,
                    pack_id=pack_id,
                    cell_number=position,
                )
            except (IntegrityError, Unavailable) as exc:
                damaged += 1
                log.error("clean.cannot_read", extra={"pack": pack_id.hex(), "cause": str(exc)})
                continue
            wanted.update((entry.body_id, None) for entry in directory if entry.body_id not in known)
        found: list[_Slice] = []
        for body_id in wanted:
            located = self.index.read(partial(_slice_in, body_id, pack_id))
            if located is None:
                continue
            body, place = located
            try:
                sealed = self.cells.slice(body_id)
                if sealed is not None:
                    segment = body.size // self.geometry.segment_bytes
                    plain = self._cipher(body_id, body).open_slice(sealed[0], segment, sealed[1])
                    found.append(_Slice(body_id, body, place, plain))
            except (IntegrityError, Unavailable) as exc:
                damaged += 1
                log.error("clean.cannot_move", extra={"pack": pack_id.hex(), "cause": str(exc)})
        return found, damaged

    async def _move_slices(self, slices: list[_Slice], moved: Moved) -> None:
        if not slices:
            return
        generation = await self.writer.generation()

        def seal() -> list[Waiting]:
            waiting = []
            for item in slices:
                segment = item.body.size // self.geometry.segment_bytes
                sealed = self._cipher(item.body_id, item.body).seal_slice(item.plain, segment, generation)
                waiting.append(Waiting(item.body_id, segment, generation, sealed))
            return waiting

        batch = await self.workers.run(Lane.BACKGROUND, seal)

        def publish(tx: Writing) -> tuple[int, int]:
            done = conflicts = 0
            named = []
            for waiting, item in zip(batch, slices, strict=True):
                if tx.get(Table.BODIES, item.body_id) is None:
                    continue  # deleted: nobody seals it again
                if tx.get(Table.SLICES, item.body_id) != encode(item.place):
                    conflicts += 1
                    continue
                tx.put(Table.SLICES, item.body_id, encode(SlicePlace(tuple(waiting.pieces), waiting.generation)))
                done += len(waiting.sealed)
                for piece in item.place.pieces:
                    change_live(tx, piece.pack_id, slice_bytes=-piece.length, slices=-1)
                for piece in waiting.pieces:
                    change_live(tx, piece.pack_id, slice_bytes=piece.length, slices=1)
                    named.append(piece)
            name_shared_cells(tx, {(p.pack_id, p.position): p for p in named}, generation, self.instance_id)
            return done, conflicts

        with self._naming():
            await self.placer.place(batch)
            goals = dict.fromkeys(piece.pack_id for waiting in batch for piece in waiting.pieces)
            moved.goals.update(goals)
            for pack_id in goals:
                await self.writer.settle_pack(pack_id)
            done, conflicts = await self.commits.run(publish)
        moved.moved_bytes += done
        if conflicts:
            self.writer.turn()


def _rename(placed: list[tuple[_Where, Staging]], owner: InstanceId, tx: Writing) -> list[_Outcome]:
    """Let the rows of these runs say where their cells are now; what came of each."""
    outcomes = []
    for (body_id, segment, run), staging in placed:
        key = run_key(body_id, segment)
        if tx.get(Table.BODIES, body_id) is None:
            outcomes.append(_Outcome.GONE)
        elif tx.get(Table.RUNS, key) != encode(run) or not _take_names(tx, staging, owner):
            outcomes.append(_Outcome.CONFLICT)
        else:
            tx.delete(Table.RUNS, key)
            change_live(tx, run.pack_id, cells=-run.count)
            place_runs(tx, body_id, staging.runs, owner)
            outcomes.append(_Outcome.MOVED)
    return outcomes


def _take_names(tx: Writing, staging: Staging, owner: InstanceId) -> bool:
    try:
        for pack_id in {run.pack_id for _segment, run in staging.runs}:
            require_pack(tx, pack_id, owner)
    except CommitConflict:
        return False
    return True


def _runs_in(body_id: BodyId, pack_id: PackId, low: int, high: int, tx: Reading) -> list[_Where]:
    """The body's runs between these segments that lie in this pack."""
    rows = tx.scan(Table.RUNS, run_key(body_id, 0), run_key(body_id, low), 1, reverse=True)
    rows += tx.scan(Table.RUNS, run_key(body_id, low), run_key(body_id, high), high - low)
    runs = [_Where(body_id, int.from_bytes(key[-8:], "big"), decode(Run, raw)) for key, raw in rows]
    return [where for where in runs if where.run.pack_id == pack_id]


def _slice_in(body_id: BodyId, pack_id: PackId, tx: Reading) -> tuple[Body, SlicePlace] | None:
    """The body and its slice's place, if a piece of it lies in this pack and the body lives."""
    raw, raw_body = tx.get(Table.SLICES, body_id), tx.get(Table.BODIES, body_id)
    if raw is None or raw_body is None:
        return None
    place = decode(SlicePlace, raw)
    return (decode(Body, raw_body), place) if any(piece.pack_id == pack_id for piece in place.pieces) else None
