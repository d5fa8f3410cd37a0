"""Churn: what uniform overwrites leave behind, sampled every second while they run."""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
_PACK_BYTES = 512 * (128 * 1024 + 16)  # writer and cleaner have one open each, and the next one made ahead
_TOLD_EVERY = 5
_SIGNED_S = 300.0  # signatures are made anew after so long


@dataclass(frozen=True, slots=True)
class _Sample:
    """One look, in bytes: at the pack files, at what the client wrote last under each name, at the server's gauges."""

    files: int
    sealed: int
    live: int
    told_stored: int
    told_live: int
    backlog: int
    moved: int
    written: int

    @property
    def ratio(self) -> float:
        """All pack files, as long as they are, by the plaintext that clients could read."""
        return self.files / self.live

    def line(self, seconds: int) -> str:
        """For people."""
        mib = [
            f"{name} {number >> 20}"
            for name, number in (
                ("live", self.live),
                ("files", self.files),
                ("sealed", self.sealed),
                ("inline", self.backlog),
                ("overwritten", self.written),
                ("moved", self.moved),
            )
        ]
        told = self.told_stored / self.told_live if self.told_live else 0.0
        return f"churn: {seconds:5d} s  stored/live {self.ratio:.3f}  told {told:.3f}  MiB: {', '.join(mib)}"


class _Sampler(threading.Thread):
    """Looks every second."""

    def __init__(self, server: Server, live: "_Live", say: Callable[[str], None]) -> None:
        super().__init__()
        self._server = server
        self._live = live
        self._say = say
        self._over = threading.Event()
        self.samples: list[_Sample] = []
        self.failed = ""

    def look(self) -> _Sample:
        """One sample, now."""
        found = self._server.metrics()
        files = sealed = 0
        with os.scandir(self._server.place / "packs") as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    size = entry.stat().st_size
                    files += size
                    sealed += size if entry.name.endswith(".pack") else 0
        return _Sample(
            files,
            sealed,
            self._live.bytes,
            int(found.get("noisefs_stored_bytes", 0)),
            int(found.get("noisefs_live_bytes", 0)),
            int(found.get("noisefs_inline_backlog_bytes", 0)),
            int(found.get("noisefs_cleaner_moved_bytes_total", 0)),
            int(found.get("noisefs_plaintext_written_bytes_total", 0)),
        )

    def run(self) -> None:
        while not self._over.wait(1.0):
            try:
                self.samples.append(self.look())
            except (BenchError, OSError) as exc:
                self.failed = str(exc)
                return
            if len(self.samples) % _TOLD_EVERY == 0:
                self._say(self.samples[-1].line(len(self.samples)))

    def end(self) -> None:
        self._over.set()
        self.join()


class _Live:
    """What the client may read: the bytes last acknowledged under each name."""

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self.bytes = 0

    def note(self, request: Request) -> None:
        """A write was acknowledged."""
        target = request.head.split(b" ", 2)[1]
        self.bytes += request.body_bytes - self._sizes.get(target, 0)
        self._sizes[target] = request.body_bytes


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

        live = _Live()
        first = drive(site, _CONNECTIONS, writes(iter(range(count))), 7200, live.note)
        say(f"churn: live set of {count} objects written in {first.elapsed_s:.0f} s")
        before = server.metrics()
        sampler = _Sampler(server, live, say)
        sampler.start()
        try:
            overwrites = (draw.randrange(count) for _ in range(_TIMES * count))
            second = drive(site, _CONNECTIONS, writes(overwrites), 7200, live.note)
        finally:
            sampler.end()
        after = server.metrics()
    if sampler.failed or first.errors + second.errors:
        raise BenchError(f"churn: {sampler.failed or first.first_error or second.first_error}")
    written = _grown("noisefs_pack_written_bytes_total", before, after)
    plain = _grown("noisefs_plaintext_written_bytes_total", before, after)
    ratios = [sample.ratio for sample in sampler.samples] or [0.0]
    amplification = written / plain if plain else 0.0
    # A smaller live set than the promise is for has as many open packs, preallocated, and is left alone with one more.
    limit = _MOST_SPACE + 5 * _PACK_BYTES * max(0.0, 1 / (_LIVE_BYTES * scale) - 1 / _LIVE_BYTES)
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
        max(ratios) <= limit and amplification < _MOST_AMPLIFICATION,
        f"Stored: all pack files, open ones as long as they are. Live: what the client wrote last under each name. "
        f"Promised: stored <= {_MOST_SPACE} x live with a live set of 8 GiB or more (here {limit:.3f}: four packs are "
        f"open), amplification < {_MOST_AMPLIFICATION:g}.",
    )


def _grown(name: str, before: dict[str, float], after: dict[str, float]) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def _rate(found: dict[str, float], seconds: float) -> float:
    return found.get("noisefs_plaintext_written_bytes_total", 0.0) / seconds / 2**20
