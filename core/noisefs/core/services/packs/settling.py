"""What a body waits for before a commit names its cells: the sync of its packs, and the durability class above it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from noisefs.core.domain.buckets.durability import HIGHEST, LOCAL
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import NodeUnavailable, PackPoisoned
from noisefs.core.services.classes import DurabilityClasses
from noisefs.core.services.packs.filling import Filling

_NO_NODES: Final = "no nodes are configured"


class Settling:
    """Waits for one writer's packs; one sync serves all who wait. Belongs to the event loop."""

    def __init__(self, sync: Callable[[Filling], Awaitable[None]]) -> None:
        """``sync`` makes what a pack has durable, and sets its ``synced``."""
        self._sync = sync
        self._syncing: dict[PackId, asyncio.Task[None]] = {}
        self._classes: DurabilityClasses | None = None
        self._always = ""

    def confirm_with(self, classes: DurabilityClasses, always: str) -> None:
        """Let bodies of classes above ``local`` wait for nodes; ``always``: the class of every body, not its own."""
        self._classes = classes
        self._always = always

    def went_on(self, filling: Filling, durability: str) -> None:
        """A body of this class got cells in a pack, and may get more."""
        if self._classes is not None and durability != LOCAL:
            self._classes.send_ahead(filling.pack_id, filling.pack.blocks, durability)

    async def settle(self, pack_id: PackId, filling: Filling | None, durability: str) -> None:
        """Return when all that the pack has by now is durable, as this class wants it. ``None``: it is sealed.

        Raises:
            PackPoisoned: A write or sync of it failed.
            NodeUnavailable: Too few nodes have confirmed it.
        """
        blocks = 0
        if filling is not None:
            blocks = filling.pack.blocks
            await self._settle_here(filling)
        wanted = self._always or durability
        if wanted == LOCAL:
            return
        if self._classes is not None:
            await self._classes.settle(pack_id, wanted, blocks)
        elif wanted != HIGHEST:
            raise NodeUnavailable("none", f"confirming a write of class {wanted}", _NO_NODES)

    async def reach(self, durability: str) -> None:
        """Return when enough nodes answer for a body of this class that has nothing in packs.

        Raises:
            NodeUnavailable: They do not.
        """
        if durability == LOCAL:
            return
        if self._classes is None:
            raise NodeUnavailable("none", f"confirming a write of class {durability}", _NO_NODES)
        await self._classes.reach(durability)

    async def can_settle(self) -> bool:
        """Whether enough nodes answer now for the class that every body gets here."""
        return self._classes is None or await self._classes.is_within_reach(self._always or LOCAL)

    async def _settle_here(self, filling: Filling) -> None:
        wanted = filling.pack.blocks if not (filling.sealed or filling.poisoned) else 0
        while True:
            if filling.poisoned:
                raise PackPoisoned(filling.pack_id)
            if filling.sealed or filling.synced >= wanted:
                return
            task = self._syncing.get(filling.pack_id)
            if task is None:
                task = self._syncing[filling.pack_id] = asyncio.ensure_future(self._sync(filling))
                task.add_done_callback(lambda _task: self._syncing.pop(filling.pack_id, None))
            await asyncio.wait([task])
            if not task.cancelled() and (failure := task.exception()) is not None:
                raise failure
