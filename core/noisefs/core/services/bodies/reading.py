"""Giving bytes out: from extents to verified plaintext, a bounded window ahead of the reader.

Promise: a wrong byte is never given out: a segment's bytes leave only after its tag was verified. On a bad tag or a
missing block the location is looked up once more, because the cleaner may have moved it. A body stays readable for
its reader after the object is deleted: the key is held here, and the cells wait (:mod:`.readers`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Protocol

from noisefs.core.domain.caching.asker import STORE, Asker
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import TAIL_NONE, TAIL_TINY, Body, Extent, decode
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import BlockUnavailable, IndexDamaged, SegmentDamaged, Unavailable
from noisefs.core.ports.index import Reading, Table
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.bodies.blocks import NotAtHand
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.bodies.known import Known, KnownBodies
from noisefs.core.services.bodies.readers import Readers
from noisefs.core.services.bodies.windows import SEQUENTIAL_BYTES, Opened, Take, Windows

LOOP_BYTES: Final = 512 * 1024
"""Bytes opened on the event loop at a time: 60 us. A hop to a worker costs as much, and the loop its turn."""

PEEK_BYTES: Final = 256 * 1024
"""Bytes that may be read, unmasked and opened on the event loop, if the page cache has them: 150 us."""


class OpenBodies:
    """Bodies with their keys, pinned for one reader. Close it (``async with``) to let go of them."""

    def __init__(self, reader: "BodyReader", bodies: list[Opened]) -> None:
        self._reader = reader
        self._bodies = bodies
        self._ids = [opened.extent.body_id for opened in bodies]
        reader.readers.enter(self._ids)
        self._open = True

    async def chunks(self, start: int, end: int, take: Take | None = None) -> AsyncIterator[memoryview]:
        """Plaintext bytes ``start`` to ``end`` (exclusive) of the concatenated extents, in verified pieces of up to
        2 MiB (from a network 4 MiB). A piece is never changed after it was given out.

        ``take``: may be given bytes where they are opened, on a worker, one call at a time and in order; what it does
        not take is a piece. No call is under way while a piece is out, nor after the end, unless that was a
        cancellation: then one may still come to its end.

        Raises:
            IntegrityError: A tag does not verify, also after a second look. Nothing of that segment was given out.
            Unavailable: A block cannot be had.
        """
        reader = self._reader
        windows = reader.windows
        pending: asyncio.Task[memoryview] | None = None
        keep = end - start <= SEQUENTIAL_BYTES
        try:
            with windows.budget:
                for opened, first, stop in self._spans(start, end):
                    position = first
                    while position < stop:
                        if reader.readers.is_cut(opened.extent.body_id):
                            raise Unavailable("the object was deleted while it was read")
                        quick = None
                        if keep and (take is None or stop - position <= LOOP_BYTES):
                            quick = reader.open_at_hand(opened, position, stop)
                        upto: int
                        following: asyncio.Task[memoryview] | None = None
                        if quick is not None:
                            upto = position + len(quick)
                        elif take is not None and not opened.cold:
                            if pending is not None:
                                piece, pending = await pending, None
                                yield piece
                            upto, quick = await windows.pour(opened, position, stop, take, keep=keep)
                        else:
                            upto = windows.end_of(opened, position, stop)
                            following = asyncio.create_task(windows.fetch(opened, position, upto, keep=keep))
                            following.add_done_callback(_seen)
                        position = upto
                        before, pending = pending, following
                        if before is not None:
                            yield await before
                        if quick:
                            yield quick
                if pending is not None:
                    piece, pending = await pending, None
                    yield piece
            if reader.caching is not None:
                for opened, first, stop in self._spans(start, end):
                    reader.tell_span(opened, first, stop)
                reader.caching.read_ended(cold=any(opened.cold for opened in self._bodies))
        finally:
            if pending is not None:
                pending.cancel()

    def _spans(self, start: int, end: int) -> Iterator[tuple[Opened, int, int]]:
        """The bodies that bytes ``start`` to ``end`` of the extents lie in, each with the bytes of it."""
        at = 0
        for opened in self._bodies:
            length = opened.extent.length
            first, last = max(start, at), min(end, at + length)
            at += length
            if first < last:
                shift = opened.extent.offset - (at - length)
                opened.until = last + shift
                yield opened, first + shift, last + shift

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


class ReadNews(Protocol):
    """Who wants to know of reads: :class:`~noisefs.core.services.caching.keeping.Caching`. Quick."""

    def span_read(self, body_id: BodyId, first: int, last: int, whole: int, *, cold: bool) -> None:
        """Segments ``first`` to ``last`` of a body with ``whole`` whole ones were read."""

    def read_ended(self, *, cold: bool) -> None:
        """All that somebody asked for was read. ``cold``: it took a network."""


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
        self._keys = keys
        self._geometry = geometry
        self._known = KnownBodies()
        self.readers = readers
        self.caching: ReadNews | None = None
        readers.on_claim(self._known.forget)
        self.windows = Windows(
            cells=cells,
            workers=workers,
            telemetry=telemetry,
            geometry=geometry,
            readers=readers,
            buffer_bytes=buffer_bytes,
        )

    def open(self, tx: Reading, extents: Sequence[Extent], asker: Asker = STORE) -> OpenBodies:
        """Pin the bodies of ``extents``, and look up keys, inside the transaction that looked up the version.
        ``asker``: for whom.

        Raises:
            IndexDamaged: A body that an extent names does not exist, or its key does not open.
        """
        return OpenBodies(self, [self._look_up(tx, extent, asker) for extent in extents])

    def read_at_hand(
        self, tx: Reading, extents: Sequence[Extent], start: int, end: int, asker: Asker = STORE
    ) -> memoryview | None:
        """Bytes ``start`` to ``end`` (exclusive) of the concatenated extents, verified, if they are few and at hand:
        in memory, in the index or in the page cache. Needs no pin: it ends within the transaction. ``None``: open them.

        Raises:
            IndexDamaged: As :meth:`open`.
        """
        if len(extents) != 1 or end - start > LOOP_BYTES:
            return None
        opened = self._look_up(tx, extents[0], asker)
        shift = opened.extent.offset
        piece = self.open_at_hand(opened, start + shift, end + shift)
        if piece is None or len(piece) != end - start:
            return None
        self._tell(opened, start + shift, end + shift)
        return piece

    def read_in_memory(
        self, extents: Sequence[Extent], start: int, end: int, asker: Asker = STORE
    ) -> bytes | memoryview | None:
        """Like :meth:`read_at_hand`, where even the body and its cells are in memory: it asks the index for nothing.

        A body never changes, so what is remembered of it is what the extents mean.
        """
        if len(extents) != 1 or end - start > LOOP_BYTES:
            return None
        extent = extents[0]
        known = self._known.get(extent.body_id)
        if known is None:
            return None
        opened = Opened(extent, known.size, known.cipher, None, asker)
        size = self._geometry.segment_bytes
        position, stop = start + extent.offset, end + extent.offset
        full = known.size - known.size % size
        first = min(position, full) // size
        try:
            if position >= full:
                held = self._cells.hot_slice(extent.body_id, first, asker)
                if held is None:
                    return None
                plain = self.windows.open_slice(opened, held.sealed, held.generation)
                self._tell(opened, position, stop)
                return plain if stop - position == len(plain) else memoryview(plain)[position - full : stop - full]
            count = (stop - 1) // size - first + 1
            cells = None if stop > full else self._cells.hot_cells(extent.body_id, first, count, asker)
            if cells is None:
                return None
            piece = self.windows.open_cells(opened, first, count, cells)[position - first * size : stop - first * size]
            self._tell(opened, position, stop)
            return piece
        except SegmentDamaged as exc:
            self._cells.forget(extent.body_id, exc.segment, 1)
            return None

    def _tell(self, opened: Opened, start: int, stop: int) -> None:
        """All of a read was here."""
        if self.caching is not None:
            self.tell_span(opened, start, stop)
            self.caching.read_ended(cold=False)

    def tell_span(self, opened: Opened, start: int, stop: int) -> None:
        """Bytes ``start`` to ``stop`` of a body were read."""
        size = self._geometry.segment_bytes
        if self.caching is not None and start < opened.size - opened.size % size:
            first, last = start // size, (stop - 1) // size
            self.caching.span_read(opened.extent.body_id, first, last, opened.size // size, cold=opened.cold)

    async def forget_idle(self) -> None:
        """Drop keys that nobody used for a while: call it every :data:`.known.IDLE_S`."""
        self._known.age()

    def _look_up(self, tx: Reading, extent: Extent, asker: Asker) -> Opened:
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
            table = Table.TINY if tail == TAIL_TINY else Table.INLINE
            held = self._cells.slice_in(tx, body_id, segment, table, asker)
        return Opened(extent, size, cipher, held, asker)

    def open_at_hand(self, opened: Opened, position: int, stop: int) -> memoryview | None:
        """Bytes from ``position`` on that are at hand: a slice, or a few segments whose cells are in memory or whose
        blocks are in the page cache. Opened on the loop, because a hop to a worker costs more. ``None``: they must be
        fetched, or opening them failed.
        """
        size = self._geometry.segment_bytes
        body_id = opened.extent.body_id
        full = opened.size - opened.size % size
        if position >= full:
            try:
                held = self.windows.slice_of(opened, full // size, Reach.AT_ONCE)
                if held is None:
                    return None
                return memoryview(self.windows.open_slice(opened, held.sealed, held.generation))[
                    position - full : stop - full
                ]
            except SegmentDamaged:
                opened.slice = None
                self._cells.forget(body_id, full // size, 1)
                return None
            except (NotAtHand, BlockUnavailable):
                return None
        first = position // size
        upto = min(stop, full, (first + max(1, LOOP_BYTES // size)) * size)
        count = (upto - 1) // size - first + 1
        cells = self._cells.hot_cells(body_id, first, count, opened.asker)
        if cells is None:
            if (min(stop, full) - first * size) > PEEK_BYTES:
                return None
            try:
                cells = self._cells.cells(body_id, first, count, keep=True, reach=Reach.AT_ONCE, asker=opened.asker)
            except (NotAtHand, BlockUnavailable):
                return None
        try:
            return self.windows.open_cells(opened, first, count, cells)[position - first * size : upto - first * size]
        except SegmentDamaged:
            self._cells.forget(body_id, first, count)
            return None
