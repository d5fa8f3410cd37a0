"""Bytes on a node in place of others: unpinned, discarded, imported again.

Promise: whatever happens on the way, everything that was unpinned is imported again, before this returns or is broken
off; where a node does not take it, whoever counts pins sees that. Belongs to one event loop.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.nodes.root import RootKind
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.network.placing.cars import BATCH, Limiter, Stream
from noisefs.core.services.network.placing.inspecting import Name
from noisefs.core.services.network.placing.linking import Linker

log = logging.getLogger(__name__)

GONE_WITHIN: Final = 20
GONE_EVERY_S: Final = 0.5
"""Peers of a cluster hear late what was unpinned: blocks are discarded again, so often."""
PIN_TRIES: Final = 3


class Exchanger:
    """Does it. Whoever calls holds the node's lock."""

    def __init__(
        self, *, clock: Clock, telemetry: Telemetry, geometry: Geometry, limiter: Limiter, ahead: Ahead
    ) -> None:
        """``limiter``: bounds what goes out altogether."""
        self._clock = clock
        self._telemetry = telemetry
        self._geometry = geometry
        self._limiter = limiter
        self.ahead = ahead
        """May be set before the first call."""

    async def exchange(
        self, node: Node, linkers: Iterable[Linker], names: Collection[Name], blocks: Mapping[BlockId, bytes]
    ) -> NodeUnavailable | None:
        """Discard these names, with no root that links them pinned meanwhile; then import right bytes and roots.

        Returns what went wrong before the import.
        """
        roots = list(linkers)
        copies: dict[RootId, int] = {}
        try:
            copies = await node.copies([one.root for one in roots])
            await node.unpin([one.root for one in roots])
            for _ in range(GONE_WITHIN):
                await node.discard(list(names))
                if not any(await node.has(list(names))):
                    break
                await self._clock.sleep(GONE_EVERY_S)
        except NodeUnavailable as exc:
            return exc
        finally:
            await _to_its_end(
                self._import_all(node, roots, copies, {n: raw for n, raw in blocks.items() if n in names})
            )
        return None

    async def _import_all(
        self, node: Node, roots: Sequence[Linker], copies: Mapping[RootId, int], blocks: dict[BlockId, bytes]
    ) -> None:
        for one in roots:
            mine = {name: blocks.pop(name) for name in one.links if name in blocks}
            if not await self._pin_again(node, one, mine, copies.get(one.root, 1)):
                blocks |= mine

    async def bring(self, node: Node, raw: bytes, blocks: Mapping[BlockId, bytes], copies: int) -> None:
        """Import a root with these of its blocks; the others are there.

        Raises:
            NodeUnavailable: The node did not take it.
        """
        names = tuple(blocks)

        async def fill(first: int, places: list[memoryview]) -> None:
            for name, place in zip(names[first : first + len(places)], places, strict=True):
                place[:] = blocks[name]

        car = Stream(raw, names, self._geometry.block_bytes, BATCH, fill).car(self._limiter)
        await node.import_car(car, copies=max(1, copies))
        self._telemetry.count(Counter.NODE_SENT, car.size_bytes, (node.name,))

    async def _pin_again(self, node: Node, one: Linker, blocks: Mapping[BlockId, bytes], copies: int) -> bool:
        for _ in range(PIN_TRIES):
            try:
                await self.bring(node, one.raw, blocks, copies)
            except NodeUnavailable as exc:
                log.warning("mending.not_pinned", extra={"node": node.name, "cause": str(exc)})
                await self._clock.sleep(GONE_EVERY_S)
            else:
                return True
        if one.kind == RootKind.INTERIM:
            self.ahead.forget(PackId(one.pack_id))  # whoever waits for the open pack sends it anew
        return False


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Wait for it, also where the caller is broken off meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
