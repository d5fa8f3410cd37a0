"""From a snapshot taken to a head that names it: what makes the loss of a gateway cost minutes.

Order: the snapshot; what lies in packs that it names, on nodes; its files; the head that names it; and only then old
heads go, and the files that only they needed. So whoever restores from the newest head finds everything it names, and a
small object that was packed after the snapshot before is never less safe for it. Only where nodes take what waits too
slowly a snapshot goes ahead of it. A crash between any two steps leaves more than is needed, never less.
"""

import asyncio
import logging
from typing import Protocol

from noisefs.core.errors import NoisefsError, StoreSuperseded
from noisefs.core.ports.telemetry import Gauge, Telemetry
from noisefs.core.services.network.heads.files import NodeFiles
from noisefs.core.services.network.heads.heads import Heads
from noisefs.core.services.snapshots.catalog import SnapshotInfo
from noisefs.core.services.snapshots.service import Snapshots

log = logging.getLogger(__name__)


class Flush(Protocol):
    """Closes packs that are open and brings them onto nodes: for a moment, or, ``patient``, until they take no more."""

    async def __call__(self, *, patient: bool) -> object:
        """Raises what a seal may raise; a node that fails is no error."""


class SnapshotShipping:
    """Takes snapshots and brings them onto nodes. Task-safe; belongs to one event loop."""

    def __init__(
        self, snapshots: Snapshots, files: NodeFiles, heads: Heads, flush: Flush, telemetry: Telemetry
    ) -> None:
        """Nothing happens by itself."""
        self._telemetry = telemetry
        self._snapshots = snapshots
        self._files = files
        self._heads = heads
        self._flush = flush
        self._busy = asyncio.Lock()
        self._flushed = ""
        """Name of the newest snapshot whose packs were brought onto nodes, as far as these took them."""

    async def run(self) -> None:
        """Take a snapshot if anything changed, ship what nodes lack, and let go of what expired.

        Raises:
            StoreSuperseded: Another gateway goes on with this store.
            DiskFull, ReadOnlyStore, StorageFailed, IndexClosed: It could not be taken, or noted.
        """
        await self._take(patient=False)

    async def create(self, *, full: bool | None = None) -> tuple[SnapshotInfo, bool]:
        """For whoever asks for one now: the snapshot, and whether it and a head that names it are on a node.

        All that was written before it is brought there too, as far as nodes take it. Raises as :meth:`run`.
        """
        return await self._take(full=full, patient=True)

    async def _take(self, *, full: bool | None = None, patient: bool) -> tuple[SnapshotInfo, bool]:
        info = await self._snapshots.create(full=full)
        if info.name != self._flushed:
            try:
                await self._flush(patient=patient)
                self._flushed = info.name
            except StoreSuperseded:
                raise
            except NoisefsError as exc:  # what is on nodes is worth a head all the same
                log.warning("snapshot.ahead_of_packs", extra={"snapshot": info.name, "cause": str(exc)})
        return info, await self.ship()

    async def ship(self) -> bool:
        """Bring snapshots and a head onto nodes, and wait for no pack; whether the newest one is there.

        Raises:
            StoreSuperseded: Another gateway goes on with this store.
            DiskFull, ReadOnlyStore, StorageFailed, IndexClosed: A row or the head could not be written here.
        """
        async with self._busy:
            await self._heads.check()
            await self._snapshots.expire()  # under the lock: nobody reads a file that goes
            newest = await self._snapshots.list()
            placed = await self._files.place()
            if placed is None:
                log.warning("snapshot.not_placed", extra={"snapshots": len(newest)})
                return False
            published = await self._heads.publish(placed)
            if published:
                self._telemetry.gauge(Gauge.SNAPSHOT_ON_NODES, placed.chain[-1].created_us / 1e6)
            await self._files.expire(await self._heads.tidy())
            return published and placed.chain[-1].upto == newest[-1].upto
