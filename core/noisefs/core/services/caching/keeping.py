"""The tiers of one process of a store with nodes, from start to end.

Promise: nothing here can fail a read, a write or the start: what goes wrong is told, and read from nodes.
Belongs to the event loop.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Final

from noisefs.core.domain.ids import BodyId
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.caching.ahead import Ahead
from noisefs.core.services.caching.entry import Why
from noisefs.core.services.caching.learning import Learning
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.tiers import Tiers
from noisefs.core.services.caching.warming import SAVE_EVERY_S, Warming
from noisefs.core.services.jobs import Job

WORK_EVERY_S: Final = 5.0
"""The disk cache is looked after so often, and whenever something waits for it."""

SWEEP_EVERY_S: Final = 30.0
SWEEP_BODIES: Final = 2048
"""Bodies in the disk cache that are looked up in the index at a time: another process may have reclaimed them."""

YES: Final = ("yes",)
NO: Final = ("no",)


class Caching:
    """Looks after tiers, and hears of reads."""

    def __init__(
        self,
        *,
        cells: CellReader,
        tiers: Tiers,
        kept: SealedList | None,
        index: Index,
        workers: Workers,
        telemetry: Telemetry,
        block_bytes: int,
        waste_share: float,
    ) -> None:
        """``kept``: where the list of what is in memory lies, if it is to survive; ``waste_share``: as of ``Ahead``."""
        self.tiers = tiers
        self.warming = None if kept is None else Warming(cells=cells, kept=kept, index=index, workers=workers)
        self.learning: Learning | None = None
        """Set before the start, where policies learn."""
        self._cells = cells
        self._index = index
        self._workers = workers
        self._telemetry = telemetry
        self._swept = 0
        self._in_charge: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ahead = Ahead(
            fetch=self._fetch,
            outcome=cells.hot.outcome,
            holds=lambda body_id, number: cells.hot.holds((body_id, number)),
            taken_bytes=lambda: cells.blocks.taken * block_bytes,
            telemetry=telemetry,
            waste_share=waste_share,
        )
        if tiers.warm is not None:
            tiers.warm.wake = self._ring

    async def start(self) -> None:
        """Take up what the last life left on the disk."""
        self._loop = asyncio.get_running_loop()
        if self.tiers.warm is not None:
            await self._workers.run(Lane.BACKGROUND, self.tiers.warm.open)
        if self.learning is not None:
            await self.learning.start()

    def jobs(self) -> list[Job]:
        """What runs all the time."""
        jobs = [Job("hot", WORK_EVERY_S, self._measure, leader_only=False, light=True)]
        if self.tiers.warm is not None:
            work = partial(self._workers.run, Lane.BACKGROUND, self.tiers.warm.work)
            jobs += [
                Job("cache", WORK_EVERY_S, work, leader_only=False, wake=self._wake, group="cache"),
                Job("cache-sweep", SWEEP_EVERY_S, self.sweep, leader_only=False, group="cache-sweep"),
            ]
        if self.learning is not None:
            jobs.append(Job("learning", self.learning.every_s, self.learning.step, leader_only=False, group="learning"))
        if self.warming is not None:
            step, wake = self.warming.step, self.warming.wake
            jobs.append(Job("warming", SAVE_EVERY_S, step, leader_only=False, wake=wake, group="warming"))
        return jobs

    def interrupt(self) -> None:
        """The jobs shall end soon."""
        if self.warming is not None:
            self.warming.stop()

    async def close(self) -> None:
        """Write down what is to be there after a restart. The jobs must have ended."""
        await self.ahead.close()
        if self.warming is not None:
            await self.warming.save()
        if self.tiers.warm is not None:
            await self._workers.run(Lane.BACKGROUND, self.tiers.warm.close)

    # ------------------------------------------------------------------ what it hears

    def span_read(self, body_id: BodyId, first: int, last: int, whole: int, *, cold: bool) -> None:
        """A reader got segments ``first`` to ``last`` of a body with ``whole`` whole ones. ``cold``: not from here."""
        self.ahead.note(body_id, first, last, whole, cold=cold)

    def read_ended(self, *, cold: bool) -> None:
        """A read of an object ended. ``cold``: the network was needed."""
        self._telemetry.count(Counter.READS, 1, YES if cold else NO)

    def forget(self, bodies: Iterable[BodyId]) -> None:
        """These bodies are reclaimed."""
        if self.tiers.warm is not None:
            self.tiers.warm.forget(bodies)

    async def sweep(self) -> int:
        """Let go of bodies that the index does not know any more: some at a time, all in turn; returns how many."""
        warm = self.tiers.warm
        if warm is None:
            return 0
        bodies = warm.bodies()
        if self._swept >= len(bodies):
            self._swept = 0
        some = list(islice(bodies, self._swept, self._swept + SWEEP_BODIES))
        self._swept += len(some)

        def gone(tx: Reading) -> list[BodyId]:
            return [body_id for body_id in some if tx.get(Table.BODIES, body_id) is None]

        dead = await self._workers.run(Lane.BACKGROUND, self._index.read, gone)
        warm.forget(dead)
        return len(dead)

    async def _measure(self) -> None:
        hot, warm = self._cells.hot.state(), self.tiers.warm
        self._telemetry.gauge(Gauge.CACHE_BYTES, hot.bytes, ("hot",))
        self._telemetry.gauge(Gauge.CACHE_BYTES, self._cells.seeds.state().bytes, ("seeds",))
        self._tell_charge("memory", hot.in_charge)
        if warm is not None:
            self._tell_charge("disk", warm.state().in_charge)

    def _tell_charge(self, tier: str, policy: str) -> None:
        before = self._in_charge.get(tier, policy)
        if before != policy:
            self._telemetry.gauge(Gauge.CACHE_IN_CHARGE, 0, (tier, before))
        self._telemetry.gauge(Gauge.CACHE_IN_CHARGE, 1, (tier, policy))
        self._in_charge[tier] = policy

    async def _fetch(self, body_id: BodyId, first: int, count: int, why: Why) -> None:
        await self._workers.run(
            Lane.NETWORK, self._cells.cells, body_id, first, count, keep=True, reach=Reach.NETWORK, why=why
        )

    def _ring(self) -> None:
        """On any thread: there is something to write."""
        if self._loop is not None and not self._wake.is_set():
            try:
                self._loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:  # the loop is closed: it is written at the next start, or not at all
                self._loop = None
