"""Several questions at once."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def together(*questions: Coroutine[object, object, T]) -> list[T]:
    """All answers in order; the first error ends the rest and is raised as it is.

    Not a ``TaskGroup``: in Python 3.11 one that fails leaves its task marked as being cancelled, and aiohttp then takes
    the end of an upload for a cancellation.
    """
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
