"""Moving what lives in a pack to another one: every segment and slice is opened and sealed again.

Promise: a move is a compare-and-set on its row, after its new cells are durable: two movers do no harm, and what is
deleted or moved meanwhile stays so. Nothing links old and new bytes: the destination pack has a generation of its own,
and it goes into every nonce. Rot is never copied: what does not verify is left where it is and reported.
Cost: one read, one open, one seal, one append of what lives.
"""

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.manifest import RunEntry, SharedEntry
from noisefs.core.domain.records import Body, BodyState, Pack, PackState, Run, SlicePlace, decode, encode
from noisefs.core.domain.segment import BodyCipher
from noisefs.core.domain.shared_cell import open_directory
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import CommitConflict, IntegrityError, Unavailable
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.packer import SlicePlacer, Waiting, name_shared_cells
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import placements
from noisefs.core.services.packs.staging import Staging, change_live, place_runs
from noisefs.core.services.packs.writer import PackWriter

log = logging.getLogger(__name__)

SEGMENTS_AT_ONCE = 8
SLICES_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Moved:
    """What one pack's move came to: live bytes moved, and rows that could not be (damaged, or lost a race)."""

    moved_bytes: int
    left: int


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
        """Move everything that lives in this pack."""
        bodies, shared = await self.workers.run(Lane.BACKGROUND, self._contents, pack_id, row)
        moved = left = 0
        for body_id, (low, high) in bodies.items():
            for segment, run in await self.workers.run(
                Lane.BACKGROUND, self.index.read, partial(_runs_in, body_id, pack_id, low, high)
            ):
                try:
                    moved += await self._move_run(body_id, segment, run)
                except (IntegrityError, Unavailable) as exc:
                    left += 1
                    log.error("clean.cannot_move", extra={"pack": pack_id.hex(), "cause": str(exc)})
                except CommitConflict:
                    left += 1
        slices, damaged = await self.workers.run(Lane.BACKGROUND, self._open_slices, pack_id, shared)
        left += damaged
        for start in range(0, len(slices), SLICES_AT_ONCE):
            done, conflicts = await self._move_slices(slices[start : start + SLICES_AT_ONCE])
            moved += done
            left += conflicts
        self.telemetry.count(Counter.CLEANER_MOVED, moved)
        return Moved(moved, left)

    # ------------------------------------------------------------------ what is in it

    def _contents(self, pack_id: PackId, row: Pack) -> tuple[dict[BodyId, tuple[int, int]], list[tuple[int, int]]]:
        """Bodies with cells in the pack and the range of their segments, and shared cells as (position, seed)."""
        bodies: dict[BodyId, tuple[int, int]] = {}

        def note(body_id: BodyId, segment: int, count: int) -> None:
            low, high = bodies.get(body_id, (segment, segment + count))
            bodies[body_id] = min(low, segment), max(high, segment + count)

        shared: list[tuple[int, int]] = []
        if row.state == PackState.POISONED:
            for position, what in self.index.read(lambda tx: placements(tx, pack_id)):
                if what.body_id:
                    note(what.body_id, what.segment, what.count)
                else:
                    shared.append((position, what.seed))
        else:
            for entry in self.manifests.read(pack_id, row.blocks, row.strategy).entries:
                if isinstance(entry, RunEntry):
                    note(entry.body_id, entry.segment, entry.count)
                elif isinstance(entry, SharedEntry):
                    shared.append((entry.position, entry.seed))
        return bodies, shared

    # ------------------------------------------------------------------ runs

    async def _move_run(self, body_id: BodyId, segment: int, run: Run) -> int:
        raw = await self.workers.run(Lane.BACKGROUND, self.index.read, lambda tx: tx.get(Table.BODIES, body_id))
        if raw is None:
            return 0  # dead: the reaper has it
        body = decode(Body, raw)
        if body.state == BodyState.WRITING:
            raise CommitConflict("its writer still knows these cells by their old place")
        cipher = self._cipher(body_id, body)
        size = self.geometry.segment_bytes
        last = body.size // size - 1 if body.size % size == 0 and body.size else -1
        # Not to be marked as being written at a seal: it has its row already.
        staging = Staging(body_id, body_id, body.wrapped_key, self.instance_id, enlisted=True)
        for first in range(segment, segment + run.count, SEGMENTS_AT_ONCE):
            count = min(SEGMENTS_AT_ONCE, segment + run.count - first)
            plain = await self.workers.run(
                Lane.BACKGROUND, self._open_cells, cipher, run, (segment, first, count), last
            )

            def make(generation: int, start: int, n: int, first: int = first, plain: memoryview = plain) -> memoryview:
                cells = np.empty(n * self.geometry.block_bytes, np.uint8).data
                part = plain[(start - first) * size : (start - first + n) * size]
                cipher.seal_segments(part, start, generation, size, cells, final=start + n - 1 == last)
                return cells

            await self.writer.append_made(staging, make, first, count)
        await self.writer.settle(staging)

        def publish(tx: Writing) -> None:
            key = run_key(body_id, segment)
            if tx.get(Table.RUNS, key) != encode(run) or tx.get(Table.BODIES, body_id) is None:
                raise CommitConflict("the run was moved or deleted meanwhile")
            place_runs(tx, body_id, staging.runs, self.instance_id)
            change_live(tx, run.pack_id, cells=-run.count)

        await self.commits.run(publish)
        return run.count * self.geometry.block_bytes

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

    def _open_slices(
        self, pack_id: PackId, shared: list[tuple[int, int]]
    ) -> tuple[list[tuple[BodyId, Body, SlicePlace, bytes]], int]:
        """Live slices of these cells as (body id, body, old place, plaintext), and how many could not be opened."""
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
            for entry in directory:
                wanted[entry.body_id] = None
        found: list[tuple[BodyId, Body, SlicePlace, bytes]] = []
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
                    found.append((body_id, body, place, plain))
            except (IntegrityError, Unavailable) as exc:
                damaged += 1
                log.error("clean.cannot_move", extra={"pack": pack_id.hex(), "cause": str(exc)})
        return found, damaged

    async def _move_slices(self, slices: list[tuple[BodyId, Body, SlicePlace, bytes]]) -> tuple[int, int]:
        generation = await self.writer.generation()

        def seal() -> list[Waiting]:
            waiting = []
            for body_id, body, _place, plain in slices:
                segment = body.size // self.geometry.segment_bytes
                sealed = self._cipher(body_id, body).seal_slice(plain, segment, generation)
                waiting.append(Waiting(body_id, segment, generation, sealed))
            return waiting

        batch = await self.workers.run(Lane.BACKGROUND, seal)
        await self.placer.place(batch)
        for pack_id in dict.fromkeys(piece.pack_id for waiting in batch for piece in waiting.pieces):
            await self.writer.settle_pack(pack_id)

        def publish(tx: Writing) -> tuple[int, int]:
            moved = conflicts = 0
            named = []
            for waiting, (body_id, _body, old, _plain) in zip(batch, slices, strict=True):
                if tx.get(Table.SLICES, body_id) != encode(old) or tx.get(Table.BODIES, body_id) is None:
                    conflicts += 1
                    continue
                tx.put(Table.SLICES, body_id, encode(SlicePlace(tuple(waiting.pieces), waiting.generation)))
                moved += len(waiting.sealed)
                for piece in old.pieces:
                    change_live(tx, piece.pack_id, slice_bytes=-piece.length, slices=-1)
                for piece in waiting.pieces:
                    change_live(tx, piece.pack_id, slice_bytes=piece.length, slices=1)
                    named.append(piece)
            name_shared_cells(tx, {(p.pack_id, p.position): p for p in named}, generation, self.instance_id)
            return moved, conflicts

        moved, conflicts = await self.commits.run(publish)
        if conflicts:
            # What was not named must never be sealed again under this generation: go on in another pack.
            await self.writer.seal()
        return moved, 0


def _runs_in(body_id: BodyId, pack_id: PackId, low: int, high: int, tx: Reading) -> list[tuple[int, Run]]:
    """The body's runs between these segments that lie in this pack, as (first segment, run)."""
    rows = tx.scan(Table.RUNS, run_key(body_id, 0), run_key(body_id, low), 1, reverse=True)
    rows += tx.scan(Table.RUNS, run_key(body_id, low), run_key(body_id, high), high - low)
    runs = [(int.from_bytes(key[-8:], "big"), decode(Run, raw)) for key, raw in rows]
    return [(segment, run) for segment, run in runs if run.pack_id == pack_id]


def _slice_in(body_id: BodyId, pack_id: PackId, tx: Reading) -> tuple[Body, SlicePlace] | None:
    """The body and its slice's place, if a piece of it lies in this pack and the body lives."""
    raw, raw_body = tx.get(Table.SLICES, body_id), tx.get(Table.BODIES, body_id)
    if raw is None or raw_body is None:
        return None
    place = decode(SlicePlace, raw)
    return (decode(Body, raw_body), place) if any(piece.pack_id == pack_id for piece in place.pieces) else None
