"""Histories of a store over nodes that fail, lie down, lose everything and come back, with crashes in between.

Whatever happened: once everybody is well again and the jobs have run a while, every pack has exactly its copies, rows
say what is, and nothing else of ours is pinned anywhere. And no node is ever told to let go of a copy that is needed.
"""

import asyncio
import random
from collections.abc import Sequence

import pytest

from noisefs.core.domain.ids import RootId
from noisefs.core.services.network.service import NetworkSettings
from tests.support.upkeep import ShakyNode, Upkeep, upkeep

STEPS = 60


class History:
    """One, decided by a seed."""

    def __init__(self, world: Upkeep, seed: int, *, wipes: bool) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.wipes = wipes
        self.copies = world.settings.copies
        for node in world.nodes.values():
            node.verdict = self.verdict
            if not wipes:
                node.watch = lambda roots, name=node.name: self.watch(name, roots)  # type: ignore[misc]  # a default

    def verdict(self, _call: str) -> str:
        return self.random.choices(("ok", "before", "after"), (0.8, 0.1, 0.1))[0]

    def watch(self, name: str, roots: Sequence[RootId]) -> None:
        for pack_id in self.world.sealed():
            row = self.world.row(pack_id)
            if row is not None and row.root in roots:
                others = self.world.holders(pack_id) - {name}
                assert len(others) >= min(self.copies, row.wanted), f"{name} lets go of a copy that is needed"

    async def play(self) -> None:
        for _ in range(STEPS):
            await self.random.choice(
                (
                    self.write,
                    self.write,
                    self.forget,
                    self.toggle,
                    self.work,
                    self.work,
                    self.work,
                    self.crash,
                    self.lose,
                )
            )()
            self.world.later(self.random.choice((0.1, 5, 60, 1000)))

    async def write(self) -> None:
        await self.world.fill(self.random.randint(1, 3), cells=self.random.randint(1, 4))

    async def forget(self) -> None:
        await self.world.forget(self.random.randint(1, 2))

    async def toggle(self) -> None:
        node = self.random.choice(list(self.world.nodes.values()))
        node.down = not node.down

    async def lose(self) -> None:
        if self.wipes:
            self.random.choice(list(self.world.nodes.values())).wipe()
        else:
            copies = self.random.randint(1, 3)
            self.copies = min(self.copies, copies)
            await self.world.restart(NetworkSettings(copies=copies))

    async def work(self) -> None:
        await self.world.step()

    async def crash(self) -> None:
        step = asyncio.create_task(self.world.step())
        for _ in range(self.random.randint(1, 400)):
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        await self.world.restart()

    async def heal(self) -> None:
        for node in self.world.nodes.values():
            node.down = False
            node.verdict = lambda _call: "ok"


@pytest.mark.parametrize("wipes", [False, True])
@pytest.mark.parametrize("seed", range(6))
async def test_everything_comes_right_again(seed: int, *, wipes: bool) -> None:
    nodes = [ShakyNode(name, zone=zone) for name, zone in (("a", "x"), ("b", "x"), ("c", "y"), ("d", ""))]
    settings = NetworkSettings(copies=1 + seed % 3)
    async with upkeep(*nodes, settings=settings, workers_seed=seed) as world:
        history = History(world, seed, wipes=wipes)

        await history.play()
        await history.heal()
        for _ in range(3):
            await world.settle(4)
            await world.store.reaper.run()
            await world.store.cleaner.run(everything=True)
        await world.settle(2)

        world.check(world.settings.copies)
