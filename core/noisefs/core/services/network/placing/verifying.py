"""Verifying: every block of every copy is read and compared with its name, slowly, so that rot is found before a read.

Promise: while this runs, each copy on a node that answers is inspected once in ``round_s``; a restart goes on where it
was, give or take ``NOTED_EVERY_S``. Of a cluster it is the peer through which blocks enter that is read.
Cost: all bytes of all copies cross the network once a round. 1 TiB on nodes in 30 days are 420 kB/s, which a core
verifies in a thousandth of its time.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.keyspace import VERIFIED_KEY
from noisefs.core.domain.records import Copies, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.placing.damage import Damage

log = logging.getLogger(__name__)

STEP_S: Final = 20.0
"""After so long a step begins nothing more."""
NOTED_EVERY_S: Final = 600.0
"""Where it is, is written down so often."""


@dataclass(slots=True)
class Verified:
    """What was looked at: packs and files, their copies, those that are damaged, and those that could not be read now.

    ``after``: key behind which to go on; ``None``: that was all.
    """

    files: int = 0
    copies: int = 0
    damaged: int = 0
    unread: int = 0
    after: bytes | None = b""


class Verifying:
    """The job: :meth:`run` often, it does its part when that is due. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        damage: Damage,
        round_s: float,
    ) -> None:
        """``round_s``: everything is read once in this time; 0: never."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._damage = damage
        self._round_s = round_s
        self._after: bytes | None = None
        self._due_s = 0.0
        self._noted_s = 0.0
        self._rest_s = 0.0

    async def run(self) -> Verified:
        """Look at what is due."""
        done = Verified()
        if not self._round_s:
            return done
        until_s = self._clock.monotonic_s() + STEP_S
        if self._after is None:
            self._after = await self._workers.run(Lane.BACKGROUND, self._index.read, _noted) or b""
            self._noted_s = self._clock.monotonic_s()
            await self._begin()
        while self._due_s <= self._clock.monotonic_s() < until_s:
            found = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_next, self._after))
            if found is None:
                self._after = b""
                await self._begin()
                await self._note()
                break
            await self._examine(*found, done)
            self._after = found[0]
            self._due_s += self._rest_s
        if self._clock.monotonic_s() - self._noted_s >= NOTED_EVERY_S:
            await self._note()
        return done

    async def verify(self, after: bytes, wait_s: float) -> Verified:
        """Look at everything behind this key now, for about so long. For the operator."""
        done = Verified(after=after)
        until_s = self._clock.monotonic_s() + wait_s
        while done.after is not None and self._clock.monotonic_s() < until_s:
            found = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_next, done.after))
            if found is not None:
                await self._examine(*found, done)
            done.after = None if found is None else found[0]
        return done

    async def _begin(self) -> None:
        """Spread what there is over the round; where there is nothing, look again after a while."""
        count = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: tx.count(Table.COPIES))
        self._rest_s = self._round_s / (count + 1)
        self._due_s = self._clock.monotonic_s() + self._rest_s

    async def _note(self) -> None:
        after = self._after or b""
        await self._commits.run(partial(_write, after))
        self._noted_s = self._clock.monotonic_s()

    async def _examine(self, key: bytes, row: Copies, done: Verified) -> None:
        done.files += 1
        for name in dict.fromkeys((*row.nodes, *row.damaged)):
            flaws = await self._damage.examine(name, key)
            done.copies += 1
            done.damaged += bool(flaws)
            done.unread += flaws is None


def _next(after: bytes, tx: Reading) -> tuple[bytes, Copies] | None:
    rows = tx.scan(Table.COPIES, after + b"\0" if after else b"", b"\xff" * 256, 1)
    return (rows[0][0], decode(Copies, rows[0][1])) if rows else None


def _noted(tx: Reading) -> bytes | None:
    return tx.get(Table.META, VERIFIED_KEY)


def _write(after: bytes, tx: Writing) -> None:
    tx.put(Table.META, VERIFIED_KEY, after)
