"""A pack that is being filled: what lies where in it, and how cells and the manifest get into it.

The methods that touch the pack run on the writer's lane, one at a time; the lists belong to the event loop.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import RunPlan, Strategy
from noisefs.core.domain.packs.manifest import Entry, FillerEntry, Manifest, RunEntry, SharedEntry, seal_manifest
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.packs import OpenPack
from noisefs.core.services.packs.seeds import Source
from noisefs.core.services.packs.staging import Staging

RUN_CELLS: Final = 8
"""Interleaving: cells one body gets before another one's turn (DESIGN.md section 3)."""

MANIFEST_SALT_BYTES: Final = 24

MakeCells = Callable[[int, int, int], memoryview]
"""Gets the pack's generation, the first segment and how many; gives their cells. Called on the writer's lane."""

MakeSharedCell = Callable[[PackId, int], bytes]
"""Gets pack id and cell position; gives the cell's bytes. Called on the writer's lane."""


@dataclass(frozen=True, slots=True)
class SharedCell:
    """Where a cell of slices went."""

    pack_id: PackId
    position: int
    seed: int


@dataclass(slots=True, eq=False)
class Stretch:
    """Cells in the open pack: of a body (``staging``), or one shared by slices (``None``)."""

    position: int
    count: int
    stride: int
    segment: int
    seed: int
    staging: Staging | None


@dataclass(slots=True, eq=False)
class Filling:
    """A pack that is being filled.

    Attributes:
        seeds: What opened it.
        groups: Per seed the body or upload whose bytes it holds; empty where it is neutral.
        synced: Blocks known to be durable.
        sealed: Its manifest is durable and its file closed; the row may still say otherwise.
        poisoned: A write or sync failed: nothing more goes in, and whoever waits for it fails.
        turned: Nothing more goes in: it is sealed before the next cell.
        cells: Cells appended.
    """

    pack: OpenPack
    pack_id: PackId
    strategy: Strategy
    seeds: tuple[SeedInfo, ...]
    groups: tuple[bytes, ...]
    created_us: int
    generation: int
    stretches: list[Stretch] = field(default_factory=list)
    synced: int = 0
    sealed: bool = False
    poisoned: bool = False
    turned: bool = False
    cells: int = 0

    # ------------------------------------------------------------------ on the writer's lane

    def mask(
        self, make: MakeCells, segment: int, count: int, own: frozenset[int], entropy: Entropy
    ) -> tuple[list[RunPlan], BaseException | None]:
        """Mask as many cells as the pack takes, in runs of at most ``RUN_CELLS``.

        Returns:
            Where they went, and what stopped it, if something did: what went before is in the pack all the same.
        """
        done = 0
        plans: list[RunPlan] = []
        try:
            while done < count:
                plan = self.strategy.plan(self.pack.blocks, min(RUN_CELLS, count - done), own)
                if plan is None:
                    break
                self._mask_run(plan, make(self.generation, segment + done, plan.count), entropy)
                plans.append(plan)
                done += plan.count
        except Exception as exc:  # noqa: BLE001 - handed on, beside what was done before it
            return plans, exc
        return plans, None

    def mask_shared(self, make: MakeSharedCell, entropy: Entropy) -> RunPlan | None:
        """Mask one cell that slices share; ``None`` where the pack is full."""
        plan = self.strategy.plan(self.pack.blocks, 1)
        if plan is not None:
            self._mask_run(plan, memoryview(make(self.pack_id, plan.position)), entropy)
        return plan

    def _mask_run(self, plan: RunPlan, cells: memoryview, entropy: Entropy) -> None:
        out = self.pack.reserve(plan.total_blocks)
        self.strategy.mask_run(plan, cells, out, self.pack.block, entropy.noise)
        self.pack.advance(plan.total_blocks)
        self.cells += plan.count

    def sync(self) -> int:
        """Make what was appended durable; returns how many blocks are."""
        return self.synced if self.sealed or self.poisoned else self.pack.sync()

    def write_manifest(self, keys: StoreKeys, geometry: Geometry, entropy: Entropy) -> None:
        """The manifest is the last block; then the pack is closed."""
        manifest = Manifest(
            pack_id=self.pack_id,
            strategy=geometry.strategy,
            generation=self.generation,
            seeds=self.seeds,
            blocks=self.pack.blocks + 1,
            entries=self.entries(),
        )
        append_manifest(self.pack, self.strategy, manifest, keys, geometry, entropy)
        self.pack.seal()
        self.sealed = True

    # ------------------------------------------------------------------ what is in it

    def own_seeds(self, staging: Staging) -> frozenset[int]:
        """Seeds that hold bytes of this body or of its upload."""
        return frozenset(
            number
            for number, (seed, group) in enumerate(zip(self.seeds, self.groups, strict=True))
            if group and (group == staging.group or seed.body_id == staging.body_id)
        )

    def entries(self) -> tuple[Entry, ...]:
        """What the manifest tells: cells of a body that was given up are filler."""
        entries: list[Entry] = []
        for s in self.stretches:
            if s.staging is None:
                entries.append(SharedEntry(s.position, s.seed, self.generation))
            elif s.staging.discarded and not s.staging.enlisted:
                entries.extend(FillerEntry(s.position + i * s.stride, 1) for i in range(s.count))
            else:
                entries.append(
                    RunEntry(s.position, s.count, s.stride, s.staging.body_id, s.segment, s.seed, self.generation)
                )
        return tuple(entries)

    def sources(self) -> tuple[Source, ...]:
        """Blocks that may open other packs: one of each stretch."""
        return tuple(
            Source(s.position, s.staging.body_id if s.staging else None, s.staging.group if s.staging else b"shared")
            for s in self.stretches
        )


def append_manifest(
    pack: OpenPack, strategy: Strategy, manifest: Manifest, keys: StoreKeys, geometry: Geometry, entropy: Entropy
) -> None:
    """Seal and mask the manifest and append it as the pack's last block."""
    cell = seal_manifest(
        manifest,
        store_key=keys.store_key,
        store_id=keys.store_id,
        segment_bytes=geometry.segment_bytes,
        salt=entropy.secret(MANIFEST_SALT_BYTES),
        padding=entropy.noise,
    )
    strategy.mask_manifest(pack.blocks, memoryview(cell), pack.reserve(1), pack.block)
    pack.advance(1)
