"""Where the right bytes of a damaged copy are: on this machine's disk, or on other nodes. Verified, always."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.keyspace import FILE_COPIES_PREFIX
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.records import Copies
from noisefs.core.errors import BlockUnavailable, NodeUnavailable, PackNotFound
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.cars import FETCHED_AT_ONCE
from noisefs.core.services.network.placing.copying import Copier

TIMEOUT_S: Final = 20.0

Remake = Callable[[str, RootId, Sequence[BlockId]], Awaitable[tuple[bytes, dict[BlockId, bytes]] | None]]
"""The root of a snapshot file, by its name on nodes, and some of its blocks, made anew from this disk; ``None``: it is
not there as it was sent."""


class Sources:
    """Finds right bytes. Belongs to one event loop."""

    def __init__(
        self,
        *,
        packs: PackStore,
        workers: Workers,
        nodes: Nodes,
        copier: Copier,
        geometry: Geometry,
        remake: Remake,
    ) -> None:
        """``packs``: on this machine's disk; ``remake``: of files on it."""
        self._packs = packs
        self._workers = workers
        self._nodes = nodes
        self._copier = copier
        self._geometry = geometry
        self._remake = remake

    async def blocks(
        self, key: bytes, row: Copies, links: Sequence[BlockId], names: Sequence[BlockId], *, besides: str
    ) -> dict[BlockId, bytes]:
        """These blocks of a pack or file, as far as somebody ``besides`` this node has them."""
        if key.startswith(FILE_COPIES_PREFIX):
            remade = await self._remake(file_name(key), row.root, names)
            found = {} if remade is None else remade[1]
        else:
            found = await self._workers.run(Lane.BACKGROUND, self._from_disk, PackId(key), links, names)
        holders = (*row.nodes, *row.asked)
        ranked = [*self._nodes.readable(holders), *self._nodes.readable(set(self._nodes.names).difference(holders))]
        for node in ranked:
            lacking = [name for name in names if name not in found]
            if not lacking:
                break
            if node.name != besides:
                found |= await self._from_node(node, lacking)
        return found

    async def is_elsewhere(self, key: bytes, row: Copies, *, besides: str) -> bool:
        """Whether all of it is on this disk, or on another node that pins it, as it says now."""
        if key.startswith(FILE_COPIES_PREFIX):
            if await self._remake(file_name(key), row.root, ()) is not None:
                return True
        elif row.local and await self._workers.run(Lane.BACKGROUND, self._is_here, PackId(key)):
            return True
        identities = {one.identity for one in self._nodes.places_of([besides]) if one.identity}
        for place in self._nodes.places_of(self._nodes.counted(one for one in row.nodes if one != besides)):
            node = self._nodes.get(place.name)
            if place.identity in identities or node is None or not self._nodes.is_ready(place.name):
                continue  # another address of the same node holds no other copy
            if await self._copier.count_on(node, row.root):
                return True
        return False

    async def _from_node(self, node: Node, names: Sequence[BlockId]) -> dict[BlockId, bytes]:
        found: dict[BlockId, bytes] = {}
        try:
            there = await node.has(names)
        except NodeUnavailable:
            return found
        held = [name for name, is_there in zip(names, there, strict=True) if is_there]
        for first in range(0, len(held), FETCHED_AT_ONCE):
            some = held[first : first + FETCHED_AT_ONCE]
            raws = await asyncio.gather(*(_block(node, name) for name in some))
            given = [(name, raw) for name, raw in zip(some, raws, strict=True) if raw is not None]
            found.update(await self._workers.run(Lane.BACKGROUND, _right, given))
        return found

    # ------------------------------------------------------------------ on a lane

    def _from_disk(self, pack_id: PackId, links: Sequence[BlockId], names: Sequence[BlockId]) -> dict[BlockId, bytes]:
        positions = {name: position for position, name in enumerate(links)}
        found: dict[BlockId, bytes] = {}
        for name in names:
            block = bytearray(self._geometry.block_bytes)
            try:
                self._packs.read(pack_id, positions[name], [memoryview(block)])
            except (PackNotFound, BlockUnavailable):
                continue
            if compute_block_id(memoryview(block)) == name:
                found[name] = bytes(block)
        return found

    def _is_here(self, pack_id: PackId) -> bool:
        try:
            self._packs.read(pack_id, 0, [memoryview(bytearray(self._geometry.block_bytes))])
        except (PackNotFound, BlockUnavailable):
            return False
        return True


def file_name(key: bytes) -> str:
    """What a snapshot file is called, by the key of its row."""
    return key[len(FILE_COPIES_PREFIX) :].decode()


async def _block(node: Node, name: BlockId) -> bytes | None:
    try:
        return await node.block(name, timeout_s=TIMEOUT_S)
    except NodeUnavailable:
        return None


def _right(given: Iterable[tuple[BlockId, bytes]]) -> dict[BlockId, bytes]:
    return {name: raw for name, raw in given if compute_block_id(raw) == name}
