"""Listing: what a page of 1000 costs while the bucket around it grows."""

from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

from bench.cells import drive
from bench.failures import BenchError
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.rounds import percentile, settle
from bench.servers import Server
from bench.sites import S3Site
from bench.wire import Request

_KEYS = (10_000, 100_000, 1_000_000)
_FOLDERS = 1000
_PAGES = 40
_CONNECTIONS = 32
_STRETCH = 20_000  # keys between two signatures' times
_GROWN = 1.5
_SHAPES: dict[str, dict[str, str]] = {
    "the first 1000": {},
    "from the middle": {"start-after": f"f{_FOLDERS // 2:04}/"},
    "with a prefix": {"prefix": "f05"},
    "with a delimiter": {"delimiter": "/"},
}


def measure_listing(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """ListObjectsV2 of 1000 out of 10 k, 100 k and 1 M keys (times ``scale``) in 1000 folders, one page at a time."""
    sizes = sorted({max(_KEYS[0], int(count * scale)) for count in _KEYS})
    rows: list[list[str | float]] = []
    with Server(NoiseFS(), folder / "listing") as server:
        assert server.s3 is not None
        site = S3Site(server.s3, Pool(1 << 10))
        site.make_folders([])
        there = 0
        for count in sizes:
            _fill(site, there, count)
            there = count
            settle(server)
            say(f"listing: {there} keys")
            rows += [[name, there, *_cost(server, site, site.page(asked))] for name, asked in _SHAPES.items()]
    costs = [{name: float(cpu) for name, count, _, _, cpu in rows if count == size} for size in sizes]
    return Finding(
        "listing",
        "ListObjectsV2 of 1000 keys or common prefixes",
        ["page", "keys in the bucket", "p50, ms", "p99, ms", "server CPU, ms"],
        rows,
        all(costs[-1][name] <= _GROWN * costs[-2][name] for name in _SHAPES) if scale >= 1 else None,
        f"Promised: the cost does not grow with the bucket; the largest may cost {_GROWN} times the one before it. "
        "Common prefixes of ten keys are read over, which is cheaper than the seek that leaves larger ones.",
    )


def _fill(site: S3Site, begin: int, end: int) -> None:
    for at in range(begin, end, _STRETCH):
        site.refresh()
        upto = min(end, at + _STRETCH)
        outcome = drive(site, _CONNECTIONS, _puts(site, at, upto), 3600.0)
        if outcome.count != upto - at:
            raise BenchError(f"{outcome.errors} objects were not written, the first: {outcome.first_error}")


def _puts(site: S3Site, begin: int, end: int) -> Iterator[Request]:
    """Keys that grow in every folder at once."""
    return (site.put(f"f{n % _FOLDERS:04}/k{n // _FOLDERS:07}", 16) for n in range(begin, end))


def _cost(server: Server, site: S3Site, page: Request) -> list[float]:
    """Milliseconds: median, 99th of a hundred, server's CPU."""
    site.expect(page, 200)
    before = server.usage().cpu_s
    outcome = drive(site, 1, repeat(page, _PAGES), 3600.0)
    if outcome.count != _PAGES:
        raise BenchError(f"{outcome.errors} pages failed, the first: {outcome.first_error}")
    latencies = sorted(outcome.latencies_s)
    spent = server.usage().cpu_s - before
    return [percentile(latencies, 0.5) * 1e3, percentile(latencies, 0.99) * 1e3, spent / _PAGES * 1e3]
