"""Space held back on the disk: given up when the disk is full, taken back when there is room again.

Packs and new writes stop early enough by themselves (``store.reserve_bytes``); this is for the case that somebody else
fills the disk. Then the index still has room for DELETE and for cleaning up.
"""

import asyncio
import logging
from typing import Final

from noisefs.adapters.outbound.localpacks.reserve import Reserve
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.disk import Disk
from noisefs.core.ports.workers import Lane, Workers

log = logging.getLogger(__name__)

LOW_BYTES: Final = 8 << 20
"""With less than this free the ballast goes: enough for the index's log of some thousand deletions."""
LOOK_EVERY_S: Final = 2.0


class Ballast:
    """Tends the ballast file until it is stopped. One process of a store does."""

    def __init__(self, disk: Disk, path: str, size_bytes: int, workers: Workers, clock: Clock) -> None:
        """Hold ``size_bytes`` (0: nothing) in the file ``path``."""
        self._disk = disk
        self._folder = path.rpartition("/")[0]
        self._reserve = Reserve(disk, path, size_bytes)
        self._size_bytes = size_bytes
        self._workers = workers
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, then again and again."""
        await self._workers.run(Lane.BACKGROUND, self.tend)
        self._task = asyncio.create_task(self._repeat(), name="ballast")

    async def stop(self) -> None:
        """Leave the ballast as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def relieve(self) -> bool:
        """Let go of the ballast now, because a commit found no space; tells whether that made room. Blocks."""
        try:
            freed = self._reserve.release()
        except NoisefsError:
            log.warning("ballast.failed", exc_info=True)
            return False
        if freed:
            log.warning("disk.full", extra={"ballast_bytes_released": freed})
        return freed > 0

    def tend(self) -> None:
        """Let go of the ballast on a full disk, take it back on one with room. Blocks for some microseconds."""
        try:
            if self._disk.free(self._folder).bytes < LOW_BYTES:
                freed = self._reserve.release()
                if freed:
                    log.warning("disk.full", extra={"ballast_bytes_released": freed})
            elif self._size_bytes:
                self._reserve.ensure()
        except NoisefsError:
            log.warning("ballast.failed", exc_info=True)  # a read-only disk still serves reads

    async def _repeat(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await self._workers.run(Lane.BACKGROUND, self.tend)
