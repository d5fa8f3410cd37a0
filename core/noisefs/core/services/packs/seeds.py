"""Seeds: the blocks of other packs, and the fresh noise, that open a pack.

A seed is a copy of a block of another body, so that deleting or holding an object's own blocks alone explains nothing.
Up to three come from as many different packs as exist; the last one is always neutral (the manifest of the pack this
process sealed before, or noise). Never copied: a seed position, a victim of the cleaner. Cost: one block read each,
in the background before the pack is needed.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import SeedInfo
from noisefs.core.errors import IntegrityError, Unavailable
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.packs import PackRead, PackStore, Reach

REMEMBERED_PACKS: Final = 64
"""Packs whose contents are kept in mind as sources: a few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A block to open a pack with. ``group``: the body or upload whose bytes are in it; empty where neutral."""

    block: bytes
    info: SeedInfo
    group: bytes = b""


@dataclass(frozen=True, slots=True)
class Source:
    """A block worth copying: its position, the body in it (``None``: a shared cell), and that body's group."""

    position: int
    body_id: BodyId | None
    group: bytes


@dataclass(slots=True)
class SeedPool:
    """Remembers sealed packs and picks seeds from them. Belongs to the event loop, but ``choose`` runs on a lane."""

    packs: PackStore
    entropy: Entropy
    geometry: Geometry
    _sources: OrderedDict[PackId, tuple[Source, ...]] = field(default_factory=OrderedDict)
    _manifest: tuple[PackId, int] | None = None

    def remember(self, pack_id: PackId, sources: tuple[Source, ...], manifest_position: int | None) -> None:
        """Take a sealed pack as a source; ``manifest_position`` only where this process sealed it."""
        if sources:
            self._sources[pack_id] = sources
            while len(self._sources) > REMEMBERED_PACKS:
                self._sources.popitem(last=False)
        if manifest_position is not None:
            self._manifest = (pack_id, manifest_position)

    def forget(self, pack_id: PackId, seeds: Sequence[SeedInfo] = ()) -> None:
        """The pack is a victim or gone: never copy from it, nor again a block that one of its ``seeds`` is a copy of.

        Else a pack that takes in what lived there could be told by a block that both have.
        """
        self._sources.pop(pack_id, None)
        copied = {(seed.source_pack, seed.source_position) for seed in seeds}
        for source_pack in {source_pack for source_pack, _position in copied if source_pack in self._sources}:
            assert source_pack is not None
            left = tuple(s for s in self._sources[source_pack] if (source_pack, s.position) not in copied)
            if left:
                self._sources[source_pack] = left
            else:
                del self._sources[source_pack]
        if self._manifest is not None and (self._manifest[0] == pack_id or self._manifest in copied):
            self._manifest = None

    def candidates(self) -> Callable[[int], list[Seed]]:
        """A function that picks that many seeds, the last one neutral, to be called on a lane: it reads blocks."""
        sources = list(self._sources.items())
        manifest = self._manifest
        # A seeded generator: which blocks are copied need not be secret, only spread.
        pick = random.Random(self.entropy.secret(16))  # noqa: S311

        def choose(wanted: int) -> list[Seed]:
            seeds: list[Seed] = []
            pick.shuffle(sources)
            for pack_id, found in sources:
                if len(seeds) >= wanted - 1:
                    break
                source = pick.choice(found)
                block = self._read(pack_id, source.position)
                if block is not None and all(block != seed.block for seed in seeds):
                    info = SeedInfo(pack_id, source.position, source.body_id)
                    seeds.append(Seed(block, info, source.group))
            while len(seeds) < wanted - 1:
                seeds.append(self._noise())
            if wanted > 0:
                block = self._read(*manifest) if manifest is not None else None
                if manifest is not None and block is not None and all(block != seed.block for seed in seeds):
                    seeds.append(Seed(block, SeedInfo(manifest[0], manifest[1])))
                else:
                    seeds.append(self._noise())
            return seeds

        return choose

    def _read(self, pack_id: PackId, position: int) -> bytes | None:
        block = bytearray(self.geometry.block_bytes)
        try:
            # No pack waits for a node: where the source is not on the disk any more, another one or noise will do.
            self.packs.read_all([PackRead(pack_id, position, [memoryview(block)])], reach=Reach.DISK)
        except (Unavailable, IntegrityError):
            return None
        return bytes(block)

    def _noise(self) -> Seed:
        block = bytearray(self.geometry.block_bytes)
        self.entropy.noise(memoryview(block))
        return Seed(bytes(block), SeedInfo(None))


def share_blocks(pack_id: PackId, seeds: Sequence[SeedInfo], others: Sequence[SeedInfo]) -> bool:
    """Whether a pack with ``seeds`` has a block that ``others``, the seeds of another pack, are copies of too."""
    copied = {(seed.source_pack, seed.source_position) for seed in seeds if seed.source_pack is not None}
    return any(other.source_pack == pack_id or (other.source_pack, other.source_position) in copied for other in others)
