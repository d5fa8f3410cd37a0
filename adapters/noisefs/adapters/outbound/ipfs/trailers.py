"""The trailer ``X-Stream-Error``, in which Go's IPFS programs tell what went wrong after the first byte of a 200.

aiohttp reads trailers (RFC 9112, 7.1.2) and drops them. So each connection keeps the last bytes it received, and at the
end of an answer that announced trailers they are looked up in these.
"""

import functools
from typing import Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

KEPT_BYTES: Final = 4096
"""Longer than trailers are; where they are not, that they are is error enough."""
_END: Final = b"\r\n0\r\n"
"""The last chunk, behind the one before it."""
_NAME: Final = b"x-stream-error"


class _TailHandler(ResponseHandler):
    """A connection that remembers the end of what it received."""

    tail = b""

    def data_received(self, data: bytes) -> None:
        """Remember, then do as ever."""
        self.tail = data[-KEPT_BYTES:] if len(data) >= KEPT_BYTES else (self.tail + data)[-KEPT_BYTES:]
        super().data_received(data)


class TailConnector(aiohttp.TCPConnector):
    """Connections of the kind above."""

    def __init__(self, *, keepalive_timeout: float) -> None:
        """Any number of them."""
        super().__init__(limit=0, keepalive_timeout=keepalive_timeout)
        self._factory = cast("functools.partial[ResponseHandler]", functools.partial(_TailHandler, loop=self._loop))


class Trailer:
    """What the trailer of one answer says, once the answer has been read to its end."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Look at the connection at the moment the answer ends: after it, it may serve another one."""
        self._protocol = response._protocol
        self._tail: bytes | None = None
        if "Trailer" in response.headers and response.headers.get("Transfer-Encoding", "").lower() == "chunked":
            response.content.on_eof(self._note)

    def error(self) -> str:
        """The error, or nothing."""
        if self._tail is None:
            return ""
        _before, end, fields = self._tail.rpartition(_END)
        if not end:
            return "an error that is longer than it may be" if len(self._tail) == KEPT_BYTES else ""
        for field in fields.split(b"\r\n"):
            name, _colon, value = field.partition(b":")
            if name.strip().lower() == _NAME and value.strip():
                return value.strip().decode(errors="replace")
        return ""

    def _note(self) -> None:
        if isinstance(self._protocol, _TailHandler):
            self._tail = self._protocol.tail
