"""Responses: whole ones, and streams that never look complete when they are not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.text import NAMESPACE, XML_DECLARATION

SERVER: Final = "NoiseFS"
_JOINED_MOST: Final = 1 << 16
"""Headers and a first piece up to this size leave in one write; a larger piece is not copied for that."""
UNWATCHED_MOST: Final = 1 << 16
"""An answer up to this size is left to the transport; whether a client takes a larger one is watched."""


class Answer(web.StreamResponse):
    """A response whose headers wait for the first bytes of its body, so that both leave in one write."""

    _send_headers_immediately = False

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """``body``: all of it, for a response that is returned; a stream is written by :func:`stream`."""
        super().__init__(status=status, headers=headers)
        self._rest = body

    @property
    def rest_bytes(self) -> int:
        """Bytes of the body that leave at the end."""
        return len(self._rest)

    async def write_eof(self, data: bytes | memoryview = b"") -> None:
        """End the response with what is left of its body."""
        await super().write_eof(data or self._rest)  # type: ignore[arg-type]  # aiohttp takes views, its annotation does not


def whole(
    ids: Mapping[str, str], status: int, headers: Mapping[str, str], body: bytes = b"", *, head: bool = False
) -> Answer:
    """A response in one piece. ``head``: the request was a HEAD, so the body is only counted."""
    fields = {**ids, **headers}
    if status not in (204, 304):
        fields.setdefault("Content-Length", str(len(body)))
    return Answer(status, fields, b"" if head else body)


def empty(call: Call, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A response without a body."""
    return whole(call.ids, status, headers or {}, head=call.is_head)


def xml(
    call: Call, root: str, content: str, *, headers: Mapping[str, str] | None = None, namespace: bool = True
) -> Answer:
    """An XML document: ``content`` is escaped already."""
    begin = f'{root} xmlns="{NAMESPACE}"' if namespace else root
    body = f"{XML_DECLARATION}<{begin}>{content}</{root}>".encode("utf-8", "replace")
    return whole(call.ids, 200, {"Content-Type": "application/xml", **(headers or {})}, body, head=call.is_head)


def refusal(error: S3Error, resource: str, ids: Mapping[str, str], *, head: bool) -> Answer:
    """The response to a request that was refused."""
    if error.status == 304:
        return whole(ids, 304, error.headers)
    body = b"" if head else error.xml(resource, ids["x-amz-request-id"], ids["x-amz-id-2"])
    return whole(ids, error.status, {**error.headers, "Content-Type": "application/xml"}, body, head=head)


async def stream(
    call: Call,
    status: int,
    headers: Mapping[str, str],
    pieces: AsyncIterator[memoryview],
    size: int,
    timeout_s: float,
) -> Answer:
    """Send a response's body of ``size`` bytes as it comes.

    Until the first piece is there nothing is sent, so an error up to then still has an answer. Later, an exception of
    ``pieces``, and a client that takes nothing for ``timeout_s`` (twice that at most), cut the connection: that never
    looks complete.

    Raises:
        Whatever ``pieces`` raises. ``ConnectionError``: the client is gone, or was cut off.
    """
    request = call.request
    response = Answer(status, {**call.ids, **headers, "Content-Length": str(size)})
    watch = Watch(request, timeout_s) if size > UNWATCHED_MOST else None
    left = size
    try:
        async for piece in pieces:
            if left == size:
                await response.prepare(request)
            left -= len(piece)
            if len(piece) > _JOINED_MOST:
                request.writer.send_headers()
            if len(piece) > _JOINED_MOST:
                _keep_busy(request, len(piece) if left else 0)
            if watch is not None:
                watch.writing = True
                watch.writes += 1
            if left == 0:
                await response.write_eof(piece)
                break
            await response.write(piece)
            if watch is not None:
                watch.writing = False
    except BaseException:
        if response.prepared:
            _cut(request)
        raise
    finally:
        call.sent_bytes = size - left
        if watch is not None:
            watch.stop()
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    if left or (watch is not None and watch.gave_up):
        _cut(request)
        raise ConnectionAbortedError(f"{left} of {size} bytes were not sent")
    return response


def _keep_busy(request: web.BaseRequest, ahead_bytes: int) -> None:
    """Let so many bytes wait in the transport before a write waits; 0: few, as at the start.

    Behind bytes that wait, the event loop sends what follows from inside its poll, without the interpreter's lock;
    else it tries at once and holds the lock for a quarter of a millisecond a MiB, and all that open cells stand still.
    The last piece must not be waited with: an answer ends when the client has nearly all of it.
    """
    transport = request.transport
    if transport is not None:
        transport.set_write_buffer_limits(*((ahead_bytes, ahead_bytes - 1) if ahead_bytes else (None, None)))


class Watch:
    """Cuts the connection of a client that takes nothing. One timer a response instead of one a piece.

    A write that waits is never cancelled: aiohttp would lose what it waits with.
    """

    __slots__ = ("_left", "_seen", "_timeout_s", "_timer", "_transport", "gave_up", "writes", "writing")

    def __init__(self, request: web.BaseRequest, timeout_s: float) -> None:
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


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
