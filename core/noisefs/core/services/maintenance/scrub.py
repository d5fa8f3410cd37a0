"""The scrub: reads everything that lives and verifies it, so that rot is found while it can still be mended.

Promise: every live segment and slice on the disk is opened once, every manifest too, and those on nodes only where
asked; nothing is changed. It reports what is damaged
by pack and body, and separately by object name: never both in one record. Cost: one read of the store, at background
priority.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.packs.coverage import kept_segments
from noisefs.core.domain.records import (
    TAIL_NONE,
    Body,
    BodyState,
    Pack,
    PackState,
    decode,
)
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import BlockUnavailable, IntegrityError, NoisefsError, Unavailable
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.maintenance.names import objects_of_bodies
from noisefs.core.services.maintenance.rows import ROWS_AT_ONCE, page
from noisefs.core.services.packs.copies import is_away
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import pack_rows

SEGMENTS_AT_ONCE: Final = 8


@dataclass(slots=True)
class ScrubReport:
    """What was read and what is wrong."""

    packs: int = 0
    bodies: int = 0
    bytes_verified: int = 0
    packs_on_nodes: int = 0
    """On nodes only, and not read."""
    bodies_on_nodes: int = 0
    """At least partly so."""
    damaged_packs: list[str] = field(default_factory=list)
    damaged_bodies: list[str] = field(default_factory=list)
    damaged_objects: list[str] = field(default_factory=list)
    """``bucket/key`` of objects that cannot be read whole."""

    @property
    def clean(self) -> bool:
        """Whether everything verifies."""
        return not (self.damaged_packs or self.damaged_bodies)


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Verifies the store."""

    index: Index
    workers: Workers
    telemetry: Telemetry
    cells: CellReader
    manifests: ManifestReader
    keys: StoreKeys
    geometry: Geometry

    async def run(self, *, network: bool = False) -> ScrubReport:
        """Read and verify everything once. ``network``: what is on nodes only, too; else it is counted."""
        report = ScrubReport()
        for pack_id in await self.workers.run(Lane.BACKGROUND, self._check_manifests, report):
            if network:
                await self.workers.run(Lane.NETWORK, self._check_manifest, pack_id, Reach.NETWORK, report)
            else:
                report.packs_on_nodes += 1
        start = b""
        bad: set[bytes] = set()
        while True:
            rows = await self.workers.run(
                Lane.BACKGROUND, self.index.read, partial(page, Table.BODIES, start, ROWS_AT_ONCE)
            )
            if not rows:
                break
            for key, raw in rows:
                body = decode(Body, raw)
                if body.state == BodyState.WRITING:
                    continue
                report.bodies += 1
                body_id = BodyId(key)
                sound = await self.workers.run(Lane.BACKGROUND, self._verify, body_id, body, Reach.DISK, report)
                if sound is None and network:
                    sound = await self.workers.run(Lane.NETWORK, self._verify, body_id, body, Reach.NETWORK, report)
                report.bodies_on_nodes += sound is None
                if sound is False:
                    bad.add(key)
            start = rows[-1][0] + b"\0"
        if bad:
            report.damaged_objects = await self.workers.run(Lane.BACKGROUND, objects_of_bodies, self.index, bad)
        return report

    def _check_manifests(self, report: ScrubReport) -> list[PackId]:
        """Look into every pack on the disk; returns those that are on nodes only."""
        rows = self.index.read(pack_rows)
        looked_into = [
            pack_id for pack_id, row in rows.items() if row.state in (PackState.SEALED, PackState.QUARANTINED)
        ]
        away = self.index.read(lambda tx: [pack_id for pack_id in looked_into if is_away(tx, pack_id)])
        for pack_id in [pack_id for pack_id in looked_into if pack_id not in set(away)]:
            if not self._check_manifest(pack_id, Reach.DISK, report):
                away.append(pack_id)
        return away

    def _check_manifest(self, pack_id: PackId, reach: Reach, report: ScrubReport) -> bool:
        """Look into one pack; ``False``: it left the disk just now."""
        row = self.index.read(partial(_row_of, pack_id))
        if row is None:
            return True  # dropped meanwhile
        try:
            self.manifests.read(pack_id, row.blocks, row.strategy, reach=reach)
        except NoisefsError as exc:
            now = self.index.read(partial(_row_of, pack_id))
            if now is None or now.state != row.state:
                return True
            if reach is Reach.DISK and self.index.read(partial(_is_away, pack_id)):
                return False
            self.telemetry.count(Counter.INTEGRITY_ERRORS, 1, ("manifest",))
            report.damaged_packs.append(f"{pack_id.hex()}: {exc}")
        report.packs += 1
        return True

    def _verify(self, body_id: BodyId, body: Body, reach: Reach, report: ScrubReport) -> bool | None:
        """Open every segment and the slice of a body; ``None``: some of it is on nodes only, and ``reach`` is the disk.

        One deleted or moved meanwhile is not damaged.
        """
        try:
            try:
                self._open_all(body_id, body, reach)
            except (IntegrityError, Unavailable):
                self._open_all(body_id, body, reach)
        except NoisefsError as exc:
            if self.index.read(lambda tx: tx.get(Table.BODIES, body_id)) is None:
                return True
            missing = exc.pack_id if isinstance(exc, BlockUnavailable) and reach is Reach.DISK else None
            if missing is not None and self.index.read(partial(_is_away, PackId(missing))):
                return None
            if isinstance(exc, IntegrityError):
                self.telemetry.count(Counter.INTEGRITY_ERRORS, 1, ("segment",))
            report.damaged_bodies.append(f"{body_id.hex()}: {exc}")
            return False
        report.bytes_verified += body.size
        return True

    def _open_all(self, body_id: BodyId, body: Body, reach: Reach) -> None:
        size = self.geometry.segment_bytes
        key = self.keys.wrap.unwrap_body_key(body.wrapped_key, body_id)
        cipher = BodyCipher(key, self.keys.store_id, body_id, body.format)
        whole = body.size // size
        last = whole - 1 if body.size % size == 0 else -1
        plain = memoryview(bytearray(SEGMENTS_AT_ONCE * size))
        kept = kept_segments(body, size)
        for start, end in kept:
            for first in range(start, min(end, whole), SEGMENTS_AT_ONCE):
                count = min(SEGMENTS_AT_ONCE, min(end, whole) - first)
                for run, cells, segment in self.cells.cells(body_id, first, count, keep=False, fresh=True, reach=reach):
                    n = len(cells) // self.geometry.block_bytes
                    final = segment + n - 1 == last
                    cipher.open_segments(cells, segment, run.generation, size, plain[: n * size], final=final)
        if body.tail != TAIL_NONE and kept[-1][1] > whole:
            sealed = self.cells.slice(body_id, reach=reach)
            if sealed is None:
                raise IntegrityError(f"the slice of body {body_id.hex()} has no place")
            cipher.open_slice(sealed[0], whole, sealed[1])


def _row_of(pack_id: PackId, tx: Reading) -> Pack | None:
    raw = tx.get(Table.PACKS, pack_id)
    return None if raw is None else decode(Pack, raw)


def _is_away(pack_id: PackId, tx: Reading) -> bool:
    return is_away(tx, pack_id)
