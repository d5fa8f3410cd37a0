"""What a cold read costs: blocks and calls of a node for each block of data, by the server's own counters."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import kubo
from bench.failures import BenchError
from bench.findings import Finding
from bench.network import CALLS, private_node, settings_for, wait_confirmed
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from bench.sites import S3Site

_OBJECT_BYTES = 1 << 30
_SEGMENT_BYTES = 128 << 10
_RANGE_BYTES = 1 << 20
_DRAWS = 20
_TIERS = ("cold", "local", "hot")
_WANTED_CALLS = 1.1
_NAME = "large"
_READING = '"gateway"'
"""Calls that read blocks are made to the node's gateway; the others ask it how it is."""


@dataclass(slots=True)
class _Tally:
    """Reads of one kind: blocks of data they asked for, what was read for them by tier, and calls."""

    data: int = 0
    calls: float = 0.0
    tiers: tuple[float, ...] = (0.0,) * len(_TIERS)

    def row(self, name: str) -> list[str | float]:
        """Shares of each block of data."""
        return [name, self.data, *(blocks / self.data for blocks in self.tiers), self.calls / self.data]


def measure_cold(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """One byte, 1 MiB and all of an object whose packs only a node has; the server was started just before."""
    size = max(_DRAWS, int(_OBJECT_BYTES * scale) // _RANGE_BYTES) * _RANGE_BYTES  # whole segments: it has no slice
    pool = Pool(size, seed=11)
    draw = random.Random(5)
    with private_node(folder / "cold-node") as node:
        server = Server(NoiseFS(environment=settings_for([node])), folder / "cold")
        with server:
            site = _site(server, pool)
            site.make_folders([])
            site.expect(site.put(_NAME, size), 200)
            wait_confirmed(server)
        stored = kubo.repo_bytes(node) / size
        for pack in (server.place / "packs").rglob("*.pack"):
            pack.unlink()
        say("cold: the object is on the node only")
        first, cells, ranges, whole = _Tally(), _Tally(), _Tally(), _Tally()
        with server:
            _read(server, pool, first, draw.randrange(size), 1)
            for _ in range(_DRAWS):
                _read(server, pool, cells, draw.randrange(size), 1)
        with server:
            for _ in range(_DRAWS):
                _read(server, pool, ranges, draw.randrange(size - _RANGE_BYTES), _RANGE_BYTES)
        with server:
            _read(server, pool, whole, 0, size)
    calls = max(tally.calls / max(1.0, tally.tiers[0]) for tally in (cells, ranges, whole))
    return Finding(
        "cold",
        f"Blocks read for each block of data, cold, of an object of {size / 2**30:g} GiB",
        ["read", "blocks of data", *_TIERS, "calls of the node"],
        [
            first.row("one random cell, the first after a start"),
            cells.row(f"one random cell, {_DRAWS} more"),
            ranges.row(f"1 MiB from anywhere, {_DRAWS} of them"),
            whole.row(f"all {size / 2**30:g} GiB"),
        ],
        calls <= _WANTED_CALLS,
        "By noisefs_block_reads_total and noisefs_node_calls_total (of the node's gateway); seeds, masks and roots of "
        f"packs are included. Wanted: at most {_WANTED_CALLS} calls for each block that is read from it "
        f"({calls:.2f} at most here). The node's repository takes {stored:.3f} bytes for each byte of data.",
    )


def _site(server: Server, pool: Pool) -> S3Site:
    assert server.s3 is not None
    return S3Site(server.s3, pool)


def _read(server: Server, pool: Pool, tally: _Tally, offset: int, length: int) -> None:
    site = _site(server, pool)
    before = server.metrics()
    answer = site.expect(site.get_range(_NAME, offset, length), 206)
    if answer.body != pool.view[offset : offset + length]:
        raise BenchError(f"bytes {offset} to {offset + length} are wrong")
    after = server.metrics()

    def grown(series: str) -> float:
        return after.get(series, 0.0) - before.get(series, 0.0)

    tally.data += (offset + length - 1) // _SEGMENT_BYTES - offset // _SEGMENT_BYTES + 1
    tally.calls += sum(grown(series) for series in after if series.startswith(CALLS) and _READING in series)
    tally.tiers = tuple(
        blocks + grown(f'noisefs_block_reads_total{{tier="{tier}"}}')
        for blocks, tier in zip(tally.tiers, _TIERS, strict=True)
    )
