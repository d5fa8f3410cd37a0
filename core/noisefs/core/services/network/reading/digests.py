"""Digests of blocks that come in one by one, computed in as few hops to a worker as there can be.

Whatever has come while one batch is being hashed is the next one: so a lone block never waits, and many share a hop.
Belongs to one event loop. Cost: one SHA-256 a block; a hop of its own would cost as much again as a tenth of that.
"""

import asyncio
from collections import deque
from typing import Final

from noisefs.core.domain.ids import BlockId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.ports.workers import Lane, Workers

HASHED_AT_ONCE: Final = 16
"""Blocks of one hop: 2 MiB of 128 KiB blocks, 1.3 ms."""


class Digests:
    """Tells of blocks whether they are what their names say."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._waiting: deque[tuple[BlockId, memoryview, asyncio.Future[bool]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def fit(self, block_id: BlockId, block: memoryview) -> bool:
        """Whether this block has this name. Its bytes must stay as they are meanwhile."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((block_id, block, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Compute no more; who waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for *_, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def _work(self) -> None:
        batch: list[tuple[BlockId, memoryview, asyncio.Future[bool]]] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(HASHED_AT_ONCE, len(self._waiting)))]
                fits = await self._workers.run(Lane.CPU, _compare, [(block_id, block) for block_id, block, _ in batch])
                for (_, _, future), fit in zip(batch, fits, strict=True):
                    if not future.done():
                        future.set_result(fit)
        finally:
            self._task = None
            for _, _, future in batch:
                future.cancel()  # of those that have no answer


def _compare(blocks: list[tuple[BlockId, memoryview]]) -> list[bool]:
    return [compute_block_id(block) == block_id for block_id, block in blocks]
