"""Work that is given so much time of the store's clock, and no more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from noisefs.core.ports.clock import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields
    """The result of ``work``, which is cancelled where it takes longer. Cost: two tasks.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        alarm.cancel()
        task.cancel()
        await asyncio.gather(task, alarm, return_exceptions=True)
