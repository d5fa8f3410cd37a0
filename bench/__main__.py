"""``python -m bench``: the command line of the benchmark."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import findings, report
from bench.ceiling import measure_ceiling
from bench.cells import CELLS, Cell
from bench.churn import measure_churn
from bench.cold import measure_cold
from bench.disk import sync_ms
from bench.durability import measure_durability
from bench.failures import BenchError
from bench.folders import measure_folders
from bench.listing import measure_listing
from bench.memory import measure_memory
from bench.network import measure_network
from bench.peers import NoiseFS, Peer, all_peers
from bench.profiling import profile_cells
from bench.reads import measure_reads
from bench.rounds import Plan, run, workplace
from bench.space import measure_space
from bench.tiers import measure_tiers

ROOT = Path(__file__).parents[1]
console = Console(stderr=True, highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)


def _say(line: str) -> None:
    console.print(line, markup=False)


def _chosen(text: str, known: list[str], what: str) -> list[str]:
    wanted = [word.strip() for word in text.split(",") if word.strip()] or known
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise typer.BadParameter(f"{what} {', '.join(unknown)}: known are {', '.join(known)}")
    return wanted


def _cells(only: str) -> list[Cell]:
    names = _chosen(only, [cell.name for cell in CELLS], "cell")
    return [cell for cell in CELLS if cell.name in names]


def _version(peer: Peer, program: str) -> str:
    flag = {"apache2": "-v", "noisefs": "version", "weed": "version", "rclone": "version"}.get(
        peer.program, "--version"
    )
    done = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=60)
    return " ".join((done.stdout or done.stderr).split("\n", 1)[0].split()) or program


def _show(folder: Path, finding: findings.Finding) -> None:
    page = findings.write(folder, finding)
    sys.stdout.write(page.read_text())
    _say(f"written: {page}")


@app.command()
def main(
    *,
    only: Annotated[str, typer.Option(help="Cells to run, with commas between them.")] = "",
    peers: Annotated[str, typer.Option(help="Servers to run, with commas between them; default: all found.")] = "",
    against: Annotated[
        list[Path] | None, typer.Option(help="Program of another noisefs to compare with; may be repeated.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one cell.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the table shows medians.")] = 3,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Send UNSIGNED-PAYLOAD instead of the body's SHA-256, to every server.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Instead: RSS growth while 5 GiB go in and out, both protocols.")
    ] = False,
    reads: Annotated[
        bool, typer.Option("--reads", help="Instead: blocks read for one byte of a 1 GiB object.")
    ] = False,
    space: Annotated[bool, typer.Option("--space", help="Instead: storage overhead of three file mixes.")] = False,
    churn: Annotated[
        bool, typer.Option("--churn", help="Instead: space and write amplification under uniform overwrites.")
    ] = False,
    listing: Annotated[
        bool, typer.Option("--listing", help="Instead: pages of 1000 keys out of 10 k, 100 k and 1 M.")
    ] = False,
    folders: Annotated[
        bool, typer.Option("--folders", help="Instead: WebDAV folders of 1 k, 10 k and 100 k members.")
    ] = False,
    ipfs: Annotated[
        bool, typer.Option("--ipfs", help="Instead: a Kubo node behind the store, alone, and as the original used it.")
    ] = False,
    tiers: Annotated[
        bool, typer.Option("--tiers", help="Instead: policies of the tiers before a distant node, and restarts.")
    ] = False,
    scale: Annotated[float, typer.Option(min=0.001, help="Size of those eight, as a share of the full one.")] = 1.0,
    profile: Annotated[
        bool, typer.Option("--profile", help="Instead: profile this server under each cell chosen by --only.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where results go; the servers' data is kept below it for the run.")] = (
        ROOT / "bench-results"
    ),
) -> None:
    """Drive this server and every peer found, in turn, on one disk with one client; write a table."""
    checks = {
        measure_memory: memory,
        measure_reads: reads,
        measure_space: space,
        measure_churn: churn,
        measure_listing: listing,
        measure_folders: folders,
        measure_network: ipfs,
        measure_cold: ipfs,
        measure_durability: ipfs,
        measure_tiers: tiers,
    }
    if any(checks.values()):
        for check in (check for check, wanted in checks.items() if wanted):
            with workplace(folder) as place:
                _show(folder, check(place, scale, _say))
        return
    if profile:
        with workplace(folder) as place:
            for finding in profile_cells(_cells(only), seconds, place, folder, _say):
                _show(folder, finding)
        return
    known = all_peers() + [NoiseFS(f"noisefs-{number + 2}", str(path)) for number, path in enumerate(against or [])]
    names = _chosen(peers, [peer.name for peer in known], "server")
    cells = _cells(only)
    found, versions = [], {}
    for peer in known:
        program = peer.find()
        if peer.name not in names and not peer.name.startswith("noisefs-"):
            continue
        if program is None:
            _say(f"{peer.name}: not installed, left out")
            continue
        found.append(peer)
        versions[peer.name] = _version(peer, program)
    if not found:
        raise BenchError("none of the servers asked for is installed")
    ceilings = measure_ceiling(min(seconds, 1.0))
    for ceiling in ceilings:
        _say(f"client alone: {ceiling.shape} {ceiling.ops_per_s:.0f} ops/s, {ceiling.client_cpu_us:.1f} µs CPU each")
    plan = Plan(found, cells, seconds, rounds, not unsigned)
    with workplace(folder) as place:
        versions["disk"] = f"{sync_ms(place):.2f} ms for a write of 4 KiB and fdatasync, alone"
        _say(versions["disk"])
        measures = run(plan, place, _say)
    if not measures:
        raise BenchError("no cell gave a result")
    page = report.write(folder, measures=measures, ceilings=ceilings, versions=versions, seconds=seconds, rounds=rounds)
    sys.stdout.write(page.read_text())
    _say(f"written: {page} and {page.with_suffix('.json').name}")


if __name__ == "__main__":
    try:
        app()
    except BenchError as exc:
        _say(f"bench: {exc}")
        sys.exit(1)
