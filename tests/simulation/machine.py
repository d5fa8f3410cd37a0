"""A machine that exists only in one thread: virtual time, worker lanes with seeded delays, and a disk that fails.

The event loop never waits: when nothing is ready it jumps to the next timer. A lane runs as many jobs side by side as
its threads would; each begins and is delivered after a delay of its own, so that anything may happen between the end of
a commit and its answer. When the power fails every job, begun or not, is gone, and so is the loop.
"""

import asyncio
import contextlib
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.presence import MemoryPresence, Neighbourhood
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.sqlite.connection import Sync
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.store import Store, StoreSettings
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk
from tests.support.simulated_vfs import mount
from tests.support.stores import KEYS

P = ParamSpec("P")
T = TypeVar("T")

EPOCH_US: Final = 1_700_000_000_000_000
PACK_BLOCKS: Final = 40
"""Of the simulated store: small packs fill, seal and die within one history."""

_THREADS: Final = {Lane.CPU: 2, Lane.PACK: 1, Lane.COMMIT: 1, Lane.DISK: 3, Lane.BACKGROUND: 2}
_DELAY_S: Final = 0.002


class Stuck(Exception):
    """Nothing is ready and nothing ever will be: tasks wait for each other."""


class _NeverWaits(selectors.SelectSelector):
    """Lets virtual time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every task waits for another one")
        self.now_s += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self, start_s: float) -> None:
        """Begin at ``start_s``."""
        self._waits = _NeverWaits()
        self._waits.now_s = start_s
        super().__init__(self._waits)

    def time(self) -> float:
        """Virtual seconds."""
        return self._waits.now_s


class SimulatedClock(Clock):
    """The virtual time of a loop. It goes on from life to life."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        """Wall-clock microseconds."""
        return EPOCH_US + int(self._loop.time() * 1e6)

    def monotonic_s(self) -> float:
        """Seconds since the first life began."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)


class SimulatedWorkers(Workers):
    """Lanes whose jobs begin and are delivered when the seed says so."""

    def __init__(self, disk: SimulatedDisk, chance: random.Random, power_failed: Callable[[], None]) -> None:
        """``power_failed`` is called once, by the job during which it fails."""
        self._disk = disk
        self._chance = chance
        self._power_failed = power_failed
        self._dead = False
        self._running = dict.fromkeys(Lane, 0)
        # Any: jobs of any kind wait side by side.
        self._waiting: dict[Lane, deque[tuple[asyncio.Future[Any], Callable[[], Any]]]] = {
            lane: deque() for lane in Lane
        }

    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` some time later, on the lane."""
        if self._dead:
            raise SimulatedCrash
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append((future, lambda: work(*args, **kwargs)))
        self._start(lane)
        return await future

    def die(self) -> None:
        """No job begins or is delivered any more."""
        self._dead = True

    def _later(self, call: Callable[..., None], *args: object) -> None:
        loop = asyncio.get_running_loop()
        if self._chance.random() < 0.5:
            loop.call_soon(call, *args)
        else:
            loop.call_later(self._chance.expovariate(1 / _DELAY_S), call, *args)

    def _start(self, lane: Lane) -> None:
        while self._running[lane] < _THREADS[lane] and self._waiting[lane]:
            self._running[lane] += 1
            self._later(self._execute, lane, *self._waiting[lane].popleft())

    def _execute(self, lane: Lane, future: "asyncio.Future[Any]", job: Callable[[], Any]) -> None:
        if self._dead:
            return
        self._running[lane] -= 1
        if not future.done():
            value: Any = None  # Any: whatever the job gives
            error: BaseException | None = None
            try:
                value = job()
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it belongs to the caller
                error = exc
            if self._disk.down:
                self.die()
                self._power_failed()
                return
            self._later(self._deliver, future, value, error)
        self._start(lane)

    def _deliver(self, future: "asyncio.Future[Any]", value: object, error: BaseException | None) -> None:
        if self._dead or future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


class Machine:
    """A disk, and one life of a store after another on it."""

    def __init__(
        self, seed: int, *, sync: Sync = "fsync", strategy: str = "chain", settings: StoreSettings | None = None
    ) -> None:
        """Everything that happens follows from ``seed``."""
        self.chance = random.Random(seed)
        self.disk = SimulatedDisk(seed)
        self.disk.make_folder("/data")
        self.entropy = SeededEntropy(seed)
        self.geometry = Geometry(strategy=strategy)
        self.telemetry = MemoryTelemetry()
        self.now_s = 0.0
        self.lives = 0
        self._sync: Sync = sync
        self._settings = settings if settings is not None else StoreSettings()
        self._neighbourhood = Neighbourhood()

    def live(self, life: Callable[[Store], Coroutine[Any, Any, bool]]) -> bool:
        """Open the store and run ``life``; tells whether it ended as an operator wants it to, with everything closed.

        Opening is done here, starting and closing the store are parts of life, which returns whether it closed it.
        Otherwise, and when the power fails, the processes are gone: call ``disk.crash`` next.
        """
        self.lives += 1
        loop = SimulatedLoop(self.now_s)
        asyncio.set_event_loop(loop)
        workers = SimulatedWorkers(self.disk, random.Random(self.chance.random()), loop.stop)
        index: SqliteIndex | None = None
        stopped = False
        try:
            index, store = self._open(loop, workers)
            living = loop.create_task(life(store))  # held: of a life cut off nobody else holds it, till it is cleared
            stopped = loop.run_until_complete(living) and not self.disk.down
            if stopped:
                store.packs.close()
                index.close()
        except BaseException:
            if not self.disk.down:
                raise
            stopped = False
        finally:
            self.disk.down = self.disk.down or not stopped  # what is left of this life must not reach the disk
            workers.die()
            _clear_away(loop)
            self.now_s = loop.time() + 1.0
            loop.close()
            asyncio.set_event_loop(None)
            self._neighbourhood.crash()
            if index is not None:
                with contextlib.suppress(BaseException):  # the process is dead: only its memory is given back
                    index.close()
        return stopped

    def _open(self, loop: SimulatedLoop, workers: Workers) -> tuple[SqliteIndex, Store]:
        index = SqliteIndex.open(
            Path("/data/index.db"), b"k" * 32, create=True, sync=self._sync, vfs=mount(self.disk), exclusive=True
        )
        store = Store(
            index=index,
            packs=LocalPackStore(self.disk, "/data/packs", self.geometry.block_bytes, PACK_BLOCKS),
            clock=SimulatedClock(loop),
            entropy=self.entropy,
            workers=workers,
            telemetry=self.telemetry,
            presence=MemoryPresence(InstanceId(self.entropy.secret(ID_BYTES)), self._neighbourhood),
            keys=KEYS,
            geometry=self.geometry,
            settings=self._settings,
        )
        return index, store


def _clear_away(loop: SimulatedLoop) -> None:
    """End what is left of a life: nothing it does now reaches the disk."""
    loop.set_exception_handler(_ignore)
    for _ in range(10):
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Stuck, RuntimeError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=1000))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined] # it waits for a dead worker: expected here
        coroutine = task.get_coro()
        assert isinstance(coroutine, Coroutine)
        with contextlib.suppress(BaseException):  # now, and not when its memory is given back, in some other test
            coroutine.close()


def _ignore(_loop: asyncio.AbstractEventLoop, _context: Mapping[str, object]) -> None:
    """Errors of tasks whose machine has lost its power."""
