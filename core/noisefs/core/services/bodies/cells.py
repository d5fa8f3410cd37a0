"""From a location to a cell: blocks fetched, each once, and unmasked. Runs on worker lanes.

Promise: at most three blocks are read for one random cell (two with its seed at hand), about one per cell in a long
read. Bytes given out here are ciphertext: whoever opens them verifies the tag.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from noisefs.core.domain.caching.asker import STORE, Asker
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.masking.xor import xor_into
from noisefs.core.domain.records import Run, SlicePiece, SlicePlace, decode
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import BlockUnavailable
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import PackRead, PackStore, Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.bodies.blocks import Blocks
from noisefs.core.services.bodies.hot import HotTier, Slice
from noisefs.core.services.bodies.seeds import Seeds
from noisefs.core.services.bodies.tiered import NOWHERE, Found, TieredCells
from noisefs.core.services.caching.entry import PolicyOf, Why
from noisefs.core.services.caching.tiers import Tiers

XOR_BYTES: Final = 8
"""XOR works on 64-bit words; every block size is a multiple of them."""

HOT: Final = ("hot",)


@dataclass(slots=True)
class _Stretch:
    """Cells of one run that are wanted, and the blocks that this takes: at hand, or on their way into ``reads``."""

    run: Run
    strategy: Strategy
    position: int
    count: int
    out: memoryview
    place: dict[int, memoryview]
    reads: list[PackRead]
    blocks: int
    together: memoryview | None
    """The blocks from the one before the first cell to the last cell's, where they are read in one piece."""


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
        policy_of: PolicyOf = S3Fifo,
        tiers: Tiers | None = None,
    ) -> None:
        """``hot_bytes``: cells kept in memory; ``policy_of``: who decides which; ``tiers``: what lies between them and
        nodes.
        """
        self._index = index
        self._packs = packs
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self.hot = HotTier(hot_bytes, policy_of)
        self.tiers = tiers
        self._tiered: TieredCells | None = None
        if tiers is not None:
            self.hot.demoted = tiers.demoted
            self._tiered = TieredCells(self.hot, tiers, self.from_packs, telemetry, geometry.block_bytes)
        self.seeds = Seeds(hot_bytes)
        self._seeds_a_pack = self._strategy(NOWHERE).seeds
        self.blocks = Blocks(
            packs=packs,
            telemetry=telemetry,
            seeds=self.seeds,
            seeds_a_pack=self._seeds_a_pack,
            block_bytes=geometry.block_bytes,
            shared=tiers is not None,
        )

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
        reach: Reach = Reach.NETWORK,
        why: Why = Why.READ,
        asker: Asker = STORE,
    ) -> Found:
        """Cells of ``count`` segments from ``segment`` on, as (run, contiguous cells, first segment), in order.

        ``run.generation`` is what they are sealed under. ``keep``: the caller reads at random, so keep the cells.
        ``fresh``: read from the store even what is in memory. ``runs``: their locations, from a caller who found that
        they are not in memory.
        ``reach``: how far to go for them; with ``AT_ONCE`` this may be called on the event loop. ``asker``: for whom.

        Raises:
            BlockUnavailable: A block, or the location of a segment, is missing.
            NotAtHand: ``reach`` is ``AT_ONCE``, and the store would have to be waited for.
        """
        hot = None if fresh or runs or why is not Why.READ else self.hot_cells(body_id, segment, count, asker)
        if hot is not None:
            return hot
        spans = [(segment, count)]
        if self._tiered is None or fresh or reach in (Reach.AT_ONCE, Reach.VERIFIED):
            return self.from_packs(body_id, spans, keep=keep, fresh=fresh, runs=runs, reach=reach, why=why, asker=asker)
        return self._tiered.cells(body_id, segment, count, keep=keep, runs=runs, reach=reach, why=why, asker=asker)

    def from_packs(
        self,
        body_id: BodyId,
        spans: Iterable[tuple[int, int]],
        *,
        keep: bool,
        runs: Sequence[tuple[int, Run]],
        reach: Reach,
        why: Why,
        asker: Asker,
        fresh: bool = False,
    ) -> Found:
        """Like :meth:`cells`, of several spans (first segment, count) at once, without looking into any tier."""
        found: Found = []
        stretches: list[_Stretch] = []
        for segment, count in spans:
            placed = runs or self.locate(body_id, segment, count)
            for at in range(bisect_right(placed, segment, key=_first_of) - 1, len(placed)):
                first, run = placed[at]
                if first >= segment + count:
                    break
                begin, end = max(first, segment), min(first + run.count, segment + count)
                out = np.empty((end - begin) * self._geometry.block_bytes, np.uint8).data
                stretches.append(self._stretch(run, begin - first, end - begin, out, fresh=fresh))
                found.append((run, out, begin))
        away = self._unmask(stretches, reach, fresh=fresh, why=why)
        if self._tiered is not None and not fresh:
            self._tiered.keep(body_id, found, away, keep=keep, why=why, asker=asker)
        elif keep:
            for run, out, begin in found:
                self.hot.keep_cells(body_id, begin, run, out, self._geometry.block_bytes, asker=asker)
        return found

    def locate(self, body_id: BodyId, segment: int, count: int) -> list[tuple[int, Run]]:
        """Where these segments lie now, as (first segment, run), ascending.

        Raises:
            BlockUnavailable: A segment has no location.
        """
        return self._index.read(lambda tx: runs_of(tx, body_id, segment, count))

    def forget(self, body_id: BodyId, segment: int, count: int) -> None:
        """Drop cells from memory, and all seeds, one of which may be what is bad: a tag failed."""
        self.seeds.clear()
        self.hot.forget(body_id, segment, count)
        if self.tiers is not None:
            self.tiers.drop(body_id, segment, count)

    def hot_cells(
        self, body_id: BodyId, segment: int, count: int, asker: Asker = STORE
    ) -> list[tuple[Run, memoryview, int]] | None:
        """Like :meth:`cells`, from memory only; ``None`` unless all are there."""
        found = self.hot.cells(body_id, segment, count, asker)
        if found is not None:
            self._telemetry.count(Counter.BLOCK_READS, count, HOT)
        return found

    @property
    def reaches_network(self) -> bool:
        """Whether blocks that are not on the disk may be on nodes."""
        return self._packs.reaches_network

    def unmask(
        self,
        run: Run,
        skip: int,
        count: int,
        out: memoryview,
        *,
        fresh: bool = False,
        reach: Reach = Reach.NETWORK,
    ) -> None:
        """Cells ``skip`` to ``skip + count`` of a run into ``out``. ``fresh``: with seeds from the store too."""
        self._unmask([self._stretch(run, skip, count, out, fresh=fresh)], reach, fresh=fresh)

    def _stretch(self, run: Run, skip: int, count: int, out: memoryview, *, fresh: bool) -> _Stretch:
        strategy = self._strategy(run.pack_id)
        size = self._geometry.block_bytes
        position = run.position + skip * strategy.stride
        place = {} if fresh else self.seeds.of(run.pack_id)
        ranges = strategy.needed(position, count, run.seed, place.keys())
        total = sum(n for _start, n in ranges)
        blocks = np.empty(total * size, np.uint8).data
        reads: list[PackRead] = []
        together: memoryview | None = None
        at = 0
        for start, n in ranges:
            part = blocks[at : at + n * size]
            at += n * size
            reads.append(PackRead(run.pack_id, start, [part]))
            alone = n
            if start < position and position + count <= start + n:
                together = part[(position - 1 - start) * size :][: (count + 1) * size]
                if strategy.reads_together:  # nobody asks for others than seeds one by one
                    alone = max(0, strategy.seeds - start)
            for number in range(alone):
                place[start + number] = part[number * size : (number + 1) * size]
        return _Stretch(run, strategy, position, count, out, place, reads, total, together)

    def _unmask(
        self, stretches: list[_Stretch], reach: Reach, *, fresh: bool, why: Why = Why.READ
    ) -> Collection[PackId]:
        """All blocks of all stretches in one go, then their cells; returns packs of which nodes gave blocks."""
        reads = [read for stretch in stretches for read in stretch.reads]
        places = self.blocks.read(reads, sum(s.blocks for s in stretches), reach, fresh=fresh)
        if places:
            own = {(s.run.pack_id, s.position + k * s.strategy.stride) for s in stretches for k in range(s.count)}
            self.blocks.count_network(places, own, why)
        for s in stretches:
            s.strategy.unmask(s.position, s.count, s.run.seed, s.place.__getitem__, s.out, s.together)
            if not fresh and s.strategy.seeds:
                self.seeds.keep(s.run.pack_id, s.strategy.seeds, s.place)
        return {pack_id for pack_id, _ in places} if places else ()

    def _strategy(self, pack_id: PackId) -> Strategy:
        return strategy_named(self._geometry.strategy, pack_id=pack_id, prf_key=self._keys.prf)

    # ------------------------------------------------------------------ slices

    def hot_slice(self, body_id: BodyId, segment: int, asker: Asker = STORE) -> Slice | None:
        """A slice that is in memory."""
        held = self.hot.slice(body_id, segment, asker)
        if held is not None:
            self._telemetry.count(Counter.BLOCK_READS, 1, HOT)
        return held

    def slice_in(self, tx: Reading, body_id: BodyId, segment: int, table: Table, asker: Asker = STORE) -> Slice | None:
        """A slice that is in memory, or inline in the index; ``table``: where it would be inline."""
        # A longer body's is held in case it is asked for: that is no read, and :meth:`slice_used` tells of one.
        held = self.hot.peek_slice(body_id, segment) if segment else self.hot_slice(body_id, segment, asker)
        if held is not None:
            return held
        raw = tx.get(table, body_id)
        if raw is None or segment:
            return None if raw is None else Slice(raw, 0)
        return self._kept(body_id, segment, Slice(raw, 0), Why.READ, asker)

    def slice_used(self, body_id: BodyId, segment: int, held: Slice, asker: Asker) -> None:
        """A slice that :meth:`slice_in` gave is read; of one that is a whole body, it has told already."""
        if segment:
            self.hot.keep_slice(body_id, segment, held, asker=asker)

    def slice(
        self,
        body_id: BodyId,
        segment: int | None = None,
        *,
        reach: Reach = Reach.NETWORK,
        why: Why = Why.READ,
        asker: Asker = STORE,
    ) -> Slice | None:
        """The sealed slice of a body, from wherever it lies now; ``None`` where it has none.

        Reads only the bytes it needs of each of the three blocks.

        Args:
            body_id: The body.
            segment: The slice's segment number: look for it in memory, and keep it there.
            reach: As for :meth:`cells`.

        Raises:
            BlockUnavailable: A block is missing.
            NotAtHand: As :meth:`cells`.
        """
        if segment is not None:
            held = self.hot_slice(body_id, segment, asker)
            if held is not None:
                return held
            if self._tiered is not None and reach not in (Reach.AT_ONCE, Reach.VERIFIED):
                fetch = partial(self._packed_slice, body_id, segment, reach, why, asker)
                return self._tiered.slice(body_id, segment, reach, why, asker, fetch)
        return self._packed_slice(body_id, segment, reach, why, asker)

    def _packed_slice(self, body_id: BodyId, segment: int | None, reach: Reach, why: Why, asker: Asker) -> Slice | None:
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
            return self._kept(body_id, segment, Slice(found, 0), why, asker)
        sealed = bytearray(sum(piece.length for piece in found.pieces))
        wanted: list[tuple[SlicePiece, memoryview]] = []
        at = 0
        for piece in found.pieces:
            wanted.append((piece, memoryview(sealed)[at : at + piece.length]))
            at += piece.length
        cold = self._pieces(wanted, reach, why, fresh=segment is None)
        return self._kept(body_id, segment, Slice(bytes(sealed), found.generation, cold), why, asker)

    def _kept(self, body_id: BodyId, segment: int | None, held: Slice, why: Why, asker: Asker) -> Slice:
        if segment is None:
            return held
        if self._tiered is None:
            self.hot.keep_slice(body_id, segment, held, asker=asker)
        else:
            self._tiered.fetched_slice(body_id, segment, held, why, asker)
        return held

    def piece(
        self,
        pack_id: PackId,
        position: int,
        seed: int,
        offset: int,
        out: memoryview,
        *,
        reach: Reach = Reach.NETWORK,
    ) -> None:
        """Unmask ``len(out)`` bytes from ``offset`` of the one cell at this position."""
        self._pieces([(SlicePiece(pack_id, position, seed, offset, len(out)), out)], reach, fresh=True)

    def _pieces(
        self, wanted: list[tuple[SlicePiece, memoryview]], reach: Reach, why: Why = Why.READ, *, fresh: bool
    ) -> bool:
        """Fill each buffer; tells whether a node gave blocks for it. ``fresh``: with seeds from the store too."""
        reads: list[PackRead] = []
        masked: list[list[memoryview]] = []
        fetched: dict[PackId, dict[int, memoryview]] = {}
        for piece, out in wanted:
            begin, end = self._words(piece.offset, len(out))
            kept = {} if fresh else self.seeds.of(piece.pack_id)
            parts: list[memoryview] = []
            for start, n in self._strategy(piece.pack_id).needed(piece.position, 1, piece.seed):
                for number in range(start, start + n):
                    if number in kept:
                        parts.append(kept[number][begin:end])
                    elif number < self._seeds_a_pack and reach is Reach.NETWORK and not fresh:
                        # A node gives whole blocks, and the next slice of this pack will want this one.
                        seed = memoryview(bytearray(self._geometry.block_bytes))
                        reads.append(PackRead(piece.pack_id, number, [seed]))
                        fetched.setdefault(piece.pack_id, {})[number] = seed
                        parts.append(seed[begin:end])
                    else:
                        parts.append(memoryview(bytearray(end - begin)))
                        reads.append(PackRead(piece.pack_id, number, [parts[-1]], begin))
            masked.append(parts)
        places = self.blocks.read(reads, len(reads), reach, fresh=fresh)
        if places:
            self.blocks.count_network(places, {(piece.pack_id, piece.position) for piece, _ in wanted}, why)
        for pack_id, blocks in fetched.items():
            self.seeds.keep(pack_id, self._seeds_a_pack, blocks)
        for (piece, out), parts in zip(wanted, masked, strict=True):
            begin, end = self._words(piece.offset, len(out))
            plain = memoryview(bytearray(end - begin))
            xor_into(plain, *parts)
            out[:] = plain[piece.offset - begin : piece.offset - begin + len(out)]
        return bool(places)

    def _words(self, offset: int, length: int) -> tuple[int, int]:
        """The whole 64-bit words that these bytes of a cell lie in."""
        end = min(-(-(offset + length) // XOR_BYTES) * XOR_BYTES, self._geometry.block_bytes)
        return offset - offset % XOR_BYTES, end


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


def _first_of(placed: tuple[int, Run]) -> int:
    """A run's first segment."""
    return placed[0]
