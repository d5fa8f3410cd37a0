"""Collecting garbage on nodes that are ours alone, when the operator allows it.

Promise: never on a node that is not marked so, never begun outside the windows, never while a pack is put on that node,
and never while another gateway may have taken the store over. Once a window and node; one node at a time.

Kubo lets nothing be pinned while it collects. So the node gets nothing new meanwhile: what waits for nodes goes to
others. A write that finds too few of them open waits for ``YIELD_S`` at most; then the collection is broken off, and
begun anew at the job's next turn. What it took away by then is gone, so that it comes to its end also where writes
never stop, unless a node needs longer than that only to find out what to keep.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from noisefs.core.domain.windows import Window, open_since_us
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Node
from noisefs.core.services.network.nodes.registry import Nodes

log = logging.getLogger(__name__)

YIELD_S: Final = 2.0
"""A write waits so long for a node whose garbage is collected: a fifth of what it waits before it fails, by default."""


class Collecting:
    """The job. Belongs to one event loop."""

    def __init__(
        self, *, clock: Clock, nodes: Nodes, owns: Callable[[], Awaitable[bool]], windows: Sequence[Window]
    ) -> None:
        """``windows``: none, and nothing is ever collected."""
        self._clock = clock
        self._nodes = nodes
        self._owns = owns
        self._windows = tuple(windows)
        self._begun_us: dict[str, int] = {}

    async def run(self) -> int:
        """Collect on every node whose turn it is, one after the other; returns on how many."""
        done = 0
        for node in self._nodes.usable():
            since_us = open_since_us(self._windows, self._clock.now_us())
            if since_us is None:
                break
            if node.managed and self._begun_us.get(node.name, 0) < since_us and await self._owns():
                done += await self._collect(node)
        return done

    async def _collect(self, node: Node) -> bool:
        self._nodes.close_to_new(node.name, closed=True)
        try:
            async with self._nodes.changing(node.name):
                began_us = self._clock.now_us()
                whole = await self._until_missed(node)
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return False
        finally:
            self._nodes.close_to_new(node.name, closed=False)
        if not whole:
            log.info("node.collection_yielded", extra={"node": node.name})
            return False
        self._begun_us[node.name] = began_us
        log.info("node.collected", extra={"node": node.name})
        return True

    async def _until_missed(self, node: Node) -> bool:
        """Collect until it is done, or a write has waited long enough for this node; whether it is done."""
        self._nodes.missed.clear()
        collection = asyncio.create_task(node.collect_garbage())
        missing = asyncio.create_task(self._missed())
        try:
            await asyncio.wait([collection, missing], return_when=asyncio.FIRST_COMPLETED)
            if collection.done():
                collection.result()
            return collection.done()
        finally:
            collection.cancel()
            missing.cancel()
            await asyncio.gather(collection, missing, return_exceptions=True)

    async def _missed(self) -> None:
        await self._nodes.missed.wait()
        await self._clock.sleep(YIELD_S)
