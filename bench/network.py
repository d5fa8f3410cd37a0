"""IPFS as the backing store: this gateway on one private Kubo node, beside the node alone and the original's way.

All in one run, on the same machine and disk; the node syncs blocks before it acknowledges them, as it is shipped.
Cores are shared by client, gateway and node, so the gateway cannot reach what the node does alone: the table says who
used how much.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import kubo
from bench.failures import BenchError
from bench.findings import Finding
from bench.kubo import BLOCK_BYTES, BLOCKS_A_PACK, Stretch
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from bench.sites import BUCKET, S3Site
from bench.wire import Driver, Request
from noisefs.core.domain.ids import BlockId
from noisefs.core.domain.nodes.block_id import compute_block_id
from tools.ipfs_daemon import IpfsDaemon

_GIB = 1 << 30
OBJECT_BYTES = 64 << 20
_CONNECTIONS = 2
_CONFIRM_LIMIT_S = 600.0
_PACK_MAX_AGE_S = 2
_SETTLED_S = _PACK_MAX_AGE_S + 3.0
"""Nothing waits for so long: the last pack was sealed in this time, and seen."""
_LOOK_EVERY_S = 0.1
_BACKLOG = "noisefs_upload_backlog_packs"
CALLS = "noisefs_node_calls_total"
COLD = 'noisefs_block_reads_total{tier="cold"}'
_HOW_IT_IS = ("version", "id", "repo/stat", "diag/sys", "swarm/peers", "config/show")
_ORIGINAL_SHARE = 8
"""The original's way is so slow that an eighth of the bytes tells enough."""
_WANTED_PUT, _WANTED_GET, _WANTED_ORIGINAL = 0.45, 0.60, 5.0
_WANTED_CALLS_STORED, _WANTED_CALLS_READ = 0.02, 1.1


def measure_network(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """Upload and download speed, calls of the node per block, and who used the CPU."""
    objects = max(4, int(2 * _GIB * scale) // OBJECT_BYTES)
    packs = max(2, objects * OBJECT_BYTES // (BLOCK_BYTES * BLOCKS_A_PACK))
    pool = Pool(max(objects * OBJECT_BYTES // 4, packs * BLOCKS_A_PACK * BLOCK_BYTES), seed=7)
    rows: list[list[str | float]] = []

    def row(name: str, stretch: Stretch, gateway_cpu_s: float = 0.0, calls_a_block: float | None = None) -> None:
        gib = stretch.plain_bytes / _GIB
        rows.append([name, stretch.mib_per_s, stretch.cpu_s_per_gib, gateway_cpu_s / gib, calls_a_block or 0.0])
        say(f"{name}: {stretch.mib_per_s:.0f} MiB/s, node {stretch.cpu_s_per_gib:.2f} CPU s/GiB")

    with private_node(folder / "alone") as node:
        imported, names = kubo.bare_imports(node, pool)
        row("dag/import, bare", imported)
        gateway_reads = kubo.gateway_reads(node, names)
        row("reads by the node's gateway, bare", gateway_reads)
    with private_node(folder / "original") as node:
        share = len(names) // _ORIGINAL_SHARE
        adds = kubo.adds(node, pool, share)
        row("the original: add with a pin a block", adds, calls_a_block=1)
        cats = kubo.cats(node, _added_names(pool, share))
        row("the original: cat a block", cats, calls_a_block=1)
    with private_node(folder / "behind") as node:
        gateway = NoiseFS(environment=settings_for([node]))
        server = Server(gateway, folder / "gateway")
        with server:
            follows, calls_local = put_objects(server, [node], pool, objects, "local")
            row("PUT 64 MiB, class local, until the node has all", follows[0], follows[1], calls_local)
            waits, calls_ipfs = put_objects(server, [node], pool, objects, "ipfs")
            row("PUT 64 MiB, class ipfs", waits[0], waits[1], calls_ipfs)
        stored = kubo.repo_bytes(node) / (2 * objects * OBJECT_BYTES)
        for pack in (server.place / "packs").rglob("*.pack"):
            pack.unlink()
        with server:
            cold, calls_read = _get(server, node, pool, objects)
            row("GET 64 MiB, cold", cold[0], cold[1], calls_read)
    ratios = [
        ("PUT of class ipfs : bare import", waits[0].mib_per_s / imported.mib_per_s, _WANTED_PUT, True),
        ("cold GET : bare gateway reads", cold[0].mib_per_s / gateway_reads.mib_per_s, _WANTED_GET, True),
        ("PUT of class ipfs : the original's way", waits[0].mib_per_s / adds.mib_per_s, _WANTED_ORIGINAL, True),
        ("cold GET : the original's way", cold[0].mib_per_s / (cats.mib_per_s / 3), _WANTED_ORIGINAL, True),
        ("calls per stored block, class ipfs", calls_ipfs, _WANTED_CALLS_STORED, False),
        ("calls per read block", calls_read, _WANTED_CALLS_READ, False),
    ]
    rows += [[name, value, "wanted", wanted, _verdict(value, wanted, more)] for name, value, wanted, more in ratios]
    return Finding(
        "network",
        f"Packs on one Kubo node, {objects * OBJECT_BYTES / _GIB:g} GiB in objects of 64 MiB",
        ["way", "MiB/s", "node CPU s/GiB", "gateway CPU s/GiB", "calls per block"],
        rows,
        all((value >= wanted) is more for _name, value, wanted, more in ratios),
        f"The node's repository took {stored:.3f} bytes for each byte of data (one copy). The original read three "
        "blocks for each block of data, so a third of its speed counts. Calls are those that bytes took; how the node "
        "is, is asked every few seconds besides.",
    )


def _verdict(value: float, wanted: float, more: bool) -> str:
    return "reached" if (value >= wanted) is more else "missed"


def _added_names(pool: Pool, share: int) -> Sequence[BlockId]:
    """Names that the original's adds gave: those of raw leaves."""
    return [compute_block_id(pool.view[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES]) for n in range(share)]


def private_node(repo: Path, *, sync: bool = True) -> IpfsDaemon:
    """A node of its own, as it is shipped, but for ``sync``."""
    return IpfsDaemon(repo, secret=os.urandom(32), sync=sync)


def settings_for(nodes: Sequence[IpfsDaemon]) -> dict[str, str]:
    """The environment of a gateway on these nodes."""
    listed = [{"api": node.api, "gateway": node.gateway, "managed": True} for node in nodes]
    return {"NOISEFS_IPFS__NODES": json.dumps(listed), "NOISEFS_IPFS__PACK_MAX_AGE_S": str(_PACK_MAX_AGE_S)}


def put_objects(
    server: Server, nodes: Sequence[IpfsDaemon], pool: Pool, objects: int, durability: str
) -> tuple[tuple[Stretch, float], float]:
    """Write objects of 64 MiB into a bucket of this class; class local ends when the nodes have every pack.

    Returns:
        What it took, the gateway's CPU seconds, and calls of nodes for each stored block.
    """
    assert server.s3 is not None
    site = S3Site(server.s3, pool)
    site.make_folders([])
    program = server.peer.find()
    command = [str(program), "bucket", "set", BUCKET, "--durability", durability, "--data", str(server.place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr}")
    site.refresh()
    before, cpu = server.metrics(), server.usage().cpu_s
    names = (f"{durability}-{number}" for number in range(objects))

    def work() -> float | None:
        _drive(site, (site.put(name, OBJECT_BYTES) for name in names))
        return wait_confirmed(server) if durability == "local" else None

    stretch = kubo.timed(nodes, objects * OBJECT_BYTES, 0, work)
    used = server.usage().cpu_s - cpu
    wait_confirmed(server)
    after = server.metrics()
    blocks = objects * OBJECT_BYTES / (BLOCK_BYTES - 16)
    return (stretch, used), (_calls(after) - _calls(before)) / blocks


def _get(server: Server, node: IpfsDaemon, pool: Pool, objects: int) -> tuple[tuple[Stretch, float], float]:
    assert server.s3 is not None
    site = S3Site(server.s3, pool)
    answer = site.expect(site.get("local-0", OBJECT_BYTES), 200)
    if answer.body != pool.view[:OBJECT_BYTES]:
        raise BenchError("a cold object has wrong bytes")
    before, cpu = server.metrics(), server.usage().cpu_s
    requests = (site.get(f"local-{number}", OBJECT_BYTES) for number in range(1, objects))
    stretch = kubo.timed([node], (objects - 1) * OBJECT_BYTES, 0, lambda: _drive(site, requests))
    after = server.metrics()
    read = after.get(COLD, 0.0) - before.get(COLD, 0.0)
    calls = _calls(after) - _calls(before)
    return (stretch, server.usage().cpu_s - cpu), calls / read if read else 0.0


def _calls(metrics: Mapping[str, float]) -> float:
    """Calls that bytes took. How a node is, is asked every few seconds, whatever is stored or read."""
    asked = [f'call="{call}"' for call in _HOW_IT_IS]
    return metrics.get(CALLS, 0.0) - sum(
        count for series, count in metrics.items() for call in asked if series.startswith(CALLS) and call in series
    )


def _drive(site: S3Site, requests: Iterator[Request]) -> None:
    driver = Driver(site.address, _CONNECTIONS)
    try:
        outcome = driver.run(requests, 3600)
    finally:
        driver.close()
    if outcome.errors:
        raise BenchError(f"{outcome.errors} requests failed: {outcome.first_error}")


def wait_confirmed(server: Server) -> float:
    """Wait until nodes have every pack, also the one that was open; returns when they had, on the bench's clock."""
    deadline = time.monotonic() + _CONFIRM_LIMIT_S
    since: float | None = None
    while since is None or time.perf_counter() - since < _SETTLED_S:
        if server.metrics().get(_BACKLOG, 1.0):
            since = None
        elif since is None:
            since = time.perf_counter()
        if time.monotonic() > deadline:
            raise BenchError("the node did not get every pack in time")
        time.sleep(_LOOK_EVERY_S)
    return since
