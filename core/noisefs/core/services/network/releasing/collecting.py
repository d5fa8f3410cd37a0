"""Collecting garbage on nodes that are ours alone, when the operator allows it.

Promise: never on a node that is not marked so, never begun outside the windows, never while a pack is put on that node,
and never while another gateway may have taken the store over. Once a window and node. The node gets no new packs
meanwhile; a write that waits for it alone waits until it is done, or fails.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from noisefs.core.domain.windows import Window, open_since_us
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Node
from noisefs.core.services.network.nodes.registry import Nodes

log = logging.getLogger(__name__)


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
                await node.collect_garbage()
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return False
        finally:
            self._nodes.close_to_new(node.name, closed=False)
        self._begun_us[node.name] = began_us
        log.info("node.collected", extra={"node": node.name})
        return True
