"""Health: every node is asked, slowly and again and again, for every root that rows name.

Promise: within one round the rows say who holds what: a node that lost a pack is no longer counted, one that turns out
to hold it is. Cost: one request for ``PAGE`` roots and node, spread evenly over the round.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from noisefs.core.domain.ids import RootId
from noisefs.core.domain.records import Copies, decode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.copying import Copier, Heard, with_answers

log = logging.getLogger(__name__)

PAGE: Final = 256


class Health:
    """The job: :meth:`run` often, it does its part when that is due. Belongs to one event loop."""

    def __init__(
        self, *, index: Index, workers: Workers, clock: Clock, nodes: Nodes, copier: Copier, round_s: float
    ) -> None:
        """``round_s``: every root is asked for once in this time."""
        self._index = index
        self._workers = workers
        self._clock = clock
        self._nodes = nodes
        self._copier = copier
        self._round_s = round_s
        self._after = b""
        self._due_s = 0.0
        self._total = 0

    async def run(self) -> int:
        """Ask for the next roots, if it is time; returns for how many."""
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s:
            return 0
        if not self._after:
            self._total = await self._workers.run(Lane.BACKGROUND, self._index.read, _count)
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_page, self._after))
        await self._ask(rows)
        total = max(self._total, PAGE)
        if len(rows) < PAGE:
            self._after = b""
            self._due_s = now_s + self._round_s * (len(rows) / total if self._total > PAGE else 1.0)
        else:
            self._after = rows[-1][0] + b"\0"
            self._due_s = now_s + self._round_s * PAGE / total
        return len(rows)

    async def check(self) -> int:
        """Ask for every root now; returns how many there are. For the operator."""
        after, done = b"", 0
        while True:
            rows = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_page, after))
            await self._ask(rows)
            done += len(rows)
            if len(rows) < PAGE:
                return done
            after = rows[-1][0] + b"\0"

    async def _ask(self, rows: list[tuple[bytes, Copies]]) -> None:
        roots = [row.root for _key, row in rows]
        nodes = self._nodes.usable() if rows else []
        answers = await asyncio.gather(*(self._ask_node(node, roots) for node in nodes))
        said = {node.name: answer for node, answer in zip(nodes, answers, strict=True) if answer is not None}
        changed: list[Heard] = []
        for key, row in rows:
            found = {name: answer.get(row.root, 0) for name, answer in said.items()}
            if with_answers(row, found) != row:
                changed.append(Heard(key, row, found))
        if changed:
            log.info("health.changed", extra={"roots": len(changed)})
            await self._copier.heard(changed)

    async def _ask_node(self, node: Node, roots: list[RootId]) -> dict[RootId, int] | None:
        try:
            return await node.copies(roots)
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return None


def _page(after: bytes, tx: Reading) -> list[tuple[bytes, Copies]]:
    return [(key, decode(Copies, raw)) for key, raw in tx.scan(Table.COPIES, after, b"\xff" * 256, PAGE)]


def _count(tx: Reading) -> int:
    return tx.count(Table.COPIES)
