"""A CAR stream as the one file of a ``multipart/form-data`` body (RFC 7578) of known length, without copies."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import Payload

from noisefs.core.ports.nodes import Car

_BOUNDARY_BYTES: Final = 16


class StreamBroke(Exception):
    """The stream of parts is not as long as it says."""


class CarBody(Payload):
    """The body of one request. Used once; belongs to one event loop.

    A piece is handed to the transport and given up only when all of it has been sent, for it may be overwritten then.
    ``failure`` is what went wrong on our side, if anything did: aiohttp tells only that the body could not be written.
    """

    def __init__(self, car: Car, *, stall_s: float, answer_s: float) -> None:
        """Frame ``car``.

        Args:
            car: The stream.
            stall_s: Within which a piece must be taken.
            answer_s: Within which the answer must begin once all is sent.
        """
        boundary = secrets.token_hex(_BOUNDARY_BYTES)
        self._before = (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="file"; filename="car"\r\n'
            "Content-Type: application/vnd.ipld.car\r\n\r\n"
        ).encode("ascii")
        self._after = f"\r\n--{boundary}--\r\n".encode("ascii")
        super().__init__(car, content_type=f"multipart/form-data; boundary={boundary}")
        self._size = len(self._before) + car.size_bytes + len(self._after)
        self._car = car
        self._stall_s = stall_s
        self.failure: Exception | None = None
        self._answer_s = answer_s
        self.timer: asyncio.Timeout | None = None
        """Limits the wait for the answer; stands still while the body is on its way."""
        self.sent = False
        """Whether all of it has been sent."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - abstract
        """Not text."""
        raise TypeError("a CAR stream is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        assert isinstance(writer, StreamWriter)
        transport = writer.transport
        if transport is not None:
            transport.set_write_buffer_limits(high=0)
        self._set_timer(None)
        parts = self._car.parts()
        try:
            await self._send(writer, self._before)
            left = self._car.size_bytes
            while (part := await self._next(parts)) is not None:
                left -= len(part)
                if left < 0:
                    break
                await self._send(writer, part)
            if left:
                self.failure = StreamBroke(f"a stream of {self._car.size_bytes} bytes differs by {left}")
                raise self.failure
            await self._send(writer, self._after)
            self.sent = True
            self._set_timer(self._answer_s)
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()
            if transport is not None:
                transport.set_write_buffer_limits()

    def _set_timer(self, seconds: float | None) -> None:
        if self.timer is not None:
            self.timer.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def _next(self, parts: AsyncIterator[bytes | memoryview]) -> bytes | memoryview | None:
        try:
            return await anext(parts)
        except StopAsyncIteration:
            return None
        except Exception as exc:
            self.failure = exc
            raise

    async def _send(self, writer: StreamWriter, piece: bytes | memoryview) -> None:
        await writer.write(piece, drain=False)
        async with asyncio.timeout(self._stall_s):
            await writer.drain()
