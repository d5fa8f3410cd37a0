"""Keeps a LOCK and a change of the same place apart, in this process.

A change looks for locks and then commits; a LOCK that is granted in between would not hold for it, and its holder would
read a state that is about to be overwritten. So each waits for the other where they touch: a few milliseconds, since a
PUT comes here only when its body is in. Changes never wait for each other.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from noisefs.adapters.inbound.webdav.locking import is_below


class Turnstile:
    """Who is in. Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self._changing: Counter[str] = Counter()
        self._locking: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def change(self, *paths: str) -> AsyncIterator[None]:
        """From before locks are looked for until the change is committed."""
        await self._until_free(paths, self._locking)
        self._changing.update(paths)
        try:
            yield
        finally:
            self._leave(paths, self._changing)

    @asynccontextmanager
    async def lock(self, path: str) -> AsyncIterator[None]:
        """While a lock is made. Changes that come later wait for it, so it is never starved."""
        self._locking[path] += 1
        try:
            await self._until_free((path,), self._changing)
            yield
        finally:
            self._leave((path,), self._locking)

    async def _until_free(self, paths: Iterable[str], others: Counter[str]) -> None:
        while _touch(paths, others):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def _leave(self, paths: Iterable[str], inside: Counter[str]) -> None:
        for path in paths:
            inside[path] -= 1
            if not inside[path]:
                del inside[path]
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


def _touch(paths: Iterable[str], others: Iterable[str]) -> bool:
    return any(one == other or is_below(one, other) or is_below(other, one) for other in others for one in paths)
