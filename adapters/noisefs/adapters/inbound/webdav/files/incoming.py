"""The body of a request, on its way in: bounded, with a time limit, and never short without an error."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.errors import IncompleteBody, NoisefsError, RequestTimeout

_EXPECTED: Final = "X-Expected-Entity-Length"
_NUMBER: Final = re.compile("[0-9]{1,19}")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CUT: Final = (
    *(OSError, ClientError, HttpProcessingError, web.RequestPayloadError, web.PayloadAccessError),
    RuntimeError,  # "Connection closed.": it was before this request's turn came
)
"""What aiohttp raises from a body that breaks off."""


class Incoming:
    """The body of one request. Not task-safe: one reader."""

    def __init__(self, request: web.BaseRequest, timeout_s: float) -> None:
        self._request = request
        self._timeout_s = timeout_s
        self._invited = False
        self.received_bytes = 0
        """Bytes read so far."""

    @property
    def declared_bytes(self) -> int | None:
        """``Content-Length``; 0 where there is no body, ``None`` for a chunked one. aiohttp has refused all else."""
        if "Transfer-Encoding" in self._request.headers:
            return None
        return self._request.content_length or 0

    @property
    def expected_bytes(self) -> int | None:
        """How many bytes a body must have that is to be kept: ``Content-Length``, or what Finder says beside chunks.

        ``None``: the end of the chunks says it all.

        Raises:
            IncompleteBody: They differ: a proxy that puts chunks together lost some.
        """
        declared = self.declared_bytes
        told = _NUMBER.fullmatch(self._request.headers.get(_EXPECTED, ""))
        if told is None:
            return declared
        if declared is not None and declared != int(told[0]):
            raise IncompleteBody(f"{declared} bytes are declared, and {told[0]} expected")
        return int(told[0])

    @property
    def waits_for_invitation(self) -> bool:
        """Whether the client waits for a ``100 Continue`` that it did not get."""
        return not self._invited and self._request.headers.get("Expect", "").lower() == "100-continue"

    @property
    def remaining_bytes(self) -> float:
        """Bytes that are still to come; infinite where nobody knows."""
        declared = self.declared_bytes
        return float("inf") if declared is None else declared - self.received_bytes

    def check_coding(self) -> None:
        """Refuse a body that would have to be decoded beyond its chunks.

        Raises:
            Refused: 501 (RFC 9112 section 6.1).
        """
        coding = self._request.headers.get("Transfer-Encoding", "chunked")
        if coding.strip().lower() != "chunked":
            raise Refused(501, f"the transfer coding {coding[:40]!r} is not understood: only chunked is")

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes in. Ends only when all of it was received.

        A client that waits for ``100 Continue`` gets it at the first call, so ask after every check that can refuse.

        Raises:
            IncompleteBody: The connection was cut, the chunked framing is broken or unfinished, or the number of bytes
                is not :attr:`expected_bytes`.
            RequestTimeout: Nothing came for ``timeout_s``.
        """
        expected = self.expected_bytes
        await self._invite()
        content = self._request.content
        plain = self.declared_bytes is not None
        try:
            while True:
                if plain and content.total_bytes > self.received_bytes:  # at hand: piece by piece, without joining them
                    piece, _ = await content.readchunk()
                elif content.at_eof():
                    break
                else:
                    async with asyncio.timeout(self._timeout_s):
                        piece = await content.readany()
                    if not piece:
                        break
                self.received_bytes += len(piece)
                if expected is not None and self.received_bytes > expected:
                    raise IncompleteBody(f"more than the {expected} bytes declared were received")
                yield piece
        except TimeoutError as exc:
            raise RequestTimeout(f"the client sent nothing for {self._timeout_s:g} s") from exc
        except _CUT as exc:
            raise IncompleteBody(f"the body ended after {self.received_bytes} bytes: {type(exc).__name__}") from exc
        if not content.is_eof() or (expected is not None and self.received_bytes != expected):
            raise IncompleteBody(f"{self.received_bytes} bytes were received, {expected} declared")

    async def whole(self, limit_bytes: int) -> bytes:
        """The body in one piece.

        Raises:
            Refused: 413; it has more than ``limit_bytes``. Nothing more than that is read.
            IncompleteBody, RequestTimeout: As :meth:`pieces`.
        """
        declared = self.declared_bytes
        if declared is not None and declared > limit_bytes:
            raise Refused(413, f"the body has {declared} bytes: at most {limit_bytes} are allowed")
        if declared == 0:
            return b""
        collected = bytearray()
        async for piece in self.pieces():
            collected += piece
            if len(collected) > limit_bytes:
                raise Refused(413, f"the body is larger than the {limit_bytes} bytes allowed")
        return bytes(collected)

    async def drain(self, limit_bytes: int, limit_s: float) -> None:
        """Read and drop what is left of the body, if it is at most ``limit_bytes``, for at most ``limit_s``.

        Of a client that sends everything before it looks for an answer, and would not see one otherwise. Nothing is
        read from one that waits for ``100 Continue``. Never raises but ``CancelledError``.
        """
        if self.waits_for_invitation or (self.declared_bytes is not None and self.remaining_bytes > limit_bytes):
            return
        dropped = 0
        with suppress(TimeoutError, NoisefsError):
            async with asyncio.timeout(limit_s):
                async for piece in self.pieces():
                    dropped += len(piece)
                    if dropped > limit_bytes:
                        return

    async def _invite(self) -> None:
        if not self.waits_for_invitation:
            return
        self._invited = True
        writer = self._request.writer
        await writer.write(_CONTINUE)
        writer.output_size = 0  # what a response counts from
