"""Real Kubo daemons on loopback, in a private swarm of their own."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tools.ipfs_daemon import IpfsDaemon

SECRET = b"a swarm of the tests, 32 bytes.."
CALL_LIMIT_S = 30


def call(daemon: IpfsDaemon, command: str, *arguments: str, **options: str) -> object:
    """Ask the RPC something, apart from our own client; the answer's rows where it has several."""
    query = urllib.parse.urlencode([*(("arg", argument) for argument in arguments), *options.items()])
    request = urllib.request.Request(f"{daemon.api}/api/v0/{command}?{query}", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=CALL_LIMIT_S) as answer:
        rows = [json.loads(line) for line in answer.read().splitlines() if line.strip()]
    return rows[0] if len(rows) == 1 else rows


def connect(daemons: list[IpfsDaemon]) -> None:
    """Connect each with each. Again after a restart."""
    for number, daemon in enumerate(daemons):
        for other in daemons[number + 1 :]:
            call(daemon, "swarm/connect", other.swarm)


@contextmanager
def swarm(
    folder: Path, count: int = 1, *, sync: bool = False, settings: Mapping[str, object] | None = None
) -> Iterator[list[IpfsDaemon]]:
    """So many connected daemons; they end with the block, their repositories stay.

    ``sync``: blocks reach the disk before they are acknowledged, as in the shipped settings. Tests that cut no power
    need no such thing.
    """
    daemons = [
        IpfsDaemon(folder / f"node{number}", secret=SECRET, sync=sync, settings=settings) for number in range(count)
    ]
    try:
        with ThreadPoolExecutor(count) as pool:
            for _ in pool.map(IpfsDaemon.start, daemons):
                pass
        connect(daemons)
        yield daemons
    finally:
        for daemon in daemons:
            daemon.stop()
