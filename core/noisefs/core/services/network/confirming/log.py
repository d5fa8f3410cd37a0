"""Log records onto nodes, behind the commit that made them: the last thing that the classes above ``local`` wait for.

Promise: once :meth:`NetworkLog.confirm` has returned, as many nodes as were asked for hold, beside a snapshot and the
head that names it, everything that commits up to the given one changed since: so a restore from any one of them has it.
No gap is ever passed over: what a node lacks of earlier commits goes along with the later ones.

There is no table of records that wait: the index knows which rows commits changed, and a file holds these rows as they
are (:mod:`~noisefs.core.domain.log_records`). Nothing is sent while nobody waits. Imports begin at least ``gather_s``
apart, and all who came meanwhile share one; a lone one never waits. Inline bytes of any size travel in the record: so a
small PUT costs one import, and its bytes lie there twice until packer and snapshot have passed.

Where more was changed since the snapshot than a file should hold, or the index remembers not all of it (it was
restored, or a newer snapshot is not on nodes yet), a new snapshot is brought there first. Files that a snapshot covers
are let go of; those that a crash leaves behind are found by whoever compares pins with the index. Several processes of
one store each have files of their own, which overlap.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.block_id import compute_block_id
from noisefs.core.domain.car import car_bytes, car_header, section_head
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, RootId
from noisefs.core.domain.keyring import SnapshotKey
from noisefs.core.domain.log_file import Record
from noisefs.core.domain.log_records import seal_records
from noisefs.core.domain.placement import place
from noisefs.core.domain.root import NONCE_BYTES, RootKind, RootMeta, RootSealer, root_id
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import NodeUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.nodes import Car, Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.confirming.blocks import LOOK_AGAIN_S, SLOWEST_BYTES_PER_S, ConfirmingSettings
from noisefs.core.services.network.confirming.footing import Footing
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.nodes.within import within
from noisefs.core.services.network.placing.cars import Limiter
from noisefs.core.services.packs.copies import let_go

log = logging.getLogger(__name__)

PAGE_KEYS: Final = 1024
"""Keys that one read transaction looks at."""

MOST_KEYS: Final = 100_000
MOST_BYTES: Final = 64 << 20
"""Of one file, in memory. More than that is a snapshot's business."""

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


@dataclass(frozen=True, slots=True)
class _File:
    """A file of records, ready to be sent."""

    car: Car
    root: RootId
    number: int


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
        *,
        nodes: Nodes,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        sealer: RootSealer,
        limiter: Limiter,
        epoch: Callable[[], int],
        footing: Callable[[int], Awaitable[Footing | None]],
        renew: Callable[[], Awaitable[object]],
        settings: ConfirmingSettings,
    ) -> None:
        """Nothing is sent before :meth:`confirm`.

        Args:
            limiter: Bounds what goes out altogether.
            epoch: The store's present one.
            footing: The newest snapshot that so many nodes hold with a head that names it.
            renew: Takes a snapshot and brings it, and a head, onto nodes.
        """
        self._nodes = nodes
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._sealer = sealer
        self._limiter = limiter
        self._epoch = epoch
        self._footing = footing
        self._renew = renew
        self._settings = settings
        self._waiters: list[_Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self._spans: dict[str, _Span] = {}
        self._stood: dict[int, Footing] = {}
        """By how many copies were asked for: the snapshot that files were last sent behind."""
        self._kept: list[_Kept] = []
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
            await within(self._clock, self._settings.patience_s, _ended(waiter))
        except TimeoutError as exc:
            raise NodeUnavailable("all", "confirming a commit", f"no {copies} copies of it in time") from exc
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

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

        await self._commits.run(release)
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
                await self._pause()
                moved = False
                for copies in sorted({waiter.copies for waiter in self._waiters}):
                    moved = await self._step(copies) or moved
                if not moved:
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

    async def _pause(self) -> None:
        wait_s = self._begun_s + self._settings.gather_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        self._begun_s = self._clock.monotonic_s()

    async def _step(self, copies: int) -> bool:
        """Send what those lack who wait for so many copies; whether anything came there, or nothing was lacking."""
        footing = await self._footing(copies)
        if footing is None:
            return await self._stand_anew()
        targets = self._targets(footing, copies)
        if not targets:
            self._nodes.missed.set()
            return False
        for name, wanted in targets.items():
            if name in self._spans and self._spans[name].copies < wanted:
                del self._spans[name]  # a cluster that shall have more of them: everything goes there once more
        after = min(self._reached(name, footing) for name in targets)
        found = await self._workers.run(Lane.DISK, self._changed, after)
        if found is None:
            return await self._stand_anew()
        records, upto = found
        if records:
            file = await self._workers.run(Lane.DISK, self._file, records, after, footing.key)
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
        fit = self._nodes.places(self._geometry.block_bytes, 2)
        places = {one.name: one for one in (*fit, *self._nodes.places_of(held))}
        return place(_PLACE, places.values(), copies, held=held)

    def _came(self, name: str, since: int, upto: int, copies: int) -> None:
        span = self._spans.get(name)
        if span is None or not span.since <= since <= span.upto:
            self._spans[name] = _Span(since, upto, copies)
        else:
            span.upto = max(span.upto, upto)
            span.copies = min(span.copies, copies)

    # ------------------------------------------------------------------ on a lane

    def _changed(self, after: int) -> tuple[list[Record], int] | None:
        """What was changed since, up to the last commit; ``None``: too much, or not all of it is known any more."""
        records: list[Record] = []
        keys = size = 0
        at = after
        while True:
            changed = self._index.changed_rows(at, PAGE_KEYS)
            if changed.rows:
                tables: dict[str, list[tuple[bytes, bytes | None]]] = {}
                for table, key, value in changed.rows:
                    tables.setdefault(table.value, []).append((key, value))
                    size += len(key) + len(value or b"")
                records.append(Record(changed.upto, list(tables.items())))
                keys += len(changed.rows)
            at = changed.upto
            if changed.complete:
                break
            if keys > MOST_KEYS or size > MOST_BYTES:
                return None
        # Looked at behind the reads: what they did not find must not have been forgotten meanwhile.
        return None if self._forgotten() > after else (records, at)

    def _forgotten(self) -> int:
        """The last commit whose changes the index may have forgotten."""
        oldest = self._index.changes(0, 1)
        if not oldest:
            return self._index.sequence()
        return oldest[0].sequence - (1 if oldest[0].keys else 0)

    def _file(self, records: Sequence[Record], after: int, key: SnapshotKey) -> _File:
        blocks, size_bytes = seal_records(
            records,
            store_id=self._keys.store_id,
            store_key=self._keys.store_key,
            key=key,
            file_id=self._entropy.secret(ID_BYTES),
            block_bytes=self._geometry.block_bytes,
        )
        names = tuple(compute_block_id(block) for block in blocks)
        number = records[-1].sequence
        meta = RootMeta(
            RootKind.LOG,
            count=len(names),
            log_number=number,
            log_first=after + 1,
            size_bytes=size_bytes,
            created_us=self._clock.now_us(),
            epoch=self._epoch(),
        )
        raw = self._sealer.seal(names, meta, nonce=self._entropy.secret(NONCE_BYTES))
        root = root_id(raw)

        async def parts() -> AsyncIterator[bytes | memoryview]:
            yield car_header(root)
            for name, block in zip(names, blocks, strict=True):
                await self._limiter.take(len(block))
                yield section_head(name, len(block)) + block
            yield section_head(root, len(raw)) + raw

        car = Car(root, car_bytes(len(names), self._geometry.block_bytes, raw), len(names), parts)
        return _File(car, root, number)

    # ------------------------------------------------------------------ sending

    async def _send(self, file: _File, after: int, targets: dict[str, int]) -> None:
        kept = _Kept(file.number, file.root, list(targets))
        self._kept.append(kept)
        nodes = [node for node in map(self._nodes.get, targets) if node is not None]
        sends = (self._send_to(node, file, targets[node.name]) for node in nodes)
        for node, confirmed in zip(nodes, await asyncio.gather(*sends), strict=True):
            if confirmed:
                self._came(node.name, after, file.number, confirmed)

    async def _send_to(self, node: Node, file: _File, copies: int) -> int:
        """Copies that the node confirmed; 0 where it failed."""
        # Half of the patience, so that there is time for another node in place of one that hangs.
        patience_s = self._settings.patience_s / 2 + file.car.size_bytes / SLOWEST_BYTES_PER_S
        try:
            confirmed = await within(self._clock, patience_s, node.import_car(file.car, copies=copies))
        except TimeoutError:
            self._nodes.failed(node.name, NodeUnavailable(node.name, "importing log records", "no answer in time"))
            return 0
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return 0
        self._nodes.worked(node.name, size_bytes=file.car.size_bytes, blocks=file.car.blocks)
        self._telemetry.count(Counter.NODE_SENT, file.car.size_bytes, (node.name,))
        return confirmed


async def _ended(waiter: _Waiter) -> None:
    await waiter.done
