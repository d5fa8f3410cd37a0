"""Several questions at once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
N = TypeVar("N")

ASKED_AT_ONCE: Final = 32
"""Small questions in flight: more gains nothing."""


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


async def few_at_once(names: Iterable[N], ask: Callable[[N], Coroutine[object, object, T]]) -> list[T]:
    """What ``ask`` answers about each, in order; the first error ends the rest."""
    gate = asyncio.Semaphore(ASKED_AT_ONCE)

    async def one(name: N) -> T:
        async with gate:
            return await ask(name)

    return await together(*(one(name) for name in names))
