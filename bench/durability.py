"""What durability costs: blocks synced by the node or not, and one or two nodes that have to confirm a write."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench import kubo
from bench.findings import Finding
from bench.kubo import BLOCK_BYTES, BLOCKS_A_PACK, Stretch
from bench.network import OBJECT_BYTES, private_node, put_objects, settings_for
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.servers import Server
from tools.ipfs_daemon import IpfsDaemon

_GIB = 1 << 30
_NODES = 3


def measure_durability(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """Bare imports and PUTs of class ``ipfs`` with ``sync`` on and off; class ``replicated:2`` on three nodes."""
    objects = max(4, int(_GIB * scale) // OBJECT_BYTES)
    packs = max(2, objects * OBJECT_BYTES // (BLOCK_BYTES * BLOCKS_A_PACK))
    pool = Pool(max(OBJECT_BYTES, packs * BLOCKS_A_PACK * BLOCK_BYTES), seed=13)
    rows: list[list[str | float]] = []

    def row(name: str, stretch: Stretch, gateway_cpu_s: float = 0.0) -> None:
        gib = stretch.plain_bytes / _GIB
        rows.append([name, stretch.mib_per_s, stretch.cpu_s_per_gib, gateway_cpu_s / gib])
        say(f"{name}: {stretch.mib_per_s:.0f} MiB/s, nodes {stretch.cpu_s_per_gib:.2f} CPU s/GiB")

    for sync in (True, False):
        said = "on" if sync else "off"
        with private_node(folder / f"bare-{said}", sync=sync) as node:
            row(f"dag/import, bare, sync {said}", kubo.bare_imports(node, pool)[0])
        with private_node(folder / f"node-{said}", sync=sync) as node:
            row(f"PUT 64 MiB, class ipfs, sync {said}", *_put(folder / f"store-{said}", [node], pool, objects, "ipfs"))
    with ExitStack() as stack:
        secret = os.urandom(32)
        repos = [folder / f"node-{number}" for number in range(_NODES)]
        nodes = [stack.enter_context(IpfsDaemon(repo, secret=secret)) for repo in repos]
        three = _put(folder / "store-three", nodes, pool, objects, "replicated:2")
        row(f"PUT 64 MiB, class replicated:2 on {_NODES} nodes, sync on", *three)
    return Finding(
        "durability",
        f"What durability on nodes costs, {objects * OBJECT_BYTES / _GIB:g} GiB each",
        ["way", "MiB/s", "nodes' CPU s/GiB", "gateway CPU s/GiB"],
        rows,
        None,
        "All nodes share one disk and the cores with gateway and client. Without sync a node acknowledges blocks that "
        "a power cut takes: the shipped settings have it on.",
    )


def _put(place: Path, nodes: list[IpfsDaemon], pool: Pool, objects: int, durability: str) -> tuple[Stretch, float]:
    with Server(NoiseFS(environment=settings_for(nodes)), place) as server:
        return put_objects(server, nodes, pool, objects, durability)[0]
