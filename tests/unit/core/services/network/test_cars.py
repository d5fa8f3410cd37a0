"""Streams: what is in them, and what is left of one that is cut off."""

import asyncio
from contextlib import aclosing

from noisefs.core.domain.ids import BlockId
from noisefs.core.domain.nodes.car import read_car
from noisefs.core.services.network.placing.cars import Limiter, stream_from_disk, stream_from_node
from tests.support.upkeep import ShakyNode, Upkeep, upkeep


async def pack(world: Upkeep) -> tuple[bytes, tuple[BlockId, ...]]:
    """A pack's root and links; the pack is on node a."""
    (pack_id,) = await world.fill(cells=30)
    await world.network.uploads.run()
    raw, root = await world.network.roots.load(pack_id)
    return raw, root.links


async def test_a_stream_has_all_blocks_in_order_and_the_root_last() -> None:
    async with upkeep(ShakyNode("a")) as world:
        raw, links = await pack(world)
        parts = world.parts
        stream = stream_from_disk(world.sealed()[0], raw, links, parts.packs, world.store.workers, parts.geometry)
        car = stream.car(Limiter(world.clock, 0))

        for _again in range(2):
            sent = b"".join([bytes(part) async for part in car.parts()])
            assert len(sent) == car.size_bytes
            roots, sections = read_car(sent)
            assert roots == [car.root]
            assert [name for name, _block in sections] == [*links, car.root]
        other = stream_from_node(world.nodes["a"], raw, links, world.store.workers, parts.geometry.block_bytes)
        assert sent == b"".join([bytes(part) async for part in other.car(Limiter(world.clock, 0)).parts()])


async def test_pieces_are_large_and_their_room_is_used_again() -> None:
    async with upkeep(ShakyNode("a")) as world:
        raw, links = await pack(world)
        parts = world.parts
        stream = stream_from_disk(world.sealed()[0], raw, links, parts.packs, world.store.workers, parts.geometry)
        rooms = {
            id(part.obj) async for part in stream.car(Limiter(world.clock, 0)).parts() if isinstance(part, memoryview)
        }

        assert len(rooms) == 2


async def test_a_stream_that_is_cut_off_leaves_nothing_running() -> None:
    async with upkeep(ShakyNode("a")) as world:
        raw, links = await pack(world)
        parts = world.parts
        stream = stream_from_disk(world.sealed()[0], raw, links, parts.packs, world.store.workers, parts.geometry)
        async with aclosing(stream.car(Limiter(world.clock, 0)).parts()) as pieces:  # type: ignore[type-var]  # a generator
            for _ in range(3):
                await anext(pieces)

        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert stream.failure is None
