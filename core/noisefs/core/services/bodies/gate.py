"""The gate before writers: while too many dead bytes are stored, they wait a little for the cleaner.

Promise: a store never grows without bound under overwrites, and no write is refused for it: each waits at most
``PATIENCE_S`` and then goes on.
"""

import asyncio
from typing import Final

PATIENCE_S: Final = 5.0


class SpaceGate:
    """Opened and closed by the cleaner, asked by writers. Belongs to the event loop."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.wake = asyncio.Event()
        """Set when a writer waits, or bodies were released: the cleaner should run now."""

    def set(self, *, relaxed: bool) -> None:
        """Let writers pass at once (``relaxed``), or hold them back."""
        if relaxed:
            self._open.set()
        else:
            self._open.clear()

    async def admit(self) -> None:
        """Called before bytes are taken in."""
        if self._open.is_set():
            return
        self.wake.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._open.wait()
        except TimeoutError:
            return
