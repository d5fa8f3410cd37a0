"""Worker lanes as threads.

Not ``loop.run_in_executor``: that costs two futures, a lock and a wake-up of the loop for every job. Here a job is one
tuple in a C queue, and results that arrive while the loop is busy share one wake-up. CPU µs a hop, executor and this:
71 and 53 with one caller, 25 and 8 with 8, 24 and 4 with 64.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from noisefs.core.ports.workers import Lane, Workers

P = ParamSpec("P")
T = TypeVar("T")

DISK_THREADS: Final = 4
"""Reads in flight: enough to keep a solid-state disk busy, few enough not to crowd the interpreter."""

BACKGROUND_THREADS: Final = 2


class _Mailbox:
    """Results on their way to one event loop; those that arrive before it wakes share one wake-up."""

    __slots__ = ("_arrived", "_rung", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()  # Any: any job's result
        self._rung = False

    def post(self, future: "asyncio.Future[Any]", value: object, error: BaseException | None) -> None:
        """On a worker: hand a result to the loop."""
        # Append, then look at the flag; ``_deliver`` lowers the flag, then empties the box. So a result that finds the
        # flag up is seen by the delivery that is still to come. Two may ring at once: the second finds nothing.
        self._arrived.append((future, value, error))
        if not self._rung:
            self._rung = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._arrived.clear()  # the loop is closed: nobody waits any more

    def _deliver(self) -> None:
        self._rung = False
        arrived = self._arrived
        while arrived:
            future, value, error = arrived.popleft()
            if future.done():
                continue  # its caller was cancelled
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


class _Job(NamedTuple):
    mailbox: _Mailbox
    future: "asyncio.Future[Any]"
    work: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class ThreadWorkers(Workers):
    """Threads that live from construction to ``close``. Task-safe, and usable from several event loops."""

    def __init__(
        self,
        *,
        cpu_threads: int | None = None,
        disk_threads: int = DISK_THREADS,
        network_threads: int = 1,
        peer_threads: int = 1,
    ) -> None:
        """``cpu_threads``: by default one for each core this process may use. ``network_threads``: reads that wait for
        nodes at a time; they take no time of the machine meanwhile. ``peer_threads``: the same for other processes.
        """
        cores = len(os.sched_getaffinity(0))
        sizes = {
            Lane.CPU: cpu_threads or cores,
            Lane.PACK: 1,
            Lane.COMMIT: 1,
            Lane.DISK: disk_threads,
            Lane.BACKGROUND: BACKGROUND_THREADS,
            Lane.NETWORK: network_threads,
            Lane.PEERS: peer_threads,
        }
        self._queues: dict[Lane, SimpleQueue[_Job | None]] = {lane: SimpleQueue() for lane in Lane}
        self._mailbox: _Mailbox | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=_serve, args=(self._queues[lane],), name=f"{lane.value}-{number}", daemon=True)
            for lane, size in sizes.items()
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` on a thread of the lane and return its result.

        Raises:
            RuntimeError: After ``close``.
        """
        if self._closed:
            raise RuntimeError("the worker threads are closed")
        loop = asyncio.get_running_loop()
        mailbox = self._mailbox
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailbox = _Mailbox(loop)
        future: asyncio.Future[T] = loop.create_future()
        self._queues[lane].put(_Job(mailbox, future, work, args, kwargs))
        return await future

    def close(self) -> None:
        """Finish what was queued, then end the threads. Blocks until they have ended; twice does nothing."""
        if self._closed:
            return
        self._closed = True
        for thread in self._threads:
            self._queues[Lane(thread.name.rpartition("-")[0])].put(None)
        for thread in self._threads:
            thread.join()


def _serve(queue: "SimpleQueue[_Job | None]") -> None:
    """One thread: jobs until ``None``."""
    while (job := queue.get()) is not None:
        mailbox, future, work, args, kwargs = job
        if not future.cancelled():
            try:
                value = work(*args, **kwargs)
            except StopIteration as exc:  # the one exception a future cannot carry
                mailbox.post(future, None, RuntimeError(f"{work!r} raised StopIteration: {exc}"))
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it belongs to the caller
                mailbox.post(future, None, exc)
            else:
                mailbox.post(future, value, None)
                del value
        # Nothing of a finished job may stay alive while the thread waits for the next one.
        del job, mailbox, future, work, args, kwargs
