"""Packs that are not on the disk are read from nodes: exactly, each block once, and never for ever."""

import asyncio
import time

import pytest

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.errors import BlockUnavailable
from noisefs.core.ports.packs import PackRead, Reach
from noisefs.core.ports.telemetry import Counter
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.reading.asking import Place
from tests.support.bodies import content, get_body, put_body
from tests.support.network import NetworkedStore, networked_store

S = 131072


async def _blocks(net: NetworkedStore, pack_id: PackId, *positions: int) -> dict[Place, bytes]:
    """Blocks of an uploaded pack, as they are."""
    links = await net.roots.links(pack_id)
    (shelf,) = net.shelves.values()
    return {(pack_id, at): shelf.blocks[links[at]] for at in positions}


async def test_a_pack_that_only_a_node_has_is_read_exactly() -> None:
    data = content(40 * S + 777)
    async with networked_store("one") as net:
        extents = await put_body(net.store, data)
        await net.store.packer.run(flush=True)
        await net.upload("one")
        net.take_away()
        assert await get_body(net.store, extents) == data
        assert await get_body(net.store, extents, 3 * S - 5, 3 * S + 5) == data[3 * S - 5 : 3 * S + 5]
        assert net.telemetry.counted(Counter.BLOCK_READS, ("cold",)) > 0


async def test_a_long_read_asks_for_each_block_about_once() -> None:
    data = content(200 * S)
    async with networked_store("one") as net:
        extents = await put_body(net.store, data)
        await net.upload("one")
        net.take_away()
        assert await get_body(net.store, extents) == data
        asked = net.shelves["one"].asked.total()
        assert 200 <= asked <= 220  # the cells, seeds, and now and then the block before a window's first one


async def test_blocks_of_a_window_are_asked_for_together() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(64 * S))
        await net.upload("one")
        net.take_away()
        await get_body(net.store, extents)
        assert net.shelves["one"].most_under_way >= 16


async def test_two_readers_of_one_block_share_a_request() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(3 * S))
        (pack_id,) = await net.upload("one")
        shelf = net.shelves["one"]
        opened = asyncio.Event()
        shelf.gate = lambda _block: opened
        first, second = net.rooms([(pack_id, 4), (pack_id, 5)]), net.rooms([(pack_id, 5), (pack_id, 6)])
        one = asyncio.create_task(net.fetcher.fetch(first))
        two = asyncio.create_task(net.fetcher.fetch(second))
        while shelf.under_way < 3:
            await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(one, two)
        assert {place: bytes(room) for place, room in (first | second).items()} == await _blocks(net, pack_id, 4, 5, 6)
        assert first[pack_id, 5] == second[pack_id, 5]
        assert shelf.asked.total() == 3


async def test_a_reader_may_change_what_he_got_though_others_share_it() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(3 * S))
        (pack_id,) = await net.upload("one")
        shelf = net.shelves["one"]
        opened = asyncio.Event()
        shelf.gate = lambda _block: opened
        first, second = net.rooms([(pack_id, 5)]), net.rooms([(pack_id, 5)])

        async def fetch_and_change() -> None:
            await net.fetcher.fetch(first)
            first[pack_id, 5][:] = bytes(len(first[pack_id, 5]))

        one = asyncio.create_task(fetch_and_change())
        two = asyncio.create_task(net.fetcher.fetch(second))
        while not shelf.under_way:
            await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(one, two)
        assert {place: bytes(room) for place, room in second.items()} == await _blocks(net, pack_id, 5)


async def test_a_reader_that_goes_away_does_not_take_the_fetch_from_others() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(3 * S))
        (pack_id,) = await net.upload("one")
        shelf = net.shelves["one"]
        opened = asyncio.Event()
        shelf.gate = lambda _block: opened
        left, kept = net.rooms([(pack_id, 5)]), net.rooms([(pack_id, 5)])
        one = asyncio.create_task(net.fetcher.fetch(left))
        two = asyncio.create_task(net.fetcher.fetch(kept))
        while shelf.under_way < 1:
            await asyncio.sleep(0)
        one.cancel()
        await asyncio.wait([one])
        opened.set()
        await two
        assert {place: bytes(room) for place, room in kept.items()} == await _blocks(net, pack_id, 5)
        assert not any(left[pack_id, 5])  # it is his who went away: nobody writes there
        three = asyncio.create_task(net.fetcher.fetch(net.rooms([(pack_id, 6)])))
        shelf.gate = lambda _block: asyncio.Event()
        while shelf.under_way < 1:
            await asyncio.sleep(0)
        three.cancel()
        await asyncio.wait([three])
        while shelf.under_way:
            await asyncio.sleep(0)


async def test_one_block_at_two_places_is_asked_for_once() -> None:
    """A seed is a copy of another pack's block."""
    async with networked_store("one") as net:
        for number in range(5):
            await put_body(net.store, content(400 * S, number))
        places: dict[BlockId, list[Place]] = {}
        for pack_id in await net.upload("one"):
            for at, name in enumerate(await net.roots.links(pack_id)):
                places.setdefault(name, []).append((pack_id, at))
        twins = next(held for held in places.values() if len(held) > 1)
        net.take_away()
        rooms = net.rooms(twins)
        await net.fetcher.fetch(rooms)
        assert len(set(map(bytes, rooms.values()))) == 1
        assert any(rooms[twins[0]])
        assert net.shelves["one"].asked.total() == 1


async def test_wrong_bytes_are_never_served_and_come_from_another_node() -> None:
    data = content(20 * S)
    async with networked_store("bad", "good") as net:
        extents = await put_body(net.store, data)
        await net.upload("bad", "good")
        net.take_away()
        net.shelves["bad"].damages = True
        assert await get_body(net.store, extents) == data
        asked = net.shelves["bad"].asked  # for a block it has damaged it is asked again only if the other one is slow
        assert asked.total() < 1.5 * len(asked)
        assert net.telemetry.counted(Counter.NODE_READS, ("bad", "damaged")) > 0


async def test_only_wrong_bytes_are_an_unavailable_block_at_once() -> None:
    async with networked_store("bad") as net:
        extents = await put_body(net.store, content(2 * S))
        await net.upload("bad")
        net.take_away()
        net.shelves["bad"].damages = True
        with pytest.raises(BlockUnavailable):
            await get_body(net.store, extents)


async def test_a_node_that_is_down_costs_nothing_but_a_look_at_another() -> None:
    data = content(20 * S)
    async with networked_store("down", "up") as net:
        extents = await put_body(net.store, data)
        await net.upload("down", "up")
        net.take_away()
        net.shelves["down"].down = True
        assert await get_body(net.store, extents) == data


async def test_a_hanging_node_is_overtaken() -> None:
    data = content(20 * S)
    async with networked_store("hangs", "answers", timeout_s=30.0) as net:
        extents = await put_body(net.store, data)
        await net.upload("hangs", "answers")
        net.take_away()
        net.shelves["hangs"].hangs = True
        async with asyncio.timeout(15):
            assert await get_body(net.store, extents) == data


async def test_a_hang_of_all_nodes_ends_in_time() -> None:
    async with networked_store("one", "two", timeout_s=0.5) as net:
        extents = await put_body(net.store, content(2 * S))
        await net.upload("one", "two")
        net.take_away()
        for shelf in net.shelves.values():
            shelf.hangs = True
        began = time.monotonic()
        with pytest.raises(BlockUnavailable):
            await get_body(net.store, extents)
        assert time.monotonic() - began < 10  # a bound, not a speed
        for shelf in net.shelves.values():
            shelf.hangs = False
        assert len(await get_body(net.store, extents)) == 2 * S


async def test_a_node_no_row_names_is_asked_when_the_named_ones_have_it_not() -> None:
    data = content(2 * S)
    async with networked_store("named", "stranger") as net:
        extents = await put_body(net.store, data)
        await net.upload("stranger", "named")
        await net.upload("named")  # the row names this one only
        net.shelves["named"].blocks.clear()
        net.take_away()
        assert await get_body(net.store, extents) == data


async def test_a_restarting_daemon_is_waited_for_a_little() -> None:
    data = content(2 * S)
    async with networked_store("one") as net:
        extents = await put_body(net.store, data)
        await net.upload("one")
        net.take_away()
        shelf = net.shelves["one"]
        shelf.down = True
        reading = asyncio.create_task(get_body(net.store, extents))
        while not shelf.asked:
            await asyncio.sleep(0)
        shelf.down = False
        assert await reading == data


async def test_a_damaged_local_block_is_read_from_a_node() -> None:
    data = content(20 * S)
    async with networked_store("one") as net:
        extents = await put_body(net.store, data)
        (pack_id,) = await net.upload("one")
        net.parts.packs.overwrite(pack_id, 9, bytes(net.parts.geometry.block_bytes))
        assert await get_body(net.store, extents) == data
        assert net.telemetry.counted(Counter.INTEGRITY_ERRORS, ("block",)) > 0


async def test_a_pack_that_was_never_on_a_node_is_unavailable_at_once() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(2 * S))
        await net.store.writer.seal()
        net.take_away()
        with pytest.raises(BlockUnavailable):
            await get_body(net.store, extents)
        assert not net.shelves["one"].asked


async def test_a_root_whose_file_is_lost_comes_from_a_node_too() -> None:
    data = content(2 * S)
    async with networked_store("one") as net:
        extents = await put_body(net.store, data)
        (pack_id,) = await net.upload("one")
        net.take_away()
        net.root_files.files.clear()
        net.roots.forget(pack_id)
        assert await get_body(net.store, extents) == data


async def test_a_read_that_must_not_leave_the_disk_does_not() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(2 * S))
        (pack_id,) = await net.upload("one")
        net.take_away()
        block = memoryview(bytearray(net.parts.geometry.block_bytes))
        with pytest.raises(BlockUnavailable):
            await net.workers.run(Lane.DISK, net.packs.read_all, [PackRead(pack_id, 4, [block])], reach=Reach.DISK)
        assert not net.shelves["one"].asked


async def test_nodes_are_not_waited_for_on_the_event_loop() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(2 * S))
        (pack_id,) = await net.upload("one")
        net.take_away()
        with pytest.raises(BlockUnavailable):
            net.packs.read(pack_id, 4, [memoryview(bytearray(net.parts.geometry.block_bytes))])


async def test_parts_of_blocks_go_where_they_belong() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(5 * S))
        (pack_id,) = await net.upload("one")
        size = net.parts.geometry.block_bytes

        def read(pack_id: PackId) -> bytes:
            out = bytearray(2 * size)
            view = memoryview(out)
            net.packs.read(pack_id, 4, [view[:10], view[10 : size + 3], view[size + 3 : 2 * size - 100]], offset=50)
            return bytes(out)

        before = await net.workers.run(Lane.NETWORK, read, pack_id)
        net.take_away()
        assert await net.workers.run(Lane.NETWORK, read, pack_id) == before


async def test_after_close_reads_fail_at_once() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(2 * S))
        await net.upload("one")
        net.take_away()
        net.shelves["one"].hangs = True
        reading = asyncio.create_task(get_body(net.store, extents))
        while not net.shelves["one"].under_way:
            await asyncio.sleep(0)
        await net.fetcher.close()
        with pytest.raises(BlockUnavailable):
            await reading


async def test_a_hanging_node_does_not_keep_the_root_from_readers() -> None:
    data = content(2 * S)
    async with networked_store("hangs", "answers", timeout_s=30.0) as net:
        extents = await put_body(net.store, data)
        (pack_id,) = await net.upload("hangs", "answers")
        net.take_away()
        net.root_files.files.clear()
        net.roots.forget(pack_id)
        net.shelves["hangs"].hangs = True
        async with asyncio.timeout(15):
            assert await get_body(net.store, extents) == data
