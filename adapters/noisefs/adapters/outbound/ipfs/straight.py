"""Blocks from a gateway straight into the caller's memory: the one kind of request of which there are very many.

A plain HTTP/1.1 exchange (RFC 9112) on kept connections: a GET without a body, an answer whose head tells its length.
The kernel copies the bytes to where they belong, and nothing else touches them. Whatever is not of that kind (chunked,
encoded, another version) is :class:`NotStraight`, for :mod:`.client` to do. Belongs to one event loop.

Cost of the client alone, in CPU seconds per GiB of 128 KiB blocks with 32 in flight: 0.8; through aiohttp, which copies
each block twice more, 2.1. Whole packs as CARs take aiohttp 0.9, and the node 0.9 more than single blocks do.
"""

import asyncio
import re
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from noisefs.core.errors import NodeUnavailable

KEEP_S: Final = 60.0
"""How long an idle connection is kept."""
HEAD_BYTES: Final = 8 << 10
ERROR_BYTES: Final = 64 << 10
_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"http/1\.1 ([2-5]\d\d)[ \r]")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n")
_CODED: Final = re.compile(rb"\r\n(?:transfer-encoding|content-encoding|trailer)[ \t]*:")
_CLOSE: Final = re.compile(rb"\r\nconnection:[^\r]*close")


class NotStraight(Exception):
    """The answer is not of the kind that is read here. The same may be asked for in another way."""


class Answer(NamedTuple):
    """What came. ``error``: what an answer other than 200 says; ``length``: of what it brings."""

    status: int
    length: int
    error: bytes = b""


class _Stale(Exception):
    """A kept connection turned out to be closed before anything of the answer came."""


class _Connection(asyncio.BufferedProtocol):
    """One exchange at a time. ``usable``: another one may follow."""

    def __init__(self) -> None:
        self._head = memoryview(bytearray(HEAD_BYTES))
        self._got = 0
        self._into = memoryview(b"")
        self._body: memoryview | None = None
        """Where the rest of the answer goes, once its head is there."""
        self._at = 0
        self._status = 0
        self._done: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self._used = False
        self.usable = False
        self.idle_since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, and what was under way has failed."""
        self.usable = False
        stale = self._used and not self._got and self._body is None
        self._fail(_Stale() if stale else exc or ConnectionResetError("it closed the connection"))

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._head[self._got :] if self._body is None else self._body[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        if self._done is None:
            self.close()  # nobody has asked for any
        elif self._body is None:
            self._got += nbytes
            self._read_head()
        else:
            self._at += nbytes
            self._end_if_whole()

    def ask(self, request: bytes, into: memoryview) -> "asyncio.Future[Answer]":
        """Send a request. The bytes of an answer 200 of just that length will be in ``into``."""
        assert self._transport is not None
        assert self._done is None
        self._into = into
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._done

    def close(self) -> None:
        """Break it off. Nothing is written into the caller's memory any more."""
        self.usable = False
        self._forget()
        if self._transport is not None:
            self._transport.abort()

    def _read_head(self) -> None:
        head = bytes(self._head[: self._got]).lower()
        end = head.find(_HEAD_END)
        if end < 0:
            if self._got == HEAD_BYTES:
                self._refuse("a head that is too long")
            return
        rest = self._head[end + len(_HEAD_END) : self._got]
        head = head[: end + 2]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or length is None or _CODED.search(head):
            self._refuse("it does not tell its length")
            return
        self._status = int(status[1])
        size = int(length[1])
        self.usable = not _CLOSE.search(head)
        if self._status == 200 and size == len(self._into):
            self._body = self._into
        elif self._status != 200 and size <= ERROR_BYTES:
            self._body = memoryview(bytearray(size))
        else:
            self._succeed(Answer(self._status, size))
            self.close()
            return
        if len(rest) > size:
            self._refuse("more than it says")
            return
        self._body[: len(rest)] = rest
        self._at = len(rest)
        self._end_if_whole()

    def _end_if_whole(self) -> None:
        body = self._body
        assert body is not None
        if self._at < len(body):
            return
        error = b"" if self._status == 200 else bytes(body)
        self._forget()
        self._used = True
        self._succeed(Answer(self._status, len(body), error))

    def _forget(self) -> None:
        self._got = self._at = 0
        self._into, self._body = memoryview(b""), None

    def _refuse(self, why: str) -> None:
        self._fail(NotStraight(why))
        self.close()

    def _succeed(self, answer: Answer) -> None:
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_result(answer)

    def _fail(self, exc: Exception) -> None:
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_exception(exc)


class StraightReader:
    """GETs of one plain HTTP server, on as many connections as there are requests at a time."""

    def __init__(self, node: str, base: str, *, connect_s: float) -> None:
        """Nothing is connected yet.

        Args:
            node: What errors call it.
            base: The address, checked: ``http://``.
            connect_s: It accepts a connection within this time.
        """
        parts = urlsplit(base)
        self._node = node
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._prefix = parts.path
        self._rest = f" HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: noisefs\r\nAccept-Encoding: identity\r\n"
        self._connect_s = connect_s
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._closed = False
        self._pruning: asyncio.TimerHandle | None = None

    async def get(self, path: str, accept: str, into: memoryview, doing: str, *, wait_s: float) -> Answer:
        """Ask for ``path``, behind the base, and fill ``into``, if the answer is a 200 that is just as long.

        Once the call has ended, in whatever way, nothing is written into ``into`` any more.

        Raises:
            NotStraight: The answer is to be read in another way.
            NodeUnavailable: No connection, no answer, or none in time.
        """
        request = f"GET {self._prefix}{path}{self._rest}Accept: {accept}\r\n\r\n".encode("ascii")
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    connection = self._kept() or await self._connect()
                    try:
                        return await self._exchange(connection, request, into)
                    except _Stale:
                        continue  # each one that is tried is one less; a new one is never stale
        except TimeoutError as exc:
            raise NodeUnavailable(self._node, doing, f"no answer within {wait_s:g} s") from exc
        except OSError as exc:
            raise NodeUnavailable(self._node, doing, exc) from exc

    def close(self) -> None:
        """Break everything off; later calls fail."""
        self._closed = True
        if self._pruning is not None:
            self._pruning.cancel()
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()

    async def _exchange(self, connection: _Connection, request: bytes, into: memoryview) -> Answer:
        self._busy.add(connection)
        try:
            answer = await connection.ask(request, into)
        except BaseException:
            connection.close()
            raise
        finally:
            self._busy.discard(connection)
        if connection.usable and not self._closed:
            self._keep(connection)
        else:
            connection.close()
        return answer

    async def _connect(self) -> _Connection:
        if self._closed:
            raise ConnectionResetError("its connections are closed")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect_s):
            _transport, connection = await loop.create_connection(_Connection, self._host, self._port)
        if self._closed:
            connection.close()
            raise ConnectionResetError("its connections are closed")
        return connection

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _keep(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        self._idle.append(connection)
        if self._pruning is None:
            self._pruning = loop.call_later(KEEP_S, self._prune)

    def _prune(self) -> None:
        """Close what was idle for long: the oldest ones lie at the front."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() - KEEP_S
        for connection in self._idle:
            if connection.idle_since_s <= until_s:
                connection.close()
        self._idle = [connection for connection in self._idle if connection.usable]
        self._pruning = loop.call_later(KEEP_S, self._prune) if self._idle else None
