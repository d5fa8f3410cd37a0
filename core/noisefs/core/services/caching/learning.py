"""Teaching the learned policies of the tiers: at fixed intervals, from what has happened, in a process of its own.

Promise: a model decides nothing before it was validated on the newest reads, by who made it (:class:`.CacheTrainer`)
and by us (:mod:`~noisefs.core.domain.caching.scoring.judging`), and leads only until another's shadow is ahead by what
a change costs (:mod:`~noisefs.core.domain.caching.choosing`). Without a model, a trainer, or the time to train,
S3-FIFO and its fixed rivals decide. A model outlives a restart: sealed, replaced as a whole, and no
model if it is damaged or of another version. Belongs to the event loop.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.caching.policy import CachePolicy
from noisefs.core.domain.caching.scoring.forest import BadModel, Forest
from noisefs.core.domain.caching.scoring.judging import beats_age
from noisefs.core.domain.caching.scoring.samples import Samples
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.cache_model import CacheTrainer
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.caching.listing import SealedList

log = logging.getLogger(__name__)

T = TypeVar("T")

LEAST_ROWS: Final = 1000
"""With fewer there is nothing to learn."""


class Decided(Protocol):
    """A tier whose policy may be looked at."""

    def with_policy(self, work: Callable[[CachePolicy], T]) -> T:
        """What ``work`` returns, while nobody else uses the policy. It must be quick."""


class Taught(NamedTuple):
    """A tier, its name in logs, and where its model lies."""

    name: str
    tier: Decided
    kept: SealedList


class Learning:
    """Trains one model for each tier that has a learned policy."""

    def __init__(
        self,
        taught: Sequence[Taught],
        trainer: CacheTrainer,
        *,
        workers: Workers,
        telemetry: Telemetry,
        every_s: float = 300.0,
    ) -> None:
        """``trainer`` blocks: it is called on a background lane, and does its work elsewhere. ``every_s``: how often
        :meth:`step` is to be called.
        """
        self.every_s = every_s
        self._taught = taught
        self._trainer = trainer
        self._workers = workers
        self._telemetry = telemetry
        self._round = 0

    async def start(self) -> None:
        """Use the models that an earlier life left."""
        for one in self._taught:
            forest = await self._workers.run(Lane.BACKGROUND, _load, one.kept)
            if forest is None:
                continue
            try:
                one.tier.with_policy(partial(_use, forest))
            except BadModel as exc:
                log.info("cache.no_model", extra={"cause": str(exc)})

    async def step(self) -> None:
        """Train once."""
        self._round += 1
        for one in self._taught:
            found = await self._workers.run(Lane.BACKGROUND, one.tier.with_policy, _samples)
            if found is None or len(found.rows) < LEAST_ROWS:
                continue
            try:
                forest = await self._workers.run(Lane.BACKGROUND, self._trainer.train, found, self._round)
            except NoisefsError as exc:
                self._telemetry.count(Counter.TRAININGS, 1, (one.name, "failed"))
                log.warning("cache.not_trained", extra={"tier": one.name, "cause": str(exc)})
                continue
            used = forest is not None and await self._workers.run(Lane.BACKGROUND, beats_age, forest, found)
            outcome = "used" if used else "discarded"
            self._telemetry.count(Counter.TRAININGS, 1, (one.name, outcome))
            log.info("cache.trained", extra={"tier": one.name, "rows": len(found.rows), "outcome": outcome})
            if used and forest is not None:
                one.tier.with_policy(partial(_use, forest))
                await self._workers.run(Lane.BACKGROUND, _save, one.kept, forest)


def _samples(policy: CachePolicy) -> Samples | None:
    return policy.samples() if isinstance(policy, Learned) else None


def _use(model: Forest, policy: CachePolicy) -> None:
    if isinstance(policy, Learned):
        policy.use(model)


def _load(kept: SealedList) -> Forest | None:
    try:
        messages = kept.load()
        return Forest.decode(messages[0]) if messages else None
    except (BadModel, NoisefsError) as exc:
        log.info("cache.no_model", extra={"cause": str(exc)})
        return None


def _save(kept: SealedList, forest: Forest) -> None:
    try:
        kept.save([forest.encode()])
    except NoisefsError as exc:
        log.info("cache.model_not_saved", extra={"cause": str(exc)})
