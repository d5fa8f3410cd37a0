"""Watching this process's readers: telling other processes of them, and cutting those that read what was deleted.

Promise: a read of a deleted object ends, with a closed connection, within 60 s of the delete; one of a replaced object
may go on for an hour. Until then the cells wait. Cost: one point read per body being read, every ``WATCH_EVERY_S``.
"""

from typing import Final

from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import Dead, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.presence import Presence
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.readers import Readers

WATCH_EVERY_S: Final = 1.0
DELETED_AFTER_S: Final = 45.0
REPLACED_AFTER_S: Final = 3600.0
PUBLISHED_WITHIN_S: Final = 5.0
"""A reader is known to other processes within this time: younger dead bodies are left alone by theirs."""


class ReaderWatch:
    """One per process, run as a job."""

    def __init__(self, *, index: Index, workers: Workers, clock: Clock, presence: Presence, readers: Readers) -> None:
        self._index = index
        self._workers = workers
        self._clock = clock
        self._presence = presence
        self._readers = readers
        self._published: frozenset[BodyId] = frozenset()

    async def run(self) -> None:
        """One look."""
        reads = self._readers.reads()
        if not reads and not self._published:
            return
        if reads != self._published:
            packs: set[PackId] = set()
            await self._workers.run(Lane.BACKGROUND, self._presence.publish_reads, reads, packs)
            self._published = reads

        def late(tx: Reading) -> list[BodyId]:
            return [body_id for body_id in reads if self._is_late(tx.get(Table.DEAD, body_id))]

        for body_id in await self._workers.run(Lane.BACKGROUND, self._index.read, late):
            self._readers.cut(body_id)

    def _is_late(self, raw: bytes | None) -> bool:
        if raw is None:
            return False
        dead = decode(Dead, raw)
        age_s = (self._clock.now_us() - dead.since_us) / 1e6
        return age_s > (DELETED_AFTER_S if dead.deleted else REPLACED_AFTER_S)
