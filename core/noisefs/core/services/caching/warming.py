"""Warming: what was in memory before a restart comes back in the background, what is most worth it first.

Every :data:`SAVE_EVERY_S`, and at the end, the keys of what came from nodes are written down, sealed, in the order of
their worth. Cells come from the disk cache where it has them, else from nodes, a few at a time; what belongs to a
deleted body is left out. Belongs to the event loop.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.caching.entry import CellKey, Why
from noisefs.core.services.caching.listing import SealedList

log = logging.getLogger(__name__)

MOST_KEYS: Final = 65_536
ROWS_A_MESSAGE: Final = 1024
SAVE_EVERY_S: Final = 60.0
AT_ONCE: Final = 2
"""Fetches under way: readers come first."""
SPAN_CELLS: Final = 16
"""Neighbours that are fetched together."""
UP_TO: Final = 0.9
"""Of the memory: what is read now has the rest."""

Span: TypeAlias = tuple[BodyId, int, int, bool]
"""A body, the first segment, how many; whether it is the slice."""


@dataclass(slots=True)
class Progress:
    """How far it is."""

    listed: int = 0
    done: int = 0
    failed: int = 0
    running: bool = False


class Warming:
    """Saves and loads the list of what is in memory."""

    def __init__(self, *, cells: CellReader, kept: SealedList, index: Index, workers: Workers) -> None:
        """``kept``: where the list lies."""
        self._cells = cells
        self._kept = kept
        self._index = index
        self._workers = workers
        self.progress = Progress()
        self.wake = asyncio.Event()
        self.wake.set()
        self._loaded = False
        self._stopping = False

    async def step(self) -> None:
        """The first time: load. Later: save."""
        if self._loaded:
            await self.save()
            return
        await self.load()
        self._loaded = True

    async def save(self) -> None:
        """Write down what is in memory now; not before the list of the last life was loaded."""
        if not self._loaded:
            return
        listed = await self._workers.run(Lane.BACKGROUND, self._cells.hot.best, MOST_KEYS)
        try:
            await self._workers.run(Lane.BACKGROUND, self._kept.save, _encoded(listed))
        except NoisefsError as exc:
            log.info("cache.list_not_saved", extra={"cause": str(exc)})

    async def load(self) -> Progress:
        """Bring back what the list names."""
        try:
            messages = await self._workers.run(Lane.BACKGROUND, self._kept.load)
            rows = [row for message in messages or () for row in msgspec.msgpack.decode(message, type=list[_Row])]
        except (NoisefsError, msgspec.DecodeError) as exc:
            log.info("cache.list_not_read", extra={"cause": str(exc)})
            rows = []
        if rows:
            await self.bring(spans_of([((BodyId(body_id), number), slice_) for body_id, number, slice_ in rows]))
            log.info("cache.warmed", extra={"cells": self.progress.done, "listed": self.progress.listed})
        return self.progress

    async def bring(self, spans: Sequence[Span]) -> Progress:
        """Have these in memory, as far as there is room for them, the first ones first."""
        self.progress = progress = Progress(listed=sum(count for _, _, count, _ in spans), running=True)
        known = await self._workers.run(Lane.BACKGROUND, self._known, {span[0] for span in spans})
        left = iter([span for span in spans if span[0] in known])

        async def work() -> None:
            for body_id, first, count, is_slice in left:
                state = self._cells.hot.state()
                if self._stopping or state.bytes > UP_TO * state.max_bytes:
                    return
                try:
                    await self._workers.run(Lane.NETWORK, self._fetch, body_id, first, count, is_slice)
                    progress.done += count
                except NoisefsError as exc:
                    progress.failed += count
                    log.debug("cache.not_warmed", extra={"cause": str(exc)})

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
        finally:
            progress.running = False
        return progress

    def stop(self) -> None:
        """End a run soon: :meth:`step` returns."""
        self._stopping = True

    def _fetch(self, body_id: BodyId, first: int, count: int, is_slice: bool) -> None:
        if is_slice:
            self._cells.slice(body_id, first, reach=Reach.NETWORK, why=Why.WARMING)
        else:
            self._cells.cells(body_id, first, count, keep=True, reach=Reach.NETWORK, why=Why.WARMING)

    def _known(self, bodies: set[BodyId]) -> set[BodyId]:
        def look(tx: Reading) -> set[BodyId]:
            return {body_id for body_id in some if tx.get(Table.BODIES, body_id) is not None}

        found: set[BodyId] = set()
        left = iter(bodies)
        while some := list(islice(left, ROWS_A_MESSAGE)):  # in short transactions
            found |= self._index.read(look)
        return found


_Row: TypeAlias = tuple[bytes, int, bool]


def spans_of(keys: Sequence[tuple[CellKey, bool]]) -> list[Span]:
    """Keys in order of worth as spans of neighbours, each where its most worthy cell would be."""
    left = dict(keys)
    spans: list[Span] = []
    for key, is_slice in keys:
        if key not in left:
            continue
        body_id, number = key
        first = last = number
        while not is_slice and last - first + 1 < SPAN_CELLS and left.get((body_id, last + 1)) is False:
            last += 1
        while not is_slice and last - first + 1 < SPAN_CELLS and left.get((body_id, first - 1)) is False:
            first -= 1
        for taken in range(first, last + 1):
            left.pop((body_id, taken), None)
        spans.append((body_id, first, last - first + 1, is_slice))
    return spans


def _encoded(listed: Sequence[tuple[CellKey, bool]]) -> Iterator[bytes]:
    rows = iter(listed)
    while chunk := [(*key, is_slice) for key, is_slice in islice(rows, ROWS_A_MESSAGE)]:
        yield msgspec.msgpack.encode(chunk)
