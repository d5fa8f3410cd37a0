"""After a restore: making an older index agree with the packs that are there.

Promise: every body the index knows ends with a location for each of its segments, if any pack still has the segment:
where a run row names a pack that is gone (the cleaner moved its cells after the snapshot), the place is taken from the
manifests, the highest generation whose tag opens. Counters are recounted. Packs with cells of bodies the index does not
know are quarantined, never dropped, until an operator accepts the loss. What cannot be found is listed by object name.

Works on an index nobody serves. Cost: every manifest is read; cells only of bodies that miss some.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import prefix_end, run_key
from noisefs.core.domain.packs.coverage import kept_segments
from noisefs.core.domain.packs.manifest import Manifest, RunEntry, SharedEntry
from noisefs.core.domain.records import (
    TAIL_SLICE,
    TAIL_TINY,
    Body,
    Pack,
    PackLive,
    PackState,
    Run,
    SlicePiece,
    SlicePlace,
    decode,
    encode,
)
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import SliceEntry, open_directory
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import IntegrityError, NoisefsError, Unavailable
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import PackStore
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.maintenance.cleaner import generation_at_least
from noisefs.core.services.maintenance.names import objects_of_bodies
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.packs.copies import copies_of
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import pack_rows
from noisefs.core.services.packs.rows import unplace

ROWS_A_COMMIT: Final = 500


@dataclass(slots=True)
class ReconcileReport:
    """What was found and mended."""

    packs: int = 0
    packs_added: int = 0
    packs_unreadable: list[str] = field(default_factory=list)
    packs_quarantined: list[str] = field(default_factory=list)
    """They hold cells of bodies the index does not know: writes newer than what was restored, or deleted ones."""
    runs_relocated: int = 0
    slices_relocated: int = 0
    objects_lost: list[str] = field(default_factory=list)
    """``bucket/key`` of objects of which some bytes are nowhere."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A stretch of a body's segments in a pack, as a manifest tells it."""

    segment: int
    count: int
    stride: int
    run: Run


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Compares index and packs, and mends the index. Blocks: run it on a lane, or without any loop."""

    index: Index
    packs: PackStore
    manifests: ManifestReader
    cells: CellReader
    keys: StoreKeys
    geometry: Geometry

    def run(self) -> ReconcileReport:
        """Do it all. Running it again changes nothing."""
        report = ReconcileReport()
        known = {BodyId(key): decode(Body, raw) for key, raw in walk(self.index, Table.BODIES)}
        manifests = self._manifests(known, report)
        newest = max((manifest.generation for manifest in manifests.values()), default=0)
        self._write(partial(generation_at_least, newest))
        places = _places(manifests)
        lost: set[bytes] = set()
        for body_id, body in known.items():
            if not self._place_runs(body_id, body, places.get(body_id, []), manifests, report):
                lost.add(body_id)
        self._place_slices(known, manifests, lost, report)
        self._recount()
        if lost:
            report.objects_lost = objects_of_bodies(self.index, lost)
        return report

    # ------------------------------------------------------------------ packs

    def _manifests(self, known: dict[BodyId, Body], report: ReconcileReport) -> dict[PackId, Manifest]:
        """Manifests of all sealed packs; rows for packs that have none."""
        rows = self.index.read(pack_rows)
        local = self.packs.list()
        found = self._away(rows, {stored.pack_id for stored in local})
        for stored in local:
            if not stored.sealed:
                continue  # recovery closes or drops it, by the rows there are
            report.packs += 1
            row = rows.get(stored.pack_id)
            try:
                manifest = self.manifests.read(stored.pack_id, stored.blocks, row.strategy if row else "")
            except NoisefsError as exc:
                report.packs_unreadable.append(f"{stored.pack_id.hex()}: {exc}")
                continue
            found[stored.pack_id] = manifest
            if row is not None and row.state in (PackState.SEALED, PackState.QUARANTINED):
                continue
            report.packs_added += row is None
            state = PackState.SEALED
            if self._has_strangers(stored.pack_id, manifest, known):
                state = PackState.QUARANTINED
                report.packs_quarantined.append(stored.pack_id.hex())
            self._write(partial(_put_pack, stored.pack_id, _row_of(manifest, state)))
        return found

    def _away(self, rows: dict[PackId, Pack], local: set[PackId]) -> dict[PackId, Manifest]:
        """Packs that nodes hold instead of this disk are there, and keep what rows name in them: theirs name nothing.

        They are not looked into: that would take a network, and one that does not answer must lose nothing.
        """

        def look(tx: Reading) -> list[PackId]:
            gone = [pack_id for pack_id, row in rows.items() if row.state == PackState.SEALED and pack_id not in local]
            return [pack_id for pack_id in gone if (copies := copies_of(tx, pack_id)) is not None and copies.nodes]

        held = {pack_id: rows[pack_id] for pack_id in self.index.read(look)}
        return {
            pack_id: Manifest(pack_id, row.strategy, row.generation, row.seeds, row.blocks, ())
            for pack_id, row in held.items()
        }

    def _has_strangers(self, pack_id: PackId, manifest: Manifest, known: dict[BodyId, Body]) -> bool:
        """Whether the pack holds bytes of a body the index does not know (or a shared cell that cannot be opened)."""
        for entry in manifest.entries:
            if isinstance(entry, RunEntry):
                if entry.body_id not in known:
                    return True
            elif isinstance(entry, SharedEntry):
                rows = self._directory(pack_id, entry)
                if rows is None or any(row.body_id not in known for row in rows):
                    return True
        return False

    def _directory(self, pack_id: PackId, entry: SharedEntry) -> list[SliceEntry] | None:
        """What a shared cell holds; ``None`` where it cannot be read."""
        cell = memoryview(bytearray(self.geometry.block_bytes))
        try:
            self.cells.piece(pack_id, entry.position, entry.seed, 0, cell)
            return open_directory(
                cell,
                store_key=self.keys.store_key,
                store_id=self.keys.store_id,
                pack_id=pack_id,
                cell_number=entry.position,
            )
        except (IntegrityError, Unavailable):
            return None

    # ------------------------------------------------------------------ runs

    def _place_runs(
        self,
        body_id: BodyId,
        body: Body,
        candidates: list[_Candidate],
        manifests: dict[PackId, Manifest],
        report: ReconcileReport,
    ) -> bool:
        """Give every segment of a body a place; tells whether that worked."""
        whole = body.size // self.geometry.segment_bytes
        if not whole:
            return True
        present = self.index.read(partial(_all_runs, body_id))
        covered: set[int] = set()
        for first, run in present:
            if run.pack_id in manifests or self.index.read(partial(_is_open, run.pack_id)):
                covered.update(range(first, first + run.count))
        kept = kept_segments(body, self.geometry.segment_bytes)
        wanted = (segment for first, end in kept for segment in range(first, min(end, whole)))
        missing = [segment for segment in wanted if segment not in covered]
        if not missing:
            return True
        cipher = self._cipher(body_id, body)
        last = whole - 1 if body.size % self.geometry.segment_bytes == 0 else -1
        stay = [(first, run) for first, run in present if covered.issuperset(range(first, first + run.count))]
        # The newest generation first: what a cleaner wrote later.
        ordered = sorted(candidates, key=lambda candidate: candidate.run.generation, reverse=True)
        added: list[tuple[int, Run]] = []
        whole_again = True
        for segment in missing:
            place = next((found for c in ordered if (found := self._opens(cipher, c, segment, last)) is not None), None)
            if place is None:
                whole_again = False
            else:
                added.append((segment, place))
        self._write(partial(_replace_runs, body_id, stay + added))
        report.runs_relocated += len(added)
        return whole_again

    def _opens(self, cipher: BodyCipher, candidate: _Candidate, segment: int, last: int) -> Run | None:
        """The place of one segment inside a candidate, if its cell opens there."""
        skip = segment - candidate.segment
        if not 0 <= skip < candidate.count:
            return None
        whole = candidate.run
        run = Run(whole.pack_id, whole.position + skip * candidate.stride, 1, whole.seed, whole.generation)
        cell = memoryview(bytearray(self.geometry.block_bytes))
        plain = memoryview(bytearray(self.geometry.segment_bytes))
        try:
            self.cells.unmask(run, 0, 1, cell)
            cipher.open_segments(
                cell, segment, run.generation, self.geometry.segment_bytes, plain, final=segment == last
            )
        except (IntegrityError, Unavailable):
            return None
        return run

    def _cipher(self, body_id: BodyId, body: Body) -> BodyCipher:
        key = self.keys.wrap.unwrap_body_key(body.wrapped_key, body_id)
        return BodyCipher(key, self.keys.store_id, body_id, body.format)

    # ------------------------------------------------------------------ slices

    def _place_slices(
        self,
        known: dict[BodyId, Body],
        manifests: dict[PackId, Manifest],
        lost: set[bytes],
        report: ReconcileReport,
    ) -> None:
        """Give every slice a place that is neither inline nor in a pack that is there."""
        wanted = {
            body_id: body
            for body_id, body in known.items()
            if body.tail in (TAIL_SLICE, TAIL_TINY)
            and kept_segments(body, self.geometry.segment_bytes)[-1][1] > body.size // self.geometry.segment_bytes
            and not self._has_slice(body_id, body, manifests)
        }
        if not wanted:
            return
        pieces = self._pieces(set(wanted), manifests)
        for body_id, body in wanted.items():
            place = self._whole_slice(body_id, body, pieces.get(body_id, {}))
            if place is None:
                lost.add(body_id)
            else:
                self._write(partial(_put_slice, body_id, place))
                report.slices_relocated += 1

    def _has_slice(self, body_id: BodyId, body: Body, manifests: dict[PackId, Manifest]) -> bool:
        def look(tx: Reading) -> bool:
            if tx.get(Table.TINY if body.tail == TAIL_TINY else Table.INLINE, body_id) is not None:
                return True
            raw = tx.get(Table.SLICES, body_id)
            return raw is not None and all(
                piece.pack_id in manifests or _is_open(piece.pack_id, tx) for piece in decode(SlicePlace, raw).pieces
            )

        return self.index.read(look)

    def _pieces(
        self, wanted: set[BodyId], manifests: dict[PackId, Manifest]
    ) -> dict[BodyId, dict[int, dict[int, tuple[SlicePiece, int]]]]:
        """By body and generation: pieces by their offset in the sealed slice, with the slice's whole length."""
        found: dict[BodyId, dict[int, dict[int, tuple[SlicePiece, int]]]] = defaultdict(lambda: defaultdict(dict))
        for pack_id, manifest in manifests.items():
            for entry in manifest.entries:
                if not isinstance(entry, SharedEntry):
                    continue
                for row in self._directory(pack_id, entry) or ():
                    if row.body_id in wanted:
                        piece = SlicePiece(pack_id, entry.position, entry.seed, row.offset, row.length)
                        found[row.body_id][row.generation][row.piece_offset] = (piece, row.piece_total)
        return found

    def _whole_slice(
        self, body_id: BodyId, body: Body, found: dict[int, dict[int, tuple[SlicePiece, int]]]
    ) -> SlicePlace | None:
        cipher = self._cipher(body_id, body)
        segment = body.size // self.geometry.segment_bytes
        for generation in sorted(found, reverse=True):
            parts = [piece for _offset, (piece, _total) in sorted(found[generation].items())]
            sealed = bytearray(sum(piece.length for piece in parts))
            at = 0
            try:
                for piece in parts:
                    out = memoryview(sealed)[at : at + piece.length]
                    self.cells.piece(piece.pack_id, piece.position, piece.seed, piece.offset, out)
                    at += piece.length
                cipher.open_slice(bytes(sealed), segment, generation)
            except (IntegrityError, Unavailable):
                continue
            return SlicePlace(tuple(parts), generation)
        return None

    # ------------------------------------------------------------------ counters

    def _recount(self) -> None:
        """Count what lives in each pack anew."""
        counts: dict[PackId, list[int]] = defaultdict(lambda: [0, 0, 0])
        for _key, raw in walk(self.index, Table.RUNS):
            run = decode(Run, raw)
            counts[run.pack_id][0] += run.count
        for _key, raw in walk(self.index, Table.SLICES):
            for piece in decode(SlicePlace, raw).pieces:
                counts[piece.pack_id][1] += piece.length
                counts[piece.pack_id][2] += 1
        for pack_id in self.index.read(pack_rows):
            self._write(partial(_put_live, pack_id, PackLive(*counts[pack_id])))

    def _write(self, work: "partial[None]") -> None:
        (outcome,) = self.index.transact([work])
        if outcome.error is not None:
            raise outcome.error


def release_quarantined(tx: Writing, owner: InstanceId) -> int:
    """The operator accepts the loss: quarantined packs are ordinary ones from now on; returns how many."""
    released = 0
    for pack_id, row in pack_rows(tx).items():
        if row.state == PackState.QUARANTINED:
            sealed = Pack(
                PackState.SEALED,
                owner,
                row.blocks,
                row.strategy,
                row.generation,
                row.created_us,
                row.sealed_us,
                row.seeds,
            )
            tx.put(Table.PACKS, pack_id, encode(sealed))
            released += 1
    return released


def _is_open(pack_id: PackId, tx: Reading) -> bool:
    """Whether the pack has no manifest yet: it is recovery's business."""
    raw = tx.get(Table.PACKS, pack_id)
    return raw is not None and decode(Pack, raw).state == PackState.OPEN


def _places(manifests: dict[PackId, Manifest]) -> dict[BodyId, list[_Candidate]]:
    found: dict[BodyId, list[_Candidate]] = defaultdict(list)
    for pack_id, entry in _runs(manifests):
        run = Run(pack_id, entry.position, entry.count, entry.seed, entry.generation)
        found[entry.body_id].append(_Candidate(entry.segment, entry.count, entry.stride, run))
    return found


def _runs(manifests: dict[PackId, Manifest]) -> Iterator[tuple[PackId, RunEntry]]:
    for pack_id, manifest in manifests.items():
        for entry in manifest.entries:
            if isinstance(entry, RunEntry):
                yield pack_id, entry


def _row_of(manifest: Manifest, state: PackState) -> Pack:
    return Pack(
        state,
        InstanceId(bytes(16)),
        manifest.blocks,
        manifest.strategy,
        manifest.generation,
        0,
        0,
        manifest.seeds,
    )


def _put_pack(pack_id: PackId, row: Pack, tx: Writing) -> None:
    tx.put(Table.PACKS, pack_id, encode(row))
    unplace(tx, pack_id)


def _put_live(pack_id: PackId, live: PackLive, tx: Writing) -> None:
    tx.put(Table.PACK_LIVE, pack_id, encode(live))


def _put_slice(body_id: BodyId, place: SlicePlace, tx: Writing) -> None:
    tx.put(Table.SLICES, body_id, encode(place))


def _all_runs(body_id: BodyId, tx: Reading) -> list[tuple[int, Run]]:
    rows = tx.scan(Table.RUNS, body_id, prefix_end(body_id), 1 << 24)
    return [(int.from_bytes(key[-8:], "big"), decode(Run, raw)) for key, raw in rows]


def _replace_runs(body_id: BodyId, runs: list[tuple[int, Run]], tx: Writing) -> None:
    for key, _raw in tx.scan(Table.RUNS, body_id, prefix_end(body_id), 1 << 24):
        tx.delete(Table.RUNS, key)
    for segment, run in runs:
        tx.put(Table.RUNS, run_key(body_id, segment), encode(run))
