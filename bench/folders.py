"""Folders: what a listing of 100,000 members over WebDAV costs, in time and in memory, and moving them all."""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from bench import processes
from bench.cells import drive
from bench.failures import BenchError
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.rounds import percentile, settle
from bench.servers import Server
from bench.sites import DavSite
from bench.wire import Request

_MEMBERS = (1000, 10_000, 100_000)
_TIMES = 3
_CONNECTIONS = 8
_ALLOWED_MIB = 32
_FIRST_BYTE_MS = 100


def measure_folders(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """PROPFIND with Depth 1 of folders of 1 k, 10 k and 100 k members (times ``scale``), and MOVE of each."""
    rows: list[list[str | float]] = []
    with Server(NoiseFS(), folder / "folders") as server:
        assert server.webdav is not None
        site = DavSite(server.webdav, Pool(1 << 10))
        for count in sorted({max(100, int(members * scale)) for members in _MEMBERS}):
            name = f"of-{count}"
            site.make_folders([name])
            outcome = drive(site, _CONNECTIONS, (site.put(f"{name}/{n:08d}", 16) for n in range(count)), 3600.0)
            if outcome.count != count:
                raise BenchError(f"{outcome.errors} files were not written, the first: {outcome.first_error}")
            settle(server)
            say(f"folders: {count} members")
            rows.append(["PROPFIND", count, *_cost(server, site, site.listing(name), _TIMES)])
            rows.append(["MOVE", count, *_cost(server, site, site.move(name, f"{name}-moved"), 1)])
    listings = [row for row in rows if row[0] == "PROPFIND"]
    return Finding(
        "folders",
        "A folder over WebDAV",
        ["request", "members", "first byte, ms", "whole, ms", "server CPU, ms", "RSS before, MiB", "RSS grown, MiB"],
        rows,
        all(float(row[2]) <= _FIRST_BYTE_MS and float(row[6]) <= _ALLOWED_MIB for row in listings),
        f"Promised of PROPFIND: the first byte within {_FIRST_BYTE_MS} ms, and no more than {_ALLOWED_MIB} MiB for any "
        "number of members.",
    )


def _cost(server: Server, site: DavSite, request: Request, times: int) -> list[float]:
    processes.reset_peak(server.pid)
    before = server.usage()
    outcome = drive(site, 1, repeat(request, times), 3600.0)
    if outcome.count != times:
        raise BenchError(f"{outcome.errors} requests failed, the first: {outcome.first_error}")
    after = server.usage()
    return [
        percentile(sorted(outcome.firsts_s), 0.5) * 1e3,
        percentile(sorted(outcome.latencies_s), 0.5) * 1e3,
        (after.cpu_s - before.cpu_s) / times * 1e3,
        before.rss_bytes / 2**20,
        (after.peak_rss_bytes - before.rss_bytes) / 2**20,
    ]
