"""A response whose body may leave past aiohttp's writer, and never looks complete when it is not."""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from noisefs.adapters.inbound.sending.outlet import Outlet
from noisefs.adapters.inbound.sending.watch import Watch

Source: TypeAlias = Callable[[Callable[[memoryview], int] | None], AsyncIterator[memoryview]]
"""Gives a body's pieces; may give bytes to what it is given instead, which tells how many it took."""

UNWATCHED_MOST: Final = 1 << 16
"""An answer up to this size is left to the transport; whether a client takes a larger one is watched."""
STRAIGHT_FROM: Final = 1 << 22
"""Bodies from this size on may leave from a worker. With eight of 1 MiB under way that took a fourth more CPU time."""
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What would end a header, or hide in it."""


class Outgoing(web.StreamResponse):
    """A response whose headers wait for the first bytes of its body, so that both leave in one write.

    It leaves by aiohttp's own hand, or by :meth:`pour`; then aiohttp has nothing left to send.
    """

    _send_headers_immediately = False
    _outlet: Outlet | None = None
    _lives_on = False

    @property
    def prepared(self) -> bool:
        """Whether anything was sent."""
        return super().prepared if self._outlet is None else self._outlet.begun

    @property
    def body_length(self) -> int:
        """Bytes of the body that were sent."""
        return super().body_length if self._outlet is None else self._outlet.sent_bytes

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection lives on."""
        return super().keep_alive if self._outlet is None else self._lives_on

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Begin to send it, unless it was poured."""
        return await super().prepare(request) if self._outlet is None else None

    async def write_eof(self, data: bytes = b"") -> None:
        """End it, unless it was poured."""
        if self._outlet is None:
            await super().write_eof(data)

    async def pour(self, request: web.BaseRequest, source: Source, size_bytes: int, timeout_s: float) -> None:
        """Send head and body, which has ``size_bytes``.

        Until the first bytes are there nothing is sent, so an error up to then still has an answer of its own. Later,
        an exception of ``source``, and a client that takes nothing for ``timeout_s`` (twice that at most), cut the
        connection: that never looks complete.

        Raises:
            Whatever ``source`` raises. ``ConnectionError``: the client is gone, or was cut off.
        """
        head = self._head(request, size_bytes)
        self._outlet = outlet = Outlet(request, head, size_bytes, straight=size_bytes >= STRAIGHT_FROM)
        watch = Watch(request, timeout_s) if size_bytes > UNWATCHED_MOST else None
        pieces = source(outlet.take if outlet.goes_straight else None)
        try:
            try:
                async for piece in pieces:
                    if watch is not None:
                        watch.writing = True
                        watch.writes += 1
                    await outlet.send(piece)
                    if watch is not None:
                        watch.writing = False
            finally:
                outlet.close()
                if watch is not None:
                    watch.stop()
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
            if outlet.sent_bytes != size_bytes or (watch is not None and watch.gave_up):
                raise ConnectionAbortedError(f"{outlet.sent_bytes} of {size_bytes} bytes were sent")
        except BaseException:
            if outlet.begun and request.transport is not None:
                request.transport.abort()
            raise

    def _head(self, request: web.BaseRequest, size_bytes: int) -> bytes:
        """Status line and headers, with the empty line."""
        self._lives_on = request.keep_alive and super().keep_alive is not False
        fields = self.headers
        fields["Content-Length"] = str(size_bytes)
        fields.setdefault("Content-Type", "application/octet-stream")
        fields["Date"] = _date_of(int(time.time()))
        if not self._lives_on:
            fields["Connection"] = "close"
        elif request.version < (1, 1):
            fields["Connection"] = "keep-alive"
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in fields.items())]
        if _FORBIDDEN.search("".join(lines)):
            raise ValueError("a header's value has a control character")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@lru_cache(maxsize=2)
def _date_of(second: int) -> str:
    """An HTTP date; made once a second."""
    return formatdate(second, usegmt=True)
