"""Memory: how far RSS grows beyond the hot tier while much goes in and out."""

from collections.abc import Callable
from pathlib import Path

from bench import processes
from bench.cells import drive
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.rounds import site_of
from bench.servers import Server

_OBJECT_BYTES = 64 << 20
_TOTAL_BYTES = 5 << 30
_HOT_BYTES = 256 << 20
_ALLOWED_MIB = 64


def measure_memory(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """5 GiB (times ``scale``) of 64 MiB objects in and out, over both protocols, 8 and 64 at once."""
    pool = Pool(_OBJECT_BYTES)
    rows: list[list[str | float]] = []
    for protocol in ("s3", "webdav"):
        for connections in (8, 64):
            count = max(connections, int(_TOTAL_BYTES * scale) // _OBJECT_BYTES)
            peer = NoiseFS(environment={"NOISEFS_HOT__MAX_BYTES": str(_HOT_BYTES)})
            with Server(peer, folder / f"memory-{protocol}-{connections}") as server:
                site = site_of(server, protocol, pool, sign_payload=True)
                assert site is not None
                site.make_folders(["of"])
                site.expect(site.put("of/first", 1 << 20), 200, 201)  # what is made once is made now
                names = [f"of/{number:04d}" for number in range(count)]
                before = server.usage().rss_bytes
                peaks = []
                for request in (site.put, site.get):
                    site.refresh()
                    processes.reset_peak(server.pid)
                    outcome = drive(site, connections, (request(name, _OBJECT_BYTES) for name in names), 3600.0)
                    peaks.append(server.usage().peak_rss_bytes)
                    say(f"memory: {protocol} {connections} connections {request.__name__}: {outcome.elapsed_s:.0f} s")
                    if outcome.errors:
                        say(f"memory: {outcome.errors} wrong answers, the first: {outcome.first_error}")
            grown = [(peak - before) / 2**20 for peak in peaks]
            beyond = max(grown) - _HOT_BYTES / 2**20
            rows.append([protocol, connections, count, before / 2**20, *grown, beyond])
    return Finding(
        "memory",
        f"RSS while {_TOTAL_BYTES * scale / 2**30:g} GiB of 64 MiB objects go in and out, MiB",
        ["protocol", "connections", "objects", "before", "grown by PUT", "grown by GET", "beyond the hot tier"],
        rows,
        all(float(row[-1]) <= _ALLOWED_MIB for row in rows),
        f"Promised: at most {_ALLOWED_MIB} MiB beyond the hot tier of {_HOT_BYTES >> 20} MiB.",
    )
