"""The gate before writers: they wait a little while too many dead bytes are stored, and stop when the disk is full.

Promise: a store never grows without bound under overwrites, and no write is refused for it: each waits at most
``PATIENCE_S`` and then goes on. On a full disk a write is refused before its first byte, so that the reserve is left
for deleting and cleaning. Cost: none on the request path; a job looks at the disk.
"""

import asyncio
from typing import Final

from noisefs.core.errors import DiskFull

PATIENCE_S: Final = 5.0


class SpaceGate:
    """Opened and closed by the cleaner, asked by writers. Belongs to the event loop."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._full = ""
        self.wake = asyncio.Event()
        """Set when a writer waits, or bodies were released: the cleaner should run now."""

    def set(self, *, relaxed: bool) -> None:
        """Let writers pass at once (``relaxed``), or hold them back."""
        if relaxed:
            self._open.set()
        else:
            self._open.clear()

    def close(self, reason: str) -> None:
        """Refuse writers for this reason; with an empty one let them in again."""
        self._full = reason

    async def admit(self) -> None:
        """Called before bytes are taken in.

        Raises:
            DiskFull: There is no space left beyond the reserve.
        """
        if self._full:
            raise DiskFull(self._full)
        if self._open.is_set():
            return
        self.wake.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._open.wait()
        except TimeoutError:
            return
