"""Events of a store: queues as the configuration has them, and a delivery for each target."""

import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from typing import Final

from noisefs.core.errors import StoreSuperseded
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index, Reading
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.events import queue
from noisefs.core.services.events.delivery import Delivery, EventSettings
from noisefs.core.services.jobs import Job

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.25
"""How late an event may leave that nothing is in the way of."""


class Events:
    """The queues, and what empties them."""

    def __init__(
        self,
        *,
        sinks: Mapping[str, EventSink],
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        settings: EventSettings,
    ) -> None:
        """``sinks``: by target."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._targets = tuple(sinks)
        self._most = settings.queue_most
        self.deliveries = {
            target: Delivery(
                target=target,
                sink=sink,
                index=index,
                commits=commits,
                workers=workers,
                clock=clock,
                entropy=entropy,
                telemetry=telemetry,
                settings=settings,
            )
            for target, sink in sinks.items()
        }

    async def start(self) -> None:
        """Let there be a queue for every target, before the first change. What waits for others is given up.

        Of a store that another gateway goes on with, the queues are that one's.
        """
        with contextlib.suppress(StoreSuperseded):
            await self._lay_out()

    async def _lay_out(self) -> None:
        targets, most = self._targets, self._most

        def as_it_is(tx: Reading) -> bool:
            return queue.is_laid_out(tx, targets, most)

        if not await self._workers.run(Lane.BACKGROUND, self._index.read, as_it_is):
            await self._commits.run(partial(queue.lay_out, targets=targets, most=most))
        queues = await self._workers.run(Lane.BACKGROUND, self._index.read, queue.all_of)
        for target in sorted(queues.keys() - set(targets)):
            gone, done = 0, False
            while not done:
                some, done = await self._commits.run(partial(queue.give_up, target=target))
                gone += some
            log.warning("events.given_up", extra={"target": target, "events": gone})

    def jobs(self) -> list[Job]:
        """One for each target. A receiver that does not answer holds up nobody."""
        return [Job("events", LOOK_EVERY_S, delivery.run, light=True) for delivery in self.deliveries.values()]
