"""One import of an open pack's blocks: an interim root over what a node has not, and what masks that.

Promise: its row (``INTERIMS``) is durable before its stream begins, so nothing is pinned that no row names. Cost: each
block is read and hashed once for all nodes; what a small import read for that is kept until it is sent.
"""

from typing import Final

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.keyspace import interim_key
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.root import RootKind, RootMeta, root_id
from noisefs.core.domain.records import Interim, encode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.confirming.means import Means
from noisefs.core.services.network.confirming.placings import Holder, Placing
from noisefs.core.services.network.placing.cars import BATCH, Stream

NAMED_AT_ONCE: Final = 16
"""Blocks of one hop to a worker: 2 MiB of 128 KiB blocks, some 4 ms."""

KEPT_BLOCKS: Final = 160
"""An import of at most so many blocks (20 MiB) keeps what was read for their names, so that it is read once."""


class Interims:
    """Makes and sends interim roots. Belongs to one event loop."""

    def __init__(self, means: Means, packs: PackStore) -> None:
        """``packs``: on this machine's disk."""
        self._means = means
        self._packs = packs

    async def send(self, placing: Placing, node: Node, one: Holder, copies: int) -> None:
        """Send everything that is wanted now and that the node has not, under one root.

        Raises:
            NodeUnavailable: The node failed.
            NoisefsError: The pack cannot be read, or the row not written.
        """
        means = self._means
        first, upto = one.blocks, placing.wanted
        read: dict[int, memoryview] = {}
        await self._name(placing, upto, read if upto - first <= KEPT_BLOCKS else None)
        masks = placing.strategy.masks_before(first, upto - first)
        new = tuple(placing.names[first:upto])
        links = (*new, *(placing.names[at] for at in masks))
        meta = RootMeta(
            RootKind.INTERIM,
            placing.pack_id,
            first,
            len(new),
            means.index.sequence(),
            created_us=means.clock.now_us(),
            epoch=means.epoch(),
        )
        raw = means.seal(links, meta)
        row = Interim(root_id(raw), (node.name,))
        await means.commits.run(lambda tx: _note(tx, placing.pack_id, row))

        async def fill(number: int, places: list[memoryview]) -> None:
            at = first + number
            if all(position in read for position in range(at, at + len(places))):
                for position, place in enumerate(places, at):
                    place[:] = read[position]
            else:
                await means.workers.run(Lane.DISK, self._packs.read, placing.pack_id, at, places)

        stream = Stream(raw, new, means.geometry.block_bytes, BATCH, fill)
        try:
            confirmed = await means.send(node, stream.car(means.limiter), copies)
        except NodeUnavailable:
            if stream.failure is not None:
                raise stream.failure from None
            raise
        one.copies = confirmed if not first else min(one.copies, confirmed)
        one.blocks = upto
        placing.tell()

    async def _name(self, placing: Placing, upto: int, read: dict[int, memoryview] | None) -> None:
        """Compute the names of the pack's first so many blocks, where they are not known yet.

        Blocks that have to be read for it are noted in ``read``.
        """
        async with placing.naming:
            names = placing.names
            while (first := len(names)) < upto:
                count = min(NAMED_AT_ONCE, upto - first)
                found, blocks = await self._means.workers.run(
                    Lane.DISK, self._name_blocks, placing.pack_id, first, count
                )
                names += found
                if read is not None:
                    read.update(enumerate(blocks, first))

    def _name_blocks(self, pack_id: PackId, first: int, count: int) -> tuple[list[BlockId], list[memoryview]]:
        size = self._means.geometry.block_bytes
        room = memoryview(bytearray(count * size))
        places = [room[nth * size : (nth + 1) * size] for nth in range(count)]
        self._packs.read(pack_id, first, places)
        return [compute_block_id(place) for place in places], places


def _note(tx: Writing, pack_id: PackId, row: Interim) -> None:
    tx.put(Table.INTERIMS, interim_key(pack_id, row.root), encode(row))
