"""Letting go: nodes are told, in one call each, which roots the store needs no more.

Promise: a root that a node has to let go of is remembered until it has, over restarts and for as long as the node is
down; only the operator's word makes it forgotten (:meth:`Unpins.forget_node`). Nothing is let go of that a row still
wants on that node, nor a surplus copy that the others have lost meanwhile, nor what a restore from nodes would still
need, because no snapshot there covers the commit that needs it no more; and nothing while another gateway may have
taken the store over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.ids import RootId
from noisefs.core.domain.records import Copies, Interim, decode, encode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.packs.copies import Waiting, copies_of, keep, set_copies, waiting_of

log = logging.getLogger(__name__)

AT_ONCE: Final = 256
"""Roots of one call and one commit: a call of so many takes a node well under a second."""
COUNTED: Final = 10_000
"""Up to here the gauge counts what a node has still to let go of."""
ROWS: Final = 512


class Unpins:
    """The job. ``wake``: set when there is something to let go of. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        telemetry: Telemetry,
        nodes: Nodes,
        owns: Callable[[], Awaitable[bool]],
        restorable: Callable[[], Awaitable[int]] | None,
    ) -> None:
        """Tell nobody before :meth:`run`.

        Args:
            owns: Whether no other gateway took the store over.
            restorable: The commit that the newest snapshot on nodes reaches; ``None``: there are no snapshots.
        """
        self._index = index
        self._commits = commits
        self._workers = workers
        self._telemetry = telemetry
        self._nodes = nodes
        self._owns = owns
        self._restorable = restorable
        self.wake = asyncio.Event()

    async def run(self) -> int:
        """Let every node that answers let go of what it has to; returns how many roots that were."""
        done = 0
        for name in await self.names():
            node = self._nodes.get(name)
            if node is not None and self._nodes.is_ready(name):
                done += await self._empty(node)
            self._telemetry.gauge(Gauge.UNPINS_WAITING, await self.waiting(name), (name,))
        return done

    async def names(self) -> list[str]:
        """Nodes that rows know, configured or not."""
        named = await self._workers.run(Lane.BACKGROUND, self._index.read, _names_in_unpins)
        return sorted({*self._nodes.names, *named})

    async def waiting(self, name: str) -> int:
        """How many roots a node has still to let go of; counts no further than ``COUNTED``."""
        return await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: len(waiting_of(tx, name, COUNTED)))

    async def forget_node(self, name: str) -> int:
        """Forget everything about a node that is not configured any more; returns how many rows named it.

        What it still holds stays pinned there, for whoever has that node.
        """
        named = 0
        for table, forget in (
            (Table.COPIES, _without_copies),
            (Table.INTERIMS, _without_interims),
            (Table.UNPINS, _without_unpin),
        ):
            start: bytes | None = b""
            while start is not None:
                count, start = await self._commits.run(partial(_forget_page, table, start, name, forget))
                named += count
        return named

    async def _empty(self, node: Node) -> int:
        done = 0
        after: RootId | None = None
        covered = None if self._restorable is None else await self._restorable()
        while True:
            # Whoever puts something there holds this lock too: what is wanted again is not on the list by then.
            async with self._nodes.changing(node.name):
                waiting = await self._workers.run(
                    Lane.BACKGROUND, self._index.read, lambda tx, after=after: waiting_of(tx, node.name, AT_ONCE, after)
                )
                if not waiting or not await self._owns():
                    return done
                free = [one for one in waiting if covered is None or one.number <= covered]
                roots = await self._commits.run(partial(self._still_to_go, node.name, free)) if free else []
                try:
                    if roots:
                        await node.unpin(roots)
                except NodeUnavailable as exc:
                    self._nodes.failed(node.name, exc)
                    return done
                if roots:
                    await self._commits.run(partial(_gone, node.name, roots))
            self._telemetry.count(Counter.UNPINNED, len(roots), (node.name,))
            done += len(roots)
            after = waiting[-1].root

    def _still_to_go(self, name: str, waiting: list[Waiting], tx: Writing) -> list[RootId]:
        """Those that may go. What others have lost meanwhile is kept, and counts again once the node says so."""
        roots: list[RootId] = []
        for one in waiting:
            row = copies_of(tx, one.still) if one.still else None
            if row is None or row.root != one.root or len(self._nodes.counted(row.nodes)) >= row.wanted:
                roots.append(one.root)
                continue
            keep(tx, name, one.root)
            asked = tuple(dict.fromkeys((*row.asked, name)))
            set_copies(tx, one.still, msgspec.structs.replace(row, asked=asked))
        return roots


def _gone(name: str, roots: list[RootId], tx: Writing) -> None:
    for root in roots:
        keep(tx, name, root)


def _names_in_unpins(tx: Reading) -> list[str]:
    """One look-up a name, not a row."""
    names: list[str] = []
    start = b""
    while rows := tx.scan(Table.UNPINS, start, b"\xff" * 256, 1):
        name = rows[0][0].partition(b"\0")[0]
        names.append(name.decode())
        start = name + b"\x01"
    return names


_Forget = Callable[[Writing, bytes, bytes, str], bool]
"""Take a name out of a row; tells whether it was in it."""


def _forget_page(table: Table, start: bytes, name: str, forget: _Forget, tx: Writing) -> tuple[int, bytes | None]:
    rows = tx.scan(table, start, b"\xff" * 256, ROWS)
    count = sum(forget(tx, key, raw, name) for key, raw in rows)
    return count, rows[-1][0] + b"\0" if len(rows) == ROWS else None


def _without_copies(tx: Writing, key: bytes, raw: bytes, name: str) -> bool:
    row = decode(Copies, raw)
    if name not in row.nodes and name not in row.asked:
        return False
    nodes = tuple(one for one in row.nodes if one != name)
    asked = tuple(one for one in row.asked if one != name)
    damaged = tuple(one for one in row.damaged if one != name)
    set_copies(tx, key, msgspec.structs.replace(row, nodes=nodes, asked=asked, damaged=damaged))
    return True


def _without_interims(tx: Writing, key: bytes, raw: bytes, name: str) -> bool:
    row = decode(Interim, raw)
    if name not in row.nodes:
        return False
    nodes = tuple(one for one in row.nodes if one != name)
    tx.put(Table.INTERIMS, key, encode(msgspec.structs.replace(row, nodes=nodes)))
    return True


def _without_unpin(tx: Writing, key: bytes, _raw: bytes, name: str) -> bool:
    if not key.startswith(name.encode() + b"\0"):
        return False
    tx.delete(Table.UNPINS, key)
    return True
