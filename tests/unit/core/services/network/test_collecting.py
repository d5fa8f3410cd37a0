"""Garbage is collected where and when the operator allows it."""

import asyncio

from noisefs.core.domain.windows import Window
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
