"""Roots and files from nodes, where there is no index yet that says who has them.

Promise: every block has the digest that its name says, every root opens under the store's key, every file is the one
that was sealed; a node that gives anything else, or nothing, is passed over for the next. Cost: one request a block.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.node_file import SALT_BYTES, FileBlocks, blocks_of, split_front
from noisefs.core.domain.nodes.root import Root, RootSealer
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NodeUnavailable, RootDamaged
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 16
"""Requests at a time: 2 MiB of blocks of the default size in memory."""
TIMEOUT_S: Final = 20.0


class Retriever:
    """Asks nodes for blocks by name. Belongs to one event loop."""

    def __init__(self, nodes: Sequence[Node], keys: StoreKeys, geometry: Geometry, workers: Workers) -> None:
        """Ask ``nodes``, each in its turn, those that failed last."""
        self._nodes = list(nodes)
        self._keys = keys
        self._geometry = geometry
        self._workers = workers
        self._sealer = RootSealer(keys.store_id, keys.store_key)
        self._turns = asyncio.Semaphore(IN_FLIGHT)

    async def block(self, name: BlockId | RootId) -> bytes:
        """The block of this name.

        Raises:
            NodeUnavailable: No node gives it.
        """
        for node in list(self._nodes):
            try:
                async with self._turns:
                    raw = await node.block(name, timeout_s=TIMEOUT_S)
            except NodeUnavailable as exc:
                log.info("block.not_retrieved", extra={"node": node.name, "cause": str(exc)})
            else:
                if name[4:] == (await self._workers.run(Lane.CPU, compute_block_id, raw))[4:]:
                    return raw
                log.warning("node.wrong_bytes", extra={"node": node.name, "bytes": len(raw)})
            self._nodes.remove(node)
            self._nodes.append(node)
        raise NodeUnavailable("any", f"reading {name.hex()}", "no node has it")

    async def blocks(self, names: Iterable[BlockId]) -> list[bytes]:
        """Several, in their order. Raises as :meth:`block`."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.block(name)) for name in names]
        except* NodeUnavailable as exc:
            raise NodeUnavailable("any", "reading several blocks", exc.exceptions[0]) from exc
        return [task.result() for task in tasks]

    async def root(self, name: RootId) -> Root | None:
        """A root of this store; ``None`` where it cannot be had, or is none of ours.

        Raises:
            NewerFormat: A newer version of this program wrote it.
        """
        try:
            raw = await self.block(name)
            return await self._workers.run(Lane.CPU, self._sealer.open, raw)
        except (NodeUnavailable, RootDamaged):
            return None

    async def roots(self, names: Iterable[RootId]) -> dict[RootId, Root]:
        """Those of these that are ours and can be had."""
        wanted = list(names)
        found: dict[RootId, Root] = {}
        for first in range(0, len(wanted), IN_FLIGHT):
            some = wanted[first : first + IN_FLIGHT]
            opened = zip(some, await asyncio.gather(*map(self.root, some)), strict=True)
            found.update({name: root for name, root in opened if root is not None})
        return found

    async def previous(self, root: Root) -> RootId | None:
        """The root that stands in front of a file, or of a part of one. Raises as :meth:`file`."""
        if not root.links:
            raise RootDamaged("a file has no block")
        block = await self.block(root.links[0])
        return split_front(self._opening(block).open(0, block))[0]

    def _opening(self, first: bytes) -> FileBlocks:
        """What opens the blocks of a file of which this is the first."""
        return FileBlocks(self._keys.store_id, self._keys.store_key, first[:SALT_BYTES], self._geometry.block_bytes)

    async def file(self, root: Root) -> AsyncIterator[tuple[RootId | None, bytes]]:
        """A file, or a part of one, in pieces, in order; with the first one comes the root that it builds on.

        Raises:
            NodeUnavailable: A block cannot be had.
            RootDamaged: A block is not this file's, or the root says another length.
        """
        links, left = root.links, root.meta.size_bytes
        if len(links) != blocks_of(left, self._geometry.block_bytes):
            raise RootDamaged(f"a file of {left} bytes cannot be {len(links)} blocks")
        opening: FileBlocks | None = None
        for first in range(0, len(links), IN_FLIGHT):
            previous: RootId | None = None
            pieces: list[bytes] = []
            for number, block in enumerate(await self.blocks(links[first : first + IN_FLIGHT]), first):
                if opening is None:
                    opening = self._opening(block)
                piece = opening.open(number, block)
                if number == 0:
                    previous, piece = split_front(piece)
                pieces.append(piece)
            data = b"".join(pieces)[:left]
            left -= len(data)
            yield previous, data
