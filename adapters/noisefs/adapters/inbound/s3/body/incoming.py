"""The bytes of a request's body as they come: bounded, with a time limit, and never short without an error."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from noisefs.core.errors import IncompleteBody, RequestTimeout

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CUT: Final = (OSError, ClientError, HttpProcessingError, web.RequestPayloadError, web.PayloadAccessError, RuntimeError)
"""What aiohttp raises from a body that breaks off (``RuntimeError``: the connection is gone already)."""


class Incoming:
    """The body of one request. Not task-safe: one reader."""

    def __init__(self, request: web.BaseRequest, headers: Mapping[str, str], timeout_s: float) -> None:
        self._request = request
        self._timeout_s = timeout_s
        self._invited = headers.get("expect", "").lower() != "100-continue" or bool(request.get("invited"))
        length = headers.get("content-length")
        chunked = "transfer-encoding" in headers
        known = length is not None and not chunked and length.isascii() and length.isdigit()
        self.declared_bytes: int | None = int(length) if known and length else None
        """``Content-Length``; ``None`` where there is none."""
        self.framed = chunked or known
        """Whether the request says anything about a body."""
        self.received_bytes = 0
        """Bytes read so far."""
        self.ended_s = 0.0
        """When all of it was there, by ``time.monotonic``; 0: it was not read."""
        self.timed_out = False
        """Whether the client stopped sending."""

    @property
    def waits_for_invitation(self) -> bool:
        """Whether the client waits for a ``100 Continue`` that it did not get."""
        return not self._invited

    @property
    def remaining_bytes(self) -> float:
        """Bytes that are still to come; infinite where nobody knows."""
        if self.declared_bytes is None:
            return float("inf") if self.framed else 0
        return self.declared_bytes - self.received_bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in. Ends only when all of it was received.

        A client that waits for ``100 Continue`` gets it at the first call: so call it after every check that can
        refuse.

        Raises:
            IncompleteBody: The connection was cut, or the framing is broken.
            RequestTimeout: Nothing came for ``timeout_s``.
        """
        if not self._invited:
            await self._invite()
        content = self._request.content
        try:
            while True:
                piece = content.read_nowait()
                if not piece:
                    if content.is_eof():
                        break
                    async with asyncio.timeout(self._timeout_s):
                        piece = await content.readany()
                    if not piece:
                        continue
                self.received_bytes += len(piece)
                yield piece
        except TimeoutError as exc:
            self.timed_out = True
            raise RequestTimeout(f"the client sent nothing for {self._timeout_s:g} s") from exc
        except _CUT as exc:
            raise IncompleteBody(f"the body ended after {self.received_bytes} bytes: {type(exc).__name__}") from exc
        self.ended_s = time.monotonic()
        if self.declared_bytes is not None and self.received_bytes != self.declared_bytes:
            raise IncompleteBody(f"{self.received_bytes} bytes were received, {self.declared_bytes} declared")

    async def _invite(self) -> None:
        self._invited = True
        writer = self._request.writer
        await writer.write(_CONTINUE)
        writer.output_size = 0  # what a response counts from
