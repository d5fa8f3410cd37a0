"""The way out of one body: from the worker that opened the bytes straight into the socket, or through the transport.

An event loop's transport sends under the interpreter's lock: a quarter of a millisecond a MiB in which no other thread
runs Python. A worker sends without it, from a core's cache, and the loop is not woken for it.
"""

import os
import threading
from typing import Final

from aiohttp import web

_JOINED_MOST: Final = 1 << 16
"""A head and a first piece up to this size leave in one write; a larger piece is not copied for that."""


class Outlet:
    """Sends a head and a body of known size, in order. Belongs to the event loop, but for :meth:`take`.

    The socket is used past its transport only while that has nothing to send itself: else bytes would overtake others.
    It is used through a descriptor of our own, so that it is this connection's whatever becomes of the transport.
    """

    def __init__(self, request: web.BaseRequest, head: bytes, size_bytes: int, *, straight: bool) -> None:
        """``head``: leaves with the first bytes. ``size_bytes``: of the body. ``straight``: if that is possible."""
        self._request = request
        self._head = head
        self._size = size_bytes
        self._sent = 0
        self._begun = False
        self._lock = threading.Lock()
        self._fd = _descriptor_of(request) if straight else -1
        self._straight = self._fd >= 0 and self._transport_is_empty()
        if self._fd >= 0 and request.transport is not None:
            request.transport.set_write_buffer_limits(0)  # a write waits until the transport has nothing left

    @property
    def goes_straight(self) -> bool:
        """Whether :meth:`take` may ever take something."""
        return self._fd >= 0

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return self._begun

    @property
    def sent_bytes(self) -> int:
        """Bytes of the body that were sent, or wait in the transport."""
        return self._sent

    def take(self, piece: memoryview) -> int:
        """On a worker: send what the socket takes at once, and tell how much. Never raises: what is wrong with a
        connection shows when the rest goes to the transport.
        """
        with self._lock:
            if not self._straight:
                return 0
            try:
                if self._head:
                    count = os.writev(self._fd, [self._head, piece]) - len(self._head)
                else:
                    count = os.write(self._fd, piece)
            except OSError:  # mostly that it would have to wait
                self._straight = False
                return 0
            self._begun = True
            if count < 0:
                self._head = self._head[count:]
                count = 0
            else:
                self._head = b""
            if count < len(piece):
                self._straight = False
            self._sent += count
            return count

    async def send(self, piece: memoryview) -> None:
        """Send what was not taken, by the transport. Returns when there is room for more.

        Raises:
            ConnectionError: The client is gone.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._begun = True
        head, self._head = self._head, b""
        self._sent += len(piece)
        last = self._sent >= self._size
        if last:  # not waited with: an answer ends when the client has nearly all of it
            transport.set_write_buffer_limits()
        elif self._fd < 0 and len(piece) > _JOINED_MOST:
            # Behind bytes that wait, the loop sends what follows from inside its poll, without the interpreter's lock.
            transport.set_write_buffer_limits(len(piece), len(piece) - 1)
        if head and len(piece) <= _JOINED_MOST:
            transport.write(head + piece)
        else:
            if head:
                transport.write(head)
            transport.write(piece)
        self._request.writer.output_size += len(head) + len(piece)
        await self._request.writer.drain()
        self._straight = self._fd >= 0 and self._transport_is_empty()

    def close(self) -> None:
        """Let go of the socket: nothing is taken any more. Waits for a write that is under way; it does not wait."""
        transport = self._request.transport
        if transport is not None:
            transport.set_write_buffer_limits()
        with self._lock:
            self._straight = False
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _transport_is_empty(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.is_closing() and transport.get_write_buffer_size() == 0


def _descriptor_of(request: web.BaseRequest) -> int:
    """A descriptor of the connection's socket, which blocks no more than that; -1 where bytes must not pass by the
    transport: it encrypts them, or has none; or where the process has all descriptors it may have.
    """
    transport = request.transport
    if transport is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return -1
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return -1
    try:
        return os.dup(sock.fileno())
    except OSError:
        return -1
