"""What goes in comes out, byte by byte, however it is cut."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import Body, BodyState, Extent, decode
from noisefs.core.errors import BlockUnavailable, IndexDamaged, SegmentDamaged
from noisefs.core.ports.index import Table
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.stores import MemoryParts, memory_store

S = 131072


def rows(store: Store, table: Table) -> int:
    """Rows of a table."""
    return store.index.read(lambda tx: tx.count(table))


SIZES = [0, 1, 1024, 1025, 16384, 16385, S - 1, S, S + 1, 2 * S, 5 * S + 7, 8 * S, 8 * S + 1, 17 * S + 5]


@pytest.mark.parametrize("strategy", ["chain", "uniform", "fresh"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_body_is_read_as_it_was_written(size: int, strategy: str) -> None:
    data = content(size)
    async with memory_store(Geometry(strategy=strategy)) as (store, _parts):
        extents = await put_body(store, data)
        assert await get_body(store, extents) == data
        await store.packer.run(flush=True)
        assert await get_body(store, extents) == data


@pytest.mark.parametrize("piece", [1, 7, S - 1, S, S + 1, 3 * S, 1 << 30])
async def test_the_chunking_of_the_source_does_not_matter(piece: int) -> None:
    data = content(2 * S + 7 if piece < 8 else 5 * S + 7)
    async with memory_store() as (store, _parts):
        assert await get_body(store, await put_body(store, data, piece=piece)) == data


async def test_any_range_is_read_exactly() -> None:
    data = content(3 * S + 1000)
    async with memory_store() as (store, _parts):
        extents = await put_body(store, data)
        for start, end in [
            (0, 1),
            (S - 1, S + 1),
            (S, 2 * S),
            (3 * S - 1, 3 * S + 1),
            (3 * S + 999, 3 * S + 1000),
            (5, 5),
        ]:
            assert await get_body(store, extents, start, end) == data[start:end]


async def test_extents_are_read_one_after_another() -> None:
    one, two = content(S + 10, 1), content(2 * S, 2)
    async with memory_store() as (store, _parts):
        (first,), (second,) = await put_body(store, one), await put_body(store, two)
        extents = (Extent(first.body_id, 5, S), Extent(second.body_id, S - 1, 2), Extent(first.body_id, S, 10))
        expected = one[5 : S + 5] + two[S - 1 : S + 1] + one[S:]
        assert await get_body(store, extents) == expected
        assert await get_body(store, extents, 3, S + 6) == expected[3 : S + 6]


async def test_many_packs_are_filled_and_read() -> None:
    async with memory_store() as (store, parts):
        data = content(1100 * S + 5)
        extents = await put_body(store, data, piece=1 << 20)
        assert await get_body(store, extents) == data
        assert len(parts.packs.list()) == 3
        assert await get_body(store, extents, 505 * S, 513 * S) == data[505 * S : 513 * S]


async def test_one_random_cell_costs_at_most_three_blocks() -> None:
    async with memory_store() as (store, parts):
        extents = await put_body(store, content(400 * S), piece=1 << 20)
        before = parts.telemetry.counted(Counter.BLOCK_READS, ("local",))
        await get_body(store, extents, 200 * S + 17, 200 * S + 18)
        assert parts.telemetry.counted(Counter.BLOCK_READS, ("local",)) - before <= 3


async def test_a_failing_source_leaves_nothing_behind() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield content(20 * S)
        raise ConnectionResetError

    async with memory_store() as (store, _parts):
        with pytest.raises(ConnectionResetError):
            await put_body(store, failing())
        assert store.index.read(lambda tx: tx.count(Table.BODIES) + tx.count(Table.RUNS)) == 0
        audit = store.auditor.orphans()
        assert audit.clean


async def test_a_body_is_gone_at_once_when_its_last_reference_goes() -> None:
    async with memory_store() as (store, _parts):
        extents = await put_body(store, content(3 * S + 9))
        await drop_body(store, extents)
        with pytest.raises(IndexDamaged):
            await get_body(store, extents)
        await store.reaper.run()
        for table in (Table.BODIES, Table.RUNS, Table.INLINE, Table.DEAD):
            assert rows(store, table) == 0
        assert store.auditor.orphans().clean


async def test_a_reader_keeps_a_deleted_body_readable() -> None:
    data = content(3 * S)
    async with memory_store() as (store, _parts):
        extents = await put_body(store, data)
        async with store.index.read(lambda tx: store.body_reader.open(tx, extents)) as opened:
            await drop_body(store, extents)
            await store.reaper.run()
            assert b"".join([bytes(chunk) async for chunk in opened.chunks(0, 3 * S)]) == data
        await store.reaper.run()
        assert store.index.read(lambda tx: tx.count(Table.RUNS)) == 0


async def test_a_damaged_block_is_an_error_and_never_wrong_bytes() -> None:
    async with memory_store() as (store, parts):
        extents = await put_body(store, content(20 * S))
        await store.writer.seal()
        (pack,) = parts.packs.list()
        parts.packs.overwrite(pack.pack_id, 10, bytes(S + 16))
        with pytest.raises(SegmentDamaged):
            await get_body(store, extents)
        parts.packs.drop(pack.pack_id)
        store.cells.forget(BodyId(extents[0].body_id), 0, 100)
        with pytest.raises(BlockUnavailable):
            await get_body(store, extents)


async def test_a_crash_keeps_what_was_committed_and_releases_what_was_not() -> None:
    parts = MemoryParts()
    store = parts.store()
    await store.start(background=False)
    data = content(30 * S + 5)
    extents = await put_body(store, data)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(600):
            yield content(S)

    staged = await store.body_writer.ingest(endless())  # fills its pack, so that it has a WRITING row
    parts.packs.crash()
    after = parts.store()
    report = await after.start(background=False)
    assert report.bodies_released == 1
    assert await get_body(after, extents) == data
    await after.reaper.run()
    assert after.auditor.orphans().clean
    assert (await after.scrubber.run()).clean
    assert staged.digested.size == 600 * S
    await after.close()


async def test_the_packer_copies_small_bodies_into_shared_cells() -> None:
    async with memory_store() as (store, _parts):
        bodies = [(await put_body(store, content(5000 + n)), content(5000 + n)) for n in range(100)]
        tiny = await put_body(store, content(1000))
        await store.packer.run()
        left = store.index.read(lambda tx: tx.count(Table.INLINE))
        assert 0 < left < 30
        await store.packer.run(flush=True)
        assert store.index.read(lambda tx: tx.count(Table.INLINE)) == 0
        for extents, data in bodies:
            assert await get_body(store, extents) == data
        assert await get_body(store, tiny) == content(1000)
        await store.writer.seal()
        assert (await store.scrubber.run()).clean
        assert store.auditor.orphans().clean


async def test_the_cleaner_frees_what_was_deleted_and_keeps_the_rest() -> None:
    async with memory_store() as (store, _parts):
        kept: list[tuple[tuple[Extent, ...], bytes]] = []
        dropped: list[tuple[tuple[Extent, ...], bytes]] = []
        for n in range(260):
            data = content(5 * S + 700 * n, n)
            (kept if n % 3 == 0 else dropped).append((await put_body(store, data), data))
        await store.packer.run(flush=True)
        await store.writer.rest()
        for extents, _data in dropped:
            await drop_body(store, extents)
        await store.reaper.run()
        before = store.auditor.space().stored_bytes
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.packs_dropped >= 3
        after = store.auditor.space()
        assert after.stored_bytes < before
        assert after.stored_by_live < 1.35
        for extents, data in kept:
            assert await get_body(store, extents) == data
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean
        tuples = store.auditor.tuples()
        assert tuples.data_blocks_in_one_tuple == 0
        assert tuples.pairs_used_twice == 0
        assert tuples.runs_alone == 0


async def test_concurrent_bodies_interleave_and_stay_exact() -> None:
    async with memory_store() as (store, _parts):
        datas = [content(20 * S + n, n) for n in range(12)]
        found = await asyncio.gather(*(put_body(store, data) for data in datas))
        for extents, data in zip(found, datas, strict=True):
            assert await get_body(store, extents) == data


async def test_a_body_state_is_what_the_commit_says() -> None:
    async with memory_store() as (store, _parts):
        (extent,) = await put_body(store, content(10))
        raw = store.index.read(lambda tx: tx.get(Table.BODIES, extent.body_id))
        assert raw is not None
        assert decode(Body, raw).state == BodyState.LIVE


async def test_a_byte_of_a_long_body_does_not_cost_its_slice() -> None:
    async with memory_store() as (store, parts):
        extents = await put_body(store, content(40 * S + 5000), piece=1 << 20)
        before = parts.telemetry.counted(Counter.BLOCK_READS, ("hot",))
        for segment in (3, 20, 30):
            await get_body(store, extents, segment * S + 17, segment * S + 18)
        assert parts.telemetry.counted(Counter.BLOCK_READS, ("hot",)) == before
        assert await get_body(store, extents, 40 * S - 1, 40 * S + 5000) == content(40 * S + 5000)[40 * S - 1 :]
