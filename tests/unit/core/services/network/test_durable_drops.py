"""Cleaning never lowers durability: a pack that nodes hold goes only when they hold what was in it."""

import pytest

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Pack, decode
from noisefs.core.ports.index import Table
from noisefs.core.services.network.service import NetworkSettings
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import packs_of
from tests.support.upkeep import S, ShakyNode, Upkeep, upkeep

pytestmark = pytest.mark.usefixtures("small_packs")


@pytest.fixture
def small_packs():  # type: ignore[no-untyped-def]  # a generator of nothing
    """Packs of 24 blocks."""
    with packs_of(24):
        yield


async def half_dead(world: Upkeep, *, first: int = 0) -> list[PackId]:
    """Two full packs that nodes hold, with two thirds of each dead; every body left is in ``world.kept``."""
    before = set(world.sealed())
    bodies = [await put_body(world.store, content(S, first + number)) for number in range(38)]
    await world.store.writer.rest()
    await world.step()
    made = [pack_id for pack_id in world.sealed() if pack_id not in before]
    world.check(1)
    for number, extents in enumerate(bodies):
        if number % 3:
            await drop_body(world.store, extents)
        else:
            world.kept.append(extents)
    await world.store.reaper.run()
    return made


def moved_to(world: Upkeep) -> set[PackId]:
    rows = world.parts.index.read(lambda tx: tx.scan(Table.PACKS, b"", b"\xff" * 17, 1000))
    return {PackId(key) for key, raw in rows if decode(Pack, raw).generation}


async def read_all(world: Upkeep) -> None:
    for extents in world.kept:
        assert len(await get_body(world.store, extents)) == S


async def test_a_victim_outlasts_until_its_successor_is_on_nodes() -> None:
    async with upkeep(ShakyNode("a")) as world:
        victims = await half_dead(world)

        cleaned = await world.store.cleaner.run(everything=True)

        assert cleaned.packs_dropped == 0
        assert set(victims) < set(world.sealed())
        assert all(map(world.holders, victims))
        await world.network.uploads.run()
        assert all(map(world.holders, moved_to(world)))
        assert (await world.store.cleaner.run(everything=True)).packs_dropped == 2
        await world.settle(2)
        world.check(1)
        await read_all(world)


async def test_not_even_a_crash_makes_it_forget() -> None:
    async with upkeep(ShakyNode("a")) as world:
        victims = await half_dead(world)
        await world.store.cleaner.run(everything=True)
        for _ in range(2):
            await world.restart()
            assert (await world.store.cleaner.run()).packs_dropped == 0
            assert set(victims) < set(world.sealed())

        await world.network.uploads.run()

        assert (await world.store.cleaner.run()).packs_dropped == 2


async def test_what_took_it_in_and_was_cleaned_itself_is_no_excuse() -> None:
    async with upkeep(ShakyNode("a")) as world:
        victims = await half_dead(world)
        await world.store.cleaner.run(everything=True)
        goals = moved_to(world)
        # What the goals took in dies in part, so that they are emptied before they were ever on a node.
        for extents in world.kept[::2]:
            await drop_body(world.store, extents)
        del world.kept[::2]
        await world.store.reaper.run()
        await world.store.cleaner.run(everything=True)
        assert not goals & set(world.sealed())  # they go: nodes never held them

        assert set(victims) < set(world.sealed())
        assert moved_to(world)
        await world.network.uploads.run()
        await world.store.cleaner.run(everything=True)
        assert not set(victims) & set(world.sealed())
        await world.settle(2)
        world.check(1)
        await read_all(world)


async def test_a_pack_of_deleted_objects_goes_at_once() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await world.fill(3)
        await world.step()

        await world.forget(2)

        assert len(world.sealed()) == 1


async def test_a_pack_that_was_never_on_a_node_does_not_wait_for_one() -> None:
    async with upkeep(ShakyNode("a"), settings=NetworkSettings()) as world:
        world.nodes["a"].down = True
        await world.network.nodes.look()
        bodies = [await put_body(world.store, content(S, number)) for number in range(38)]
        await world.store.writer.rest()
        for extents in bodies[::2]:
            await drop_body(world.store, extents)
        await world.store.reaper.run()

        assert (await world.store.cleaner.run(everything=True)).packs_dropped == 2


async def test_waiting_for_nodes_makes_no_cleaner_run_wild() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await half_dead(world)
        await world.store.cleaner.run(everything=True)
        world.nodes["a"].down = True
        await world.network.nodes.look()

        again = await world.store.cleaner.run()

        assert again.bytes_moved == 0
        assert again.space.stored_bytes < 2 * again.space.live_bytes  # what waits counts for nothing
