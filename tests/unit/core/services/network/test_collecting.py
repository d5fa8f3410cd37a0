"""Garbage is collected where and when the operator allows it."""

import asyncio

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.core.domain.windows import Window
from noisefs.core.services.network.releasing.collecting import YIELD_S
from noisefs.core.services.network.service import NetworkSettings
from tests.support.upkeep import ShakyNode, upkeep

DAY_S = 86400


def window_from_now(clock_us: int, after_s: int, length_s: int) -> Window:
    begin = (clock_us // 1_000_000 + after_s) % DAY_S
    return Window(begin, (begin + length_s) % DAY_S)


async def test_once_a_window_and_only_where_nodes_are_ours_alone() -> None:
    ours, shared = ShakyNode("ours", managed=True), ShakyNode("shared")
    async with upkeep(ours, shared) as world:
        window = window_from_now(world.clock.now_us(), 100, 1000)
        await world.restart(NetworkSettings(gc_windows=(window,)))
        ours.blocks[b"garbage"] = b"garbage"

        assert await world.network.collecting.run() == 0
        world.later(200)
        assert await world.network.collecting.run() == 1
        world.later(200)
        assert await world.network.collecting.run() == 0
        world.later(DAY_S)
        await world.network.nodes.look()
        assert await world.network.collecting.run() == 1

        assert b"garbage" not in ours.blocks
        assert ours.calls["collect_garbage"] == 2
        assert "collect_garbage" not in shared.calls


async def test_never_while_something_is_put_there() -> None:
    async with upkeep(ShakyNode("a", managed=True)) as world:
        await world.restart(NetworkSettings(gc_windows=(Window(0, 0),)))
        node = world.nodes["a"]
        node.gate = asyncio.Event()
        await world.fill()
        uploading = asyncio.create_task(world.network.uploads.run())
        for _ in range(2000):
            await asyncio.sleep(0)
        collecting = asyncio.create_task(world.network.collecting.run())
        for _ in range(100):
            await asyncio.sleep(0)
        assert "collect_garbage" not in node.calls
        assert not world.network.nodes.places(0, 0)  # and nothing new is begun there

        node.gate.set()
        await uploading

        assert await collecting == 1
        assert world.network.nodes.places(0, 0)
        world.check(1)


async def test_never_without_windows_nor_when_another_gateway_took_over() -> None:
    async def owns() -> bool:
        return False

    async with upkeep(ShakyNode("a", managed=True), owns=owns) as world:
        assert await world.network.collecting.run() == 0
        await world.restart(NetworkSettings(gc_windows=(Window(0, 0),)))
        assert await world.network.collecting.run() == 0


async def test_a_collection_that_fails_is_tried_again() -> None:
    async with upkeep(ShakyNode("a", managed=True)) as world:
        await world.restart(NetworkSettings(gc_windows=(Window(0, 0),)))
        world.nodes["a"].down = True
        assert await world.network.collecting.run() == 0
        world.nodes["a"].down = False
        world.later(10)

        assert await world.network.collecting.run() == 1


class SlowNode(ShakyNode):
    """Its collections of garbage end when they are allowed to, or are broken off."""

    def __init__(self, name: str) -> None:
        super().__init__(name, managed=True)
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.broken_off = 0

    async def collect_garbage(self) -> None:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        await super().collect_garbage()


async def test_a_write_that_finds_no_other_node_waits_for_it_shortly() -> None:
    """Then it is broken off, and begun anew later."""
    node = SlowNode("a")
    async with upkeep(node) as world:
        await world.restart(NetworkSettings(gc_windows=(Window(0, 0),)))
        nodes = world.network.nodes
        nodes.missed.set()  # long ago
        collecting = asyncio.create_task(world.network.collecting.run())
        await node.begun.wait()
        assert not nodes.is_open("a")
        await _later(world.clock, 1000)
        assert not collecting.done(), "nobody waits"

        nodes.missed.set()
        await _later(world.clock, YIELD_S / 2)
        assert not collecting.done()
        await _later(world.clock, YIELD_S / 2)

        assert await collecting == 0
        assert node.broken_off == 1
        assert nodes.is_open("a")
        node.may_end.set()
        await nodes.look()
        assert await world.network.collecting.run() == 1


async def test_one_that_is_interrupted_is_broken_off() -> None:
    """When the server ends."""
    node = SlowNode("a")
    async with upkeep(node) as world:
        await world.restart(NetworkSettings(gc_windows=(Window(0, 0),)))
        collecting = asyncio.create_task(world.network.collecting.run())
        await node.begun.wait()
        collecting.cancel()
        await asyncio.wait([collecting])
        assert collecting.cancelled()
        assert node.broken_off == 1
        assert world.network.nodes.is_open("a")


async def _later(clock: ManualClock, seconds: float) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    clock.advance(seconds)
    for _ in range(20):
        await asyncio.sleep(0)
