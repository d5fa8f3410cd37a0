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

SEEDS_KEPT: Final = 64
"""Seed blocks pinned apart from the hot tier: 8 MiB at the default S."""

XOR_BYTES: Final = 8
"""XOR works on 64-bit words; every block size is a multiple of them."""

LOCAL: Final = ("local",)
HOT: Final = ("hot",)


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
        self._lock = threading.Lock()
        # Any: cachetools is not typed here; key (body, segment, generation), value the cell.
        self._hot: LRUCache[Any, Any] = LRUCache(max(1, hot_bytes), getsizeof=len)
        self._hot_bytes = hot_bytes if hot_bytes >= geometry.block_bytes else 0
        self._seeds: LRUCache[Any, Any] = LRUCache(SEEDS_KEPT)  # Any: as above

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
    ) -> list[tuple[Run, memoryview, int]]:
        """Cells of ``count`` segments from ``segment`` on, as (run, contiguous cells, first segment), in order.

        ``run.generation`` is what they are sealed under. ``keep``: the caller reads at random, so keep the cells.
        ``fresh``: read from the store even what is in memory. ``runs``: their locations, where the caller knows them.

        Raises:
            BlockUnavailable: A block, or the location of a segment, is missing.
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
            self.unmask(run, begin - first, end - begin, out, fresh=fresh)
            found.append((run, out, begin))
            if keep and self._hot_bytes:
                self._keep(body_id, begin, run, out)
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
            for number in range(segment, segment + count):
                self._hot.pop((body_id, number), None)

    def hot_cells(self, body_id: BodyId, segment: int, count: int) -> list[tuple[Run, memoryview, int]] | None:
        """Like :meth:`cells`, from memory only; ``None`` unless all are there."""
        found: list[tuple[Run, memoryview, int]] = []
        with self._lock:
            for number in range(segment, segment + count):
                entry = self._hot.get((body_id, number))
                if entry is None:
                    return None
                found.append((entry.run, entry.cell, number))
        self._telemetry.count(Counter.BLOCK_READS, count, HOT)
        return found

    def _keep(self, body_id: BodyId, first: int, run: Run, cells: memoryview) -> None:
        size = self._geometry.block_bytes
        with self._lock:
            for number in range(len(cells) // size):
                # A copy: a view of one cell would keep the whole window in memory, and nobody would count it.
                entry = _Hot(run, memoryview(bytes(cells[number * size : (number + 1) * size])))
                self._hot[body_id, first + number] = entry

    def unmask(self, run: Run, skip: int, count: int, out: memoryview, *, fresh: bool = False) -> None:
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
            self._read(run.pack_id, start, [blocks[at : at + n * size]])
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

    def _read(self, pack_id: PackId, position: int, into: Sequence[memoryview], offset: int = 0) -> None:
        try:
            self._packs.read(pack_id, position, into, offset=offset)
        except PackNotFound as exc:
            raise BlockUnavailable(pack_id, position) from exc

    # ------------------------------------------------------------------ slices

    def hot_slice(self, body_id: BodyId, segment: int) -> tuple[bytes, int] | None:
        """Like :meth:`slice`, from memory only."""
        with self._lock:
            entry = self._hot.get((body_id, segment))
        if entry is None:
            return None
        self._telemetry.count(Counter.BLOCK_READS, 1, HOT)
        return entry.sealed, entry.generation

    def slice(self, body_id: BodyId, keep_as: int | None = None) -> tuple[bytes, int] | None:
        """The sealed slice of a body and its generation, from wherever it lies now; ``None`` where it has none.

        Reads only the bytes it needs of each of the three blocks.

        Args:
            body_id: The body.
            keep_as: Its segment number: keep it in memory, if it came from a pack.
        """

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
            return found, 0
        sealed = bytearray(sum(piece.length for piece in found.pieces))
        at = 0
        for piece in found.pieces:
            out = memoryview(sealed)[at : at + piece.length]
            self.piece(piece.pack_id, piece.position, piece.seed, piece.offset, out)
            at += piece.length
        if keep_as is not None and self._hot_bytes:
            with self._lock:
                self._hot[body_id, keep_as] = _HotSlice(bytes(sealed), found.generation)
        return bytes(sealed), found.generation

    def piece(self, pack_id: PackId, position: int, seed: int, offset: int, out: memoryview) -> None:
        """Unmask ``len(out)`` bytes from ``offset`` of the one cell at this position."""
        begin = offset - offset % XOR_BYTES
        end = min(-(-(offset + len(out)) // XOR_BYTES) * XOR_BYTES, self._geometry.block_bytes)
        parts: list[memoryview] = []
        for start, n in self._strategy(pack_id).needed(position, 1, seed):
            for number in range(start, start + n):
                part = memoryview(bytearray(end - begin))
                self._read(pack_id, number, [part], begin)
                parts.append(part)
        self._telemetry.count(Counter.BLOCK_READS, len(parts), LOCAL)
        xor_into(parts[0], *parts)
        out[:] = parts[0][offset - begin : offset - begin + len(out)]


class _Hot:
    """One cell in memory and the run it came from. ``len`` is what it weighs."""

    __slots__ = ("cell", "run")

    def __init__(self, run: Run, cell: memoryview) -> None:
        self.run = run
        self.cell = cell

    def __len__(self) -> int:
        return len(self.cell)


class _HotSlice:
    """A sealed slice in memory. ``len`` is what it weighs."""

    __slots__ = ("generation", "sealed")

    def __init__(self, sealed: bytes, generation: int) -> None:
        self.sealed = sealed
        self.generation = generation

    def __len__(self) -> int:
        return len(self.sealed)


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
