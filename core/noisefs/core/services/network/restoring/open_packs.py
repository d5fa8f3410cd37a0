"""Packs that were open when their machine was lost, put together again from their interim roots.

Promise: a pack in which committed rows name cells, and of which nodes hold every block up to the last of these, lies on
this disk afterwards as a crash would have left it: the first start closes it. Others are left out, and told as lost.
Cost: every block of such a pack, once; there is one a process that wrote.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.masking import stride_of
from noisefs.core.domain.nodes.root import Root
from noisefs.core.domain.records import PackState
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Index
from noisefs.core.ports.packs import OpenPack, PackStore
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.restoring.retrieving import Retriever
from noisefs.core.services.packs.recovery import pack_rows, placed_in

log = logging.getLogger(__name__)

BLOCKS_AT_ONCE: Final = 16


async def rebuild_open_packs(
    index: Index,
    packs: PackStore,
    interims: Sequence[Root],
    there: Iterable[PackId],
    retriever: Retriever,
    geometry: Geometry,
    workers: Workers,
) -> int:
    """Put together what can be; returns how many packs.

    Args:
        index: The restored one.
        packs: On this machine's disk.
        interims: Interim roots of any packs.
        there: Packs that nodes hold sealed.
        retriever: Who gets blocks.
        geometry: Of the store.
        workers: Where disk work runs.

    Raises:
        DiskFull, ReadOnlyStore, StorageFailed: This disk does not take them.
    """
    rows = await workers.run(Lane.BACKGROUND, index.read, pack_rows)
    rebuilt = 0
    for pack_id, row in rows.items():
        if row.state != PackState.OPEN or pack_id in there:
            continue
        _all, named = await workers.run(Lane.BACKGROUND, index.read, partial(placed_in, pack_id=pack_id))
        stride = stride_of(row.strategy)
        needed = max((position + (what.count - 1) * stride + 1 for position, what in named), default=0)
        links = _links_of(pack_id, interims)
        if needed and len(links) >= needed:
            rebuilt += await _rebuild(pack_id, links[:needed], packs, retriever, geometry, workers)
    return rebuilt


def _links_of(pack_id: PackId, interims: Sequence[Root]) -> list[BlockId]:
    """Names of the pack's blocks from its first on, as far as roots tell them without a gap."""
    known: dict[int, BlockId] = {}
    for root in interims:
        if root.meta.pack_id == pack_id:
            known.update(enumerate(root.links[: root.meta.count], root.meta.first))
    links: list[BlockId] = []
    while len(links) in known:
        links.append(known[len(links)])
    return links


async def _rebuild(
    pack_id: PackId,
    links: Sequence[BlockId],
    packs: PackStore,
    retriever: Retriever,
    geometry: Geometry,
    workers: Workers,
) -> bool:
    pack = await workers.run(Lane.BACKGROUND, packs.create, pack_id)
    try:
        for first in range(0, len(links), BLOCKS_AT_ONCE):
            blocks = await retriever.blocks(links[first : first + BLOCKS_AT_ONCE])
            await workers.run(Lane.BACKGROUND, _append, pack, blocks, geometry)
        await workers.run(Lane.BACKGROUND, pack.sync)
    except NodeUnavailable as exc:
        log.warning("pack.not_rebuilt", extra={"pack": pack_id.hex(), "cause": str(exc)})
    else:
        return True
    finally:
        await workers.run(Lane.BACKGROUND, pack.abandon)
    await workers.run(Lane.BACKGROUND, packs.drop, pack_id)
    return False


def _append(pack: OpenPack, blocks: Sequence[bytes], geometry: Geometry) -> None:
    room = pack.reserve(len(blocks))
    size = geometry.block_bytes
    for nth, block in enumerate(blocks):
        room[nth * size : (nth + 1) * size] = block
    pack.advance(len(blocks))
