"""What rows say of packs on nodes: how many copies each has, what waits, what is on nodes only. Nobody is asked."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.records import Copies, Pack, PackState, decode
from noisefs.core.ports.files import StoredFile
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.services.maintenance.rows import ROWS_AT_ONCE, page
from noisefs.core.services.network.heads.heads import head_rows
from noisefs.core.services.snapshots.catalog import parse


@dataclass(slots=True)
class PackStatus:
    """Counts of sealed packs. A pack whose rows were never made counts as one without copies."""

    packs: int = 0
    bytes: int = 0
    waiting_packs: int = 0
    """They never had all their copies."""
    waiting_bytes: int = 0
    evicted_packs: int = 0
    """They are on nodes only."""
    evicted_bytes: int = 0
    by_copies: Counter[int] = field(default_factory=Counter)
    """Packs by how many copies the nodes that were named have."""
    by_node: Counter[str] = field(default_factory=Counter)
    """Packs that each node holds, by its name."""


def pack_status(index: Index, geometry: Geometry, configured: Collection[str]) -> PackStatus:
    """Count. Blocks: call from a lane. Cost: one pass over the rows of all packs, in short reads.

    Args:
        configured: Names of nodes; what others may have is no copy.
    """
    status = PackStatus()
    start = b""
    while rows := index.read(partial(_packs, start)):
        for _key, pack, copies in rows:
            if pack.state == PackState.SEALED:
                _count(status, pack.blocks * geometry.block_bytes, copies, configured)
        start = rows[-1][0] + b"\0"
    return status


def snapshot_on_nodes_us(index: Index) -> int:
    """When the newest snapshot was taken that a head on a node names; 0: there is none. Blocks: call from a lane."""
    rows = [row for row in index.read(head_rows).values() if row.confirmed and row.files]
    infos = [parse(StoredFile(row.files[-1], 0)) for row in rows]
    return max((info.created_us for info in infos if info is not None), default=0)


def _packs(start: bytes, tx: Reading) -> list[tuple[bytes, Pack, Copies | None]]:
    found = []
    for key, raw in page(Table.PACKS, start, ROWS_AT_ONCE, tx):
        copies = tx.get(Table.COPIES, key)
        found.append((key, decode(Pack, raw), None if copies is None else decode(Copies, copies)))
    return found


def _count(status: PackStatus, size_bytes: int, copies: Copies | None, configured: Collection[str]) -> None:
    status.packs += 1
    status.bytes += size_bytes
    nodes = () if copies is None else copies.nodes
    status.by_copies[sum(node in configured for node in nodes)] += 1
    status.by_node.update(set(nodes))
    if copies is None or not copies.confirmed_us:
        status.waiting_packs += 1
        status.waiting_bytes += size_bytes
    elif not copies.local:
        status.evicted_packs += 1
        status.evicted_bytes += size_bytes
