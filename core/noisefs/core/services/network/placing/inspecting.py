"""What a node really has of a pack or file: every block read from it, and compared with its name.

That a node pins a root says that it had everything once. A disk rots, a file is lost, and it goes on pinning: what it
answers then are wrong bytes, or none. Cost: everything that is inspected crosses the network once, and one SHA-256 a
block on a worker lane; at most ``FETCHED_BYTES`` in memory.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.keyspace import FILE_COPIES_PREFIX
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.root import ROOT_PREFIX, links_of, root_id
from noisefs.core.domain.records import Copies
from noisefs.core.errors import BlockUnavailable, NodeUnavailable
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.cars import FETCHED_AT_ONCE, FETCHED_BYTES
from noisefs.core.services.network.placing.roots import RootFiles, fetch_root
from noisefs.core.services.network.placing.sources import Remake, file_name

log = logging.getLogger(__name__)

Name = BlockId | RootId

READ_TIMEOUT_S: Final = 10.0
"""For a block that the node should have on its own disk."""
AGAIN_TIMEOUT_S: Final = 30.0
"""For one that it says it has, and did not give."""


@dataclass(frozen=True, slots=True)
class Flaws:
    """Names under which a node has other bytes (or bytes that it cannot read), and names that it has not."""

    wrong: tuple[Name, ...] = ()
    missing: tuple[Name, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wrong or self.missing)

    @property
    def all(self) -> tuple[Name, ...]:
        """Both."""
        return self.wrong + self.missing


@dataclass(frozen=True, slots=True)
class Inspection:
    """The right root of a pack or file, its links, and what one node has not of it."""

    raw: bytes
    links: tuple[BlockId, ...]
    flaws: Flaws


class Inspector:
    """Looks at copies on nodes. Belongs to one event loop."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        roots: RootFiles,
        workers: Workers,
        telemetry: Telemetry,
        geometry: Geometry,
        remake: Remake,
    ) -> None:
        """Nobody is asked before :meth:`inspect`. ``remake``: of snapshot files on this machine's disk."""
        self._nodes = nodes
        self._roots = roots
        self._workers = workers
        self._telemetry = telemetry
        self._remake = remake
        self._at_once = max(1, min(FETCHED_AT_ONCE, FETCHED_BYTES // geometry.block_bytes))

    async def root(self, key: bytes, row: Copies) -> bytes | None:
        """The right bytes of the root of a pack or file, from wherever they are; ``None``: nobody gives them now."""
        if not key.startswith(FILE_COPIES_PREFIX):
            try:
                raw, _root = await self._roots.load(PackId(key))
            except BlockUnavailable:
                return None
            return raw if root_id(raw) == row.root else None
        for node in self._nodes.readable((*row.nodes, *row.asked)):
            found = await fetch_root(node, row.root, self._nodes)
            if found is not None:
                return found
        remade = await self._remake(file_name(key), row.root, ())
        return None if remade is None else remade[0]

    async def inspect(self, node: Node, key: bytes, row: Copies) -> Inspection | None:
        """Read everything that a root pins from a node; ``None`` where it, or the root, is not to be had now."""
        raw = await self.root(key, row)
        if raw is None:
            return None
        links = await self._workers.run(Lane.BACKGROUND, links_of, raw)
        flaws = await self.look(node, (row.root, *links))
        return None if flaws is None else Inspection(raw, links, flaws)

    async def look(self, node: Node, names: Sequence[Name]) -> Flaws | None:
        """What a node has not of these; ``None``: it failed."""
        wrong: list[Name] = []
        missing: list[Name] = []
        for first in range(0, len(names), self._at_once):
            some = names[first : first + self._at_once]
            try:
                found = await self._look(node, some)
            except NodeUnavailable as exc:
                self._nodes.failed(node.name, exc)
                return None
            self._telemetry.count(Counter.BLOCKS_VERIFIED, len(some), (node.name,))
            wrong += found.wrong
            missing += found.missing
        return Flaws(tuple(wrong), tuple(missing))

    async def _look(self, node: Node, names: Sequence[Name]) -> Flaws:
        """As :meth:`look`, all at once.

        Raises:
            NodeUnavailable: It answers no question, or is too slow to tell.
        """
        wrong, silent = await self._read(node, names, READ_TIMEOUT_S)
        if not silent:
            return Flaws(tuple(wrong))
        there = await node.has(silent)
        missing = [name for name, is_there in zip(silent, there, strict=True) if not is_there]
        given = next((name for name in names if name not in silent and name not in wrong), None)
        for name in (name for name, is_there in zip(silent, there, strict=True) if is_there):
            found, still_silent = await self._read(node, [name], AGAIN_TIMEOUT_S)
            if still_silent and (given is None or (await self._read(node, [given], AGAIN_TIMEOUT_S))[1]):
                raise NodeUnavailable(node.name, "reading blocks", "it is too slow to tell which it has")
            wrong += found + still_silent  # it gives others: its disk cannot read this one
        return Flaws(tuple(wrong), tuple(missing))

    async def _read(self, node: Node, names: Sequence[Name], timeout_s: float) -> tuple[list[Name], list[Name]]:
        """Names for which it gave other bytes, and for which it gave none."""
        answers = await asyncio.gather(*(_block(node, name, timeout_s) for name in names))
        given = [(name, raw) for name, raw in zip(names, answers, strict=True) if raw is not None]
        wrong = await self._workers.run(Lane.BACKGROUND, _unlike, given)
        return wrong, [name for name, raw in zip(names, answers, strict=True) if raw is None]


async def _block(node: Node, name: Name, timeout_s: float) -> bytes | None:
    try:
        return await node.block(name, timeout_s=timeout_s)
    except NodeUnavailable as exc:
        log.debug("block.not_read", extra={"node": node.name, "cause": str(exc)})
        return None


def name_of(raw: bytes, like: Name) -> Name:
    """The name that these bytes have, as a block or as a root: whichever ``like`` is."""
    return root_id(raw) if like.startswith(ROOT_PREFIX) else compute_block_id(raw)


def _unlike(given: list[tuple[Name, bytes]]) -> list[Name]:
    return [name for name, raw in given if name_of(raw, name) != name]
