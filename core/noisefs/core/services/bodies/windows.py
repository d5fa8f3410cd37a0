"""The pieces in which a body is read: located, fetched, unmasked, opened, and looked for again where that fails.

Promise: bytes leave here only after their segment's tag was verified, whoever takes them. On a bad tag or a missing
block the location is looked up once more, because the cleaner may have moved it, and nodes are asked if there are any.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from noisefs.core.domain.caching.asker import STORE, Asker
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import Extent, Run
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.errors import BlockUnavailable, IndexDamaged, IntegrityError, SegmentDamaged
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.buffers import COLD_WINDOW_SEGMENTS, LONG_WINDOW_SEGMENTS, WINDOW_SEGMENTS, Budget
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.bodies.hot import Slice
from noisefs.core.services.bodies.readers import Readers

log = logging.getLogger(__name__)

Take: TypeAlias = Callable[[memoryview], int]
"""Takes verified bytes, on a worker's thread, and tells how many of them: fewer than all where it would have to wait.
It neither raises nor keeps them."""

LOCATED_SEGMENTS: Final = 512
"""Segments whose locations are looked up at a time: a long read asks the index once a pack, not once a window."""

SEQUENTIAL_BYTES: Final = 8 * 1024 * 1024
"""A read longer than this passes by the hot tier: it would only push out what is read at random."""

POUR_BYTES: Final = 4 * 1024 * 1024
"""Bytes a reader may give away in one hop, before the next reader has its turn: some 2 ms."""

WINDOWS_A_READER: Final = 3
"""One being sent, one that waits behind it, one being fetched."""

Recorder: TypeAlias = Callable[[BodyId, int, int, int, Asker], None]
"""Told of every read, on any thread: the body, the first segment, how many, the bytes of each, and for whom. Quick."""

_NOTHING: Final = memoryview(b"")


@dataclass(slots=True)
class Opened:
    """A body and what reading it takes. ``slice``: its sealed slice, if that was in memory or in the index.
    ``asker``: for whom.
    ``until``: where the read ends; ``runs``: locations it looked up; ``cold``: the disk did not have all of it.
    """

    extent: Extent
    size: int
    cipher: BodyCipher
    slice: Slice | None
    asker: Asker = STORE
    until: int = 0
    runs: Sequence[tuple[int, Run]] = ()
    cold: bool = False


class Windows:
    """Reads windows of bodies. Task-safe; what opens cells may be called on any thread."""

    def __init__(
        self,
        *,
        cells: CellReader,
        workers: Workers,
        telemetry: Telemetry,
        geometry: Geometry,
        readers: Readers,
        buffer_bytes: int,
    ) -> None:
        """``buffer_bytes``: plaintext of all readers under way."""
        self._cells = cells
        self._workers = workers
        self._telemetry = telemetry
        self._geometry = geometry
        self._readers = readers
        self.recorder: Recorder | None = None
        self.budget = Budget(buffer_bytes, geometry.segment_bytes, WINDOWS_A_READER)

    def end_of(self, opened: Opened, position: int, stop: int, *, poured: bool = False) -> int:
        """Where the window that begins at ``position`` ends: at a segment's end, and before the slice.

        ``poured``: it is given away where it is opened, so that a short one costs no hop of its own.
        """
        size = self._geometry.segment_bytes
        full = opened.size - opened.size % size
        if position >= full:
            return stop
        first = position // size
        most = WINDOW_SEGMENTS
        if opened.cold:
            most = COLD_WINDOW_SEGMENTS
        elif opened.until - position > SEQUENTIAL_BYTES and not poured:
            most = LONG_WINDOW_SEGMENTS
        return min(stop, full, (first + self.budget.window(most)) * size)

    async def pour(self, opened: Opened, position: int, stop: int, take: Take, *, keep: bool) -> tuple[int, memoryview]:
        """Read windows from ``position`` on and give them away on the worker that opened them, as long as ``take``
        takes all of them, up to :data:`POUR_BYTES`.

        Returns:
            Where the last window ended, and its bytes that were not taken.

        Raises:
            IntegrityError: As :meth:`fetch`. Then ``take`` got nothing.
            Unavailable: As :meth:`fetch`.
        """
        try:
            return await self._workers.run(Lane.DISK, self._pour, opened, position, stop, take, keep=keep)
        except (IntegrityError, BlockUnavailable):  # of the first window
            upto = self.end_of(opened, position, stop)
            return upto, await self.fetch(opened, position, upto, keep=keep)

    def _pour(self, opened: Opened, position: int, stop: int, take: Take, *, keep: bool) -> tuple[int, memoryview]:
        begun = position
        while True:
            upto = self.end_of(opened, position, stop, poured=True)
            try:
                piece = self._read(opened, position, upto, keep=keep, reach=Reach.DISK)
            except (IntegrityError, BlockUnavailable):
                if position == begun:
                    raise
                return position, _NOTHING  # the next hop begins with it
            taken = take(piece)
            position = upto
            if (
                taken < len(piece)
                or position == stop
                or position - begun >= POUR_BYTES
                or self._readers.is_cut(opened.extent.body_id)
            ):
                return position, piece[taken:]

    async def fetch(self, opened: Opened, position: int, stop: int, *, keep: bool) -> memoryview:
        """Verified plaintext of one window: from the disk; what it has not, or damaged, from nodes if there are any.

        A second look at its place follows a bad tag or a missing block, as the cleaner may have moved it.
        """
        reach = Reach.NETWORK if opened.cold else Reach.DISK
        first = True
        while True:
            known = bool(opened.runs)
            lane = Lane.DISK if reach is Reach.DISK else Lane.NETWORK
            try:
                return await self._workers.run(lane, self._read, opened, position, stop, keep=keep, reach=reach)
            except (IntegrityError, BlockUnavailable) as exc:
                again = self._further(reach, exc, first=first, known=known)
                if again is None:
                    if isinstance(exc, IntegrityError):
                        self._telemetry.count(Counter.INTEGRITY_ERRORS, 1, ("segment",))
                    raise
                if again is not Reach.NETWORK or reach is Reach.NETWORK:  # else it only left the disk
                    log.warning("read.second_look", extra={"cause": str(exc)})
                opened.slice, opened.runs = None, ()
                opened.cold |= again is Reach.NETWORK
                if isinstance(exc, SegmentDamaged):
                    self._cells.forget(opened.extent.body_id, exc.segment, 1)
            reach, first = again, False

    def _further(self, reach: Reach, error: Exception, *, first: bool, known: bool) -> Reach | None:
        """How far to go after this failure; ``None``: no further. ``known``: the places were not looked up just now."""
        if not self._cells.reaches_network:
            return Reach.DISK if first else None
        if reach is Reach.VERIFIED:
            return None
        if isinstance(error, IntegrityError):
            return Reach.VERIFIED
        return Reach.NETWORK if reach is Reach.DISK or known else None

    def _read(self, opened: Opened, position: int, stop: int, *, keep: bool, reach: Reach) -> memoryview:
        """On a lane: bytes ``position`` to ``stop`` of a body, all in its segments or all in its slice."""
        size = self._geometry.segment_bytes
        full = opened.size - opened.size % size
        if position >= full:
            held = self.slice_of(opened, full // size, reach)
            if held is None:
                raise IndexDamaged(f"body {opened.extent.body_id.hex()} has a slice and no place for it")
            plain = memoryview(self.open_slice(opened, held.sealed, held.generation))
            return plain[position - full : stop - full]
        first, last = position // size, (stop - 1) // size
        count = last - first + 1
        cells = self._cells.hot_cells(opened.extent.body_id, first, count, opened.asker) if keep else None
        if cells is None:
            runs = self._located(opened, first, count)
            cells = self._cells.cells(
                opened.extent.body_id, first, count, keep=keep, runs=runs, reach=reach, asker=opened.asker
            )
        return self.open_cells(opened, first, count, cells)[position - first * size : stop - first * size]

    def slice_of(self, opened: Opened, segment: int, reach: Reach) -> Slice | None:
        """The body's slice, as :meth:`.cells.CellReader.slice`: it is read now."""
        body_id, held = opened.extent.body_id, opened.slice
        if held is None:
            return self._cells.slice(body_id, segment, reach=reach, asker=opened.asker)
        self._cells.slice_used(body_id, segment, held, opened.asker)
        return held

    def _located(self, opened: Opened, first: int, count: int) -> Sequence[tuple[int, Run]]:
        """Runs that cover these segments; looked up for many windows at once."""
        runs = opened.runs
        if not runs or runs[0][0] > first or runs[-1][0] + runs[-1][1].count < first + count:
            size = self._geometry.segment_bytes
            left = min(-(-opened.until // size), opened.size // size) - first
            runs = self._cells.locate(opened.extent.body_id, first, max(count, min(left, LOCATED_SEGMENTS)))
            opened.runs = runs
        return runs

    def open_cells(
        self, opened: Opened, first: int, count: int, found: list[tuple[Run, memoryview, int]]
    ) -> memoryview:
        """Plaintext of ``count`` segments from ``first`` on."""
        size = self._geometry.segment_bytes
        out = np.empty(count * size, np.uint8).data
        final_segment = opened.size // size - 1 if opened.size % size == 0 else -1
        for run, cells, segment in found:
            n = len(cells) // self._geometry.block_bytes
            into = out[(segment - first) * size : (segment - first + n) * size]
            final = segment + n - 1 == final_segment
            opened.cipher.open_segments(cells, segment, run.generation, size, into, final=final)
        self._telemetry.count(Counter.CELLS_OPENED, count)
        if self.recorder is not None:
            self.recorder(opened.extent.body_id, first, count, self._geometry.block_bytes, opened.asker)
        return out

    def open_slice(self, opened: Opened, sealed: bytes, generation: int) -> bytes:
        segment = opened.size // self._geometry.segment_bytes
        plain = opened.cipher.open_slice(sealed, segment, generation)
        self._telemetry.count(Counter.CELLS_OPENED)
        if self.recorder is not None:
            self.recorder(opened.extent.body_id, segment, 1, len(sealed), opened.asker)
        return plain
