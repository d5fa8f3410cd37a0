"""Work that a cancelled caller does not break off in the middle."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine is sent and yields
    """Run ``work`` to its end, and return its result.

    A caller that is cancelled meanwhile waits for that end and is cancelled then, so that whatever ``work`` borrowed of
    it is free again; cancelled twice it goes at once, and ``work`` still comes to its end. Cost: one task.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_seen)
        await asyncio.wait([task])
        raise


def _seen(task: "asyncio.Task[object]") -> None:
    """Take note of a failure that nobody is left to hear of."""
    if not task.cancelled():
        task.exception()
