"""Bodies that were given up before a commit named them: their cells become filler, their rows go.

Promise: whatever ended an upload, the space it took is released, at the latest by the reaper: a commit that a full disk
refuses now is tried again there. Where this process ends before, recovery does it.
"""

import asyncio
import logging

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.keyspace import writing_key
from noisefs.core.domain.records import Dead, encode
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.staging import Staging
from noisefs.core.services.packs.unbroken import unbroken

log = logging.getLogger(__name__)


class Discards:
    """Gives bodies up. Belongs to the event loop."""

    def __init__(self, commits: CommitQueue) -> None:
        self._commits = commits
        self._left: dict[BodyId, int] = {}
        self._busy = asyncio.Lock()

    async def discard(self, staging: Staging, now_us: int) -> None:
        """Give a body up: its unsealed cells become filler, a ``WRITING`` row goes and its cells are released.

        Never fails, and is not broken off by a cancelled caller. Harmless for a body whose commit went through although
        its caller was cancelled: that one has no ``WRITING`` row.
        """
        staging.discarded = True
        if not staging.marked:
            return
        self._left[staging.body_id] = now_us
        await unbroken(self._bury_all())

    async def again(self) -> None:
        """Release what could not be released before."""
        if self._left:
            await self._bury_all()

    async def _bury_all(self) -> None:
        async with self._busy:
            bodies = dict(self._left)
            if not bodies:
                return

            def bury(tx: Writing) -> None:
                for body_id, since_us in bodies.items():
                    if tx.get(Table.META, writing_key(body_id)) is not None:
                        tx.delete(Table.META, writing_key(body_id))
                        tx.delete(Table.BODIES, body_id)
                        tx.put(Table.DEAD, body_id, encode(Dead(since_us)))

            try:
                await self._commits.run(bury)
            except NoisefsError as exc:
                log.warning("body.release_waits", extra={"bodies": len(bodies), "cause": str(exc)})
                return
            for body_id in bodies:
                self._left.pop(body_id, None)
