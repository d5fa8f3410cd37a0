"""What every request gets before its protocol sees it: an id, the client's real address, and its line in the log."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from queue import SimpleQueue
from random import getrandbits
from typing import Final, Protocol, TextIO

import msgspec
from aiohttp import web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDictProxy

from noisefs.gateway.logs import request_id

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""A protocol: answers one request, never raises but ``CancelledError``."""

FLUSH_S: Final = 0.1
"""Lines wait this long for others: one write for all of them."""
_BATCHES_MOST: Final = 100
"""Batches that may wait for a reader of stderr that does not read; later ones are dropped and counted."""
_CLIENT_GONE: Final = 499
"""Logged for a request whose client went away before the answer."""


class Answered(Protocol):
    """An answer made at once."""

    @property
    def status(self) -> int:
        """Its status."""

    @property
    def head(self) -> bytes:
        """Status line and headers, with the empty line."""

    @property
    def body(self) -> bytes | memoryview:
        """All of its body."""


AtOnce = Callable[[RawRequestMessage, str], Answered | None]
"""A protocol's short way: answers a request without a body at once and in some KiB, or not at all. Given its head, and
an id (behind :func:`front_shortly`: the peer's address)."""


Begin = Callable[[RawRequestMessage, bytes, str, Callable[[Answered | None], None]], bool]
"""A protocol's short way for requests that have to wait for something: given the head, the whole body, an id (or the
peer's address) and who takes the answer, it tells whether it has begun. Then the answer comes later, or ``None`` for a
request that takes the long way after all."""


Invites = Callable[[RawRequestMessage], bool]
"""Whether the client of a request that expects ``100 Continue`` may send its body: a protocol's short way has checked
what can be checked without it. Asked only where the body may be small."""


SMALL_BYTES: Final = 1 << 14


def _nobody(_message: RawRequestMessage) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ShortWay:
    """How a protocol answers some requests without a task: at once, or after what they wait for."""

    answer: AtOnce
    begin: Begin
    invites: Invites = _nobody
    most_bytes: int = SMALL_BYTES
    """A request with a longer body takes the long way. At most 128 KiB: then aiohttp stops reading."""


class _Line(msgspec.Struct):
    """One line, its fields in the order in which they are written."""

    time: str
    level: str
    event: str
    protocol: str
    method: str
    path: str
    status: int
    seconds: float
    received: int
    sent: int
    client: str
    request_id: str


class _Dropped(msgspec.Struct):
    level: str
    event: str
    count: int


class RequestLog:
    """One line of JSON a request, written in batches by a thread of its own, so that the loop never waits for stderr.

    Paths are logged as they came, without the query: a presigned one would open the object to whoever reads the log.
    Used from the event loop only. A kill loses at most ``FLUSH_S`` of lines.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to ``stream``, by default stderr."""
        self._stream = stream or sys.stderr
        self._lines: list[_Line] = []
        self.dropped = 0
        self._second = 0
        self._stamp = ""
        self._queue: SimpleQueue[list[_Line] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
        self._thread.start()

    def note(
        self,
        protocol: str,
        method: str,
        target: str,
        status: int,
        began_s: float,
        received: int,
        sent: int,
        client: str,
        ident: str,
    ) -> None:
        """Take the line of a request that ends now. ``began_s``: by ``time.perf_counter``."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        seconds = round(time.perf_counter() - began_s, 6)
        path = target.partition("?")[0]
        if not path.isascii():
            path = path.encode("utf-8", "backslashreplace").decode()
        line = _Line(
            self._now(), "info", "request", protocol, method, path, status, seconds, received, sent, client, ident
        )
        self._lines.append(line)

    def _now(self) -> str:
        second, nanos = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{nanos // 1000:06d}Z"

    def flush(self) -> None:
        """Hand what waits to the thread."""
        lines, self._lines = self._lines, []
        if self._queue.qsize() < _BATCHES_MOST:
            self._queue.put(lines)
        else:
            self.dropped += len(lines)

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._queue.put(None)
        self._thread.join(timeout=1)

    def _write(self) -> None:
        encode_lines = msgspec.json.Encoder().encode_lines
        while (lines := self._queue.get()) is not None:
            dropped, self.dropped = self.dropped, 0
            text = encode_lines(lines)
            if dropped:
                text += encode_lines([_Dropped("warning", "requests.not_logged", dropped)])
            try:
                self._stream.write(text.decode())
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)  # nobody reads; serving goes on


class Proxies:
    """Whose word about the client's address and scheme is taken."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        """``trusted``: the proxies' networks."""
        self._trusted = tuple(trusted)
        self.trusts: Callable[[str], bool] = lru_cache(maxsize=4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        return any(mapped in network or ip in network for network in self._trusted)

    def client_of(self, request: web.BaseRequest) -> str:
        """The address of a request's client; see :meth:`client_behind`."""
        return self.client_behind(request.remote or "", request.headers)

    def client_behind(self, peer: str, headers: CIMultiDictProxy[str]) -> str:
        """The client's address: the peer's, or behind trusted proxies the last one that none of them vouches for."""
        if not self._trusted or not self.trusts(peer):
            return peer
        for hop in reversed(",".join(headers.getall("X-Forwarded-For", ())).split(",")):
            address = _plain(hop)
            if not address:
                break
            peer = address
            if not self.trusts(address):
                break
        return peer

    def scheme_of(self, request: web.BaseRequest) -> str:
        """``http`` or ``https``, as the client sees it."""
        if self._trusted and self.trusts(request.remote or ""):
            told = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
            if told in ("http", "https"):
                return told
        return request.scheme


def _plain(hop: str) -> str:
    """The address in one entry of ``X-Forwarded-For``, which may have a port; empty if there is none."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return ""


def front(protocol: str, handle: Handle, proxies: Proxies, requests: RequestLog | None) -> Handle:
    """``handle`` with ids, addresses and log lines: sets ``request["request_id"]``, ``["client"]`` and ``["scheme"]``.

    Cost: about 5 µs a request.
    """

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        ident = f"{getrandbits(64):016X}"
        request["request_id"] = ident
        request["client"] = client = proxies.client_of(request)
        request["scheme"] = proxies.scheme_of(request)
        request_id.set(ident)
        status, sent = _CLIENT_GONE, 0
        try:
            response = await handle(request)
            status = response.status
            sent = response.body_length if response.prepared else response.content_length or 0
        finally:
            if requests is not None:
                received = request.content_length or 0
                requests.note(protocol, request.method, request.raw_path, status, began, received, sent, client, ident)
        return response

    return serve


def front_shortly(protocol: str, way: ShortWay, proxies: Proxies, requests: RequestLog | None) -> ShortWay:
    """``way`` with ids and log lines; where it takes an id it is given the peer's address.

    A request that it does not answer goes to :func:`front`, and leaves nothing here.
    """

    def serve(message: RawRequestMessage, peer: str) -> Answered | None:
        began = time.perf_counter()
        ident = f"{getrandbits(64):016X}"
        answered = way.answer(message, ident)
        if answered is not None and requests is not None:
            client = proxies.client_behind(peer, message.headers)
            sent = len(answered.body)
            requests.note(protocol, message.method, message.path, answered.status, began, 0, sent, client, ident)
        return answered

    def begin(message: RawRequestMessage, body: bytes, peer: str, done: Callable[[Answered | None], None]) -> bool:
        began = time.perf_counter()
        ident = f"{getrandbits(64):016X}"

        def ended(answered: Answered | None) -> None:
            if answered is not None and requests is not None:
                client = proxies.client_behind(peer, message.headers)
                received, sent = len(body), len(answered.body)
                requests.note(
                    protocol, message.method, message.path, answered.status, began, received, sent, client, ident
                )
            done(answered)

        return way.begin(message, body, ident, ended)

    return ShortWay(serve, begin, way.invites, way.most_bytes)
