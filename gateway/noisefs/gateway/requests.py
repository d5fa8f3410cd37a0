"""What every request gets before its protocol sees it: an id, the client's real address, and its line in the log."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from queue import SimpleQueue
from random import getrandbits
from typing import Final, NamedTuple, TextIO

from aiohttp import web

from noisefs.gateway.logs import request_id

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""A protocol: answers one request, never raises but ``CancelledError``."""

FLUSH_S: Final = 0.2
"""Lines wait this long for others: one write for all of them."""
_BATCHES_MOST: Final = 100
"""Batches that may wait for a reader of stderr that does not read; later ones are dropped and counted."""
_CLIENT_GONE: Final = 499
"""Logged for a request whose client went away before the answer."""


class _Line(NamedTuple):
    ended: float
    protocol: str
    method: str
    path: str
    status: int
    seconds: float
    received: int
    sent: int
    client: str
    request: str


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
        self._queue: SimpleQueue[list[_Line] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="request-log", daemon=True)
        self._thread.start()

    def note(self, line: _Line) -> None:
        """Take one line."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(line)

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
        while (lines := self._queue.get()) is not None:
            dropped, self.dropped = self.dropped, 0
            text = "".join(map(_json, lines))
            if dropped:
                text += f'{{"level":"warning","event":"requests.not_logged","count":{dropped}}}\n'
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)  # nobody reads; serving goes on


def _json(line: _Line) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(line.ended))
    return (
        f'{{"time":"{stamp}.{int(line.ended % 1 * 1e6):06d}Z","level":"info","event":"request",'
        f'"protocol":"{line.protocol}","method":{json.dumps(line.method)},"path":{json.dumps(line.path)},'
        f'"status":{line.status},"seconds":{line.seconds:.6f},"received":{line.received},"sent":{line.sent},'
        f'"client":{json.dumps(line.client)},"request_id":"{line.request}"}}\n'
    )


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
        """The client's address: the peer's, or behind trusted proxies the last one that none of them vouches for."""
        peer = request.remote or ""
        if not self._trusted or not self.trusts(peer):
            return peer
        for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
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
                path = request.raw_path.partition("?")[0]
                seconds = time.perf_counter() - began
                received = request.content_length or 0
                line = _Line(
                    time.time(), protocol, request.method, path, status, seconds, received, sent, client, ident
                )
                requests.note(line)
        return response

    return serve
