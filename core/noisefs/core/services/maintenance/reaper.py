"""The reaper: releases the cells and slices of bodies that nothing refers to, and those of others that nothing covers.

Promise: a dead body's rows go only when nobody reads it; a pack's live count and the rows it counts change in one
commit. In batches of rows, so that a body of terabytes blocks nobody. Cost: one index commit a batch.
"""

from functools import partial

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Dead, Run, SlicePlace, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.presence import Presence
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.discards import Discards
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.bodies.readers import Readers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.maintenance.trimming import bodies_to_trim, trim
from noisefs.core.services.packs.staging import change_live

BODIES_AT_ONCE = 256
RUNS_AT_ONCE = 256


class Reaper:
    """Works off the table ``DEAD``. Two may run at once."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        readers: Readers,
        discards: Discards,
        gate: SpaceGate,
        presence: Presence,
        clock: Clock,
        geometry: Geometry,
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._readers = readers
        self._discards = discards
        self._gate = gate
        self._presence = presence
        self._clock = clock
        self._geometry = geometry

    async def run(self, *, min_age_us: int = 0) -> int:
        """Release every dead body that nobody reads; returns how many.

        Args:
            min_age_us: Leave younger ones: with several processes, their readers may not be known yet.
        """
        await self._discards.again()
        before_us = self._clock.now_us() - min_age_us
        done = 0
        start = b""
        done += await self._trim()
        while True:
            rows = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_dead_from, start))
            if not rows:
                if done:
                    self._gate.wake.set()  # there is something dead for the cleaner to see
                return done
            others, _packs = await self._workers.run(Lane.BACKGROUND, self._presence.others_read)
            bodies = self._readers.claim(
                BodyId(key) for key, raw in rows if key not in others and decode(Dead, raw).since_us <= before_us
            )
            left = bodies
            while left:
                left = await self._commits.run(partial(_release, left))
            done += len(bodies)
            start = rows[-1][0] + b"\0"

    async def _trim(self) -> int:
        """Release what no extent of a body covers, where nobody reads that body; returns how many bodies it were."""
        done = 0
        start = b""
        while bodies := await self._workers.run(Lane.BACKGROUND, self._index.read, partial(bodies_to_trim, start)):
            others, _packs = await self._workers.run(Lane.BACKGROUND, self._presence.others_read)
            read = self._readers.reads() | others
            for body_id in bodies:
                if body_id in read:
                    continue
                done += 1
                while await self._commits.run(partial(trim, body_id, self._geometry)):
                    pass
            start = bodies[-1] + b"\0"
        return done


def _dead_from(start: bytes, tx: Reading) -> list[tuple[bytes, bytes]]:
    return tx.scan(Table.DEAD, start, b"\xff" * 17, BODIES_AT_ONCE)


def _release(bodies: list[BodyId], tx: Writing) -> list[BodyId]:
    """Release up to a batch of rows; returns the bodies that still have some."""
    room = RUNS_AT_ONCE
    changes: dict[PackId, list[int]] = {}
    for number, body_id in enumerate(bodies):
        runs = tx.scan(Table.RUNS, body_id, prefix_end(body_id), room)
        for key, raw in runs:
            run = decode(Run, raw)
            changes.setdefault(run.pack_id, [0, 0, 0])[0] -= run.count
            tx.delete(Table.RUNS, key)
        room -= len(runs)
        if room <= 0:
            _apply(tx, changes)
            return bodies[number:]
        raw_place = tx.get(Table.SLICES, body_id)
        if raw_place is not None:
            pieces = decode(SlicePlace, raw_place).pieces
            for piece in pieces:
                change = changes.setdefault(piece.pack_id, [0, 0, 0])
                change[1] -= piece.length
                change[2] -= 1
            tx.delete(Table.SLICES, body_id)
        tx.delete(Table.INLINE, body_id)
        tx.delete(Table.DEAD, body_id)
    _apply(tx, changes)
    return []


def _apply(tx: Writing, changes: dict[PackId, list[int]]) -> None:
    for pack_id, (cells, slice_bytes, slices) in changes.items():
        change_live(tx, pack_id, cells=cells, slice_bytes=slice_bytes, slices=slices)
