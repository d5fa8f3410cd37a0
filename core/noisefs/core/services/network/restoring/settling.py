"""After an index came back from nodes: a place for every segment, from what the nodes' packs say of themselves.

Promise: as :mod:`noisefs.core.services.maintenance.reconcile`, with the packs of nodes for those of a disk. What was in
packs that no node holds is told as lost, object by object. Cost: three blocks for each pack the snapshot does not know
as sealed (for all packs, where something is missing), and the cells that were moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.packs.manifest import Manifest
from noisefs.core.domain.records import Pack, PackState, encode
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import PackStore, Reach, StoredPack
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.maintenance.reconcile import Reconciler, ReconcileReport
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.packs import NetworkPacks
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.network.restoring.index import Found
from noisefs.core.services.network.restoring.replaying import commit
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import live_of, pack_rows, placements
from noisefs.core.services.packs.rows import drop_rows, unplace


class RestoredPacks(NetworkPacks):
    """Packs that are on nodes only, and what a restore put on the disk. Thread-safe."""

    def __init__(
        self,
        local: PackStore,
        block_bytes: int,
        away: Mapping[PackId, int],
        *,
        fetcher: Fetcher,
        reads: ReadTimes,
        telemetry: Telemetry,
    ) -> None:
        """``away``: packs on nodes, and how many blocks each has."""
        super().__init__(local, block_bytes, fetcher=fetcher, reads=reads, telemetry=telemetry)
        self._away = {
            pack_id: StoredPack(pack_id, blocks, sealed=True, size_bytes=blocks * block_bytes)
            for pack_id, blocks in away.items()
        }

    def list(self) -> list[StoredPack]:
        """Those on the disk, and those that are not."""
        local = {pack.pack_id: pack for pack in super().list()}
        return list((self._away | local).values())


@dataclass(frozen=True, slots=True)
class KnownManifests(ManifestReader):
    """Manifests, but for packs that need not be looked into: theirs name nothing."""

    known: Mapping[PackId, Pack] = field(default_factory=dict)

    def read(self, pack_id: PackId, blocks: int, strategy_name: str = "", *, reach: Reach = Reach.NETWORK) -> Manifest:
        """The manifest, or an empty one. Raises as :meth:`ManifestReader.read`."""
        row = self.known.get(pack_id)
        if row is None:
            return ManifestReader.read(self, pack_id, blocks, strategy_name, reach=reach)
        return Manifest(pack_id, row.strategy, row.generation, row.seeds, row.blocks, ())


def away_of(index: Index, found: Found) -> dict[PackId, int]:
    """How many blocks each pack on nodes has."""
    rows = index.read(pack_rows)
    away: dict[PackId, int] = {}
    for pack_id in found.packs:
        root, row = found.opened.get(pack_id), rows.get(pack_id)
        blocks = root.meta.count if root is not None else row.blocks if row is not None else 0
        if blocks:
            away[pack_id] = blocks
    return away


@dataclass(frozen=True, slots=True)
class Settler:
    """Makes an index agree with what nodes hold. Blocks: run it on a lane."""

    index: Index
    packs: RestoredPacks
    cells: CellReader
    keys: StoreKeys
    geometry: Geometry

    def run(self, now_us: int) -> tuple[ReconcileReport, list[str]]:
        """Do it all; what was found and mended, and packs that are nowhere although something lived in them."""
        there = {pack.pack_id for pack in self.packs.list()}
        rows = self.index.read(pack_rows)
        gone = {pack_id: row for pack_id, row in rows.items() if pack_id not in there}
        lost = [pack_id.hex() for pack_id in gone if self.index.read(partial(_is_live, pack_id))]
        for pack_id, row in gone.items():
            if row.state in (PackState.OPEN, PackState.POISONED):
                commit(self.index, partial(_close, pack_id, row))
        known = {
            pack_id: row
            for pack_id, row in rows.items()
            if pack_id in there and row.state in (PackState.SEALED, PackState.QUARANTINED) and row.blocks
        }
        report = self._reconcile(KnownManifests(self.packs, self.keys, self.geometry, known))
        if report.objects_lost:
            # What was moved into a pack that is nowhere may still lie in the one it was moved from.
            report = _added(report, self._reconcile(ManifestReader(self.packs, self.keys, self.geometry)))
        # What is nowhere has no place any more: nothing lives in those packs, but pieces of slices that are lost.
        dead = [pack_id for pack_id in gone if not self.index.read(partial(_is_live, pack_id))]
        commit(self.index, partial(_forget, dead, now_us))
        return report, lost

    def _reconcile(self, manifests: ManifestReader) -> ReconcileReport:
        return Reconciler(self.index, self.packs, manifests, self.cells, self.keys, self.geometry).run()


def _added(first: ReconcileReport, second: ReconcileReport) -> ReconcileReport:
    """What two passes did; what is lost after the second one is."""
    return ReconcileReport(
        packs=second.packs,
        packs_added=first.packs_added + second.packs_added,
        packs_unreadable=second.packs_unreadable,
        packs_quarantined=first.packs_quarantined + second.packs_quarantined,
        runs_relocated=first.runs_relocated + second.runs_relocated,
        slices_relocated=first.slices_relocated + second.slices_relocated,
        objects_lost=second.objects_lost,
    )


def _close(pack_id: PackId, row: Pack, tx: Writing) -> None:
    """Nobody will go on with a pack that was open, and is nowhere: what lies in it is looked for elsewhere."""
    named = [position + what.count for position, what in placements(tx, pack_id)]
    blocks = max([*named, len(row.seeds) + 1]) + 1
    tx.put(Table.PACKS, pack_id, encode(msgspec.structs.replace(row, state=PackState.SEALED, blocks=blocks)))
    unplace(tx, pack_id)


def _is_live(pack_id: PackId, tx: Reading) -> bool:
    live = live_of(tx, pack_id)
    return bool(live.cells or live.slices)


def _forget(packs: list[PackId], now_us: int, tx: Writing) -> None:
    """Forget packs that are nowhere, and in which nothing lives."""
    for pack_id in packs:
        drop_rows(tx, pack_id, now_us)
