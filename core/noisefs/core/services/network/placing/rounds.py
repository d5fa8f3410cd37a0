"""One step of a job over packs and files: what may be tried now, several at once, each left alone after a failure.

Uploads and repair work alike: they differ in what they do with one pack. Cost: that of the census at each step.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.records import Copies
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.nodes.turns import in_turns
from noisefs.core.services.network.placing.census import Census, Found, Task

STEP_S: Final = 20.0
"""After so long a step begins nothing more, so that what came meanwhile is seen."""


class Rounds:
    """What the jobs share. Belongs to one event loop."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        geometry: Geometry,
        clock: Clock,
        census: Census,
        patience: Patience,
        at_once: int,
        failed: Callable[[Task, NoisefsError], None],
    ) -> None:
        """``patience``: of this job alone. ``failed`` is told why a task could not be done."""
        self._nodes = nodes
        self._geometry = geometry
        self._clock = clock
        self._census = census
        self._patience = patience
        self._at_once = at_once
        self._failed = failed
        self.news = asyncio.Event()
        """Set when a node came or went: what failed may be tried again."""

    async def begin(self) -> tuple[Found, float]:
        """What there is to do, and until when, on the monotonic clock, this step begins any of it."""
        if self.news.is_set():
            self.news.clear()
            self._patience.forgive()
        found = await self._census.look()
        self._patience.keep_only(found.keys)
        return found, self._clock.monotonic_s() + STEP_S

    async def deal(
        self,
        tasks: list[Task],
        wanted_of: Callable[[Task], int],
        work: Callable[[Task, int], Awaitable[bool]],
        until_s: float,
    ) -> tuple[int, int]:
        """Work on these; how many were done, and are in the list no more, and how many are left."""
        waiting = [task for task in tasks if self._patience.is_ready(task.key)]
        done = left = 0
        turns = in_turns(
            waiting,
            work=lambda task: self._try(task, wanted_of(task), work),
            nodes_of=lambda task: self.targets(task, task.row, wanted_of(task)),
            at_once=self._at_once,
            clock=self._clock,
            until_s=until_s,
        )
        async with aclosing(turns):
            async for task, worked in turns:
                if worked:
                    done += 1
                    tasks.remove(task)
                else:
                    left += 1
        return done, left + len(waiting)

    async def _try(self, task: Task, wanted: int, work: Callable[[Task, int], Awaitable[bool]]) -> bool:
        try:
            done = await work(task, wanted)
        except NoisefsError as exc:
            self._failed(task, exc)
            done = False
        if done:
            self._patience.worked(task.key)
        else:
            self._patience.failed(task.key)
        return done

    def targets(self, task: Task, row: Copies | None, wanted: int) -> dict[str, int]:
        """Nodes that shall get copies which are missing, and how many each."""
        blocks = task.pack.blocks if task.pack is not None else 0
        return self._nodes.targets(task.key, row, wanted, blocks * self._geometry.block_bytes, blocks)
