"""The run: rounds of servers of cells, one server alive at a time, and the medians over the rounds."""

import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.cells import Cell, Stage, check, clean_up, drive, prepare, requests_of
from bench.failures import BenchError
from bench.payload import Pool
from bench.peers import Peer
from bench.servers import Server
from bench.sites import DavSite, S3Site, Site
from bench.sync import make_source, run_sync

_SETTLE_LIMIT_S = 5.0
_IDLE_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Measure:
    """One cell on one server in one round, or the medians over its rounds (``round`` is then -1)."""

    cell: str
    peer: str
    round: int
    count: float
    ops_per_s: float
    mib_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float  # per operation, until the last answer
    deferred_cpu_ms: float  # per operation, what the server did after the last answer
    cpu_s_per_gib: float  # both together; 0 where no bytes move
    peak_rss_mib: float
    client_share: float  # of one core
    errors: float
    note: str = ""
    first_ms: float = 0.0  # until an answer begins, median


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    peers: Sequence[Peer]
    cells: Sequence[Cell]
    seconds: float
    rounds: int
    sign_payload: bool = True


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A fresh folder below ``folder``, gone afterwards. Open to all, for servers that drop their rights."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def settle(server: Server) -> None:
    """Wait until the server has nothing left to do, five seconds at most."""
    deadline = time.monotonic() + _SETTLE_LIMIT_S
    before = server.usage().cpu_s
    while time.monotonic() < deadline:
        time.sleep(0.25)
        now = server.usage().cpu_s
        if now - before < 0.25 * _IDLE_SHARE:
            return
        before = now


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def measure(
    cell: Cell, stage: Stage, site: Site, server: Server, *, seconds: float, number: int, source: Path | None = None
) -> Measure:
    """Run one cell once.

    Raises:
        BenchError: The server does not do what the cell needs.
    """
    site.refresh()
    if cell.kind != "sync":
        requests = requests_of(cell, stage, site, seconds)
    if cell.writes:
        settle(server)
    processes.reset_peak(server.pid)
    before = server.usage().cpu_s
    if cell.kind == "sync":
        assert source is not None
        stage.serial += 1
        outcome = run_sync(site, source, stage.serial, cell.connections)
    else:
        keep = stage.keep(cell.size_bytes) if cell.kind == "put" else None
        outcome = drive(site, cell.connections, requests, seconds, keep)
    after = server.usage()
    if not outcome.count:
        raise BenchError(f"no good answer: {outcome.first_error}")
    deferred = 0.0
    if cell.writes:
        settle(server)
        deferred = server.usage().cpu_s - after.cpu_s
    wrong = check(cell, stage, site)
    latencies = sorted(outcome.latencies_s)
    firsts = sorted(outcome.firsts_s)
    count, moved = outcome.count, 0 if cell.kind == "delete" else cell.size_bytes * outcome.count
    spent = after.cpu_s - before
    return Measure(
        cell=cell.name,
        peer=server.peer.name,
        round=number,
        count=count,
        ops_per_s=count / outcome.elapsed_s,
        mib_per_s=moved / outcome.elapsed_s / 2**20,
        p50_ms=percentile(latencies, 0.5) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        server_cpu_ms=spent / count * 1e3,
        deferred_cpu_ms=deferred / count * 1e3,
        cpu_s_per_gib=(spent + deferred) / (moved / 2**30) if moved else 0.0,
        peak_rss_mib=after.peak_rss_bytes / 2**20,
        client_share=outcome.client_cpu_s / outcome.elapsed_s,
        errors=outcome.errors + bool(wrong),
        note=wrong or outcome.first_error,
        first_ms=percentile(firsts, 0.5) * 1e3 if firsts else 0.0,
    )


def site_of(server: Server, protocol: str, pool: Pool, *, sign_payload: bool) -> Site | None:
    """The server's endpoint for a protocol, or None where it has none."""
    if protocol == "s3" and server.s3 is not None:
        return S3Site(server.s3, pool, sign_payload=sign_payload)
    if protocol == "webdav" and server.webdav is not None:
        return DavSite(server.webdav, pool)
    return None


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> list[Measure]:
    """Every round of every server of every cell; one server runs at a time, the order turns by one each round.

    A server that fails a cell is told of and goes on with the next one.
    """
    pool = Pool(max([1 << 20, *(max(cell.size_bytes, cell.object_bytes) for cell in plan.cells)]))
    stages: dict[tuple[str, str], Stage] = {}
    measures: list[Measure] = []
    source = make_source(folder) if any(cell.kind == "sync" for cell in plan.cells) else None
    for number in range(plan.rounds):
        turn = number % len(plan.peers)
        for peer in [*plan.peers[turn:], *plan.peers[:turn]]:
            os.sync()  # what the server before left dirty is not this one's to write
            try:
                with Server(peer, folder / peer.name) as server:
                    for protocol in sorted(peer.protocols):
                        cells = [cell for cell in plan.cells if cell.protocol == protocol]
                        site = site_of(server, protocol, pool, sign_payload=plan.sign_payload)
                        if not cells or site is None:
                            continue
                        stage = stages.setdefault((peer.name, protocol), Stage())
                        prepare(stage, site, cells)
                        settle(server)
                        for cell in cells:
                            try:
                                got = measure(
                                    cell, stage, site, server, seconds=plan.seconds, number=number, source=source
                                )
                            except (BenchError, OSError) as exc:
                                say(f"round {number + 1} {peer.name} {cell.name}: {exc}")
                                continue
                            measures.append(got)
                            say(
                                f"round {number + 1} {peer.name} {cell.name}: {got.ops_per_s:.0f} ops/s, "
                                f"{got.server_cpu_ms:.3f} ms" + (f", {got.note}" if got.note else "")
                            )
                        clean_up(stage, site)
            except (BenchError, OSError) as exc:
                say(f"round {number + 1} {peer.name}: {exc}")
    return measures


def medians(measures: Sequence[Measure]) -> list[Measure]:
    """One measure per cell and server: the median of each figure, the sum of the errors."""
    grouped: dict[tuple[str, str], list[Measure]] = {}
    for one in measures:
        grouped.setdefault((one.cell, one.peer), []).append(one)
    figures = [item.name for item in dataclasses.fields(Measure) if item.type in {float, "float"}]
    return [
        dataclasses.replace(
            group[0],
            round=-1,
            **{
                **{name: statistics.median(getattr(one, name) for one in group) for name in figures},
                "errors": sum(one.errors for one in group),
                "note": next((one.note for one in group if one.note), ""),
            },
        )
        for group in grouped.values()
    ]
