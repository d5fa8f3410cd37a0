"""HTTP to one node: one pooled session, a limit on every wait, errors by their meaning.

Belongs to one event loop. What only reads is tried once more where a kept connection turns out to be closed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from noisefs.adapters.outbound.ipfs.answers import Json, failure, message_of, row_of
from noisefs.adapters.outbound.ipfs.limits import Credentials, NodeLimits
from noisefs.adapters.outbound.ipfs.multipart import CarBody
from noisefs.adapters.outbound.ipfs.trailers import TailConnector, Trailer
from noisefs.core.errors import InvalidArgument, NodeUnavailable
from noisefs.core.ports.telemetry import Counter, Telemetry

MAX_ANSWER_BYTES: Final = 8 << 20
"""Of an answer that is taken whole: far above any, but a node may lie."""
KEEP_S: Final = 60
"""How long an idle connection is kept."""
_ERROR_BYTES: Final = 64 << 10
_ROW_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 256 << 10
"""Of a connection, before its sender is held back."""

Arguments = Sequence[str]
Options = Mapping[str, str]


def check_url(field: str, url: str) -> str:
    """The address without a slash at its end.

    Raises:
        InvalidArgument: It is no plain HTTP address, or holds credentials.
    """
    allowed = "http:// or https:// with a host, and perhaps a port and a path; credentials have fields of their own"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise InvalidArgument(field, url, allowed) from exc
    if "@" in parts.netloc:
        raise InvalidArgument(field, url.replace(parts.netloc, "…"), allowed)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise InvalidArgument(field, url, allowed)
    return url.rstrip("/")


class HttpNode:
    """Requests to the service of one node."""

    def __init__(
        self,
        node: str,
        base: str,
        *,
        limits: NodeLimits,
        credentials: Credentials | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            node: What errors and metrics call it.
            base: The address, checked.
            limits: On its time.
            credentials: Sent with every request to ``base``.
            telemetry: Counts calls, if given.
        """
        self.node = node
        self.base = base
        self.limits = limits
        self._authorization = credentials.header() if credentials else None
        self._telemetry = telemetry
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Close its connections; requests after that fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def whole(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        wait_s: float | None = None,
        at_most: int = MAX_ANSWER_BYTES,
        unless: Sequence[str] = (),
        body: bytes | CarBody | aiohttp.FormData | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> bytes | None:
        """A short answer, whole.

        Args:
            method: POST or another.
            path: Behind the base, encoded.
            doing: What errors say, and metrics: of a closed set.
            wait_s: For all of it; the ordinary limit by default.
            at_most: Bytes that are taken.
            unless: Parts of error messages that mean ``None`` instead of an error.
            body: Sent with it.
            headers: Sent with it.
            again: Try once more if a kept connection was closed: for what may be done twice.

        Raises:
            NodeUnavailable, NodeRefused, NodeFull: As the port says.
        """
        wait_s = self.limits.answer_s if wait_s is None else wait_s
        for last in (not again, True):
            try:
                async with asyncio.timeout(wait_s):
                    async with self._request(method, path, doing, body=body, headers=headers) as response:
                        trailer, status = Trailer(response), response.status
                        text = await self._take(response, doing, at_most if status < 300 else _ERROR_BYTES)
                        if status < 300:
                            late = trailer.error()
                            if not late:
                                return text
                            text, status = late.encode(), 500
                        if any(part in message_of(text) for part in unless):
                            return None
                        raise failure(self.node, doing, status, text)
            except aiohttp.ServerDisconnectedError as exc:
                if last:
                    raise NodeUnavailable(self.node, doing, "it closed the connection") from exc
            except TimeoutError as exc:
                raise NodeUnavailable(self.node, doing, f"no answer within {wait_s:g} s") from exc
            except (aiohttp.ClientError, OSError) as exc:
                raise NodeUnavailable(self.node, doing, exc or type(exc).__name__) from exc
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        begin_s: float,
        stall_s: float | None = None,
        body: CarBody | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """An answer piece by piece. One that breaks off, or tells an error in its trailer, raises at its end.

        Args:
            method: POST or another.
            path: Behind the base, encoded.
            doing: As above.
            begin_s: Until the answer begins, or until the body is asked for, which then has limits of its own.
            stall_s: Between two pieces; the ordinary limit by default.
            body: Sent with it.
            headers: Sent with it.

        Raises:
            NodeUnavailable, NodeRefused, NodeFull: As the port says; at any step.
        """
        stall_s = self.limits.stall_s if stall_s is None else stall_s
        try:
            async with asyncio.timeout(begin_s) as begin:
                if body is not None:
                    body.timer = begin
                async with self._request(method, path, doing, body=body, headers=headers) as response:
                    if body is not None:
                        body.timer = None
                    if response.status >= 300:
                        text = await self._take(response, doing, _ERROR_BYTES)
                        raise failure(self.node, doing, response.status, text)
                    begin.reschedule(None)
                    yield self._pieces(response, doing, stall_s)
        except TimeoutError as exc:
            raise NodeUnavailable(self.node, doing, "it stalled") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise NodeUnavailable(self.node, doing, exc or type(exc).__name__) from exc

    async def rows(
        self,
        path: str,
        doing: str,
        *,
        method: str = "POST",
        begin_s: float,
        stall_s: float | None = None,
        body: CarBody | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Json]:
        """The rows of a stream of JSON objects; one that tells an error raises it."""
        rest = b""
        async with self.stream(
            method, path, doing, begin_s=begin_s, stall_s=stall_s, body=body, headers=headers
        ) as pieces:
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield row_of(self.node, doing, line)
                if len(rest) > _ROW_BYTES:
                    raise NodeUnavailable(self.node, doing, "a row has no end")
        if rest.strip():
            yield row_of(self.node, doing, rest)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        body: bytes | CarBody | aiohttp.FormData | None,
        headers: Mapping[str, str] | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange. A body that is still on its way when the answer is done is given up, never waited for."""
        if self._closed:
            raise NodeUnavailable(self.node, doing, "its connections are closed")
        if self._telemetry is not None:
            self._telemetry.count(Counter.NODE_CALLS, 1, (self.node, doing))
        response = await self._open().request(
            method,
            URL(f"{self.base}{path}", encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            expect100=isinstance(body, CarBody),
        )
        try:
            yield response
        except BaseException:
            response.close()
            raise
        response.release()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"User-Agent": "noisefs", "Accept-Encoding": "identity"}
            if self._authorization:
                headers["Authorization"] = self._authorization
            self._session = aiohttp.ClientSession(
                connector=TailConnector(keepalive_timeout=KEEP_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers=headers,
                read_bufsize=_BUFFER_BYTES,
            )
        return self._session

    async def _take(self, response: aiohttp.ClientResponse, doing: str, at_most: int) -> bytes:
        if (response.content_length or 0) <= at_most and response.content_length is not None:
            return await response.content.read()
        pieces, size = [], 0
        while piece := await response.content.readany():
            size += len(piece)
            if size > at_most:
                response.close()
                raise NodeUnavailable(self.node, doing, f"it answers with more than {at_most} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def _pieces(self, response: aiohttp.ClientResponse, doing: str, stall_s: float) -> AsyncIterator[bytes]:
        trailer = Trailer(response)
        while True:
            async with asyncio.timeout(stall_s):
                piece = await response.content.readany()
            if not piece:
                break
            yield piece
        if late := trailer.error():
            raise failure(self.node, doing, 500, late.encode())


def rpc_path(command: str, arguments: Arguments = (), **options: str | bool | float) -> str:
    """Path and query of a call of Kubo's RPC."""
    words = [f"arg={quote(argument, safe='/')}" for argument in arguments]
    for name, value in options.items():
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        words.append(f"{name.replace('_', '-')}={quote(text, safe='')}")
    return f"/api/v0/{command}" + (f"?{'&'.join(words)}" if words else "")
