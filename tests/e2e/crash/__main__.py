"""``python -m tests.e2e.crash``: as many kills as wanted, against this server or one of the benchmark's peers."""

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.peers import all_peers
from tests.e2e.crash.campaign import Campaign, CrashFault

console = Console(stderr=True, highlight=False, soft_wrap=True)


def main(
    *,
    kills: Annotated[int, typer.Option(min=1, help="How often the server is killed.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Seed of the load and of the moments of death.")] = None,
    server: Annotated[str, typer.Option(help="Which server: noisefs, or a peer of the benchmark.")] = "noisefs",
    folder: Annotated[Path | None, typer.Option(help="Where the store is made; kept after a fault.")] = None,
) -> None:
    """Kill a loaded server again and again, restart it, and check every answer it gave."""
    peer = next((peer for peer in all_peers() if peer.name == server), None)
    if peer is None or "s3" not in peer.protocols:
        raise typer.BadParameter(f"no S3 server {server!r}")
    chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    console.print(f"seed {chosen}")
    place = Path(tempfile.mkdtemp(prefix="noisefs-crash-", dir=folder))
    try:
        summary = Campaign(place, chosen, None if server == "noisefs" else peer).run(kills, console.print)
    except CrashFault as exc:
        console.print(f"FAULT {exc}", markup=False)
        sys.exit(1)
    shutil.rmtree(place)
    sys.stdout.write(f"{summary}\n")


if __name__ == "__main__":
    typer.run(main)
