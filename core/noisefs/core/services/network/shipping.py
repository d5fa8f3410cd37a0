"""From a snapshot taken to a head that names it: what makes the loss of a gateway cost minutes.

Order: the snapshot, its files on nodes, the head that names it on nodes, and only then old heads go, and then the files
that only they needed. A crash between any two steps leaves more than is needed, never less.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from noisefs.core.services.network.files import NodeFiles
from noisefs.core.services.network.heads import Heads
from noisefs.core.services.snapshots.catalog import SnapshotInfo
from noisefs.core.services.snapshots.service import Snapshots

log = logging.getLogger(__name__)


class SnapshotShipping:
    """Takes snapshots and brings them onto nodes. Task-safe; belongs to one event loop."""

    def __init__(
        self, snapshots: Snapshots, files: NodeFiles, heads: Heads, flush: Callable[[], Awaitable[object]]
    ) -> None:
        """``flush``: closes what is open and brings it onto nodes, so that a snapshot finds everything there."""
        self._snapshots = snapshots
        self._files = files
        self._heads = heads
        self._flush = flush
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Take a snapshot if anything changed, ship what nodes lack, and let go of what expired.

        Raises:
            StoreSuperseded: Another gateway goes on with this store.
            DiskFull, ReadOnlyStore, StorageFailed, IndexClosed: It could not be taken, or noted.
        """
        await self._snapshots.create()
        await self._snapshots.expire()
        await self.ship()

    async def create(self, *, full: bool | None = None) -> tuple[SnapshotInfo, bool]:
        """For whoever asks for one now: with everything that was written before it on nodes, where these answer.

        Returns the snapshot, and whether a head that names it is on a node. Raises as :meth:`run`.
        """
        await self._flush()
        info = await self._snapshots.create(full=full)
        return info, await self.ship()

    async def ship(self) -> bool:
        """Bring onto nodes what is not there; whether the newest snapshot is, and a head that names it. No snapshot is
        taken. Raises as :meth:`run`.
        """
        async with self._busy:
            await self._heads.check()
            newest = await self._snapshots.list()
            placed = await self._files.place()
            if placed is None:
                log.warning("snapshot.not_placed", extra={"snapshots": len(newest)})
                return False
            published = await self._heads.publish(placed)
            await self._files.expire(await self._heads.tidy())
            return published and placed.chain[-1].upto == newest[-1].upto
