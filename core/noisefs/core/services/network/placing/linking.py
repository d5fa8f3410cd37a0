"""Which roots that a node pins link some blocks: all of them keep these blocks from being discarded there.

Packs share seeds, and of those the rows of packs tell: a seed names the pack and position it was copied from. What no
row of a pack or file names (roots of open packs, log records, what the node has still to let go of) is read from the
node. Cost: one pass over the rows of packs and copies, the node's list of pins, one block for each of those.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.keyspace import FILE_COPIES_PREFIX
from noisefs.core.domain.records import Copies, Pack, decode
from noisefs.core.errors import BlockUnavailable, NewerFormat, RootDamaged
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.inspecting import Name
from noisefs.core.services.network.placing.roots import RootFiles, fetch_root

log = logging.getLogger(__name__)

PAGE: Final = 1000
AT_ONCE: Final = 16
"""Roots that are fetched at one time."""
_ABOVE_ALL: Final = b"\xff" * 256

_Place = tuple[bytes, int]
"""A block's pack and position, where it was first: of a seed, those of its source."""


@dataclass(frozen=True, slots=True)
class Linker:
    """A root that a node pins. ``key``: of its row in ``COPIES``; ``None``: it has none."""

    root: RootId
    raw: bytes
    links: frozenset[BlockId]
    kind: int
    pack_id: bytes
    key: bytes | None

    def touches(self, names: Collection[Name]) -> bool:
        """Whether it is, or links, one of these."""
        return self.root in names or any(name in self.links for name in names)


class Linking:
    """Finds them. Belongs to one event loop."""

    def __init__(self, *, index: Index, workers: Workers, nodes: Nodes, roots: RootFiles) -> None:
        """Nobody is asked before :meth:`find`."""
        self._index = index
        self._workers = workers
        self._nodes = nodes
        self._roots = roots
        self._foreign: set[RootId] = set()
        """Roots that do not open: another store's."""

    async def find(self, node: Node, names: Collection[Name], known: Mapping[bytes, bytes]) -> list[Linker]:
        """Roots that the node pins and that are, or link, one of these names.

        Args:
            known: By key of their rows in ``COPIES``: the right bytes of roots under which these names were found.

        Raises:
            NodeUnavailable: The node failed.
        """
        by_root, sharing = await self._workers.run(Lane.BACKGROUND, self._survey, node.name, frozenset(known))
        found: list[Linker] = []
        strangers: list[RootId] = []
        async for root in node.pins():
            key = by_root.get(root)
            if key is None:
                strangers.append(root)
            elif key in known:
                found += [one for one in [await self._open(root, known[key], key)] if one is not None]
            elif key in sharing:
                found += [one for one in [await self._load(root, key)] if one is not None]
        strangers = [root for root in strangers if root not in self._foreign]
        for first in range(0, len(strangers), AT_ONCE):
            some = strangers[first : first + AT_ONCE]
            fetched = await asyncio.gather(*(fetch_root(node, root, self._nodes) for root in some))
            opened = [await self._open(root, raw, None) for root, raw in zip(some, fetched, strict=True) if raw]
            found += [one for one in opened if one is not None]
        return [one for one in found if one.touches(names)]

    async def _load(self, root: RootId, key: bytes) -> Linker | None:
        try:
            raw, _opened = await self._roots.load(PackId(key))
        except BlockUnavailable:
            log.warning("linking.root_unavailable", extra={"pack": key.hex()})
            return None
        return await self._open(root, raw, key)

    async def _open(self, root: RootId, raw: bytes, key: bytes | None) -> Linker | None:
        try:
            opened = await self._workers.run(Lane.BACKGROUND, self._roots.sealer.open, raw)
        except (RootDamaged, NewerFormat):
            self._foreign.add(root)
            return None
        return Linker(root, raw, frozenset(opened.links), opened.meta.kind, opened.meta.pack_id, key)

    # ------------------------------------------------------------------ on a lane

    def _survey(self, name: str, keys: Collection[bytes]) -> tuple[dict[RootId, bytes], set[bytes]]:
        """Keys of what rows say this node holds, by root; and packs that share blocks with the packs of these keys."""
        by_root: dict[RootId, bytes] = {}
        for key, raw in self._rows(Table.COPIES):
            row = decode(Copies, raw)
            if name in row.nodes or name in row.asked:
                by_root[row.root] = key
        sources: set[bytes] = {key for key in keys if not key.startswith(FILE_COPIES_PREFIX)}
        places: set[_Place] = set()
        for key in list(sources):
            pack = self._index.read(partial(_pack, key))
            places.update(_seed_places(pack) if pack is not None else ())
        sources_of_seeds = {pack_id for pack_id, _position in places}
        sharing = set(sources_of_seeds)
        for key, raw in self._rows(Table.PACKS):
            if any(place in places or place[0] in sources for place in _seed_places(decode(Pack, raw))):
                sharing.add(key)
        return by_root, sharing

    def _rows(self, table: Table) -> Iterator[tuple[bytes, bytes]]:
        start = b""
        while rows := self._index.read(partial(_page, table, start)):
            yield from rows
            start = rows[-1][0] + b"\0"


def _seed_places(pack: Pack) -> list[_Place]:
    return [(seed.source_pack, seed.source_position) for seed in pack.seeds if seed.source_pack is not None]


def _pack(key: bytes, tx: Reading) -> Pack | None:
    raw = tx.get(Table.PACKS, key)
    return None if raw is None else decode(Pack, raw)


def _page(table: Table, start: bytes, tx: Reading) -> list[tuple[bytes, bytes]]:
    return tx.scan(table, start, _ABOVE_ALL, PAGE)
