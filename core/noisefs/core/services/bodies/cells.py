"""From a location to a cell: blocks fetched, each once, and unmasked. Runs on worker lanes.

Promise: at most three blocks are read for one random cell (two with its seed at hand), about one per cell in a long
read. Bytes given out here are ciphertext: whoever opens them verifies the tag.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from cachetools import LRUCache

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.masking.xor import xor_into
from noisefs.core.domain.records import Run, SlicePlace, decode
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import BlockUnavailable, PackNotFound
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.bodies.hot import HotTier, Slice

SEEDS_KEPT: Final = 64
"""Seed blocks pinned apart from the hot tier: 8 MiB at the default S."""

XOR_BYTES: Final = 8
"""XOR works on 64-bit words; every block size is a multiple of them."""

LOCAL: Final = ("local",)
HOT: Final = ("hot",)


class NotAtHand(Exception):
    """The store would have to be waited for, and the caller cannot wait."""


class CellReader:
    """Reads cells of runs and slices of shared cells. Thread-safe."""

    def __init__(
        self,
        *,
        index: Index,
        packs: PackStore,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        hot_bytes: int,
    ) -> None:
        """``hot_bytes``: cells kept in memory."""
        self._index = index
        self._packs = packs
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._hot = HotTier(hot_bytes)
        self._lock = threading.Lock()
        self._seeds: LRUCache[Any, Any] = LRUCache(SEEDS_KEPT)  # Any: cachetools is not typed here

    # ------------------------------------------------------------------ runs

    def cells(
        self,
        body_id: BodyId,
        segment: int,
        count: int,
        *,
        keep: bool,
        fresh: bool = False,
        runs: Sequence[tuple[int, Run]] = (),
        wait: bool = True,
    ) -> list[tuple[Run, memoryview, int]]:
        """Cells of ``count`` segments from ``segment`` on, as (run, contiguous cells, first segment), in order.

        ``run.generation`` is what they are sealed under. ``keep``: the caller reads at random, so keep the cells.
        ``fresh``: read from the store even what is in memory. ``runs``: their locations, where the caller knows them.
        ``wait``: whether the store may be waited for; without it this may be called on the event loop.

        Raises:
            BlockUnavailable: A block, or the location of a segment, is missing.
            NotAtHand: The store would have to be waited for.
        """
        hot = None if fresh else self.hot_cells(body_id, segment, count)
        if hot is not None:
            return hot
        found: list[tuple[Run, memoryview, int]] = []
        for first, run in runs or self.locate(body_id, segment, count):
            if first + run.count <= segment or first >= segment + count:
                continue
            begin, end = max(first, segment), min(first + run.count, segment + count)
            out = np.empty((end - begin) * self._geometry.block_bytes, np.uint8).data
            self.unmask(run, begin - first, end - begin, out, fresh=fresh, wait=wait)
            found.append((run, out, begin))
            if keep:
                self._hot.keep_cells(body_id, begin, run, out, self._geometry.block_bytes)
        return found

    def locate(self, body_id: BodyId, segment: int, count: int) -> list[tuple[int, Run]]:
        """Where these segments lie now, as (first segment, run), ascending.

        Raises:
            BlockUnavailable: A segment has no location.
        """
        return self._index.read(lambda tx: runs_of(tx, body_id, segment, count))

    def forget(self, body_id: BodyId, segment: int, count: int) -> None:
        """Drop cells from memory, and all seeds, one of which may be what is bad: a tag failed."""
        with self._lock:
            self._seeds.clear()
        self._hot.forget(body_id, segment, count)

    def hot_cells(self, body_id: BodyId, segment: int, count: int) -> list[tuple[Run, memoryview, int]] | None:
        """Like :meth:`cells`, from memory only; ``None`` unless all are there."""
        found = self._hot.cells(body_id, segment, count)
        if found is not None:
            self._telemetry.count(Counter.BLOCK_READS, count, HOT)
        return found

    def unmask(
        self, run: Run, skip: int, count: int, out: memoryview, *, fresh: bool = False, wait: bool = True
    ) -> None:
        """Cells ``skip`` to ``skip + count`` of a run into ``out``. ``fresh``: with seeds from the store too."""
        strategy = self._strategy(run.pack_id)
        size = self._geometry.block_bytes
        position = run.position + skip * strategy.stride
        have = {} if fresh else self._seeds_at_hand(run.pack_id, strategy)
        ranges = strategy.needed(position, count, run.seed, have.keys())
        blocks = np.empty(sum(n for _start, n in ranges) * size, np.uint8).data
        place: dict[int, memoryview] = dict(have)
        at = 0
        for start, n in ranges:
            self._read(run.pack_id, start, [blocks[at : at + n * size]], wait=wait)
            for number in range(n):
                place[start + number] = blocks[at + number * size : at + (number + 1) * size]
            at += n * size
        self._telemetry.count(Counter.BLOCK_READS, sum(n for _start, n in ranges), LOCAL)
        strategy.unmask(position, count, run.seed, place.__getitem__, out)
        if not fresh:
            self._pin_seeds(run.pack_id, strategy, place)

    def _strategy(self, pack_id: PackId) -> Strategy:
        return strategy_named(self._geometry.strategy, pack_id=pack_id, prf_key=self._keys.prf)

    def _seeds_at_hand(self, pack_id: PackId, strategy: Strategy) -> dict[int, memoryview]:
        with self._lock:
            return {n: block for n in range(strategy.seeds) if (block := self._seeds.get((pack_id, n))) is not None}

    def _pin_seeds(self, pack_id: PackId, strategy: Strategy, place: dict[int, memoryview]) -> None:
        with self._lock:
            for number in range(strategy.seeds):
                if number in place and (pack_id, number) not in self._seeds:
                    self._seeds[pack_id, number] = memoryview(bytes(place[number]))

    def _read(
        self, pack_id: PackId, position: int, into: Sequence[memoryview], offset: int = 0, *, wait: bool = True
    ) -> None:
        try:
            if wait:
                self._packs.read(pack_id, position, into, offset=offset)
            elif not self._packs.read_at_once(pack_id, position, into, offset=offset):
                raise NotAtHand
        except PackNotFound as exc:
            raise BlockUnavailable(pack_id, position) from exc

    # ------------------------------------------------------------------ slices

    def slice_in(self, tx: Reading, body_id: BodyId, segment: int, table: Table) -> Slice | None:
        """A slice that is in memory, or inline in the index; ``table``: where it would be inline."""
        held = self._hot.slice(body_id, segment)
        if held is not None:
            self._telemetry.count(Counter.BLOCK_READS, 1, HOT)
            return held
        raw = tx.get(table, body_id)
        return None if raw is None else self._kept(body_id, segment, Slice(raw, 0))

    def slice(self, body_id: BodyId, segment: int | None = None, *, wait: bool = True) -> Slice | None:
        """The sealed slice of a body, from wherever it lies now; ``None`` where it has none.

        Reads only the bytes it needs of each of the three blocks.

        Args:
            body_id: The body.
            segment: The slice's segment number: look for it in memory, and keep it there.
            wait: As for :meth:`cells`.

        Raises:
            BlockUnavailable: A block is missing.
            NotAtHand: The store would have to be waited for.
        """
        if segment is not None:
            held = self._hot.slice(body_id, segment)
            if held is not None:
                self._telemetry.count(Counter.BLOCK_READS, 1, HOT)
                return held

        def look(tx: Reading) -> bytes | SlicePlace | None:
            raw = tx.get(Table.INLINE, body_id) or tx.get(Table.TINY, body_id)
            if raw is not None:
                return raw
            row = tx.get(Table.SLICES, body_id)
            return None if row is None else decode(SlicePlace, row)

        found = self._index.read(look)
        if found is None:
            return None
        if isinstance(found, bytes):
            return self._kept(body_id, segment, Slice(found, 0))
        sealed = bytearray(sum(piece.length for piece in found.pieces))
        at = 0
        for piece in found.pieces:
            out = memoryview(sealed)[at : at + piece.length]
            self.piece(piece.pack_id, piece.position, piece.seed, piece.offset, out, wait=wait)
            at += piece.length
        return self._kept(body_id, segment, Slice(bytes(sealed), found.generation))

    def _kept(self, body_id: BodyId, segment: int | None, held: Slice) -> Slice:
        if segment is not None:
            self._hot.keep_slice(body_id, segment, held)
        return held

    def piece(
        self, pack_id: PackId, position: int, seed: int, offset: int, out: memoryview, *, wait: bool = True
    ) -> None:
        """Unmask ``len(out)`` bytes from ``offset`` of the one cell at this position."""
        begin = offset - offset % XOR_BYTES
        end = min(-(-(offset + len(out)) // XOR_BYTES) * XOR_BYTES, self._geometry.block_bytes)
        parts: list[memoryview] = []
        for start, n in self._strategy(pack_id).needed(position, 1, seed):
            for number in range(start, start + n):
                part = memoryview(bytearray(end - begin))
                self._read(pack_id, number, [part], begin, wait=wait)
                parts.append(part)
        self._telemetry.count(Counter.BLOCK_READS, len(parts), LOCAL)
        xor_into(parts[0], *parts)
        out[:] = parts[0][offset - begin : offset - begin + len(out)]


def runs_of(tx: Reading, body_id: BodyId, segment: int, count: int) -> list[tuple[int, Run]]:
    """The runs that cover these segments, as (first segment, run), ascending.

    Raises:
        BlockUnavailable: A segment has no location.
    """
    found = tx.scan(Table.RUNS, run_key(body_id, 0), run_key(body_id, segment + 1), 1, reverse=True)
    found += tx.scan(Table.RUNS, run_key(body_id, segment + 1), run_key(body_id, segment + count), count)
    runs = [(int.from_bytes(key[-8:], "big"), decode(Run, raw)) for key, raw in found]
    expected = segment
    for first, run in runs:
        if first > expected or first + run.count <= expected:
            break
        expected = first + run.count
    if expected < segment + count:
        raise BlockUnavailable(PackId(b"\0" * 16), expected)
    return runs
