"""Packs on this machine's disk and, where they are not there any more, on nodes: one pack store of both.

Promise: a block that the disk does not have, or has damaged, comes from nodes, verified; all blocks of one call are
fetched at once. Whatever does not read goes to the disk alone. A call that has to wait for nodes ends within the
fetcher's time, and never waits on the event loop itself: called there, it says that the block is unavailable.
Cost: none for packs on the disk, but a note of when each was read last.
"""

import asyncio
import logging
import threading
from collections.abc import Collection, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.errors import BlockUnavailable, PackNotFound
from noisefs.core.ports.packs import OpenPack, PackRead, PackStore, Reach, StoredPack
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.network.reading.asking import Place
from noisefs.core.services.network.reading.edges import EDGE_BYTES, Edges
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.network.reading.rooms import Wanted, pieces_of

T = TypeVar("T")

log = logging.getLogger(__name__)

GRACE_S: Final = 2.0
"""What the event loop may take beyond the fetcher's own time before a thread gives up."""


class NetworkPacks(PackStore):
    """The pack store of a process with nodes. Thread-safe, but for the methods that say otherwise."""

    def __init__(
        self, local: PackStore, block_bytes: int, *, fetcher: Fetcher, reads: ReadTimes, telemetry: Telemetry
    ) -> None:
        """Made on the event loop that the fetcher belongs to; ``local`` is closed by whoever made it."""
        self._local = local
        self._block_bytes = block_bytes
        self._fetcher = fetcher
        self._reads = reads
        self._telemetry = telemetry
        self._edges = Edges(EDGE_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    @property
    def reaches_network(self) -> bool:
        """It does."""
        return True

    # ------------------------------------------------------------------ reading

    def read(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> None:
        """Fill the buffers, in order, from consecutive bytes that begin ``offset`` bytes into block ``position``."""
        self.read_all([PackRead(pack_id, position, into, offset)])

    def read_at_once(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> bool:
        """Like :meth:`read`, but never waits for a disk, and never asks a node."""
        self._reads.note(pack_id)
        return self._local.read_at_once(pack_id, position, into, offset=offset)

    def read_all(self, reads: Sequence[PackRead], *, reach: Reach = Reach.NETWORK) -> Collection[Place]:
        """Do all of these reads; returns the blocks that came from nodes."""
        wanted = Wanted(self._block_bytes)
        for read in reads:
            self._reads.note(read.pack_id)
            try:
                self._local.read(read.pack_id, read.position, read.into, offset=read.offset)
            except (PackNotFound, BlockUnavailable) as exc:
                if reach is Reach.DISK:
                    raise BlockUnavailable(read.pack_id, read.position) from exc
                wanted.add(read)
            else:
                if reach is Reach.VERIFIED:
                    wanted.add(read, only=self._damaged(read))
        if not wanted.rooms:
            return ()
        missing = wanted.rooms if reach is Reach.VERIFIED else self._edges.without(wanted.rooms)
        if missing:
            self._on_loop(self._fetcher.fetch(missing), next(iter(missing)))
            self._edges.keep(missing)
        wanted.hand_out()
        return missing

    def _damaged(self, read: PackRead) -> set[Place]:
        """Blocks of a read of which the disk does not have the bytes that their names say."""
        block = memoryview(bytearray(self._block_bytes))
        found: set[Place] = set()
        try:
            links = self._on_loop(self._fetcher.links(read.pack_id), (read.pack_id, read.position))
            for place in dict.fromkeys(piece.place for piece in pieces_of(read, self._block_bytes)):
                self._local.read(*place, [block])
                if compute_block_id(block) != links[place[1]]:
                    found.add(place)
        except (PackNotFound, BlockUnavailable):
            return set()  # never on a node, so there is nothing to compare with; or dropped meanwhile
        if found:
            self._telemetry.count(Counter.INTEGRITY_ERRORS, len(found), ("block",))
            log.error("block.damaged", extra={"pack": read.pack_id.hex(), "positions": sorted(at for _, at in found)})
        return found

    def _on_loop(self, work: Coroutine[Any, Any, T], place: Place) -> T:  # Any: what a coroutine is sent and yields
        """What a coroutine of the event loop returns, waited for on this thread. ``place`` is for the error."""
        if threading.get_ident() == self._loop_thread:
            work.close()
            raise BlockUnavailable(*place)
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as exc:  # the loop is closed
            work.close()
            raise BlockUnavailable(*place) from exc
        try:
            return future.result(self._fetcher.timeout_s + GRACE_S)
        except (TimeoutError, CancelledError) as exc:
            future.cancel()
            raise BlockUnavailable(*place) from exc

    # ------------------------------------------------------------------ the disk's own business

    def create(self, pack_id: PackId, *, from_reserve: bool = False) -> OpenPack:
        """Make an empty pack and hold its writer's lock."""
        return self._local.create(pack_id, from_reserve=from_reserve)

    def adopt(self, pack_id: PackId) -> OpenPack | None:
        """An unsealed pack whose writer is gone; ``None`` while its writer lives."""
        return self._local.adopt(pack_id)

    def truncate(self, pack: OpenPack, blocks: int) -> None:
        """Cut an adopted pack to its first ``blocks`` blocks."""
        self._local.truncate(pack, blocks)

    def list(self) -> list[StoredPack]:
        """Every pack on the disk. The index knows which are on nodes only."""
        return self._local.list()

    def drop(self, pack_id: PackId) -> None:
        """Remove a pack from the disk. Nodes let go of it when its rows are gone."""
        self._local.drop(pack_id)

    def free_bytes(self) -> int:
        """Bytes that may still be written to the disk."""
        return self._local.free_bytes()

    def close(self) -> None:
        """Nothing of its own is open."""
