"""Listening sockets and the HTTP servers on them: bounded connections, and an orderly end."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from noisefs.adapters.inbound.admin.client import short_path
from noisefs.core.errors import ConfigError
from noisefs.gateway.config.schema import LimitsConfig
from noisefs.gateway.config.values import Address
from noisefs.gateway.requests import Answered, Handle, ShortWay

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_LOOK_S: Final = 0.02
"""While draining: between two looks at what is still under way. aiohttp has no call for it."""
_CANCEL_S: Final = 0.1
"""What a request that outlasted the drain gets to end, before it is cancelled."""
LATE_S: Final = 0.05
"""How long the rest of a small body is waited for, before the request takes the long way, which has its own limits."""
_FAULT: Final = 500
_HEADERS_TOO_LARGE: Final = 431
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


Malformed = Callable[[int, str], web.Response]
"""How a protocol answers what could not be read as a request: from a status and a text of ours."""


def plainly(status: int, text: str) -> web.Response:
    """In plain text."""
    return web.Response(status=status, text=f"{text}\n")


class _Connection(RequestHandler):
    """aiohttp's connection, with its own say about requests that are not HTTP, and a short way for those that need no
    task: what is answered at once leaves before the connection's own task would have been woken, and that task sleeps
    on while a request that was begun waits.
    """

    __slots__ = ("begun", "invited", "late", "malformed", "peer", "shortly")

    malformed: Malformed
    shortly: ShortWay | None
    begun: bool
    """Whether a request that took the short way waits for its answer."""
    invited: RawRequestMessage | None
    """The request whose client was told to send its body, by the short way."""
    late: asyncio.TimerHandle | None
    """Set while the first request waits for the rest of a small body; ends the patience with it."""
    peer: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who is there."""
        super().connection_made(transport)
        name = self.peername
        self.peer = str(name[0]) if isinstance(name, tuple) else str(name or "")

    def data_received(self, data: bytes) -> None:
        """Parse what came. The task that answers is woken unless a lone request was answered here."""
        waiter = self._waiter
        if self.shortly is None or waiter is None or waiter.done() or (self._messages and not self._holds_back):
            super().data_received(data)  # a request is under way, or waits
            return
        self._waiter = None  # so that the task sleeps on until we had a look
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._messages and not self.begun and not self._comes_late() and not self._is_answered():
            self._wake()

    @property
    def _holds_back(self) -> bool:
        return self.begun or self.late is not None

    def _wake(self) -> None:
        """Let the connection's task have the first request."""
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _comes_late(self) -> bool:
        """Whether to wait for the rest of the first request's body: many clients send it right behind the head."""
        message, payload = self._messages[0]
        most = 0 if self.shortly is None else self.shortly.most_bytes
        waits = not payload.is_eof() and payload.total_bytes <= most
        if self.late is not None:
            if waits:
                return True
            self.late.cancel()
            self.late = None
        elif (
            waits and isinstance(message, RawRequestMessage) and _is_small(message, most) and self._is_awaited(message)
        ):
            self.late = self._loop.call_later(LATE_S, self._comes_too_late)
            return True
        return False

    def _is_awaited(self, message: RawRequestMessage) -> bool:
        """Whether the body comes by itself. A client that waits for ``100 Continue`` is told to send it, if the request
        has passed every check that needs no body.
        """
        if "Expect" not in message.headers:
            return True
        transport = self.transport
        if self.shortly is None or transport is None or transport.is_closing() or message.version != HttpVersion11:
            return False
        if not self.shortly.invites(message):
            return False
        self.invited = message
        transport.write(_CONTINUE)
        return True

    def _comes_too_late(self) -> None:
        self.late = None
        self._wake()

    def _is_answered(self) -> bool:
        """Whether the first request took the short way."""
        message, payload = self._messages[0]
        transport = self.transport
        if (
            self.shortly is None
            or len(self._messages) > 1
            or not (payload is EMPTY_PAYLOAD or (payload.is_eof() and payload.total_bytes <= self.shortly.most_bytes))
            or not isinstance(message, RawRequestMessage)
            or message.should_close
            or message.upgrade
            or message.version != HttpVersion11
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()  # a client that takes nothing must not fill our memory
        ):
            return False
        body = b""
        if payload is EMPTY_PAYLOAD:
            answered = self.shortly.answer(message, self.peer)
            if answered is not None:
                self._messages.clear()
                self._send(transport, answered)
                return True
        else:
            body = payload.read_nowait()
        if self.shortly.begin(message, body, self.peer, partial(self._ended, message, body)):
            self._messages.clear()
            self.begun = True
            # Its own task looks idle: it must not be closed for that.
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            return True
        self._messages[0] = (message, self._again(body))
        return False

    def _ended(self, message: RawRequestMessage, body: bytes, answered: Answered | None) -> None:
        """A request that was begun has its answer, or takes the long way. What came meanwhile waits behind it."""
        self.begun = False
        transport, waiter = self.transport, self._waiter
        if transport is None or transport.is_closing() or waiter is None:
            return  # nobody is there any more
        if answered is None:
            self._messages.appendleft((message, self._again(body)))
        else:
            self._send(transport, answered)
        self._wake()

    def _again(self, body: bytes) -> StreamReader:
        """A body as it was before it was read."""
        if not body:
            return EMPTY_PAYLOAD
        payload = StreamReader(self, len(body), loop=self._loop)
        payload.feed_data(body)
        payload.feed_eof()
        return payload

    def _send(self, transport: asyncio.Transport, answered: Answered) -> None:
        """End the first request with its answer."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._manager is not None:
            self._manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        transport.write(answered.head + answered.body)

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._request_in_progress or self._holds_back)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's; it repeats what came in
    ) -> web.StreamResponse:
        """Answer what could not be read as a request, in the protocol's own way, and end the connection."""
        if status >= _FAULT:
            log.error("http.fault", exc_info=exc)
        else:
            log.info("http.malformed", extra={"client": request.remote, "error": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        if isinstance(exc, LineTooLong):
            status = _HEADERS_TOO_LARGE
        response = self.malformed(status, HTTPStatus(status).phrase)
        response.force_close()
        return response


def _is_small(message: RawRequestMessage, most_bytes: int) -> bool:
    """Whether a request's body has at most so many bytes, or may have."""
    if message.method != "PUT":
        return False
    length = message.headers.get("Content-Length", "")
    return message.chunked or (length.isdigit() and int(length) <= most_bytes)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    """A request of the long way. ``invited``: its client has been told to send the body."""
    request = web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())
    if isinstance(protocol, _Connection) and protocol.invited is message:
        request["invited"] = True
    return request


class BoundedServer(web.Server):
    """``web.Server`` that answers 503 at once on connections beyond a number. Used from its event loop only."""

    def __init__(
        self, handle: Handle, limits: LimitsConfig, malformed: Malformed, shortly: ShortWay | None = None
    ) -> None:
        """Serve ``handle``. One without a whole request is closed after ``keepalive_s``, also a new one.

        ``shortly`` is asked first, for a lone request that has come whole.
        """
        super().__init__(handle, request_factory=_request)
        self._shortly = shortly
        self._limits = limits
        self._malformed = malformed
        self._open: set[RequestHandler] = set()

    def __call__(self) -> RequestHandler:
        """A protocol for a new connection."""
        connection = _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # turns it off; the annotation forgot
            auto_decompress=False,
            keepalive_timeout=self._limits.keepalive_s,
            max_line_size=self._limits.max_header_bytes,
            max_field_size=self._limits.max_header_bytes,
        )
        connection.malformed = self._malformed
        connection.shortly = self._shortly
        connection.begun = False
        connection.invited = None
        connection.late = None
        return connection

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection in, or turn it away."""
        super().connection_made(handler, transport)
        if len(self._open) >= self._limits.max_connections:
            transport.write(_FULL)
            transport.close()
        else:
            self._open.add(handler)

    def close_idle(self) -> int:
        """Close connections without a request; returns how many have one.

        aiohttp's own shutdown closes all at once, and a closed connection takes no more of a body that is on its way:
        an upload under way would wait for the limit and fail.
        """
        busy = 0
        for connection in self.connections:
            if isinstance(connection, _Connection) and connection.is_busy:
                busy += 1
            else:
                connection.close()
        return busy

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count it out."""
        self._open.discard(handler)
        super().connection_lost(handler, exc)


class Listener:
    """One server on one socket."""

    def __init__(
        self,
        handle: Handle,
        sock: socket.socket,
        limits: LimitsConfig,
        tls: ssl.SSLContext | None,
        malformed: Malformed = plainly,
        shortly: ShortWay | None = None,
    ) -> None:
        """Serve ``handle`` on a bound socket, which belongs to the listener from now on."""
        self._server = BoundedServer(handle, limits, malformed, shortly)
        self._drain_s = limits.drain_s
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_CANCEL_S)
        self._sock = sock
        self._tls = tls
        self._site: web.SockSite | None = None

    async def start(self) -> None:
        """Accept connections from now on."""
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self._sock, ssl_context=self._tls, backlog=_BACKLOG)
        await self._site.start()

    async def drain(self) -> None:
        """Accept no more; idle connections end now, requests under way have ``drain_s`` to end."""
        if self._site is not None:
            await self._site.stop()
        try:
            async with asyncio.timeout(self._drain_s):
                while self._server.close_idle():  # noqa: ASYNC110 - aiohttp has no event for it
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            log.warning("server.drain_ended", extra={"requests": self._server.close_idle()})
        await self._runner.cleanup()
        self._sock.close()


def bind(field: str, listen: Address, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; port 0 picks a free one.

    Args:
        field: The configuration field, for the error.
        listen: Where.
        shared: Other processes bind the same address; the system spreads connections over them.

    Raises:
        ConfigError: One cannot listen there.
    """
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if listen.host == "::" else 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setblocking(False)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
    except OSError as exc:
        raise ConfigError(field, str(listen), f"one cannot listen there: {exc.strerror}") from exc
    return sock


def bind_local(path: Path) -> socket.socket:
    """A socket in the file system that only this user can connect to. What a dead process left there is replaced."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with short_path(path) as short:
            sock.bind(short)
        path.chmod(0o600)  # before it listens, so nobody connects earlier; the folder itself has mode 0700
    except BaseException:
        sock.close()
        raise
    return sock


def address_of(sock: socket.socket) -> Address:
    """Where a socket is really bound."""
    host, port = sock.getsockname()[:2]
    return Address(host, port)
