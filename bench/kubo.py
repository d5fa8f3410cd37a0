"""Kubo without us: what a node does with bare imports and reads, and the original NoiseFS's way of using it.

The original stored each block by one ``add`` with a pin, and read each by one ``cat``, three for each block of
data: one after another.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

from bench import processes
from bench.failures import BenchError
from bench.payload import Pool
from bench.wire import Driver, Request
from noisefs.core.domain.ids import BlockId
from noisefs.core.domain.nodes.block_id import block_id_text, compute_block_id
from noisefs.core.domain.nodes.car import car_of
from noisefs.core.domain.nodes.dag_cbor import Link, encode_dag
from noisefs.core.domain.nodes.root import root_id
from tools.ipfs_daemon import IpfsDaemon

BLOCK_BYTES = (128 << 10) + 16
BLOCKS_A_PACK = 512
_BOUNDARY = "bench"
_READERS = 32


@dataclass(frozen=True, slots=True)
class Stretch:
    """One way of moving bytes, timed. ``cpu_s`` is the daemons'."""

    plain_bytes: int
    seconds: float
    cpu_s: float
    calls: int

    @property
    def mib_per_s(self) -> float:
        """Speed."""
        return self.plain_bytes / (1 << 20) / self.seconds

    @property
    def cpu_s_per_gib(self) -> float:
        """The daemon's CPU seconds per GiB."""
        return self.cpu_s * (1 << 30) / self.plain_bytes


def timed(daemons: Sequence[IpfsDaemon], plain_bytes: int, calls: int, work: Callable[[], float | None]) -> Stretch:
    """Run ``work`` and look at the clock and the daemons' CPU time around it.

    ``work`` may return when it was done, where it has only found out later; the clock is ``time.perf_counter``.
    """
    cpu, begin = _cpu_s(daemons), time.perf_counter()
    ended = work()
    seconds = (time.perf_counter() if ended is None else ended) - begin
    return Stretch(plain_bytes, seconds, _cpu_s(daemons) - cpu, calls)


def _cpu_s(daemons: Sequence[IpfsDaemon]) -> float:
    return sum(processes.usage(daemon.pid).cpu_s for daemon in daemons)


def bare_imports(daemon: IpfsDaemon, pool: Pool) -> tuple[Stretch, list[BlockId]]:
    """``dag/import`` of one CAR a pack, one after another; also the names of the blocks."""
    names: list[BlockId] = []
    streams: list[bytes] = []
    for start in range(0, pool.size_bytes - BLOCK_BYTES * BLOCKS_A_PACK + 1, BLOCK_BYTES * BLOCKS_A_PACK):
        blocks = _blocks(pool, start)
        root = encode_dag({"b": [Link(name) for name, _ in blocks]})
        streams.append(car_of(root_id(root), [*blocks, (root_id(root), root)]))
        names += [name for name, _ in blocks]

    def work() -> None:
        for stream in streams:
            _call(daemon.api, "/api/v0/dag/import?pin-roots=true", stream)

    return timed([daemon], len(names) * BLOCK_BYTES, len(streams), work), names


def adds(daemon: IpfsDaemon, pool: Pool, count: int) -> Stretch:
    """One ``add`` with a pin for each block, one after another."""
    bodies = [_multipart(pool.view[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES]) for n in range(count)]
    head = f"POST /api/v0/add?pin=true&cid-version=1&raw-leaves=true HTTP/1.1\r\n{_headers(len(bodies[0]))}\r\n"

    def requests() -> Iterator[Request]:
        for body in bodies:
            yield Request(head.encode(), cast(Pool, SimpleNamespace(view=memoryview(body))), len(body))

    return timed([daemon], count * BLOCK_BYTES, count, lambda: _drive(daemon.api, 1, requests()))


def gateway_reads(daemon: IpfsDaemon, names: Sequence[BlockId]) -> Stretch:
    """Blocks by the node's trustless gateway, 32 in flight."""
    host = urlsplit(daemon.gateway).netloc
    requests = (
        Request(
            f"GET /ipfs/{block_id_text(name)}?format=raw HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(),
            answer_bytes=BLOCK_BYTES,
        )
        for name in names
    )
    return timed([daemon], len(names) * BLOCK_BYTES, len(names), lambda: _drive(daemon.gateway, _READERS, requests))


def cats(daemon: IpfsDaemon, names: Sequence[BlockId]) -> Stretch:
    """Blocks by one ``cat`` each, one after another."""
    requests = (
        Request(f"POST /api/v0/cat?arg={block_id_text(name)} HTTP/1.1\r\n{_headers(0)}\r\n".encode()) for name in names
    )
    return timed([daemon], len(names) * BLOCK_BYTES, len(names), lambda: _drive(daemon.api, 1, requests))


def repo_bytes(daemon: IpfsDaemon) -> int:
    """What the repository takes."""
    size: int = json.loads(_call(daemon.api, "/api/v0/repo/stat?size-only=true", None))["RepoSize"]
    return size


def _blocks(pool: Pool, start: int) -> list[tuple[BlockId, bytes]]:
    pieces = (
        bytes(pool.view[at : at + BLOCK_BYTES]) for at in range(start, start + BLOCK_BYTES * BLOCKS_A_PACK, BLOCK_BYTES)
    )
    return [(compute_block_id(piece), piece) for piece in pieces]


def _multipart(data: bytes | memoryview) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    return b"".join((head.encode(), data, f"\r\n--{_BOUNDARY}--\r\n".encode()))


def _headers(length: int) -> str:
    kind = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\n" if length else ""
    return f"Host: localhost\r\nContent-Length: {length}\r\n{kind}"


def _call(url: str, target: str, stream: bytes | None) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    try:
        body = None if stream is None else _multipart(stream)
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"} if body else {}
        connection.request("POST", target, body, kind)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200 or b'"PinErrorMsg":"' in text.replace(b'"PinErrorMsg":""', b""):
            raise BenchError(f"{target}: {answer.status} {text[:300].decode(errors='replace')}")
        return text
    finally:
        connection.close()


def _drive(url: str, connections: int, requests: Iterator[Request]) -> None:
    parts = urlsplit(url)
    driver = Driver((parts.hostname or "127.0.0.1", parts.port or 80), connections)
    try:
        outcome = driver.run(requests, 3600)
    finally:
        driver.close()
    if outcome.errors:
        raise BenchError(f"{url}: {outcome.errors} requests failed: {outcome.first_error}")
