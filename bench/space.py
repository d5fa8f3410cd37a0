"""Space: what the store adds to three mixes of files, by its own audit and by the disk."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cells import drive
from bench.failures import BenchError
from bench.findings import Finding
from bench.mixes import generate
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from bench.sites import S3Site

_DRAIN_LIMIT_S = 60.0
_PACKER_REST_S = 6.0  # it looks for work every five seconds
_BACKLOG = "noisefs_inline_backlog_bytes"


def disk_bytes(folder: Path) -> int:
    """Bytes that the files below a folder occupy."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def audit(peer: NoiseFS, place: Path, what: str) -> dict[str, Any]:  # Any: JSON
    """``noisefs audit WHAT --json`` on a store."""
    program = peer.find()
    assert program is not None
    argv = [program, "audit", what, "--json", "--data", str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise BenchError(f"noisefs audit {what} ended with {done.returncode}: {done.stderr[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout)  # Any: JSON
    return found


def wait_for_packer(server: Server) -> float:
    """Wait until the packer has moved what it will move; returns the bytes still inline."""
    deadline = time.monotonic() + _DRAIN_LIMIT_S
    before = -1.0
    while time.monotonic() < deadline:
        left = server.metrics().get(_BACKLOG, 0.0)
        if left == before:
            return left
        before = left
        time.sleep(_PACKER_REST_S)
    return before


def measure_space(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """Upload each mix into a store of its own, wait for the packer, stop, audit."""
    peer = NoiseFS()
    rows: list[list[str | float]] = []
    for name, sizes in generate(scale).items():
        server = Server(peer, folder / f"space-{name.replace(' ', '-')}")
        pool = Pool(max(1 << 20, *sizes))
        with server:
            assert server.s3 is not None
            site = S3Site(server.s3, pool)
            site.make_folders([])
            requests = (site.put(f"{number % 50:02d}/{number:06d}", size) for number, size in enumerate(sizes))
            outcome = drive(site, 8, requests, 3600)
            if outcome.errors:
                raise BenchError(f"space: {outcome.first_error}")
            backlog = wait_for_packer(server)
            say(f"space: {name}: {len(sizes)} files in {outcome.elapsed_s:.1f} s, {backlog:.0f} bytes stay inline")
        found = audit(peer, server.place, "space")  # after the stop: every pack is sealed and cut to its length
        total = sum(sizes)
        disk = disk_bytes(server.place)
        rows.append(
            [
                name,
                len(sizes),
                total / 2**20,
                total / len(sizes) / 2**10,
                found["stored_by_plaintext"],
                (found["stored_bytes"] + found["inline_bytes"] + found["tiny_bytes"]) / total,
                found["index_bytes"] / total,
                disk / 2**20,
            ]
        )
    return Finding(
        "space",
        "Storage overhead of three file mixes (noisefs audit space)",
        [
            "mix",
            "files",
            "MiB",
            "mean KiB",
            "packs / packed plaintext",
            "all sealed bytes / plaintext",
            "index / plaintext",
            "folder after stop, MiB",
        ],
        rows,
        None,
        "The folder also holds the reserve, the open pack's rest and the index's free pages.",
    )
