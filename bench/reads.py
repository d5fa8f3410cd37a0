"""Reads: how many blocks one byte of a large object costs, by the server's own counter."""

import random
from collections.abc import Callable
from pathlib import Path

from bench.failures import BenchError
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from bench.sites import S3Site

_OBJECT_BYTES = 1 << 30
_ALLOWED = 3
_OTHERS = 20
_BLOCK_READS = "noisefs_block_reads_total"


def measure_reads(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """One byte from the middle after a restart, then one byte from other places."""
    size = int(_OBJECT_BYTES * scale)
    pool = Pool(size)
    server = Server(NoiseFS(), folder / "reads")
    with server:
        assert server.s3 is not None
        site = S3Site(server.s3, pool)
        site.make_folders([])
        site.expect(site.put("large", size), 200)
        say("reads: the object is written")
    with server:
        draw = random.Random(3)
        counts = [_blocks_for(server, pool, size // 2)]
        counts += [_blocks_for(server, pool, draw.randrange(size)) for _ in range(_OTHERS)]
    return Finding(
        "reads",
        f"Blocks read for one byte of an object of {size / 2**30:g} GiB",
        ["where", "blocks"],
        [
            ["the middle, after a restart", counts[0]],
            [f"{_OTHERS} other places, most", max(counts[1:])],
            [f"{_OTHERS} other places, mean", sum(counts[1:]) / _OTHERS],
        ],
        max(counts) <= _ALLOWED,
        f"Promised: at most {_ALLOWED}, by {_BLOCK_READS} (seeds and masks included).",
    )


def _blocks_for(server: Server, pool: Pool, offset: int) -> float:
    assert server.s3 is not None
    site = S3Site(server.s3, pool)
    before = server.metrics().get(_BLOCK_READS, 0.0)
    answer = site.expect(site.get_range("large", offset, 1), 206)
    if answer.body != pool.view[offset : offset + 1]:
        raise BenchError(f"byte {offset} is wrong")
    return server.metrics().get(_BLOCK_READS, 0.0) - before
