"""After a crash nothing is resumed: what writers left is closed, what nobody finished is released.

Promise: every cell of a published body survives; every open pack whose writer is gone ends sealed (or dropped, where it
holds no such cell); every ``WRITING`` body whose writer is gone is released. What a full or read-only disk forbids is
left, and tried again at the next run: the store is served meanwhile. A pack the index does not know, or holds in
quarantine, is never touched. Running it again, while the store is in use, or in two processes, does no harm.
Cost: the open packs, which are few; sealed ones are only compared by name.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import WRITING_PREFIX, prefix_end
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.packs.manifest import Entry, FillerEntry, Manifest, RunEntry, SharedEntry
from noisefs.core.domain.records import Body, BodyState, Dead, Pack, PackLive, PackState, Placement, decode, encode
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import (
    BlockUnavailable,
    CapacityExceeded,
    IntegrityError,
    NoisefsError,
    PackDamaged,
    PackNotFound,
    PackPoisoned,
    StorageFailed,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.packs import OpenPack, PackStore, Reach, StoredPack
from noisefs.core.ports.presence import Presence
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.copies import copies_of, is_away, set_copies
from noisefs.core.services.packs.filling import append_manifest
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.rows import drop_rows, set_pack, unplace
from noisefs.core.services.packs.seeds import SeedPool, Source

log = logging.getLogger(__name__)

SOURCES_AT_START = 8
"""Newest sealed packs that are remembered as sources of seeds."""

ROWS = 1 << 20
"""More rows than a store has packs: 64 TiB of them."""


@dataclass(slots=True)
class RecoveryReport:
    """What a start found and did."""

    packs_closed: int = 0
    packs_dropped: int = 0
    packs_missing: int = 0
    packs_unknown: int = 0
    """Sealed, and in no row: kept, and told by ``audit orphans``."""
    packs_left: int = 0
    """Could not be closed or removed now."""
    bodies_released: int = 0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Closes what a crash left open. Run at start before the first request, and by the leader when a process died."""

    index: Index
    packs: PackStore
    commits: CommitQueue
    workers: Workers
    clock: Clock
    entropy: Entropy
    keys: StoreKeys
    geometry: Geometry
    presence: Presence
    manifests: ManifestReader
    seeds: SeedPool

    async def run(self) -> RecoveryReport:
        """At start: :meth:`mend`, and learn which blocks may become seeds."""
        report = await self.mend()
        await self._remember_sources()
        return report

    async def mend(self, *, again: bool = False) -> RecoveryReport:
        """Close what processes that are gone left. A pack that cannot be closed is told and left; the rest is served.

        ``again``: not the first run; what is still missing was told before.

        Raises:
            IndexClosed, IndexDamaged: The index cannot be used.
        """
        report = RecoveryReport()
        # First, so that cells nobody published keep no pack longer than it is durable.
        await self._release_writing(report)
        stored = {pack.pack_id: pack for pack in await self.workers.run(Lane.BACKGROUND, self.packs.list)}
        rows = await self.workers.run(Lane.BACKGROUND, self.index.read, pack_rows)
        for pack in stored.values():
            row = rows.get(pack.pack_id)
            if not pack.sealed:
                await self._close(pack, row, report)
            elif row is None:
                report.packs_unknown += 1
                log.log(logging.DEBUG if again else logging.WARNING, "pack.unknown", extra={"pack": pack.pack_id.hex()})
        absent = rows.keys() - stored.keys()
        away = await self.workers.run(Lane.BACKGROUND, self.index.read, partial(_away, absent))
        for pack_id, row in rows.items():
            if pack_id in away and row.state != PackState.DROPPING:
                continue
            try:
                await self._compare(pack_id, row, stored.get(pack_id), report, again=again)
            except (CapacityExceeded, StorageFailed) as exc:
                report.packs_left += 1
                log.warning("pack.left", extra={"pack": pack_id.hex(), "cause": str(exc)})
        return report

    # ------------------------------------------------------------------ open packs

    async def _close(self, stored: StoredPack, row: Pack | None, report: RecoveryReport) -> None:
        pack_id = stored.pack_id
        if row is not None and (row.state == PackState.DROPPING or self.presence.is_alive(row.owner)):
            return  # dropped below; or poisoned by a process that may still publish what it has in it
        pack: OpenPack | None = None
        try:
            pack = await self.workers.run(Lane.BACKGROUND, self.packs.adopt, pack_id)
            if pack is not None:  # else its writer lives
                await self._close_adopted(pack, row, report)
        except PackNotFound:
            return  # another process closed it meanwhile
        except (CapacityExceeded, StorageFailed, PackPoisoned) as exc:
            log.warning("pack.left", extra={"pack": pack_id.hex(), "cause": str(exc)})
            report.packs_left += 1
        except IntegrityError:
            log.exception("pack.close_failed", extra={"pack": pack_id.hex()})
            report.packs_left += 1
        finally:
            if pack is not None:
                await self.workers.run(Lane.BACKGROUND, pack.abandon)

    async def _close_adopted(self, pack: OpenPack, row: Pack | None, report: RecoveryReport) -> None:
        pack_id = pack.pack_id
        if row is not None and row.state not in (PackState.OPEN, PackState.POISONED):
            await self.workers.run(Lane.BACKGROUND, self._finish_seal, pack, row)
            report.packs_closed += 1
            return
        placed, named = await self.workers.run(Lane.BACKGROUND, self.index.read, lambda tx: placed_in(tx, pack_id))
        if row is None or not named:
            if row is not None and not placed:
                live = await self.workers.run(Lane.BACKGROUND, self.index.read, lambda tx: live_of(tx, pack_id))
                if live.cells or live.slices:
                    raise PackDamaged(pack_id, "the index counts cells in it and does not say where")
            await self.workers.run(Lane.BACKGROUND, pack.abandon)
            if row is not None:
                await self.commits.run(partial(self._forget, pack_id))
            await self.workers.run(Lane.BACKGROUND, self.packs.drop, pack_id)
            report.packs_dropped += 1
            return
        strategy = strategy_named(row.strategy, pack_id=pack_id, prf_key=self.keys.prf)
        keep = max(position + (what.count - 1) * strategy.stride + 1 for position, what in named)
        if pack.blocks < keep:
            raise PackDamaged(pack_id, f"it has {pack.blocks} blocks and the index names {keep}")
        manifest = Manifest(
            pack_id=pack_id,
            strategy=row.strategy,
            generation=row.generation,
            seeds=row.seeds,
            blocks=keep + 1,
            entries=entries_of(named, strategy, keep),
        )

        def finish() -> None:
            self.packs.truncate(pack, keep)
            append_manifest(pack, strategy, manifest, self.keys, self.geometry, self.entropy)
            pack.seal()

        await self.workers.run(Lane.BACKGROUND, finish)
        await self._sealed(pack_id, row, keep + 1)
        report.packs_closed += 1

    def _finish_seal(self, pack: OpenPack, row: Pack) -> None:
        """The row says sealed, the file's name does not: a disk that keeps no order lost the rename."""
        if pack.blocks < row.blocks:
            raise PackDamaged(pack.pack_id, f"it has {pack.blocks} blocks and the index says {row.blocks}")
        self.manifests.read(pack.pack_id, row.blocks, row.strategy)
        self.packs.truncate(pack, row.blocks)
        pack.seal()

    async def _sealed(self, pack_id: PackId, row: Pack, blocks: int) -> None:
        sealed = Pack(
            PackState.SEALED,
            row.owner,
            blocks,
            row.strategy,
            row.generation,
            row.created_us,
            self.clock.now_us(),
            row.seeds,
            row.format,
        )

        def close(tx: Writing) -> None:
            set_pack(tx, pack_id, sealed)
            unplace(tx, pack_id)

        await self.commits.run(close)

    # ------------------------------------------------------------------ rows against files

    async def _compare(
        self, pack_id: PackId, row: Pack, stored: StoredPack | None, report: RecoveryReport, *, again: bool
    ) -> None:
        if row.state == PackState.DROPPING:
            await self.workers.run(Lane.BACKGROUND, self.packs.drop, pack_id)
            await self.commits.run(partial(self._forget, pack_id))
            report.packs_dropped += 1
        elif stored is not None and (not stored.sealed or row.state not in (PackState.OPEN, PackState.POISONED)):
            return
        elif self.presence.is_alive(row.owner):
            return  # it may just be making, sealing or removing this pack
        elif stored is not None:
            # The crash came between the rename and the commit of the row.
            await self._sealed(pack_id, row, stored.blocks)
            report.packs_closed += 1
        elif await self.commits.run(partial(_take_for_away, pack_id)):
            log.warning("pack.on_nodes_only", extra={"pack": pack_id.hex()})
        else:
            live = await self.workers.run(Lane.BACKGROUND, self.index.read, lambda tx: live_of(tx, pack_id))
            if live.cells == 0 and live.slices == 0:
                await self.commits.run(partial(self._forget, pack_id))
            else:
                report.packs_missing += 1
                fields = {"pack": pack_id.hex(), "cells": live.cells, "slices": live.slices}
                log.log(logging.DEBUG if again else logging.ERROR, "pack.missing", extra=fields)

    def _forget(self, pack_id: PackId, tx: Writing) -> None:
        drop_rows(tx, pack_id, self.clock.now_us())

    # ------------------------------------------------------------------ bodies

    async def _release_writing(self, report: RecoveryReport) -> None:
        rows = await self.workers.run(
            Lane.BACKGROUND,
            self.index.read,
            lambda tx: tx.scan(Table.META, WRITING_PREFIX, prefix_end(WRITING_PREFIX), ROWS),
        )
        now_us = self.clock.now_us()
        for key, raw in rows:
            owner, body_id = InstanceId(raw), BodyId(key[len(WRITING_PREFIX) :])
            if owner == self.presence.instance_id or self.presence.is_alive(owner):
                continue

            def bury(tx: Writing, key: bytes = key, body_id: BodyId = body_id) -> None:
                tx.delete(Table.META, key)
                tx.delete(Table.BODIES, body_id)
                tx.put(Table.DEAD, body_id, encode(Dead(now_us)))

            try:
                await self.commits.run(bury)
            except CapacityExceeded as exc:
                log.warning("body.release_waits", extra={"cause": str(exc)})
                return
            report.bodies_released += 1

    # ------------------------------------------------------------------ seeds

    async def _remember_sources(self) -> None:
        rows = await self.workers.run(Lane.BACKGROUND, self.index.read, pack_rows)
        sealed = [(row.sealed_us, pack_id, row) for pack_id, row in rows.items() if row.state == PackState.SEALED]
        for _when, pack_id, row in sorted(sealed, reverse=True)[:SOURCES_AT_START]:
            try:
                manifest = await self.workers.run(
                    Lane.BACKGROUND, self.manifests.read, pack_id, row.blocks, row.strategy, reach=Reach.DISK
                )
            except NoisefsError as exc:
                # A start waits for no node: where the pack is on nodes only, others will do.
                expected = self.packs.reaches_network and isinstance(exc, BlockUnavailable)
                level = logging.DEBUG if expected else logging.WARNING
                log.log(level, "pack.manifest_unreadable", extra={"pack": pack_id.hex(), "cause": str(exc)})
                continue
            sources = await self.workers.run(Lane.BACKGROUND, self.index.read, partial(sources_of, manifest))
            self.seeds.remember(pack_id, sources, None)


def pack_rows(tx: Reading) -> dict[PackId, Pack]:
    """Every pack's row."""
    return {PackId(key): decode(Pack, raw) for key, raw in tx.scan(Table.PACKS, b"", b"\xff" * 17, ROWS)}


def live_of(tx: Reading, pack_id: PackId) -> PackLive:
    """A pack's counters."""
    raw = tx.get(Table.PACK_LIVE, pack_id)
    return PackLive(0, 0, 0) if raw is None else decode(PackLive, raw)


def _away(packs: Collection[PackId], tx: Reading) -> set[PackId]:
    """Those of which the file is not on this disk because nodes have them: if one is dead, the cleaner drops it."""
    return {pack_id for pack_id in packs if is_away(tx, pack_id)}


def _take_for_away(pack_id: PackId, tx: Writing) -> bool:
    """Let the row of a pack whose file was lost say so, if nodes hold it; tells whether they do."""
    row = copies_of(tx, pack_id)
    if row is None or not row.nodes:
        return False
    set_copies(tx, pack_id, msgspec.structs.replace(row, local=False))
    return True


def placements(tx: Reading, pack_id: PackId) -> list[tuple[int, Placement]]:
    """What committed rows name in an open pack, by position."""
    rows = tx.scan(Table.PLACEMENTS, pack_id, prefix_end(pack_id), 1 << 16)
    return [(int.from_bytes(key[-2:], "big"), decode(Placement, raw)) for key, raw in rows]


def placed_in(tx: Reading, pack_id: PackId) -> tuple[int, list[tuple[int, Placement]]]:
    """How much rows name in an open pack, and what of it is a published body's or shared by slices.

    Only that is known to be durable: a ``WRITING`` row may be older than the sync of the cells it names.
    """
    placed = placements(tx, pack_id)
    named: list[tuple[int, Placement]] = []
    for position, what in placed:
        raw = tx.get(Table.BODIES, what.body_id) if what.body_id else None
        if not what.body_id or (raw is not None and decode(Body, raw).state != BodyState.WRITING):
            named.append((position, what))
    return len(placed), named


def entries_of(placed: list[tuple[int, Placement]], strategy: Strategy, blocks: int) -> tuple[Entry, ...]:
    """Manifest entries of an open pack that is cut to ``blocks`` blocks: what no row names is filler."""
    entries: list[Entry] = []
    at = strategy.seeds
    for position, what in placed:
        begin = position - strategy.stride + 1
        if begin > at:
            entries.append(FillerEntry(at, begin - at))
        if what.body_id:
            entries.append(
                RunEntry(position, what.count, strategy.stride, what.body_id, what.segment, what.seed, what.generation)
            )
        else:
            entries.append(SharedEntry(position, what.seed, what.generation))
        at = position + (what.count - 1) * strategy.stride + 1
    if at < blocks:
        entries.append(FillerEntry(at, blocks - at))
    return tuple(entries)


def sources_of(manifest: Manifest, tx: Reading) -> tuple[Source, ...]:
    """Blocks of a sealed pack that may become seeds: one of each run, and the shared cells.

    Not of bodies of open uploads: which upload they belong to was forgotten, and its other parts must not lean on them.
    """
    sources: list[Source] = []
    for entry in manifest.entries:
        if isinstance(entry, RunEntry):
            raw = tx.get(Table.BODIES, entry.body_id)
            if raw is None or decode(Body, raw).state != BodyState.HELD:
                sources.append(Source(entry.position, entry.body_id, entry.body_id))
        elif isinstance(entry, SharedEntry):
            sources.append(Source(entry.position, None, b"shared"))
    return tuple(sources)
