"""One history: lives of a store on one disk, each ended by a crash or a clean stop, and checked after every restart."""

import asyncio
import collections
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain import geometry
from noisefs.core.domain.masking import strategy
from noisefs.core.domain.packs import reclaim
from noisefs.core.errors import BucketExists, NoisefsError, StorageFailed
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.packs import writer
from noisefs.core.services.store import Store, StoreSettings
from tests.simulation.bugs import Bug
from tests.simulation.checks import Checker
from tests.simulation.clients import BUCKETS, VERSIONED, WHO, Client, Wrong
from tests.simulation.machine import PACK_BLOCKS, Machine
from tests.simulation.model import Model
from tests.support.simulated_disk import SimulatedDisk

OPERATIONS: Final = 1000
CRASHES: Final = 3
CLIENTS: Final = 4
STRATEGIES: Final = (*["chain"] * 8, "uniform", "fresh")
"""By seed: the default one gets most of the attention."""
FAULT_S: Final = 0.3
"""Something breaks about so long after a life began; a life lasts a second or two."""
CAPACITY_BYTES: Final = 1 << 40

CRASH_POINTS: Final = (
    "create:new",
    "allocate:new",
    "sync:new",
    "rename:open",
    "sync_folder:packs",
    "write:open",
    "sync:open",
    "truncate:open",
    "rename:pack",
    "unlink:pack",
    "unlink:open",
    "write:wal",
    "sync:wal",
    "write:db",
    "sync:db",
    "truncate:db",
    "truncate:wal",
)
"""Steps at which the power may fail, by name: operation and kind of file. Histories aim at each of them."""

SETTINGS: Final = StoreSettings(
    hot_bytes=1 << 20,
    write_buffer_bytes=4 << 20,
    read_buffer_bytes=4 << 20,
    inline_max_bytes=4 << 20,
    inline_wake_bytes=256 << 10,
    packer_every_s=0.4,
    reaper_every_s=0.2,
    cleaner_every_s=0.5,
    checkpoint_every_s=0.7,
    limits=NamespaceLimits(min_part_bytes=1),
)


@dataclass
class Report:
    """What a history was made of."""

    seed: int
    operations: int = 0
    acknowledged: int = 0
    crashes: int = 0
    restarts_checked: int = 0
    crashed_at: collections.Counter[str] = field(default_factory=collections.Counter)
    labels: collections.Counter[str] = field(default_factory=collections.Counter)
    done: collections.Counter[str] = field(default_factory=collections.Counter)


@contextlib.contextmanager
def small_packs() -> Iterator[None]:
    """Packs of ``PACK_BLOCKS`` blocks, so that they fill, seal, are cleaned and dropped within one history."""
    changed = [
        (geometry, "PACK_BLOCKS", PACK_BLOCKS),
        (strategy, "PACK_BLOCKS", PACK_BLOCKS),
        (reclaim, "PACK_BLOCKS", PACK_BLOCKS),
        (writer, "PREPARE_AT_BLOCKS", PACK_BLOCKS // 2),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changed]
    for module, name, value in changed:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def play(seed: int, *, operations: int = OPERATIONS, bug: Bug | None = None, aim: str = "") -> Report:
    """Play the history of ``seed``; ``bug``: with a mistake in the store; ``aim``: the power fails at this point.

    Raises:
        Wrong: The store broke a promise.
    """
    with small_packs(), bug.plant() if bug is not None else contextlib.nullcontext():
        try:
            return _History(seed, operations, bug, aim).play()
        except NoisefsError as exc:
            raise Wrong(f"the store does not open, or does not close: {exc!r}") from exc


class _History:
    def __init__(self, seed: int, operations: int, bug: Bug | None, aim: str) -> None:
        self._chance = random.Random(seed)
        self._aim = aim
        self._machine = Machine(
            seed,
            sync="os" if bug is not None and bug.index_sync_off else "fsync",
            strategy=STRATEGIES[seed % len(STRATEGIES)],
            settings=SETTINGS,
        )
        if bug is not None and bug.ignored_sync:
            self._machine.disk.ignore_syncs = lambda label: label == bug.ignored_sync
        self._model = Model()
        self._checker = Checker(self._model)
        self._report = Report(seed)
        self._left = operations
        self._quota = 0

    def play(self) -> Report:
        report, disk = self._report, self._machine.disk
        total = self._left
        while self._left > 0 or report.crashes < CRASHES:
            self._quota = min(self._left, total // (CRASHES + 2) + 1)
            self._arm(disk)
            stopped = self._machine.live(self._life)
            disk.crash_when, disk.crash_at = None, None
            disk.capacity_bytes = CAPACITY_BYTES
            if stopped and self._chance.random() < 0.5:
                continue
            report.crashes += 1
            disk.crash(gently=self._chance.random() < 0.25)
            self._model.restarted()
        while not self._machine.live(self._last_life):
            disk.crash()
            self._model.restarted()
        report.acknowledged = self._model.acknowledged
        report.restarts_checked = self._checker.checked
        report.crashed_at.update(disk.crashed_at)
        report.labels.update(disk.labels)
        return report

    def _arm(self, disk: SimulatedDisk) -> None:
        """Choose where the power fails: at a numbered step, or at the n-th step of one name; or only at the end."""
        kind = self._chance.random()
        if kind < 0.3 and not self._aim:
            disk.crash_at = disk.steps + self._chance.randint(1, 4000)
        elif kind < 0.85 or self._aim:
            name = self._aim or self._chance.choice(CRASH_POINTS)
            # Making the tables alone takes some seventy writes to the log: an aimed history must get beyond them.
            count = [self._chance.choice((1, 2, 5, 20, 60, 200) if self._aim else (1, 2, 5, 20, 60))]

            def due(label: str) -> bool:
                count[0] -= label == name
                return count[0] <= 0

            disk.crash_when = due

    async def _life(self, store: Store) -> bool:
        await self._start(store)
        failed_jobs = store_failures(self._machine)
        clients = [
            Client(store, self._model, self._machine.disk, random.Random(self._chance.random())) for _ in range(CLIENTS)
        ]
        if self._chance.random() < 0.3:
            for client in clients:
                client.broken = True
            asyncio.get_running_loop().call_later(
                self._chance.expovariate(1 / FAULT_S), self._break, self._machine.disk
            )
        try:
            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(self._work(client))
        except ExceptionGroup as group_of_errors:
            first = group_of_errors.exceptions[0]
            raise first if isinstance(first, Wrong) else Wrong(f"a request failed oddly: {first!r}") from first
        finally:
            for client in clients:
                self._report.done.update(client.done)
        self._checker.check_generations(store)
        if clients[0].broken:
            return False  # what was broken may not be able to close
        if store_failures(self._machine) > failed_jobs:
            raise Wrong("a background job failed on a healthy disk")
        await store.close()
        return True

    async def _last_life(self, store: Store) -> bool:
        await self._start(store)
        await store.close()
        return True

    async def _start(self, store: Store) -> None:
        try:
            await store.start(background=False)
        except NoisefsError as exc:
            raise Wrong(f"the store does not start: {exc!r}") from exc
        for bucket in BUCKETS:
            with contextlib.suppress(BucketExists):
                await store.buckets.create(WHO, bucket)
        await store.versions.configure(WHO, VERSIONED, enabled=True)
        await self._checker.check(store)
        await store.start()  # recovers once more, which must do no harm, and begins the background jobs

    async def _work(self, client: Client) -> None:
        while self._quota > 0 and not self._machine.disk.down:
            self._quota -= 1
            self._left -= 1
            self._report.operations += 1
            await client.step()

    def _break(self, disk: SimulatedDisk) -> None:
        """Something on the disk fails."""
        kind = self._chance.choice(("sync:open", "write:open", "sync:wal", "write:wal", "read:pack", "sync:db", "full"))
        if kind == "full":
            disk.capacity_bytes -= max(0, disk.free("/").bytes - self._chance.randrange(1 << 20))
        else:
            operation, _, what = kind.partition(":")
            disk.fail_next(operation, what, StorageFailed(f"planted: {kind}"))


def store_failures(machine: Machine) -> float:
    """Background jobs that ended with an error, so far."""
    return machine.telemetry.counted(Counter.JOB_FAILURES)
