"""Workers without threads: every job runs on the caller's event loop, in an order that a seed decides."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from noisefs.core.ports.workers import Lane, Workers

P = ParamSpec("P")
T = TypeVar("T")

_ORDERED = frozenset({Lane.PACK, Lane.COMMIT})


class InlineWorkers(Workers):
    """Runs one waiting job each time the loop comes round. Jobs of ``PACK`` and of ``COMMIT`` keep their order.

    Without a seed jobs run in the order they came; with one, in any order that threads could have produced.
    Belongs to one event loop.
    """

    def __init__(self, seed: int | None = None) -> None:
        """``seed`` decides the order."""
        self._random = None if seed is None else random.Random(seed)  # noqa: S311 - that it can be repeated is the point
        self._waiting: deque[tuple[Lane, asyncio.Future[Any], Callable[[], Any]]] = deque()  # Any: any job's result

    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` between two steps of the loop and return its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((lane, future, lambda: work(*args, **kwargs)))
        loop.call_soon(self._step)
        return await future

    def _step(self) -> None:
        if not self._waiting:
            return
        _lane, future, job = self._take()
        if future.done():
            return  # its caller was cancelled before it began
        try:
            value = job()
        except StopIteration as exc:  # the one exception a future cannot carry
            future.set_exception(RuntimeError(f"a job raised StopIteration: {exc}"))
        except BaseException as exc:  # noqa: BLE001 - whatever it is, it belongs to the caller
            future.set_exception(exc)
        else:
            future.set_result(value)

    def _take(self) -> tuple[Lane, "asyncio.Future[Any]", Callable[[], Any]]:
        if self._random is None:
            return self._waiting.popleft()
        seen: set[Lane] = set()
        eligible: list[int] = []
        for number, (lane, _future, _job) in enumerate(self._waiting):
            if lane not in seen or lane not in _ORDERED:
                eligible.append(number)
            seen.add(lane)
        chosen = self._random.choice(eligible)
        job = self._waiting[chosen]
        del self._waiting[chosen]
        return job
