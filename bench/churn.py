"""Churn: what uniform overwrites leave behind, sampled every second while they run."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.cells import drive
from bench.failures import BenchError
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from bench.sites import S3Site
from bench.wire import Request

_LIVE_BYTES = 8 << 30
_SMALLEST, _LARGEST = 4 << 10, 4 << 20
_TIMES = 3
_CONNECTIONS = 8
_MOST_SPACE, _MOST_AMPLIFICATION = 1.35, 3.0
_SIGNED_S = 300.0  # signatures are made anew after so long


class _Sampler(threading.Thread):
    """Looks at the server's gauges every second."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self.ratios: list[float] = []
        self.failed = ""

    def run(self) -> None:
        while not self._over.wait(1.0):
            try:
                found = self._server.metrics()
            except (BenchError, OSError) as exc:
                self.failed = str(exc)
                return
            if live := found.get("noisefs_live_bytes", 0.0):
                self.ratios.append(found.get("noisefs_stored_bytes", 0.0) / live)

    def end(self) -> None:
        self._over.set()
        self.join()


def measure_churn(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """Write a live set of 8 GiB (times ``scale``), then overwrite three times as much, uniformly."""
    draw = random.Random(5)
    count = max(16, int(_LIVE_BYTES * scale) // ((_SMALLEST + _LARGEST) // 2))
    pool = Pool(_LARGEST)
    with Server(NoiseFS(), folder / "churn") as server:
        assert server.s3 is not None
        site = S3Site(server.s3, pool, sign_payload=False)  # every size differs; hashing them is not the point
        site.make_folders([])

        def writes(names: Iterator[int]) -> Iterator[Request]:
            signed = time.monotonic()
            for name in names:
                if time.monotonic() - signed > _SIGNED_S:
                    site.refresh()
                    signed = time.monotonic()
                yield site.put(f"{name:06d}", draw.randint(_SMALLEST, _LARGEST))

        first = drive(site, _CONNECTIONS, writes(iter(range(count))), 7200)
        say(f"churn: live set of {count} objects written in {first.elapsed_s:.0f} s")
        before = server.metrics()
        sampler = _Sampler(server)
        sampler.start()
        try:
            overwrites = (draw.randrange(count) for _ in range(_TIMES * count))
            second = drive(site, _CONNECTIONS, writes(overwrites), 7200)
        finally:
            sampler.end()
        after = server.metrics()
    if sampler.failed or first.errors + second.errors:
        raise BenchError(f"churn: {sampler.failed or first.first_error or second.first_error}")
    written = _grown("noisefs_pack_written_bytes_total", before, after)
    plain = _grown("noisefs_plaintext_written_bytes_total", before, after)
    ratios = sampler.ratios or [0.0]
    amplification = written / plain if plain else 0.0
    return Finding(
        "churn",
        f"Uniform overwrites of 4 KiB-4 MiB objects, {_TIMES} x a live set of {_LIVE_BYTES * scale / 2**30:g} GiB",
        ["what", "value"],
        [
            ["stored / live, most", max(ratios)],
            ["seconds until then", ratios.index(max(ratios))],
            ["stored / live, mean", sum(ratios) / len(ratios)],
            ["stored / live, at the end", ratios[-1]],
            ["samples", len(ratios)],
            ["write amplification (pack bytes / plaintext)", amplification],
            ["cleaner moved, GiB", _grown("noisefs_cleaner_moved_bytes_total", before, after) / 2**30],
            ["overwritten, GiB", plain / 2**30],
            ["MiB/s while filling", _rate(before, first.elapsed_s)],
            ["MiB/s while overwriting", plain / second.elapsed_s / 2**20],
            ["slowest write, s", max(second.latencies_s)],
        ],
        max(ratios) <= _MOST_SPACE and amplification < _MOST_AMPLIFICATION,
        f"Promised: stored <= {_MOST_SPACE} x live with a live set of 8 GiB or more, amplification < "
        f"{_MOST_AMPLIFICATION:g}.",
    )


def _grown(name: str, before: dict[str, float], after: dict[str, float]) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def _rate(found: dict[str, float], seconds: float) -> float:
    return found.get("noisefs_plaintext_written_bytes_total", 0.0) / seconds / 2**20
