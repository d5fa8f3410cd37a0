"""Somebody who keeps every pack that was ever sealed, dropped ones included, and can open them: the keys are known.

What he finds is what the laws of masking and sealing are about: which cell lies where, masked with what, sealed under
which nonce.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.masking.xor import xor_into
from noisefs.core.domain.packs.manifest import Manifest, RunEntry, SharedEntry, open_manifest
from noisefs.core.domain.sealing.shared_cell import open_directory
from noisefs.core.domain.sealing.store_keys import StoreKeys


class HoardingPacks(MemoryPackStore):
    """Packs in memory; what is dropped is kept aside."""

    def __init__(self, block_bytes: int) -> None:
        """Nothing was dropped yet."""
        super().__init__(block_bytes)
        self.dropped: dict[PackId, list[bytes]] = {}

    def drop(self, pack_id: PackId) -> None:
        """Remove a pack, and keep its blocks if it was sealed."""
        pack = self._packs.get(pack_id)
        if pack is not None and pack.sealed:
            self.dropped[pack_id] = pack.blocks
        super().drop(pack_id)

    def every(self) -> dict[PackId, list[bytes]]:
        """The blocks of each pack that was ever sealed."""
        return self.dropped | {pack_id: pack.blocks for pack_id, pack in self._packs.items() if pack.sealed}


@dataclass(frozen=True)
class OpenedPack:
    """A sealed pack, with what only the store's keys tell about it."""

    pack_id: PackId
    blocks: list[bytes]
    strategy: Strategy
    manifest: Manifest

    def cell(self, position: int, seed: int) -> bytes:
        """The cell at a position, from blocks of this pack alone."""
        one, two = self.strategy.randomizers(position, seed)
        return _xor(self.blocks[position], self.blocks[one], self.blocks[two])

    def runs(self) -> Iterator[tuple[BodyId, int, int, bytes]]:
        """Each cell of a run as body, segment, generation and bytes."""
        for entry in self.manifest.entries:
            if isinstance(entry, RunEntry):
                for number in range(entry.count):
                    cell = self.cell(entry.position + number * entry.stride, entry.seed)
                    yield entry.body_id, entry.segment + number, entry.generation, cell

    def slices(self, keys: StoreKeys) -> Iterator[tuple[BodyId, int, int, int, bytes]]:
        """Each piece of a slice as body, segment, generation, offset in the sealed slice, and bytes."""
        for entry in self.manifest.entries:
            if isinstance(entry, SharedEntry):
                cell = self.cell(entry.position, entry.seed)
                for piece in open_directory(
                    cell,
                    store_key=keys.store_key,
                    store_id=keys.store_id,
                    pack_id=self.pack_id,
                    cell_number=entry.position,
                ):
                    data = cell[piece.offset : piece.offset + piece.length]
                    yield piece.body_id, piece.segment, piece.generation, piece.piece_offset, data

    def pairs(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Each position that the manifest accounts for, its own included, with its randomizers' positions."""
        for entry in self.manifest.entries:
            if isinstance(entry, RunEntry):
                for number in range(entry.count):
                    position = entry.position + number * entry.stride
                    yield position, self.strategy.randomizers(position, entry.seed)
            elif isinstance(entry, SharedEntry):
                yield entry.position, self.strategy.randomizers(entry.position, entry.seed)
        last = len(self.blocks) - 1
        yield last, self.strategy.manifest_randomizers(last)


def opened(pack_id: PackId, blocks: list[bytes], keys: StoreKeys, geometry: Geometry) -> OpenedPack:
    """Open a sealed pack's manifest, from its blocks alone."""
    strategy = strategy_named(geometry.strategy, pack_id=pack_id, prf_key=keys.prf)
    one, two = strategy.manifest_randomizers(len(blocks) - 1)
    manifest = open_manifest(
        _xor(blocks[-1], blocks[one], blocks[two]),
        store_key=keys.store_key,
        store_id=keys.store_id,
        pack_id=pack_id,
        blocks=len(blocks),
        segment_bytes=geometry.segment_bytes,
    )
    return OpenedPack(pack_id, blocks, strategy, manifest)


def _xor(*blocks: bytes) -> bytes:
    out = memoryview(bytearray(len(blocks[0])))
    xor_into(out, *(memoryview(block) for block in blocks))
    return bytes(out)
