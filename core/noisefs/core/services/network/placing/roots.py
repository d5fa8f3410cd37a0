"""The root of each pack: its bytes in a file beside the packs, its links in memory while they are in use.

A pack's root is made when the pack is first to leave for a node; that is when its blocks get their names (one SHA-256
each, on a worker lane). Its file is a copy: where it is missing, the root is had from nodes that hold it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from cachetools import LRUCache

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, BlockId, PackId, RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.root import NONCE_BYTES, Root, RootKind, RootMeta, RootSealer, root_id
from noisefs.core.domain.records import Copies, decode
from noisefs.core.errors import (
    BlockUnavailable,
    CapacityExceeded,
    FileNotInStore,
    NodeUnavailable,
    PackDamaged,
    RootDamaged,
    StorageFailed,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index, Table
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes

log = logging.getLogger(__name__)

CACHED_ROOTS: Final = 256
"""Parsed roots in memory: 512 links of 36 bytes each, about 45 KiB a root."""

MAX_FILE_BYTES: Final = 1 << 20

HASHED_AT_ONCE: Final = 16
"""Blocks of one hop to a worker: 2 MiB of 128 KiB blocks, 4 ms."""

FETCH_TIMEOUT_S: Final = 20.0


class RootFiles:
    """Roots of packs by pack id. Belongs to one event loop; several processes may share the folder."""

    def __init__(
        self,
        *,
        files: FileStore,
        index: Index,
        packs: PackStore,
        nodes: Nodes,
        sealer: RootSealer,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        geometry: Geometry,
        epoch: Callable[[], int],
    ) -> None:
        """``files``: a folder of their own. ``epoch``: the store's present one."""
        self._files = files
        self._index = index
        self._packs = packs
        self._nodes = nodes
        self._sealer = sealer
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._geometry = geometry
        self._epoch = epoch
        self._opened: LRUCache[PackId, tuple[bytes, Root]] = LRUCache(CACHED_ROOTS)

    @property
    def sealer(self) -> RootSealer:
        """Opens and makes the store's roots."""
        return self._sealer

    async def links(self, pack_id: PackId) -> tuple[BlockId, ...]:
        """The names of a pack's blocks, in order.

        Raises:
            BlockUnavailable: The pack was never on a node, or its root can be had from none now.
        """
        return (await self.load(pack_id))[1].links

    async def load(self, pack_id: PackId) -> tuple[bytes, Root]:
        """A pack's root: its bytes and what they say. From memory, from its file, or from a node that holds it.

        Raises:
            BlockUnavailable: As :meth:`links`.
        """
        cached = self._opened.get(pack_id)
        if cached is not None:
            return cached
        row = await self._workers.run(Lane.DISK, self._index.read, lambda tx: tx.get(Table.COPIES, pack_id))
        copies = None if row is None else decode(Copies, row)
        found = await self._from_file(pack_id, copies)
        if found is None and copies is not None:
            found = await self._from_nodes(pack_id, copies)
        if found is None:
            raise BlockUnavailable(pack_id, 0)
        self._opened[pack_id] = found
        return found

    async def make(self, pack_id: PackId, blocks: int, sequence: int, known: Sequence[BlockId] = ()) -> bytes:
        """Name every block of a sealed pack on this disk, and seal and keep its root.

        Each call makes another root (its nonce is random): the caller keeps to the first one whose row it wrote.

        Args:
            blocks: How many it has.
            sequence: Of the last index commit.
            known: Names of its first blocks.

        Raises:
            PackNotFound, BlockUnavailable: The pack is not there whole.
            DiskFull, ReadOnlyStore, StorageFailed: The root could not be kept.
        """
        links: list[BlockId] = list(known[:blocks])
        room = memoryview(bytearray(HASHED_AT_ONCE * self._geometry.block_bytes))
        for first in range(len(links), blocks, HASHED_AT_ONCE):
            count = min(HASHED_AT_ONCE, blocks - first)
            links += await self._workers.run(Lane.BACKGROUND, self._name_blocks, pack_id, first, count, room)
        if len(set(links)) != blocks:
            raise PackDamaged(pack_id, "two of its blocks are the same")
        meta = RootMeta(
            RootKind.PACK, pack_id, 0, blocks, sequence, created_us=self._clock.now_us(), epoch=self._epoch()
        )
        raw = self._sealer.seal(tuple(links), meta, nonce=self._entropy.secret(NONCE_BYTES))
        await self.save(pack_id, raw)
        return raw

    async def save(self, pack_id: PackId, raw: bytes) -> None:
        """Keep a root durably.

        Raises:
            RootDamaged, NewerFormat: It is none of this store's.
            DiskFull, ReadOnlyStore, StorageFailed: It was not kept.
        """
        root = await self._workers.run(Lane.BACKGROUND, self._sealer.open, raw)
        await self._workers.run(Lane.BACKGROUND, self._write, pack_id, raw)
        self._opened[pack_id] = (raw, root)

    async def drop(self, pack_id: PackId) -> None:
        """Forget the root of a pack that is no more. Nothing happens where there is none."""
        self._opened.pop(pack_id, None)
        await self._workers.run(Lane.BACKGROUND, self._files.delete, pack_id.hex())

    async def tidy(self) -> int:
        """Delete files of packs that the index does not know any more; returns how many. Cost: a look at each name."""

        def delete_strays() -> int:
            names = [file.name for file in self._files.list() if len(file.name) == 2 * ID_BYTES]
            gone = self._index.read(
                lambda tx: [one for one in names if tx.get(Table.PACKS, bytes.fromhex(one)) is None]
            )
            for name in gone:
                self._files.delete(name)
            return len(gone)

        return await self._workers.run(Lane.BACKGROUND, delete_strays)

    def forget(self, pack_id: PackId) -> None:
        """Take nothing from memory for this pack any more: its row names another root."""
        self._opened.pop(pack_id, None)

    # ------------------------------------------------------------------ where they come from

    def _name_blocks(self, pack_id: PackId, first: int, count: int, room: memoryview) -> list[BlockId]:
        size = self._geometry.block_bytes
        places = [room[nth * size : (nth + 1) * size] for nth in range(count)]
        self._packs.read(pack_id, first, places)
        return [compute_block_id(place) for place in places]

    def _write(self, pack_id: PackId, raw: bytes) -> None:
        draft = self._files.draft()
        try:
            draft.write(raw)
            draft.publish(pack_id.hex())
        except BaseException:
            draft.discard()
            raise

    async def _from_file(self, pack_id: PackId, copies: Copies | None) -> tuple[bytes, Root] | None:
        try:
            raw = await self._workers.run(Lane.DISK, self._files.read, pack_id.hex(), 0, MAX_FILE_BYTES)
        except FileNotInStore:
            return None
        if copies is not None and root_id(raw) != copies.root:
            log.warning("root.other", extra={"pack": pack_id.hex()})  # damaged, or of an attempt that lost a race
            return None
        return await self._opened_root(pack_id, raw)

    async def _from_nodes(self, pack_id: PackId, copies: Copies) -> tuple[bytes, Root] | None:
        # All at once: a root is small, and one that hangs must not keep the others' answer from who reads.
        nodes = self._nodes.readable((*copies.nodes, *copies.asked))
        asking = [asyncio.create_task(fetch_root(node, copies.root, self._nodes)) for node in nodes]
        try:
            for answer in asyncio.as_completed(asking):
                raw = await answer
                found = None if raw is None else await self._opened_root(pack_id, raw)
                if found is not None:
                    await self._keep_copy(pack_id, found[0])
                    return found
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return None

    async def _keep_copy(self, pack_id: PackId, raw: bytes) -> None:
        try:
            await self._workers.run(Lane.DISK, self._write, pack_id, raw)
        except (CapacityExceeded, StorageFailed) as exc:  # whoever reads has it all the same
            log.warning("root.not_kept", extra={"pack": pack_id.hex(), "cause": str(exc)})

    async def _opened_root(self, pack_id: PackId, raw: bytes) -> tuple[bytes, Root] | None:
        try:
            root = await self._workers.run(Lane.DISK, self._sealer.open, raw)
        except RootDamaged as exc:
            log.warning("root.damaged", extra={"pack": pack_id.hex(), "cause": str(exc)})
            return None
        if root.meta.kind != RootKind.PACK or root.meta.pack_id != pack_id:
            log.warning("root.of_another", extra={"pack": pack_id.hex()})
            return None
        return raw, root


async def fetch_root(node: Node, root: RootId, nodes: Nodes) -> bytes | None:
    """The bytes under a root's name as this node has them, verified; ``None`` where it has them not, or others.

    A node that fails is told to ``nodes``.
    """
    try:
        async with asyncio.timeout(FETCH_TIMEOUT_S * 2):
            raw = await node.block(root, timeout_s=FETCH_TIMEOUT_S)
    except (NodeUnavailable, TimeoutError) as exc:
        log.info("root.not_fetched", extra={"node": node.name, "cause": str(exc)})
        nodes.wake.set()
        return None
    if len(raw) > MAX_FILE_BYTES or root_id(raw) != root:
        log.warning("node.wrong_bytes", extra={"node": node.name, "bytes": len(raw)})
        return None
    return raw
