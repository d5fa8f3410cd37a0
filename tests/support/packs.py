"""Builds packs as the write path does, from the domain layer alone: for tests that look at packs from outside.

Everything comes from one seeded generator, so a test that fails fails again. Blocks are small (S is free here).
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.masking import Chain, RunPlan, Strategy, strategy_named
from noisefs.core.domain.masking.strategy import BlockAt, Noise
from noisefs.core.domain.masking.xor import xor_into
from noisefs.core.domain.packs.manifest import Entry, Manifest, RunEntry, SharedEntry, open_manifest, seal_manifest
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import SharedCellBuilder, open_directory

RUN_CELLS = 8


class Fault(Enum):
    """Deliberate mistakes, each of which an attack must find."""

    NOT_RESEALED = "cells and slices move as they are"
    GENERATION_REPEATED = "a move seals under the generation the cell had already"
    SAME_RANDOMIZERS = "both randomizers of a tuple are one block"
    EQUAL_SEEDS = "two seeds of a pack are the same bytes"


class SameRandomizers(Chain):
    """A chain that uses the seed twice, and no check that would stop it."""

    def randomizers(self, position: int, seed: int) -> tuple[int, int]:
        return seed, seed

    def mask_run(self, plan: RunPlan, cells: memoryview, out: memoryview, block_at: BlockAt, noise: Noise) -> None:
        seed = block_at(plan.seed)
        for at in range(0, len(out), len(seed)):
            xor_into(out[at : at + len(seed)], cells[at : at + len(seed)], seed, seed)

    def unmask(
        self,
        position: int,
        count: int,
        seed: int,
        block_at: BlockAt,
        out: memoryview,
        together: memoryview | None = None,
    ) -> None:
        Strategy.unmask(self, position, count, seed, block_at, out)


class UncheckedChain(Chain):
    """A chain that does not look whether its randomizers are equal."""

    def mask_run(self, plan: RunPlan, cells: memoryview, out: memoryview, block_at: BlockAt, noise: Noise) -> None:
        previous, seed = block_at(plan.position - 1), block_at(plan.seed)
        for at in range(0, len(out), len(seed)):
            xor_into(out[at : at + len(seed)], cells[at : at + len(seed)], seed, previous)
            previous = out[at : at + len(seed)]


@dataclass
class Body:
    """One object's bytes with their key."""

    body_id: BodyId
    cipher: BodyCipher
    plain: bytes


@dataclass
class Pack:
    """A sealed pack, as a store keeps it; ``owners`` is what only its owner can tell."""

    pack_id: PackId
    strategy: Strategy
    blocks: list[bytes]
    owners: dict[int, BodyId]
    """Body by block position, for cells that hold a segment."""

    def block_at(self, position: int) -> memoryview:
        """A block."""
        return memoryview(self.blocks[position])


@dataclass
class Store:
    """A store that grows pack by pack."""

    seed: int
    strategy: str = "chain"
    segment_bytes: int = 8192
    fault: Fault | None = None
    packs: list[Pack] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.store_id = StoreId(self.rng.randbytes(16))
        self.store_key = self.rng.randbytes(32)
        self.bodies: dict[BodyId, Body] = {}
        self._open: _OpenPack | None = None

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        return self.segment_bytes + 16

    def noise(self, into: memoryview) -> None:
        """Noise."""
        into[:] = self.rng.randbytes(len(into))

    def strategy_of(self, pack_id: PackId) -> Strategy:
        """The strategy of a pack, faults included."""
        if self.fault is Fault.SAME_RANDOMIZERS:
            return SameRandomizers()
        if self.fault is Fault.EQUAL_SEEDS:
            return UncheckedChain()
        return strategy_named(self.strategy, pack_id=pack_id, prf_key=derive(self.store_key, Label.RANDOMIZERS))

    def body(self, plain: bytes) -> Body:
        """A body with a key of its own."""
        body_id = BodyId(self.rng.randbytes(16))
        self.bodies[body_id] = Body(body_id, BodyCipher(self.rng.randbytes(32), self.store_id, body_id), plain)
        return self.bodies[body_id]

    def write(self, bodies: Iterable[Body]) -> None:
        """Write the segments of all bodies at once, interleaved in runs of up to 8, then their slices."""
        bodies = list(bodies)
        waiting = [(body, 0) for body in bodies if len(body.plain) >= self.segment_bytes]
        while waiting:
            at = self.rng.randrange(len(waiting))
            body, segment = waiting[at]
            segments = len(body.plain) // self.segment_bytes
            count = min(RUN_CELLS, segments - segment)
            self._append(body, segment, self._sealed(body, segment, count, 0), 0, 0)
            waiting[at] = body, segment + count
            if segment + count == segments:
                waiting.pop(at)
        self._write_slices([self._slice(body, 0) for body in bodies], 0)

    def manifest(self, pack: Pack) -> Manifest:
        """The manifest, from the pack's last block."""
        cell = bytearray(self.block_bytes)
        pack.strategy.unmask_manifest(len(pack.blocks) - 1, pack.block_at, memoryview(cell))
        return open_manifest(
            bytes(cell),
            store_key=self.store_key,
            store_id=self.store_id,
            pack_id=pack.pack_id,
            blocks=len(pack.blocks),
            segment_bytes=self.segment_bytes,
        )

    def clean(self, pack: Pack, generation: int) -> None:
        """Move all that a pack holds to packs of their own, as the cleaner does (or as a bad one would)."""
        self.finish()
        slices: list[tuple[Body, int, bytes]] = []
        for entry in self.manifest(pack).entries:
            if isinstance(entry, RunEntry):
                cells = self._cells(pack, entry.position, entry.count, entry.seed)
                body = self.bodies[entry.body_id]
                sealed_under, cells = self._moved(body, entry, cells, generation)
                self._append(body, entry.segment, cells, sealed_under, generation)
            elif isinstance(entry, SharedEntry):
                slices += self._moved_slices(
                    pack, entry.position, self._cells(pack, entry.position, 1, entry.seed), generation
                )
        self._write_slices(slices, generation)
        self.finish()

    def finish(self) -> None:
        """Seal the open pack."""
        if self._open is not None and self._open.entries:
            self.packs.append(self._open.seal())
        self._open = None

    def _append(self, body: Body, segment: int, cells: bytes, generation: int, pack_generation: int) -> None:
        size = self.block_bytes
        while cells:
            pack, plan = self._place(len(cells) // size, body, pack_generation)
            pack.mask(plan, cells[: plan.count * size])
            entry = RunEntry(plan.position, plan.count, plan.stride, body.body_id, segment, plan.seed, generation)
            pack.entries.append(entry)
            positions = range(plan.position, plan.position + plan.count * plan.stride, plan.stride)
            pack.owners.update(dict.fromkeys(positions, body.body_id))
            cells, segment = cells[plan.count * size :], segment + plan.count

    def _place(self, wanted: int, body: Body | None, generation: int) -> tuple["_OpenPack", RunPlan]:
        while True:
            self._open = pack = self._open or _OpenPack(self, generation)
            own = frozenset(n for n, seed in enumerate(pack.seeds) if body is not None and seed.body_id == body.body_id)
            plan = pack.strategy.plan(len(pack.blocks), wanted, own)
            if plan is not None:
                return pack, plan
            self.finish()

    def _sealed(self, body: Body, segment: int, count: int, generation: int) -> bytes:
        size = self.segment_bytes
        out = bytearray(count * self.block_bytes)
        plain = memoryview(body.plain)[segment * size : (segment + count) * size]
        final = (segment + count) * size == len(body.plain)
        body.cipher.seal_segments(plain, segment, generation, size, memoryview(out), final=final)
        return bytes(out)

    def _cells(self, pack: Pack, position: int, count: int, seed: int) -> bytes:
        out = bytearray(count * self.block_bytes)
        pack.strategy.unmask(position, count, seed, pack.block_at, memoryview(out))
        return bytes(out)

    def _moved(self, body: Body, entry: RunEntry, cells: bytes, generation: int) -> tuple[int, bytes]:
        if self.fault is Fault.NOT_RESEALED:
            return entry.generation, cells
        size, end = self.segment_bytes, entry.segment + entry.count
        plain = bytearray(entry.count * size)
        final = end * size == len(body.plain)
        body.cipher.open_segments(
            memoryview(cells), entry.segment, entry.generation, size, memoryview(plain), final=final
        )
        assert plain == body.plain[entry.segment * size : end * size]
        if self.fault is Fault.GENERATION_REPEATED:
            generation = entry.generation
        return generation, self._sealed(body, entry.segment, entry.count, generation)

    def _slice(self, body: Body, generation: int) -> tuple[Body, int, bytes]:
        segment = len(body.plain) // self.segment_bytes
        rest = body.plain[segment * self.segment_bytes :]
        return body, generation, body.cipher.seal_slice(rest, segment, generation) if rest else b""

    def _moved_slices(
        self, pack: Pack, position: int, cell: bytes, generation: int
    ) -> Iterator[tuple[Body, int, bytes]]:
        entries = open_directory(
            cell, store_key=self.store_key, store_id=self.store_id, pack_id=pack.pack_id, cell_number=position
        )
        for entry in entries:
            body = self.bodies[entry.body_id]
            sealed = cell[entry.offset : entry.offset + entry.length]
            if self.fault is Fault.NOT_RESEALED:
                yield body, entry.generation, sealed
                continue
            plain = body.cipher.open_slice(sealed, entry.segment, entry.generation)
            assert plain == body.plain[entry.segment * self.segment_bytes :]
            yield self._slice(body, entry.generation if self.fault is Fault.GENERATION_REPEATED else generation)

    def _write_slices(self, slices: Iterable[tuple[Body, int, bytes]], pack_generation: int) -> None:
        builder = SharedCellBuilder(self.block_bytes)
        for body, generation, sealed in slices:
            segment = len(body.plain) // self.segment_bytes
            if not sealed:
                continue
            if len(sealed) > builder.room():  # never split here: a move opens one cell at a time
                self._append_shared(builder, pack_generation)
                builder = SharedCellBuilder(self.block_bytes)
            builder.add(body.body_id, segment, generation, 0, len(sealed), sealed)
        if builder.slices:
            self._append_shared(builder, pack_generation)

    def _append_shared(self, builder: SharedCellBuilder, generation: int) -> None:
        pack, plan = self._place(1, None, generation)
        cell = builder.seal(
            store_key=self.store_key,
            store_id=self.store_id,
            pack_id=pack.pack_id,
            cell_number=plan.position,
            padding=self.noise,
        )
        pack.mask(plan, cell)
        pack.entries.append(SharedEntry(plan.position, plan.seed, generation))


class _OpenPack:
    """A pack that is being written."""

    def __init__(self, store: Store, generation: int) -> None:
        self.store = store
        self.generation = generation
        self.pack_id = PackId(store.rng.randbytes(16))
        self.strategy = store.strategy_of(self.pack_id)
        self.blocks: list[bytes] = []
        self.entries: list[Entry] = []
        self.owners: dict[int, BodyId] = {}
        self.seeds = tuple(self._seed(number) for number in range(self.strategy.seeds))
        if store.fault is Fault.EQUAL_SEEDS:
            self.blocks[3] = self.blocks[0]

    def _seed(self, number: int) -> SeedInfo:
        """A copy of a block of another pack; seed 3, and where there is no pack to copy from: noise."""
        rng = self.store.rng
        sources = [pack for pack in self.store.packs if pack.owners]
        if number == 3 or number >= len(sources):
            self.blocks.append(rng.randbytes(self.store.block_bytes))
            return SeedInfo(None)
        pack = sources[-1 - number]
        position = rng.choice(sorted(pack.owners))
        self.blocks.append(pack.blocks[position])
        return SeedInfo(pack.pack_id, position, pack.owners[position])

    def mask(self, plan: RunPlan, cells: bytes) -> None:
        """Mask and keep the cells of one run."""
        size = self.store.block_bytes
        out = bytearray(size * plan.total_blocks)
        self.strategy.mask_run(plan, memoryview(cells), memoryview(out), self._block, self.store.noise)
        self.blocks += [bytes(out[at : at + size]) for at in range(0, len(out), size)]

    def seal(self) -> Pack:
        """Write the manifest."""
        store = self.store
        manifest = Manifest(
            self.pack_id, self.strategy.name, self.generation, self.seeds, len(self.blocks) + 1, tuple(self.entries)
        )
        cell = seal_manifest(
            manifest,
            store_key=store.store_key,
            store_id=store.store_id,
            segment_bytes=store.segment_bytes,
            salt=store.rng.randbytes(24),
            padding=store.noise,
        )
        out = bytearray(store.block_bytes)
        self.strategy.mask_manifest(len(self.blocks), memoryview(cell), memoryview(out), self._block)
        return Pack(self.pack_id, self.strategy, [*self.blocks, bytes(out)], self.owners)

    def _block(self, position: int) -> memoryview:
        return memoryview(self.blocks[position])
