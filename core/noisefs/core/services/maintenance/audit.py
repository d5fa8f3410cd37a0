"""Audits: what the store promises, counted on the store itself; packs that are on nodes only belong to it.

``space``: stored against live bytes. ``tuples``: whether every run leans on somebody else's block and every data block
serves at least two tuples, and what reading costs. ``orphans``: packs without rows and rows without packs, bodies
nothing refers to and references to bodies that are gone. All read-only; each takes the index in short transactions.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.packs.coverage import counts_too_much
from noisefs.core.domain.packs.manifest import Manifest, RunEntry, SharedEntry
from noisefs.core.domain.packs.reclaim import space_of, total
from noisefs.core.domain.records import (
    Body,
    BodyState,
    Extent,
    LayoutChunk,
    PackLive,
    PackState,
    Part,
    Run,
    SlicePlace,
    Version,
    decode,
)
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import PackStore
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.packs.copies import is_away
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import live_of, pack_rows

EXAMPLES: Final = 20
_VERSIONS: Final = (Table.OBJECTS, Table.VERSIONS)


@dataclass(frozen=True, slots=True)
class SpaceAudit:
    """Bytes of the store.

    Attributes:
        packs: Packs of any state.
        stored_bytes: Of all pack files: seeds, cells, filler and manifest of a sealed pack; an open one counts whole,
            as it is preallocated.
        live_bytes: Cells and slices in packs that something refers to, tags included. What was deleted counts until
            the reaper, twice a second, has released it.
        packed_plaintext_bytes: What those cells and slices can hold without their tags.
        inline_bytes: Slices that wait in the index for the packer: neither stored nor live above.
        tiny_bytes: Slices that stay in the index for ever; the same.
        object_bytes: What the sizes of all objects add up to, older versions included; copies share bytes.
        objects: How many there are, older versions included.
        index_bytes: The index and its log.
        stored_by_live: Promised: at most 1.35 under overwrites, from 8 GiB of live bytes on.
        stored_by_plaintext: The same against plaintext.
    """

    packs: int
    stored_bytes: int
    live_bytes: int
    packed_plaintext_bytes: int
    inline_bytes: int
    tiny_bytes: int
    object_bytes: int
    objects: int
    index_bytes: int
    stored_by_live: float
    stored_by_plaintext: float


@dataclass(slots=True)
class TupleAudit:
    """What the tuples of all sealed packs come to; per-cell figures are means."""

    strategy: str
    packs: int = 0
    unreadable: int = 0
    cells: int = 0
    runs: int = 0
    runs_alone: int = 0
    """Runs with a cell both of whose randomizers hold bytes of the same body: 0 is promised for ``chain``."""
    blocks: int = 0
    tuples_per_block: float = 0.0
    data_blocks_in_one_tuple: int = 0
    """Data blocks that take part in fewer than two tuples: 0 is promised for ``chain``."""
    pairs_used_twice: int = 0
    reads_per_cell: float = 0.0
    neutral_seeds: int = 0
    copied_seeds: int = 0


@dataclass(slots=True)
class OrphanAudit:
    """Things that refer to nothing, or to which nothing refers; counts, and a few examples of each."""

    packs_without_row: list[str] = field(default_factory=list)
    rows_without_pack: list[str] = field(default_factory=list)
    packs_quarantined: list[str] = field(default_factory=list)
    """They hold bytes the index knows nothing of, until an operator accepts the loss."""
    runs_without_body: int = 0
    runs_without_pack: int = 0
    slices_without_body: int = 0
    inline_without_body: int = 0
    bodies_without_reference: int = 0
    references_without_body: int = 0
    wrong_reference_counts: int = 0
    wrong_live_counts: int = 0

    @property
    def clean(self) -> bool:
        """Whether there is none."""
        return not any(getattr(self, name) for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Auditor:
    """Runs audits. All methods block: call them from a worker lane."""

    index: Index
    packs: PackStore
    manifests: ManifestReader
    keys: StoreKeys
    geometry: Geometry

    # ------------------------------------------------------------------ space

    def space(self) -> SpaceAudit:
        """Count the bytes."""

        def look(tx: Reading) -> tuple[int, int, int, int, int]:
            spaces = [
                space_of(pack_id, row, live_of(tx, pack_id), self.geometry) for pack_id, row in pack_rows(tx).items()
            ]
            cells = slices = 0
            for space in spaces:
                live = live_of(tx, space.pack_id)
                cells, slices = cells + live.cells, slices + live.slice_bytes
            whole = total(spaces)
            return len(spaces), whole.stored_bytes, whole.live_bytes, cells, slices

        packs, stored, live, cells, slices = self.index.read(look)
        plaintext = cells * self.geometry.segment_bytes + slices
        inline = sum(len(raw) for _key, raw in walk(self.index, Table.INLINE))
        tiny = sum(len(raw) for _key, raw in walk(self.index, Table.TINY))
        size = count = 0
        for table in _VERSIONS:
            for _key, raw in walk(self.index, table):
                version = decode(Version, raw)
                count += not version.delete_marker
                size += version.size
        return SpaceAudit(
            packs,
            stored,
            live,
            plaintext,
            inline,
            tiny,
            size,
            count,
            self.index.size_bytes(),
            stored / live if live else 1.0,
            stored / plaintext if plaintext else 1.0,
        )

    # ------------------------------------------------------------------ tuples

    def tuples(self) -> TupleAudit:
        """Take every sealed pack's manifest apart."""
        audit = TupleAudit(self.geometry.strategy)
        uses = reads = 0
        for pack_id, row in self.index.read(pack_rows).items():
            if row.state != PackState.SEALED:
                continue
            try:
                manifest = self.manifests.read(pack_id, row.blocks, row.strategy)
            except NoisefsError:
                audit.unreadable += 1
                continue
            strategy = strategy_named(row.strategy, pack_id=pack_id, prf_key=self.keys.prf)
            pack_uses, pack_reads = _take_apart(manifest, strategy, audit)
            uses, reads = uses + pack_uses, reads + pack_reads
        audit.tuples_per_block = uses / audit.blocks if audit.blocks else 0.0
        audit.reads_per_cell = reads / audit.cells if audit.cells else 0.0
        return audit

    # ------------------------------------------------------------------ orphans

    def orphans(self) -> OrphanAudit:
        """Compare packs, rows, bodies and references with each other. While writes go on, a few may be in flight."""
        audit = OrphanAudit()
        rows = self.index.read(pack_rows)
        stored = {pack.pack_id for pack in self.packs.list()}
        audit.packs_without_row = [pack_id.hex() for pack_id in sorted(stored - rows.keys())][:EXAMPLES]
        gone = rows.keys() - stored
        away = self.index.read(lambda tx: {pack_id for pack_id in gone if is_away(tx, pack_id)})
        audit.rows_without_pack = [pack_id.hex() for pack_id in sorted(gone - away)][:EXAMPLES]
        aside = [pack_id for pack_id, row in rows.items() if row.state == PackState.QUARANTINED]
        audit.packs_quarantined = [pack_id.hex() for pack_id in sorted(aside)][:EXAMPLES]
        bodies: dict[bytes, Body] = {key: decode(Body, raw) for key, raw in walk(self.index, Table.BODIES)}
        dead = {key for key, _raw in walk(self.index, Table.DEAD)}
        counted = self._references()
        for body_id, body in bodies.items():
            places = counted.pop(body_id, Counter())
            if body.state == BodyState.WRITING:
                continue
            found = places.total()
            audit.bodies_without_reference += not found
            audit.wrong_reference_counts += found != body.refs or counts_too_much(body, places)
        audit.references_without_body = len(counted)
        self._check_places(audit, bodies.keys() | dead, set(rows))
        return audit

    def _references(self) -> dict[bytes, Counter[tuple[int, int]]]:
        """How many extents there are, by body, offset and length."""
        counted: defaultdict[bytes, Counter[tuple[int, int]]] = defaultdict(Counter)

        def count(extents: Iterable[Extent]) -> None:
            for extent in extents:
                counted[extent.body_id][extent.offset, extent.length] += 1

        for table in _VERSIONS:
            for _key, raw in walk(self.index, table):
                count(decode(Version, raw).extents)
        for _key, raw in walk(self.index, Table.PARTS):
            count(decode(Part, raw).extents)
        for key, raw in walk(self.index, Table.LAYOUTS):
            if len(key) > 16:
                count(decode(LayoutChunk, raw).extents)
        return counted

    def _check_places(self, audit: OrphanAudit, known: set[bytes], names: set[PackId]) -> None:
        cells: Counter[bytes] = Counter()
        slices: Counter[bytes] = Counter()
        for key, raw in walk(self.index, Table.RUNS):
            run = decode(Run, raw)
            cells[run.pack_id] += run.count
            audit.runs_without_body += key[:16] not in known
            audit.runs_without_pack += run.pack_id not in names
        for key, raw in walk(self.index, Table.SLICES):
            audit.slices_without_body += key not in known
            slices.update(piece.pack_id for piece in decode(SlicePlace, raw).pieces)
        for table in (Table.INLINE, Table.TINY):
            audit.inline_without_body += sum(key not in known for key, _raw in walk(self.index, table))
        for pack_id in names:
            live = self.index.read(partial(_live_of, pack_id))
            audit.wrong_live_counts += (live.cells, live.slices) != (cells[pack_id], slices[pack_id])


def _live_of(pack_id: PackId, tx: Reading) -> PackLive:
    return live_of(tx, pack_id)


def _take_apart(manifest: Manifest, strategy: Strategy, audit: TupleAudit) -> tuple[int, int]:
    """Add one pack to the audit; returns how often its blocks are used in tuples, and blocks read to read its runs."""
    audit.packs += 1
    audit.blocks += manifest.blocks
    audit.neutral_seeds += sum(seed.source_pack is None or seed.body_id is None for seed in manifest.seeds)
    audit.copied_seeds += sum(seed.source_pack is not None and seed.body_id is not None for seed in manifest.seeds)
    owners = _owners(manifest)
    uses: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    data: list[int] = []
    reads = 0

    def tuple_of(position: int, masks: tuple[int, int]) -> None:
        uses.update((position, *masks))
        low, high = sorted(masks)
        pairs[low, high] += 1

    known: set[int] = set(range(strategy.seeds))
    for entry in manifest.entries:
        if isinstance(entry, RunEntry):
            audit.runs += 1
            count, stride = entry.count, entry.stride
            positions = range(entry.position, entry.position + count * stride, stride)
            masks = [strategy.randomizers(position, entry.seed) for position in positions]
            audit.runs_alone += any(owners.get(one) == owners.get(two) == entry.body_id for one, two in masks)
        elif isinstance(entry, SharedEntry):
            count, stride = 1, strategy.stride
        else:
            continue
        reads += sum(n for _start, n in strategy.needed(entry.position, count, entry.seed))
        for number in range(count):
            position = entry.position + number * stride
            data.append(position)
            known.update(range(position - stride + 1, position + 1))
            tuple_of(position, strategy.randomizers(position, entry.seed))
    # Filler was masked as any cell, and so leans on blocks before it; with which seed, nobody remembers.
    for position in range(manifest.blocks - 1):
        plan = strategy.plan(position, 1) if position not in known else None
        if plan is not None and plan.stride == 1:
            uses.update((position, *strategy.randomizers(position, plan.seed)))
    tuple_of(manifest.blocks - 1, strategy.manifest_randomizers(manifest.blocks - 1))
    audit.cells += len(data)
    audit.data_blocks_in_one_tuple += sum(uses[position] < 2 for position in data)
    audit.pairs_used_twice += sum(n - 1 for n in pairs.values() if n > 1)
    return uses.total(), reads


def _owners(manifest: Manifest) -> dict[int, BodyId | None]:
    """Whose bytes each block holds, by position; ``None`` or no entry: nobody's in particular."""
    owners: dict[int, BodyId | None] = {number: seed.body_id for number, seed in enumerate(manifest.seeds)}
    for entry in manifest.entries:
        if isinstance(entry, RunEntry):
            for number in range(entry.count):
                owners[entry.position + number * entry.stride] = entry.body_id
    return owners
