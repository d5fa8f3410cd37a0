"""Profiles of the server under a cell: py-spy where it is installed, else cProfile of the event loop."""

import pstats
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.cells import Cell, Stage, drive, prepare, requests_of
from bench.findings import Finding
from bench.payload import Pool
from bench.peers import NoiseFS, find_program
from bench.rounds import site_of
from bench.servers import Server

_SHOWN = 40
_RATE_HZ = 200
# A thread that waits for work looks busy to py-spy now and then.
_WAITING = (
    "_serve (adapters/outbound/system/threads.py)",
    "_worker (concurrent/futures/thread.py)",
    "wait (threading.py)",
)


def profile_cells(
    cells: Sequence[Cell], seconds: float, folder: Path, results: Path, say: Callable[[str], None]
) -> list[Finding]:
    """Run each cell against this server under a profiler; raw profiles are kept in ``results``."""
    pool = Pool(max([1 << 20, *(max(cell.size_bytes, cell.object_bytes) for cell in cells)]))
    spy = find_program("py-spy")
    say("profiler: " + (spy or "cProfile (py-spy is not installed)"))
    results.mkdir(parents=True, exist_ok=True)
    return [_profile(cell, seconds, folder, results, pool=pool, spy=spy) for cell in cells if cell.kind != "sync"]


def _profile(cell: Cell, seconds: float, folder: Path, results: Path, *, pool: Pool, spy: str | None) -> Finding:
    raw = results / f"profile-{cell.name}.{'txt' if spy else 'pstats'}"
    prefix = () if spy else (sys.executable, "-m", "cProfile", "-o", str(raw))
    with Server(NoiseFS(), folder / f"profile-{cell.name}", prefix=prefix) as server:
        site = site_of(server, cell.protocol, pool, sign_payload=True)
        assert site is not None
        stage = Stage()
        prepare(stage, site, [cell])
        requests = requests_of(cell, stage, site, seconds)
        recorder = _record(spy, server.pid, raw) if spy else None
        outcome = drive(site, cell.connections, requests, seconds)
        if recorder is not None:
            recorder.send_signal(signal.SIGINT)  # py-spy writes what it has
            recorder.wait(60)
    rows = _from_stacks(raw) if spy else _from_pstats(raw)
    return Finding(
        f"profile-{cell.name}",
        f"{cell.title}: {outcome.count / outcome.elapsed_s:.0f} ops/s under the profiler",
        ["function", "self %", "with callees %"],
        rows,
        None,
        f"Raw profile: {raw.name}. Shares are of all samples of running threads; a thread that waits for the "
        "interpreter's lock counts as running.",
    )


def _record(spy: str, pid: int, raw: Path) -> subprocess.Popen[bytes]:
    argv = [spy, "record", "-p", str(pid), "-f", "raw", "-o", str(raw), "-r", str(_RATE_HZ), "-d", "3600"]
    argv += ["--threads", "--nonblocking"]  # it must not stop the server for each look
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _from_stacks(raw: Path) -> list[list[str | float]]:
    """Collapsed stacks: ``frame;frame;frame count``, one a line, the root first."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in raw.read_text(errors="replace").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_without_line(frame) for frame in stack.split(";")]
        if frames[-1] in _WAITING:
            continue
        total += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            whole[frame] += int(count)
    return _rows(own, whole, total)


def _without_line(frame: str) -> str:
    name, separator, line = frame.rpartition(":")
    return f"{name})" if separator and line.rstrip(")").isdigit() else frame


def _from_pstats(raw: Path) -> list[list[str | float]]:
    stats = pstats.Stats(str(raw)).stats  # type: ignore[attr-defined]  # typeshed leaves the mapping out
    own = Counter({f"{name} ({file})": own_s for (file, _, name), (_, _, own_s, _, _) in stats.items()})
    whole = Counter({f"{name} ({file})": all_s for (file, _, name), (_, _, _, all_s, _) in stats.items()})
    return _rows(own, whole, sum(own.values()))


def _rows(own: Counter[str], whole: Counter[str], total: float) -> list[list[str | float]]:
    chosen = dict.fromkeys(
        [name for name, _ in own.most_common(_SHOWN)] + [name for name, _ in whole.most_common(_SHOWN)]
    )
    share = 100 / max(total, 1e-9)
    return [
        [name.replace("|", "/"), own[name] * share, whole[name] * share]
        for name in sorted(chosen, key=lambda name: (-own[name], -whole[name]))
    ]
