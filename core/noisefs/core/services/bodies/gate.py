"""The gate before writers: they are slowed while too many dead bytes are stored, and refused when the disk is full.

Promise: what writers add between two looks at the store's space is bounded, so that overwrites never outrun the cleaner
for long; no write is refused for it, and each piece of a body (up to :class:`.buffers.Budget`'s window, 1 MiB by
default) waits at most ``PATIENCE_S``, in the order of asking. On a full disk a write is refused before its first byte,
so that the reserve is left for deleting and cleaning. Where packs that wait for nodes take nearly all the room that
local packs may have, pieces are slowed down, and from all of it on refused after ``crowd_patience_s``. Cost: two
comparisons and a subtraction a piece.
"""

import asyncio
from collections import deque
from typing import Final

from noisefs.core.errors import DiskFull, SlowDown

PATIENCE_S: Final = 5.0

CROWD_PATIENCE_S: Final = 20.0
"""A writer waits this long for packs to leave before it is told to slow down; all that come later are told at once."""

CROWDED_FROM: Final = 0.9
"""Share of the room of local packs from which on pieces are slowed down..."""
MOST_PAUSE_S: Final = 1.0
"""...by up to this much each."""


class SpaceGate:
    """Given room by the cleaner, asked by writers. Belongs to the event loop."""

    def __init__(self, *, crowd_patience_s: float = CROWD_PATIENCE_S) -> None:
        """``crowd_patience_s``: how long a writer waits for packs to leave."""
        self.crowd_patience_s = crowd_patience_s
        self._room: int | None = None
        self._half = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._full = ""
        self.wake = asyncio.Event()
        """Set when a writer waits, or bodies were released: the cleaner should run now."""
        self.look = asyncio.Event()
        """Set when the room gets scarce: somebody should look how much there is."""
        self._crowd = 0.0
        self._crowded_s = 0.0
        """Since when, on the loop's clock."""
        self._uncrowded = asyncio.Event()
        self._uncrowded.set()

    def grant(self, room_bytes: int | None) -> None:
        """Let writers add so many bytes from now on, whatever they had before; ``None``: as many as they like."""
        self._room = room_bytes
        self._half = (room_bytes or 0) // 2
        while self._queue and (self._room is None or self._room > 0):
            size, turn = self._queue.popleft()
            if not turn.done():
                self._spend(size)
                turn.set_result(None)

    @property
    def scarce(self) -> bool:
        """Whether more than half of what was granted is taken."""
        return self._room is not None and self._room <= self._half

    def close(self, reason: str) -> None:
        """Refuse writers for this reason; with an empty one let them in again."""
        self._full = reason

    def check(self) -> None:
        """Called before the first byte of a body is taken in.

        Raises:
            DiskFull: There is no space left beyond the reserve.
            SlowDown: Packs that wait for nodes have taken all the room for longer than anybody should wait.
        """
        if self._full:
            raise DiskFull(self._full)
        if self._crowd >= 1.0 and asyncio.get_running_loop().time() - self._crowded_s > self.crowd_patience_s:
            raise _crowded()

    def crowd(self, share: float) -> None:
        """Say how much of the room for local packs is taken by packs that must stay until nodes have them."""
        if share >= 1.0 > self._crowd:
            self._crowded_s = asyncio.get_running_loop().time()
            self._uncrowded.clear()
        elif share < 1.0:
            self._uncrowded.set()
        self._crowd = share

    def take_at_once(self, size_bytes: int) -> bool:
        """Add so many bytes if nothing has to be waited for; tells whether."""
        return self._crowd < CROWDED_FROM and self._has_taken(size_bytes)

    def _has_taken(self, size_bytes: int) -> bool:
        if self._room is None or (self._room > 0 and not self._queue):
            self._spend(size_bytes)
            return True
        return False

    async def take(self, size_bytes: int) -> None:
        """Return when so many bytes may be added: at once, when there is room, or after ``PATIENCE_S``.

        Raises:
            SlowDown: As :meth:`check`.
        """
        if self._crowd >= CROWDED_FROM:
            await self._wait_for_packs()
        if self._has_taken(size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size_bytes, turn))
        self.wake.set()
        self.look.set()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn
        except TimeoutError:
            self._spend(size_bytes)
        finally:
            while self._queue and self._queue[0][1].done():
                self._queue.popleft()

    async def _wait_for_packs(self) -> None:
        if self._crowd < 1.0:
            await asyncio.sleep((self._crowd - CROWDED_FROM) / (1.0 - CROWDED_FROM) * MOST_PAUSE_S)
            return
        try:
            async with asyncio.timeout_at(self._crowded_s + self.crowd_patience_s):
                await self._uncrowded.wait()
        except TimeoutError:
            raise _crowded() from None

    def _spend(self, size_bytes: int) -> None:
        """Count bytes that are added; the last ones may be more than there is room for."""
        if self._room is None:
            return
        before, self._room = self._room, self._room - size_bytes
        if before > self._half >= self._room:
            self.look.set()


def _crowded() -> SlowDown:
    return SlowDown("packs that no node has taken yet fill the room for local packs (ipfs.local_packs_max_bytes)")
