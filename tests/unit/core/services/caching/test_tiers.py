"""Reads through the tiers of a store with nodes: right bytes, few blocks, one fetch for a cell."""

import asyncio

from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.records import Extent
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.ports.workers import Lane
from noisefs.core.services.bodies.hot import HotTier
from noisefs.core.services.store import StoreSettings
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.disk_cache import MIB, PATH, WarmParts
from tests.support.network import NetworkedStore, networked_store

S = 131072
NO_HOT = StoreSettings(hot_bytes=0, prefetch_waste=0)
NO_AHEAD = StoreSettings(prefetch_waste=0)


def cold(net: NetworkedStore) -> float:
    """Blocks that nodes gave so far."""
    return net.telemetry.counted(Counter.BLOCK_READS, ("cold",))


async def away(net: NetworkedStore, *bodies: bytes) -> list[tuple[Extent, ...]]:
    """Objects whose packs only the node has."""
    extents = [await put_body(net.store, data) for data in bodies]
    await net.store.packer.run(flush=True)
    await net.upload("one")
    net.take_away()
    return extents


async def test_a_second_read_asks_no_node_though_nothing_is_in_memory() -> None:
    data = content(20 * S + 5000)
    parts = WarmParts(max_bytes=64 * MIB)
    async with networked_store("one", settings=NO_HOT, warm=parts.make()) as net:
        (extents,) = await away(net, data)
        assert await get_body(net.store, extents) == data
        before = cold(net)
        assert before > 20
        for start, end in ((0, len(data)), (3 * S - 5, 3 * S + 5), (20 * S, 20 * S + 5000)):
            assert await get_body(net.store, extents, start, end) == data[start:end]
        assert cold(net) == before
        assert net.telemetry.counted(Counter.CELL_READS, ("warm",)) == 20 + 2 + 2


async def test_only_what_is_missing_is_fetched() -> None:
    """Cells in memory and on the disk are not fetched again with their neighbours."""
    data = content(8 * S)
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, data)
        await get_body(net.store, extents, 2 * S, 4 * S)
        before = net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "read"))
        assert await get_body(net.store, extents) == data
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "read")) - before == 6


async def test_seeds_are_counted_apart() -> None:
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, content(3 * S))
        await get_body(net.store, extents, 2 * S, 2 * S + 1)
        for kind in ("cell", "seed", "mask"):
            assert net.telemetry.counted(Counter.NETWORK_BLOCKS, (kind, "read")) == 1
        assert net.telemetry.counted(Counter.READS, ("yes",)) == 1
        await get_body(net.store, extents, 2 * S, 2 * S + 1)
        assert net.telemetry.counted(Counter.READS, ("no",)) == 1


async def test_slices_of_a_cold_pack_fetch_their_seed_once() -> None:
    """It is kept apart from memory, which has no room here."""
    small = [content(2000 + number) for number in range(6)]
    async with networked_store("one", settings=NO_HOT) as net:
        extents = await away(net, *small)
        for _ in range(2):
            for placed, data in zip(extents, small, strict=True):
                assert await get_body(net.store, placed) == data
        state = net.store.cells.seeds.state()
        fetched = net.telemetry.counted(Counter.NETWORK_BLOCKS, ("seed", "read"))
        assert (fetched, state.blocks) == (2, 2), "a pack's first cell is masked with two of them"
        assert (state.packs, state.bytes) == (1, 2 * net.store.geometry.block_bytes)
        asked = net.shelves["one"].asked
        assert sum(asked.values()) == cold(net), "what is counted is what nodes were asked for"
        assert cold(net) == sum(
            net.telemetry.counted(Counter.NETWORK_BLOCKS, (kind, "read")) for kind in ("cell", "seed", "mask")
        )


async def test_slices_and_cells_of_a_pack_share_its_seeds() -> None:
    async with networked_store("one", settings=NO_AHEAD) as net:
        whole, tail = await away(net, content(3 * S + 5000), content(700))
        await get_body(net.store, whole, S, S + 1)
        await get_body(net.store, whole, 3 * S, 3 * S + 10)
        await get_body(net.store, tail)
        assert max(net.shelves["one"].asked.values()) == 1
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("seed", "read")) == net.store.cells.seeds.state().blocks


async def test_readers_at_the_same_time_fetch_a_seed_once() -> None:
    data = content(60 * S)
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, data)
        shelf, opened = net.shelves["one"], asyncio.Event()
        shelf.gate = lambda _block: opened
        places = [number * S for number in (20, 31, 42, 53)]
        readers = [asyncio.create_task(get_body(net.store, extents, at, at + 9)) for at in places]
        while shelf.under_way < 2 * len(places) + 1:
            await asyncio.sleep(0)
        opened.set()
        assert await asyncio.gather(*readers) == [data[at : at + 9] for at in places]
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("seed", "read")) == 1
        assert net.telemetry.counted(Counter.BLOCK_READS, ("seeds",)) == len(places) - 1


async def test_who_checks_what_is_stored_reads_seeds_anew() -> None:
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, content(3 * S))
        await get_body(net.store, extents, 2 * S, 2 * S + 1)
        cells, before = net.store.cells, cold(net)
        await net.workers.run(Lane.NETWORK, cells.cells, extents[0].body_id, 2, 1, keep=False, fresh=True)
        assert cold(net) - before == 3


async def test_a_seed_that_another_reader_does_not_get_is_fetched_all_the_same() -> None:
    data = content(40 * S)
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, data)
        flights = net.store.cells.seeds.flights
        run = net.store.cells.locate(extents[0].body_id, 20, 1)[0][1]
        lead, _ = flights.begin([(run.pack_id, run.seed)])
        reader = asyncio.create_task(get_body(net.store, extents, 20 * S, 20 * S + 9))
        while net.shelves["one"].asked.total() < 2:
            await asyncio.sleep(0)
        flights.end(lead, lambda _key: None)
        assert await reader == data[20 * S : 20 * S + 9]


async def test_many_readers_of_a_cell_fetch_it_once() -> None:
    data = content(4 * S + 9000)
    async with networked_store("one", settings=NO_HOT) as net:
        (extents,) = await away(net, data)
        shelf, opened = net.shelves["one"], asyncio.Event()
        shelf.gate = lambda _block: opened
        readers = [asyncio.create_task(get_body(net.store, extents)) for _ in range(6)]
        while not shelf.under_way:
            await asyncio.sleep(0)
        opened.set()
        assert await asyncio.gather(*readers) == [data] * 6
        assert max(shelf.asked.values()) == 1 or net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "read")) < 15


async def test_followers_of_a_failed_fetch_look_for_themselves() -> None:
    data = content(4 * S)
    async with networked_store("one", timeout_s=2, settings=NO_AHEAD) as net:
        (extents,) = await away(net, data)
        shelf, opened = net.shelves["one"], asyncio.Event()
        shelf.gate = lambda _block: opened
        first = asyncio.create_task(get_body(net.store, extents))
        while not shelf.under_way:
            await asyncio.sleep(0)
        second = asyncio.create_task(get_body(net.store, extents))
        first.cancel()
        await asyncio.wait([first])
        opened.set()
        assert await second == data


async def test_a_damaged_record_is_read_from_the_node_again() -> None:
    data = content(6 * S)
    parts = WarmParts(max_bytes=64 * MIB)
    warm = parts.make()
    async with networked_store("one", settings=NO_HOT, warm=warm) as net:
        (extents,) = await away(net, data)
        await get_body(net.store, extents)
        await asyncio.to_thread(warm.work)
        for at in range(0, 6 * 135_168, 135_168):
            parts.disk.damage(PATH, at + 1000, b"damaged")
        assert await get_body(net.store, extents) == data
        assert await get_body(net.store, extents) == data


async def test_a_wrong_cell_on_the_disk_is_dropped_when_its_tag_fails() -> None:
    """One that the cache gave as it got it, and that was wrong already."""
    data = content(2 * S)
    parts = WarmParts(max_bytes=64 * MIB)
    warm = parts.make()
    async with networked_store("one", settings=NO_HOT, warm=warm) as net:
        (extents,) = await away(net, data)
        await get_body(net.store, extents)
        key = extents[0].body_id, 1
        good = warm.get(key)
        assert good is not None
        warm.drop(key)
        warm.offer(key, good._replace(sealed=bytes(len(good.sealed))))
        assert await get_body(net.store, extents) == data


async def test_the_space_of_deleted_bodies_is_free() -> None:
    parts = WarmParts(max_bytes=64 * MIB)
    warm = parts.make()
    async with networked_store("one", settings=NO_HOT, warm=warm) as net:
        kept, gone = await away(net, content(3 * S, 1), content(3 * S, 2))
        await get_body(net.store, kept)
        await get_body(net.store, gone)
        await asyncio.to_thread(warm.work)
        assert warm.state().entries == 6
        await drop_body(net.store, gone)
        await net.store.reaper.run()
        assert warm.state().entries == 3
        await get_body(net.store, kept)


async def test_what_another_process_reclaimed_is_swept() -> None:
    parts = WarmParts(max_bytes=64 * MIB)
    warm = parts.make()
    async with networked_store("one", settings=NO_HOT, warm=warm) as net:
        kept, gone = await away(net, content(3 * S, 1), content(3 * S, 2))
        await get_body(net.store, kept)
        await get_body(net.store, gone)
        await drop_body(net.store, gone)
        net.store.readers._told.clear()  # nobody tells this process
        await net.store.reaper.run()
        assert net.store.caching is not None
        await asyncio.to_thread(warm.work)
        await net.store.caching.sweep()
        assert warm.state().entries == 3


async def test_what_memory_lets_go_of_stays_on_the_disk() -> None:
    parts = WarmParts(max_bytes=64 * MIB)
    warm = parts.make()
    settings = StoreSettings(hot_bytes=4 * 140_000, prefetch_waste=0)
    async with networked_store("one", settings=settings, warm=warm) as net:
        data = content(20 * S)
        (extents,) = await away(net, data)
        for number in range(20):
            await get_body(net.store, extents, number * S, (number + 1) * S)
        before = cold(net)
        for number in range(20):
            start = number * S
            assert await get_body(net.store, extents, start, start + S) == data[start : start + S]
        assert cold(net) == before
        assert net.telemetry.counted(Counter.CACHE_MOVES, ("demoted",)) > 10
        assert net.telemetry.counted(Counter.CACHE_MOVES, ("promoted",)) > 10


async def test_the_hot_set_is_back_after_a_restart() -> None:
    parts = WarmParts(max_bytes=64 * MIB)
    data, small = content(6 * S, 1), content(5000, 2)
    async with networked_store("one", settings=NO_AHEAD, kept=parts.hot_list()) as net:
        extents, slices = await away(net, data, small)
        caching = net.store.caching
        assert caching is not None
        assert caching.warming is not None
        await caching.warming.step()
        for start in (0, 2 * S, 3 * S):
            await get_body(net.store, extents, start, start + S)
        await get_body(net.store, slices)
        assert net.store.cells.hot.slice(slices[0].body_id, 0) is not None
        await caching.warming.step()
        net.store.cells.hot = HotTier(1 << 30)  # as a new process
        net.store.cells._tiered._hot = net.store.cells.hot  # type: ignore[union-attr]
        caching.warming._loaded = False
        await caching.warming.step()
        assert (caching.warming.progress.done, caching.warming.progress.failed) == (4, 0)
        before = cold(net)
        for start in (0, 2 * S, 3 * S):
            assert await get_body(net.store, extents, start, start + S) == data[start : start + S]
        assert await get_body(net.store, slices) == small
        assert cold(net) == before
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "warming")) >= 3


async def test_who_reads_on_finds_what_comes_next_in_memory() -> None:
    data = content(40 * S)
    async with networked_store("one") as net:
        (extents,) = await away(net, data)
        caching = net.store.caching
        assert caching is not None
        for number in range(30):
            start = number * S
            assert await get_body(net.store, extents, start, start + S) == data[start : start + S]
            while caching.ahead._tasks:
                await asyncio.wait(caching.ahead._tasks)
        yes, no = (net.telemetry.counted(Counter.READS, (network,)) for network in ("yes", "no"))
        assert (yes, no) == (3, 27)
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "sequential")) >= 27


async def test_a_small_object_is_fetched_whole_with_its_first_piece() -> None:
    data = content(6 * S)
    async with networked_store("one") as net:
        (extents,) = await away(net, data)
        caching = net.store.caching
        assert caching is not None
        await get_body(net.store, extents, 0, 100)
        while caching.ahead._tasks:
            await asyncio.wait(caching.ahead._tasks)
        before = cold(net)
        assert await get_body(net.store, extents) == data
        assert cold(net) == before
        assert caching.ahead.precision is not None


async def test_reads_at_random_are_not_followed_ahead() -> None:
    async with networked_store("one") as net:
        (extents,) = await away(net, content(40 * S))
        for number in (30, 4, 17, 9, 22, 1, 38):
            await get_body(net.store, extents, number * S, number * S + 10)
        assert net.telemetry.counted(Counter.NETWORK_BLOCKS, ("cell", "sequential")) == 0


async def test_a_recorder_hears_of_every_cell_once() -> None:
    heard: list[tuple[int, int]] = []
    async with networked_store("one", settings=NO_AHEAD) as net:
        (extents,) = await away(net, content(3 * S + 100))
        net.store.body_reader.windows.recorder = lambda _body, first, count, _size, _asker: heard.append((first, count))
        await get_body(net.store, extents)
        net.store.body_reader.read_in_memory(extents, S, S + 10)
    assert sorted(heard) == [(0, 3), (1, 1), (3, 1)]


async def test_who_decides_is_a_metric() -> None:
    warm = WarmParts(max_bytes=16 * MIB).make(Learned)
    async with networked_store("one", settings=StoreSettings(policy_of=Learned), warm=warm) as net:
        caching = net.store.caching
        assert caching is not None
        (measure,) = (job.step for job in caching.jobs() if job.name == "hot")
        await measure()
        assert net.telemetry.gauged(Gauge.CACHE_IN_CHARGE, ("memory", "s3fifo")) == 1
        assert net.telemetry.gauged(Gauge.CACHE_IN_CHARGE, ("disk", "s3fifo")) == 1
        assert (warm.state().policy, warm.state().in_charge) == ("learned", "s3fifo")
        caching._tell_charge("memory", "lru")
        assert net.telemetry.gauged(Gauge.CACHE_IN_CHARGE, ("memory", "s3fifo")) == 0
        assert net.telemetry.gauged(Gauge.CACHE_IN_CHARGE, ("memory", "lru")) == 1
