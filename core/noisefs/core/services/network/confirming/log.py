"""Log records onto nodes, behind the commit that made them: the last thing that the classes above ``local`` wait for.

Promise: once :meth:`NetworkLog.confirm` has returned, as many nodes as were asked for hold, beside a snapshot and the
head that names it, everything that commits up to the given one changed since: so a restore from any one of them has it.
No gap is ever passed over: what a node lacks of earlier commits goes along with the later ones. Until a snapshot has as
many copies, :meth:`NetworkLog.keep` gives others what nodes had that do not count any more.

Nothing is sent while nobody waits. Imports begin at least ``gather_s`` apart, and all who came meanwhile share one; a
lone one never waits. Inline bytes of any size travel in the record: so a small PUT costs one import, and its bytes lie
there twice until packer and snapshot have passed.

Where more was changed since the snapshot than a file should hold, or the index remembers not all of it (it was
restored, or a newer snapshot is not on nodes yet), a new snapshot is brought there first. Files that a snapshot covers
are let go of; those that a crash leaves behind are found by whoever compares pins with the index. Several processes of
one store each have files of their own, which overlap.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.ids import RootId
from noisefs.core.domain.nodes.placement import place
from noisefs.core.errors import NodeUnavailable, NoisefsError
from noisefs.core.ports.index import Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.confirming.footing import Footing
from noisefs.core.services.network.confirming.means import LOOK_AGAIN_S, Means
from noisefs.core.services.network.confirming.record_files import RecordFile, RecordFiles
from noisefs.core.services.network.nodes.within import within
from noisefs.core.services.packs.copies import let_go

log = logging.getLogger(__name__)

RENEW_EVERY_S: Final = 1.0
"""A snapshot that could not be brought onto nodes is tried again after so long."""

_PLACE: Final = b"log records"
"""What ranks the nodes: files of one store stay together, so that a node that has begun goes on."""


@dataclass(slots=True)
class _Span:
    """A node holds what commits in ``(since, upto]`` changed, and so many copies of it."""

    since: int
    upto: int
    copies: int

    def follows(self, number: int) -> bool:
        """Whether it goes on where a snapshot of this number ends."""
        return self.since <= number <= self.upto


@dataclass(slots=True, eq=False)
class _Waiter:
    sequence: int
    copies: int
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Kept:
    """A file that nodes may hold: the last commit in it, its root, and who was sent it."""

    number: int
    root: RootId
    names: list[str] = field(default_factory=list)


class NetworkLog:
    """Brings what commits changed onto nodes. Task-safe; belongs to one event loop."""

    def __init__(
        self,
        means: Means,
        *,
        footing: Callable[[int], Awaitable[Footing | None]],
        renew: Callable[[], Awaitable[object]],
    ) -> None:
        """Nothing is sent before :meth:`confirm`.

        Args:
            means: What it works with.
            footing: The newest snapshot that so many nodes hold with a head that names it.
            renew: Takes a snapshot and brings it, and a head, onto nodes.
        """
        self._means = means
        self._nodes = means.nodes
        self._clock = means.clock
        self._files = RecordFiles(means)
        self._footing = footing
        self._renew = renew
        self._waiters: list[_Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self._spans: dict[str, _Span] = {}
        self._stood: dict[int, Footing] = {}
        """By how many copies were asked for: the snapshot that files were last sent behind."""
        self._kept: list[_Kept] = []
        self._owed: dict[int, int] = {}
        """By a number of copies: commits up to this one were said to have as many."""
        self._most_copies = 1
        """The highest that was ever asked for: files stay until a snapshot has as many copies."""
        self._begun_s = float("-inf")
        self._renewed_s = float("-inf")

    # ------------------------------------------------------------------ for who waits

    async def confirm(self, sequence: int, copies: int) -> None:
        """Return when ``copies`` copies of what commits up to this number changed are on nodes.

        Raises:
            NodeUnavailable: Not within the operator's patience. It may still come there.
        """
        stood = self._stood.get(copies)
        if stood is not None and self._has(sequence, stood, copies):
            return
        waiter = _Waiter(sequence, copies, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._most_copies = max(self._most_copies, copies)
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        try:
            await within(self._clock, self._means.settings.patience_s, _ended(waiter))
        except TimeoutError as exc:
            raise NodeUnavailable("all", "confirming a commit", f"no {copies} copies of it in time") from exc
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self.owe(sequence, copies)

    def owe(self, sequence: int, copies: int) -> None:
        """From now on :meth:`keep` sees to it that commits up to this one have so many copies."""
        self._owed[copies] = max(self._owed.get(copies, 0), sequence)

    async def keep(self) -> None:
        """Send to others what was confirmed and no snapshot covers yet, where nodes that confirmed it do not count any
        more: so that nodes may be lost one after the other. May be broken off at any time.
        """
        for copies, sequence in sorted(self._owed.items()):
            footing = await self._footing(copies)
            if footing is not None and footing.number >= sequence:
                continue
            if footing is None or not self._has(sequence, footing, copies):
                self._stood.pop(copies, None)
                try:
                    await self.confirm(sequence, copies)
                except NoisefsError as exc:
                    log.warning("log.copies_missing", extra={"copies": copies, "cause": str(exc)})
                    return
                log.info("log.copied_again", extra={"copies": copies, "number": sequence})

    async def tidy(self) -> None:
        """Let go of files that a snapshot on nodes covers."""
        footing = await self._footing(self._most_copies)
        if footing is None:
            return
        covered = [kept for kept in self._kept if kept.number <= footing.number]
        if not covered:
            return
        now_us = self._clock.now_us()

        def release(tx: Writing) -> None:
            for kept in covered:
                let_go(tx, kept.names, kept.root, now_us)

        await self._means.commits.run(release)
        self._kept = [kept for kept in self._kept if kept not in covered]

    async def close(self) -> None:
        """Break off what is under way. Who waits for it gets ``NodeUnavailable``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # ------------------------------------------------------------------ the loop

    async def _work(self) -> None:
        try:
            while self._waiters:
                self._begun_s = await self._means.gather(self._begun_s)
                moved = False
                for copies in sorted({waiter.copies for waiter in self._waiters}):
                    moved = await self._step(copies) or moved
                if not moved:
                    self._nodes.missed.set()
                    await self._clock.sleep(LOOK_AGAIN_S)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is handed to everybody who waits
            log.warning("log.failed", extra={"cause": str(exc)})
            self._fail(exc)
        finally:
            self._task = None
            self._fail(NodeUnavailable("all", "confirming a commit", "the server is shutting down"))

    def _fail(self, cause: Exception) -> None:
        """Tell everybody who still waits."""
        waiting, self._waiters = self._waiters, []
        for waiter in waiting:
            if not waiter.done.done():
                waiter.done.set_exception(cause)

    async def _step(self, copies: int) -> bool:
        """Send what those lack who wait for so many copies; whether anything came there, or nothing was lacking."""
        footing = await self._footing(copies)
        if footing is None:
            return await self._stand_anew()
        targets = self._targets(footing, copies)
        if not targets:
            return False
        for name, wanted in targets.items():
            if name in self._spans and self._spans[name].copies < wanted:
                del self._spans[name]  # a cluster that shall have more of them: everything goes there once more
        after = min(self._reached(name, footing) for name in targets)
        found = await self._means.workers.run(Lane.DISK, self._files.changed, after)
        if found is None:
            return await self._stand_anew()
        records, upto = found
        if records:
            file = await self._means.workers.run(Lane.DISK, self._files.make, records, after, footing.key)
            await self._send(file, after, targets)
        else:
            for name in targets:
                self._came(name, after, upto, targets[name])
        self._stood[copies] = footing
        return self._answer(footing, copies)

    async def _stand_anew(self) -> bool:
        """Bring a snapshot onto nodes; whether that was tried."""
        now_s = self._clock.monotonic_s()
        if now_s - self._renewed_s < RENEW_EVERY_S:
            return False
        try:
            await self._renew()
        except NoisefsError as exc:
            log.warning("log.no_snapshot", extra={"cause": str(exc)})
            return False
        finally:
            self._renewed_s = self._clock.monotonic_s()
        return True

    def _answer(self, footing: Footing, copies: int) -> bool:
        """Tell those who wait for so many copies that these are there; whether there was anybody."""
        answered = False
        for waiter in self._waiters:
            if waiter.copies == copies and not waiter.done.done() and self._has(waiter.sequence, footing, copies):
                waiter.done.set_result(None)
                answered = True
        self._waiters = [waiter for waiter in self._waiters if not waiter.done.done()]
        return answered

    def _has(self, sequence: int, footing: Footing, copies: int) -> bool:
        """Whether so many copies of everything from a snapshot up to this commit are on nodes."""
        holders = (
            name
            for name, span in self._spans.items()
            if span.follows(footing.number) and span.upto >= sequence
            for _ in range(span.copies)
        )
        return len(self._nodes.counted(holders)) >= copies

    # ------------------------------------------------------------------ who gets it

    def _reached(self, name: str, footing: Footing) -> int:
        """The commit up to which a node has everything behind the snapshot."""
        span = self._spans.get(name)
        return span.upto if span is not None and span.follows(footing.number) else footing.number

    def _targets(self, footing: Footing, copies: int) -> dict[str, int]:
        begun = sorted(
            (name for name, span in self._spans.items() if self._nodes.is_open(name) and span.follows(footing.number)),
            key=lambda name: self._reached(name, footing),
            reverse=True,
        )
        held = self._nodes.counted(name for name in begun for _ in range(self._spans[name].copies))[:copies]
        fit = self._nodes.places(self._means.geometry.block_bytes, 2)
        places = {one.name: one for one in (*fit, *self._nodes.places_of(held))}
        return place(_PLACE, places.values(), copies, held=held)

    def _came(self, name: str, since: int, upto: int, copies: int) -> None:
        span = self._spans.get(name)
        if span is None or not span.since <= since <= span.upto:
            self._spans[name] = _Span(since, upto, copies)
        else:
            span.upto = max(span.upto, upto)
            span.copies = min(span.copies, copies)

    # ------------------------------------------------------------------ sending

    async def _send(self, file: RecordFile, after: int, targets: dict[str, int]) -> None:
        kept = _Kept(file.number, file.root, list(targets))
        self._kept.append(kept)
        nodes = [node for node in map(self._nodes.get, targets) if node is not None]
        sends = (self._send_to(node, file, targets[node.name]) for node in nodes)
        for node, confirmed in zip(nodes, await asyncio.gather(*sends), strict=True):
            if confirmed:
                self._came(node.name, after, file.number, confirmed)

    async def _send_to(self, node: Node, file: RecordFile, copies: int) -> int:
        """Copies that the node confirmed; 0 where it failed."""
        try:
            return await self._means.send(node, file.car, copies)
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return 0


async def _ended(waiter: _Waiter) -> None:
    await waiter.done
