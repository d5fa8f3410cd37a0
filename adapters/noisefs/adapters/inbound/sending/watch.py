"""Telling a slow client from one that takes nothing."""

import asyncio

from aiohttp import web


class Watch:
    """Cuts the connection of a client that takes nothing. One timer a response instead of one a piece.

    A write that waits is never cancelled: aiohttp would lose what it waits with.
    """

    __slots__ = ("_left", "_seen", "_timeout_s", "_timer", "_transport", "gave_up", "writes", "writing")

    def __init__(self, request: web.BaseRequest, timeout_s: float) -> None:
        """Look every ``timeout_s``: a client that took nothing since the last look is cut off."""
        self._transport = request.transport
        self._timeout_s = timeout_s
        self._left = 0
        self._seen = -1
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._look)
        self.writes = 0
        self.writing = False
        """Whether the client is waited for now; waiting for a disk is not its fault."""
        self.gave_up = False

    def stop(self) -> None:
        """The response has ended."""
        self._timer.cancel()

    def _look(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        left = transport.get_write_buffer_size()
        if self.writing and self._seen == self.writes and left >= self._left:
            self.gave_up = True
            transport.abort()
            return
        self._seen, self._left = self.writes, left
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._look)
