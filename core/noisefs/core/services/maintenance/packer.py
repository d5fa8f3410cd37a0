"""The packer: copies slices that wait inline in the index into cells they share.

Promise: a slice is in the index until its copy is durable in a pack and the commit that says so; only then its
inline bytes go. What is deleted or replaced meanwhile stays deleted. Slices are copied as they were sealed (this
first time only). Less than a cell's worth waits, unless asked to flush: cells are filled to the brim, a slice may
go on in the next one. Cost: about one append a 128 KiB and one index commit a batch of up to 4 MiB.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import placement_key
from noisefs.core.domain.records import (
    Body,
    PackState,
    Placement,
    SlicePiece,
    SlicePlace,
    decode,
    encode,
)
from noisefs.core.domain.sealing.shared_cell import ENTRY_BYTES_MAX, FIXED_BYTES, SharedCellBuilder
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import CommitConflict, PackPoisoned
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.rows import LONGEST_KEY, walk
from noisefs.core.services.packs.filling import SharedCell
from noisefs.core.services.packs.staging import change_live, require_pack
from noisefs.core.services.packs.unbroken import unbroken
from noisefs.core.services.packs.writer import PackWriter

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 4 * 1024 * 1024
ROWS_AT_SCAN: Final = 32
"""Rows of up to S bytes each: 4 MiB at the default S."""


HOLE: Final = 1 / 256
"""Share of a batch's cells that may stay empty at its end."""
MANY_CELLS: Final = 24
ROW_BYTES: Final = 32
"""What a slice's directory entry takes, about."""


@dataclass(slots=True)
class Waiting:
    """A slice and what its place needs: ``segment`` is its number in the body."""

    body_id: BodyId
    segment: int
    generation: int
    sealed: bytes
    pieces: list[SlicePiece] = field(default_factory=list)


@dataclass(slots=True)
class _Cell:
    """A shared cell that is being filled, and which slices have how much of theirs at which offset."""

    builder: SharedCellBuilder
    pieces: list[tuple[Waiting, int, int]] = field(default_factory=list)
    placed: SharedCell | None = None


class SlicePlacer:
    """Lays sealed slices into shared cells of a pack writer. Used by packer and cleaner."""

    def __init__(self, writer: PackWriter, entropy: Entropy, keys: StoreKeys, geometry: Geometry) -> None:
        self._writer = writer
        self._entropy = entropy
        self._keys = keys
        self._geometry = geometry

    async def place(self, slices: list[Waiting]) -> None:
        """Append cells that hold all these slices; fills ``pieces``. They are not durable yet.

        Each cell is filled when the one before has been handed over: the loop is never held for longer than the filling
        of one takes, a millisecond for slices of 1 KiB. All cells of a batch at once were 20.
        """
        for cell in self._fill(slices):
            placed = await self._writer.append_shared(partial(self._seal, cell))
            for waiting, offset, length in cell.pieces:
                waiting.pieces.append(SlicePiece(placed.pack_id, placed.position, placed.seed, offset, length))

    def fits(self, sizes: Sequence[int]) -> int:
        """How many of the first slices, of these sealed sizes, fill whole cells but for ``HOLE`` of their bytes.

        A slice may go on in the next cell, so that only the last one matters. 0: not even one cell's worth. Where there
        is much and no number does, the number that leaves least.
        """
        whole = self._geometry.block_bytes - FIXED_BYTES - ENTRY_BYTES_MAX
        cells = room = 0
        fitting, best, least = 0, 0, 1.0
        for number, size in enumerate(sizes, 1):
            left = size
            while left > 0:
                if room <= 0:
                    cells, room = cells + 1, whole
                taken = min(left, room)
                left, room = left - taken, room - taken - ROW_BYTES
            hole = max(0, room) / (cells * whole)
            if hole <= HOLE:
                fitting = number
            if hole < least:
                best, least = number, hole
        return fitting or (best if cells >= MANY_CELLS else 0)

    def _fill(self, slices: list[Waiting]) -> Iterator[_Cell]:
        cell: _Cell | None = None
        for waiting in slices:
            done, sealed = 0, memoryview(waiting.sealed)
            while done < len(sealed):
                room = cell.builder.room() if cell is not None else 0
                if cell is None or room <= 0:
                    if cell is not None:
                        yield cell
                    cell = _Cell(SharedCellBuilder(self._geometry.block_bytes))
                    room = cell.builder.room()
                piece = sealed[done : done + room]
                offset = cell.builder.add(
                    waiting.body_id, waiting.segment, waiting.generation, done, len(sealed), piece
                )
                cell.pieces.append((waiting, offset, len(piece)))
                done += len(piece)
        if cell is not None:
            yield cell

    def _seal(self, cell: _Cell, pack_id: PackId, number: int) -> bytes:
        return cell.builder.seal(
            store_key=self._keys.store_key,
            store_id=self._keys.store_id,
            pack_id=pack_id,
            cell_number=number,
            padding=self._entropy.noise,
        )


class Packer:
    """Works off the table ``INLINE``. One at a time per process; two processes at once do no harm."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        telemetry: Telemetry,
        writer: PackWriter,
        placer: SlicePlacer,
        backlog: Backlog,
        geometry: Geometry,
        instance_id: InstanceId,
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._telemetry = telemetry
        self._writer = writer
        self._placer = placer
        self._backlog = backlog
        self._geometry = geometry
        self._instance_id = instance_id
        self._busy = asyncio.Lock()
        self._unnamed: list[Waiting] = []

    async def run(self, *, flush: bool = False) -> int:
        """Pack what waits now, in batches; returns the sealed bytes that were packed.

        What arrives meanwhile has a later body id, and waits for the next run: else a run would not end under load.

        Args:
            flush: Also pack what does not fill a cell; so it is where writers are held back.
        """
        async with self._busy:
            flush = flush or not self._backlog.has_room
            added = self._backlog.added_bytes
            packed = await unbroken(self._name()) if self._unnamed else 0
            end = await self._workers.run(Lane.BACKGROUND, self._index.read, _behind_inline)
            seen, start, more = 0, b"", True
            while more:
                batch, start, more = await self._workers.run(Lane.BACKGROUND, self._collect, start, end)
                seen += sum(len(waiting.sealed) for waiting in batch)
                if not flush:
                    sizes = [len(waiting.sealed) for waiting in batch]
                    batch = batch[: await self._workers.run(Lane.BACKGROUND, self._placer.fits, sizes)]
                if batch:
                    done = await unbroken(self._pack(batch))
                    packed, seen = packed + done, seen - done
            # What was added meanwhile may have been seen or not: better counted twice, until the next run.
            self._backlog.correct(seen + self._backlog.added_bytes - added)
            return packed

    async def measure(self) -> None:
        """Count the whole table and correct the backlog: at start, when nothing is known yet, and where another process
        packs what this one adds. Cost: one read of what waits.
        """

        def total() -> int:
            return sum(len(raw) for _key, raw in walk(self._index, Table.INLINE, ROWS_AT_SCAN))

        added = self._backlog.added_bytes
        seen = await self._workers.run(Lane.BACKGROUND, total)
        self._backlog.correct(seen + self._backlog.added_bytes - added)  # counted twice rather than never

    async def follow(self, leads: Callable[[], bool]) -> None:
        """Correct a long backlog unless this process ``leads``: nobody else tells it what the one that does packed."""
        if self._backlog.is_much and not await self._workers.run(Lane.BACKGROUND, leads):
            await self.measure()

    def _collect(self, start: bytes, end: bytes) -> tuple[list[Waiting], bytes, bool]:
        """Up to ``BATCH_BYTES`` of slices from ``start`` to ``end``, where to go on, and whether there may be more."""
        batch: list[Waiting] = []
        size = 0
        while size < BATCH_BYTES:
            rows = self._index.read(partial(_inline_from, start, end))
            if not rows:
                return batch, start, False

            def bodies(tx: Reading, rows: list[tuple[bytes, bytes]] = rows) -> list[bytes | None]:
                return [tx.get(Table.BODIES, key) for key, _raw in rows]

            for (key, sealed), raw in zip(rows, self._index.read(bodies), strict=True):
                if raw is not None:
                    segment = decode(Body, raw).size // self._geometry.segment_bytes
                    batch.append(Waiting(BodyId(key), segment, 0, sealed))
                    size += len(sealed)
            start = rows[-1][0] + b"\0"
        return batch, start, True

    async def _pack(self, batch: list[Waiting]) -> int:
        await self._placer.place(batch)
        self._unnamed = batch
        return await self._name()

    async def _name(self) -> int:
        """Make the cells of slices durable, and commit their places. Where nodes are missing for their class, or a full
        disk forbids it, the next run does it: they are not appended a second time.
        """
        batch = self._unnamed
        try:
            for pack_id in dict.fromkeys(piece.pack_id for waiting in batch for piece in waiting.pieces):
                await self._writer.settle_pack(pack_id)
        except PackPoisoned:
            self._unnamed = []
            raise

        def publish(tx: Writing) -> int:
            return commit_places(tx, batch, self._instance_id)

        try:
            # Deletes inline bytes, which are sealed, and never a key: they need not be overwritten.
            moved = await self._commits.run(publish, wipe=False)
        except CommitConflict as exc:
            self._unnamed = []
            log.info("packer.again", extra={"cause": str(exc)})
            return 0
        self._unnamed = []
        self._telemetry.count(Counter.PACKER_MOVED, moved)
        self._backlog.removed(moved)
        return moved


def _inline_from(start: bytes, end: bytes, tx: Reading) -> list[tuple[bytes, bytes]]:
    return tx.scan(Table.INLINE, start, end, ROWS_AT_SCAN)


def _behind_inline(tx: Reading) -> bytes:
    """A key behind the last slice that waits."""
    last = tx.scan(Table.INLINE, b"", LONGEST_KEY, 1, reverse=True)
    return last[0][0] + b"\0" if last else b""


def commit_places(tx: Writing, batch: list[Waiting], owner: InstanceId) -> int:
    """Name the new places of slices that still are inline, and drop the inline bytes; returns how many bytes went.

    Raises:
        CommitConflict: A pack cannot take new names any more.
    """
    moved = 0
    counts: dict[PackId, list[int]] = {}
    cells: dict[tuple[PackId, int], SlicePiece] = {}
    for waiting in batch:
        if tx.get(Table.INLINE, waiting.body_id) is None:
            continue
        place = SlicePlace(tuple(waiting.pieces), waiting.generation)
        tx.put(Table.SLICES, waiting.body_id, encode(place))
        tx.delete(Table.INLINE, waiting.body_id)
        moved += len(waiting.sealed)
        for piece in waiting.pieces:
            count = counts.setdefault(piece.pack_id, [0, 0])
            count[0] += piece.length
            count[1] += 1
            cells[piece.pack_id, piece.position] = piece
    name_shared_cells(tx, cells, waiting_generation(batch), owner)
    for pack_id, (size, slices) in counts.items():
        change_live(tx, pack_id, slice_bytes=size, slices=slices)
    return moved


def waiting_generation(batch: list[Waiting]) -> int:
    """The generation of a batch: all of it is sealed under one."""
    return batch[0].generation if batch else 0


def name_shared_cells(
    tx: Writing, cells: dict[tuple[PackId, int], SlicePiece], generation: int, owner: InstanceId
) -> None:
    """Placement rows of shared cells in packs that are still open, after checking that their packs take names."""
    packs = {pack_id: require_pack(tx, pack_id, owner) for pack_id in {pack_id for pack_id, _position in cells}}
    for (pack_id, position), piece in cells.items():
        if packs[pack_id].state == PackState.OPEN:
            placed = Placement(BodyId(b""), 0, 1, piece.seed, generation)
            tx.put(Table.PLACEMENTS, placement_key(pack_id, position), encode(placed))
