"""Giving bytes out: from extents to verified plaintext, a bounded window ahead of the reader.

Promise: a wrong byte is never given out: a segment's bytes leave only after its tag was verified. On a bad tag or a
missing block the location is looked up once more, because the cleaner may have moved it. A body stays readable for
its reader after the object is deleted: the key is held here, and the cells wait (:mod:`.readers`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.records import TAIL_NONE, TAIL_TINY, Body, Extent, Run, decode
from noisefs.core.domain.segment import BodyCipher
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import BlockUnavailable, IndexDamaged, IntegrityError, SegmentDamaged, Unavailable
from noisefs.core.ports.index import Reading, Table
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.buffers import COLD_WINDOW_SEGMENTS, LONG_WINDOW_SEGMENTS, WINDOW_SEGMENTS, Budget
from noisefs.core.services.bodies.cells import CellReader, NotAtHand
from noisefs.core.services.bodies.hot import Slice
from noisefs.core.services.bodies.known import Known, KnownBodies
from noisefs.core.services.bodies.readers import Readers

log = logging.getLogger(__name__)

LOOP_BYTES: Final = 512 * 1024
"""Bytes opened on the event loop at a time: 60 us. A hop to a worker costs as much, and the loop its turn."""

PEEK_BYTES: Final = 256 * 1024
"""Bytes that may be read, unmasked and opened on the event loop, if the page cache has them: 150 us."""

LOCATED_SEGMENTS: Final = 512
"""Segments whose locations are looked up at a time: a long read asks the index once a pack, not once a window."""

SEQUENTIAL_BYTES: Final = 8 * 1024 * 1024
"""A read longer than this passes by the hot tier: it would only push out what is read at random."""

WINDOWS_A_READER: Final = 3
"""One being sent, one that waits behind it, one being fetched."""


@dataclass(slots=True)
class _Opened:
    """A body and what reading it takes. ``slice``: its sealed slice, if that was in memory or in the index.
    ``until``: where the read ends; ``runs``: locations it looked up; ``cold``: the disk did not have all of it.
    """

    extent: Extent
    size: int
    cipher: BodyCipher
    slice: Slice | None
    until: int = 0
    runs: Sequence[tuple[int, Run]] = ()
    cold: bool = False


class OpenBodies:
    """Bodies with their keys, pinned for one reader. Close it (``async with``) to let go of them."""

    def __init__(self, reader: "BodyReader", bodies: list[_Opened]) -> None:
        self._reader = reader
        self._bodies = bodies
        self._ids = [opened.extent.body_id for opened in bodies]
        reader.readers.enter(self._ids)
        self._open = True

    async def chunks(self, start: int, end: int) -> AsyncIterator[memoryview]:
        """Plaintext bytes ``start`` to ``end`` (exclusive) of the concatenated extents, in verified pieces of up to
        2 MiB (from a network 4 MiB). A piece is never changed after it was given out.

        Raises:
            IntegrityError: A tag does not verify, also after a second look. Nothing of that segment was given out.
            Unavailable: A block cannot be had.
        """
        reader = self._reader
        pending: asyncio.Task[memoryview] | None = None
        keep = end - start <= SEQUENTIAL_BYTES
        try:
            with reader.budget:
                at = 0
                for opened in self._bodies:
                    length = opened.extent.length
                    first, last = max(start, at), min(end, at + length)
                    at += length
                    if first >= last:
                        continue
                    shift = opened.extent.offset - (at - length)
                    position, stop = first + shift, last + shift
                    opened.until = stop
                    while position < stop:
                        if reader.readers.is_cut(opened.extent.body_id):
                            raise Unavailable("the object was deleted while it was read")
                        quick = reader.open_at_hand(opened, position, stop)
                        if quick is not None:
                            if pending is not None:
                                piece, pending = await pending, None
                                yield piece
                            yield quick
                            position += len(quick)
                            continue
                        upto = reader.window_end(opened, position, stop)
                        following = asyncio.create_task(reader.fetch(opened, position, upto, keep=keep))
                        following.add_done_callback(_seen)
                        position = upto
                        before, pending = pending, following
                        if before is not None:
                            yield await before
                if pending is not None:
                    piece, pending = await pending, None
                    yield piece
        finally:
            if pending is not None:
                pending.cancel()

    async def __aenter__(self) -> "OpenBodies":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the bodies. May be called more than once."""
        if self._open:
            self._open = False
            self._reader.readers.leave(self._ids)


def _seen(task: asyncio.Task[memoryview]) -> None:
    """A window nobody waits for any more may fail without a word."""
    if not task.cancelled():
        task.exception()


class BodyReader:
    """Opens bodies for reading. Task-safe."""

    def __init__(
        self,
        *,
        cells: CellReader,
        workers: Workers,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        readers: Readers,
        buffer_bytes: int,
    ) -> None:
        """``buffer_bytes``: plaintext of all readers under way."""
        self._cells = cells
        self._workers = workers
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._known = KnownBodies()
        self.readers = readers
        readers.on_claim(self._known.forget)
        self.budget = Budget(buffer_bytes, geometry.segment_bytes, WINDOWS_A_READER)

    def open(self, tx: Reading, extents: Sequence[Extent]) -> OpenBodies:
        """Pin the bodies of ``extents``, and look up keys, inside the transaction that looked up the version.

        Raises:
            IndexDamaged: A body that an extent names does not exist, or its key does not open.
        """
        return OpenBodies(self, [self._look_up(tx, extent) for extent in extents])

    def read_at_hand(self, tx: Reading, extents: Sequence[Extent], start: int, end: int) -> memoryview | None:
        """Bytes ``start`` to ``end`` (exclusive) of the concatenated extents, verified, if they are few and at hand:
        in memory, in the index or in the page cache. Needs no pin: it ends within the transaction. ``None``: open them.

        Raises:
            IndexDamaged: As :meth:`open`.
        """
        if len(extents) != 1 or end - start > LOOP_BYTES:
            return None
        opened = self._look_up(tx, extents[0])
        shift = opened.extent.offset
        piece = self.open_at_hand(opened, start + shift, end + shift)
        return piece if piece is not None and len(piece) == end - start else None

    def read_in_memory(self, extents: Sequence[Extent], start: int, end: int) -> bytes | memoryview | None:
        """Like :meth:`read_at_hand`, where even the body and its cells are in memory: it asks the index for nothing.

        A body never changes, so what is remembered of it is what the extents mean.
        """
        if len(extents) != 1 or end - start > LOOP_BYTES:
            return None
        extent = extents[0]
        known = self._known.get(extent.body_id)
        if known is None:
            return None
        opened = _Opened(extent, known.size, known.cipher, None)
        size = self._geometry.segment_bytes
        position, stop = start + extent.offset, end + extent.offset
        full = known.size - known.size % size
        first = min(position, full) // size
        try:
            if position >= full:
                held = self._cells.hot_slice(extent.body_id, first)
                if held is None:
                    return None
                plain = self._open_slice(opened, *held)
                return plain if stop - position == len(plain) else memoryview(plain)[position - full : stop - full]
            count = (stop - 1) // size - first + 1
            cells = None if stop > full else self._cells.hot_cells(extent.body_id, first, count)
            if cells is None:
                return None
            return self._open_cells(opened, first, count, cells)[position - first * size : stop - first * size]
        except SegmentDamaged as exc:
            self._cells.forget(extent.body_id, exc.segment, 1)
            return None

    async def forget_idle(self) -> None:
        """Drop keys that nobody used for a while: call it every :data:`.known.IDLE_S`."""
        self._known.age()

    def _look_up(self, tx: Reading, extent: Extent) -> _Opened:
        body_id = extent.body_id
        known = self._known.get(body_id)
        if known is None:
            raw = tx.get(Table.BODIES, body_id)
            if raw is None:
                raise IndexDamaged(f"body {body_id.hex()} has extents and no row")
            body = decode(Body, raw)
            key = self._keys.wrap.unwrap_body_key(body.wrapped_key, body_id)
            known = Known(body.size, BodyCipher(key, self._keys.store_id, body_id, body.format), body.tail)
            self._known.keep(body_id, known)
        size, cipher, tail = known
        held = None
        if tail != TAIL_NONE:
            segment = size // self._geometry.segment_bytes
            held = self._cells.slice_in(tx, body_id, segment, Table.TINY if tail == TAIL_TINY else Table.INLINE)
        return _Opened(extent, size, cipher, held)

    # ------------------------------------------------------------------ windows

    def window_end(self, opened: _Opened, position: int, stop: int) -> int:
        """Where the window that begins at ``position`` ends: at a segment's end, and before the slice."""
        size = self._geometry.segment_bytes
        full = opened.size - opened.size % size
        if position >= full:
            return stop
        first = position // size
        most = WINDOW_SEGMENTS
        if opened.cold:
            most = COLD_WINDOW_SEGMENTS
        elif opened.until - position > SEQUENTIAL_BYTES:
            most = LONG_WINDOW_SEGMENTS
        return min(stop, full, (first + self.budget.window(most)) * size)

    def open_at_hand(self, opened: _Opened, position: int, stop: int) -> memoryview | None:
        """Bytes from ``position`` on that are at hand: a slice, or a few segments whose cells are in memory or whose
        blocks are in the page cache. Opened on the loop, because a hop to a worker costs more. ``None``: they must be
        fetched, or opening them failed.
        """
        size = self._geometry.segment_bytes
        body_id = opened.extent.body_id
        full = opened.size - opened.size % size
        if position >= full:
            try:
                held = opened.slice or self._cells.slice(body_id, full // size, reach=Reach.AT_ONCE)
                if held is None:
                    return None
                return memoryview(self._open_slice(opened, *held))[position - full : stop - full]
            except SegmentDamaged:
                opened.slice = None
                self._cells.forget(body_id, full // size, 1)
                return None
            except (NotAtHand, BlockUnavailable):
                return None
        first = position // size
        upto = min(stop, full, (first + max(1, LOOP_BYTES // size)) * size)
        count = (upto - 1) // size - first + 1
        cells = self._cells.hot_cells(body_id, first, count)
        if cells is None:
            if (min(stop, full) - first * size) > PEEK_BYTES:
                return None
            try:
                cells = self._cells.cells(body_id, first, count, keep=True, reach=Reach.AT_ONCE)
            except (NotAtHand, BlockUnavailable):
                return None
        try:
            return self._open_cells(opened, first, count, cells)[position - first * size : upto - first * size]
        except SegmentDamaged:
            self._cells.forget(body_id, first, count)
            return None

    async def fetch(self, opened: _Opened, position: int, stop: int, *, keep: bool) -> memoryview:
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

    def _read(self, opened: _Opened, position: int, stop: int, *, keep: bool, reach: Reach) -> memoryview:
        """On a lane: bytes ``position`` to ``stop`` of a body, all in its segments or all in its slice."""
        size = self._geometry.segment_bytes
        full = opened.size - opened.size % size
        if position >= full:
            held = opened.slice or self._cells.slice(opened.extent.body_id, full // size, reach=reach)
            if held is None:
                raise IndexDamaged(f"body {opened.extent.body_id.hex()} has a slice and no place for it")
            plain = memoryview(self._open_slice(opened, *held))
            return plain[position - full : stop - full]
        first, last = position // size, (stop - 1) // size
        count = last - first + 1
        runs = self._located(opened, first, count)
        cells = self._cells.cells(opened.extent.body_id, first, count, keep=keep, runs=runs, reach=reach)
        return self._open_cells(opened, first, count, cells)[position - first * size : stop - first * size]

    def _located(self, opened: _Opened, first: int, count: int) -> Sequence[tuple[int, Run]]:
        """Runs that cover these segments; looked up for many windows at once."""
        runs = opened.runs
        if not runs or runs[0][0] > first or runs[-1][0] + runs[-1][1].count < first + count:
            size = self._geometry.segment_bytes
            left = min(-(-opened.until // size), opened.size // size) - first
            runs = self._cells.locate(opened.extent.body_id, first, max(count, min(left, LOCATED_SEGMENTS)))
            opened.runs = runs
        return runs

    def _open_cells(
        self, opened: _Opened, first: int, count: int, found: list[tuple[Run, memoryview, int]]
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
        return out

    def _open_slice(self, opened: _Opened, sealed: bytes, generation: int) -> bytes:
        segment = opened.size // self._geometry.segment_bytes
        plain = opened.cipher.open_slice(sealed, segment, generation)
        self._telemetry.count(Counter.CELLS_OPENED)
        return plain
