"""Streams of packs: blocks straight from where they lie into frames, and out as views.

Cost: each block is read once into one of two buffers of a batch, and never copied again here; while one batch is on its
way, the next one is read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import car_bytes, car_header, frame_blocks, section_bytes, section_head
from noisefs.core.domain.nodes.root import root_id
from noisefs.core.errors import NodeUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Car, Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane, Workers

BATCH: Final = 8
"""Blocks of one read and of one piece: 1 MiB of 128 KiB blocks."""

FETCHED_AT_ONCE: Final = 32
"""Blocks asked of a holder at one time: more are not quicker (measured with Kubo)."""

FETCHED_BYTES: Final = 8 << 20
"""What these take at most: streams keep three batches in memory."""

FETCH_TIMEOUT_S: Final = 30.0

Fill = Callable[[int, list[memoryview]], Awaitable[None]]
"""Put the blocks from this position on into these places."""


class Limiter:
    """So many bytes a second for all streams together; 0: no limit. Belongs to one event loop."""

    def __init__(self, clock: Clock, bytes_per_s: int) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    async def take(self, size_bytes: int) -> None:
        """Return when so many bytes may go out. Those who ask later wait behind."""
        if not self._bytes_per_s:
            return
        now_s = self._clock.monotonic_s()
        at_s = max(self._free_at_s, now_s)
        self._free_at_s = at_s + size_bytes / self._bytes_per_s
        if at_s > now_s:
            await self._clock.sleep(at_s - now_s)


class Stream:
    """A pack's stream, and why its source failed, if it did: a node that was sent a broken stream is not to blame."""

    def __init__(self, raw: bytes, links: tuple[BlockId, ...], block_bytes: int, batch: int, fill: Fill) -> None:
        """``raw``: the root; ``links``: the names of the blocks to send, of those that it links."""
        self._raw = raw
        self._links = links
        self._block_bytes = block_bytes
        self._batch = batch
        self._fill = fill
        self.failure: NoisefsError | None = None

    def car(self, limiter: Limiter) -> Car:
        """The stream for a node; it may be sent to several at once."""
        size_bytes = car_bytes(len(self._links), self._block_bytes, self._raw)
        return Car(root_id(self._raw), size_bytes, len(self._links), lambda: self._parts(limiter))

    async def _parts(self, limiter: Limiter) -> AsyncIterator[bytes | memoryview]:
        name = root_id(self._raw)
        yield car_header(name)
        room_bytes = min(self._batch, len(self._links)) * section_bytes(self._block_bytes)
        rooms = [memoryview(bytearray(room_bytes)) for _ in range(2)]
        starts = range(0, len(self._links), self._batch)
        coming = asyncio.create_task(self._frame(0, rooms[0])) if starts else None
        try:
            for number, first in enumerate(starts):
                assert coming is not None
                piece = await coming
                following = first + self._batch
                coming = None
                await limiter.take(len(piece))
                if following < len(self._links):
                    coming = asyncio.create_task(self._frame(following, rooms[(number + 1) % 2]))
                yield piece
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
        await limiter.take(len(self._raw))
        yield section_head(name, len(self._raw)) + self._raw

    async def _frame(self, first: int, room: memoryview) -> memoryview:
        names = self._links[first : first + self._batch]
        places = frame_blocks(names, self._block_bytes, room)
        try:
            await self._fill(first, places)
        except NoisefsError as exc:
            self.failure = exc
            raise
        return room[: len(names) * section_bytes(self._block_bytes)]


def stream_from_disk(
    pack_id: PackId,
    raw: bytes,
    links: tuple[BlockId, ...],
    packs: PackStore,
    workers: Workers,
    geometry: Geometry,
    *,
    first: int = 0,
) -> Stream:
    """A pack's stream from this machine's disk. What the disk has damaged, the node refuses.

    ``first``: blocks that stay out of it, from the pack's first one on.
    """

    async def fill(number: int, places: list[memoryview]) -> None:
        await workers.run(Lane.BACKGROUND, packs.read, pack_id, first + number, places)

    return Stream(raw, links[first:], geometry.block_bytes, BATCH, fill)


def stream_from_node(
    holder: Node, raw: bytes, links: tuple[BlockId, ...], workers: Workers, block_bytes: int
) -> Stream:
    """A stream of blocks that another node holds, each verified on its way."""

    async def fill(first: int, places: list[memoryview]) -> None:
        names = links[first : first + len(places)]
        blocks = await asyncio.gather(*(holder.block(name, timeout_s=FETCH_TIMEOUT_S) for name in names))
        if not await workers.run(Lane.BACKGROUND, _put, blocks, names, places):
            raise NodeUnavailable(holder.name, "reading a block", "the bytes are not those of that name")

    return Stream(raw, links, block_bytes, max(1, min(FETCHED_AT_ONCE, FETCHED_BYTES // block_bytes)), fill)


def _put(blocks: list[bytes], names: tuple[BlockId, ...], places: list[memoryview]) -> bool:
    """Copy blocks into their places; tells whether each is what its name says."""
    for block, name, place in zip(blocks, names, places, strict=True):
        if len(block) != len(place) or compute_block_id(block) != name:
            return False
        place[:] = block
    return True
