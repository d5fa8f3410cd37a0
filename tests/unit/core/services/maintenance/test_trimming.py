"""Cells that no extent of a living body covers are given up, and nothing else is."""

import asyncio
import random

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import object_key
from noisefs.core.domain.records import Extent, Version, encode
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.bodies.references import acquire, release
from noisefs.core.services.maintenance import trimming
from noisefs.core.services.store import Store, StoreSettings
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import S, faulty_store, rows

pytestmark = pytest.mark.usefixtures("small_packs")

NO_HOT = StoreSettings(hot_bytes=0)


async def copy(store: Store, name: str, source: tuple[Extent, ...], *ranges: tuple[int, int]) -> tuple[Extent, ...]:
    """An object of these ranges of a body, as one of copied parts is."""
    (whole,) = source
    extents = tuple(Extent(whole.body_id, start, end - start) for start, end in ranges)
    row = Version(sum(e.length for e in extents), "", 0, UserId(""), extents=extents)

    def publish(tx: Writing) -> None:
        acquire(tx, extents)
        tx.put(Table.OBJECTS, object_key(2, name), encode(row))

    await store.commits.run(publish)
    return extents


def live_bytes(store: Store) -> int:
    """Cells and slices that count as live."""
    return store.auditor.space().live_bytes


async def settle(store: Store) -> None:
    """Everything is in sealed packs."""
    await store.packer.run(flush=True)
    await store.writer.rest()


@pytest.mark.parametrize("strategy", ["chain", "fresh"])
@pytest.mark.parametrize("packed", [True, False])
async def test_a_range_outlives_its_source_without_the_rest(strategy: str, packed: bool) -> None:
    plain = content(40 * S + 5000)
    async with faulty_store(shape=Geometry(strategy=strategy), settings=NO_HOT) as (store, _parts):
        source = await put_body(store, plain)
        if packed:
            await settle(store)
        ranges = [(3 * S + 7, 5 * S), (20 * S, 22 * S + 1)]
        kept = await copy(store, "some", source, *ranges)
        await store.reaper.run()
        assert store.auditor.space().live_bytes >= 40 * store.geometry.block_bytes
        await drop_body(store, source)
        await store.reaper.run()
        assert live_bytes(store) == 5 * store.geometry.block_bytes
        assert rows(store, Table.INLINE) == rows(store, Table.SLICES) == 0
        expected = b"".join(plain[start:end] for start, end in ranges)
        for _ in range(2):
            assert await get_body(store, kept) == expected
            assert store.auditor.orphans().clean
            assert (await store.scrubber.run()).clean
            await settle(store)
            cleaned = await store.cleaner.run(everything=True)
            assert cleaned.bytes_moved <= 5 * store.geometry.block_bytes


async def test_a_slice_that_is_covered_stays() -> None:
    plain = content(10 * S + 5000)
    async with faulty_store(settings=NO_HOT) as (store, _parts):
        source = await put_body(store, plain)
        await settle(store)
        kept = await copy(store, "end", source, (10 * S + 100, 10 * S + 200))
        await drop_body(store, source)
        await store.reaper.run()
        assert rows(store, Table.RUNS) == 0
        await store.cleaner.run(everything=True)
        assert await get_body(store, kept) == plain[10 * S + 100 : 10 * S + 200]
        assert (await store.scrubber.run()).clean
        assert store.auditor.orphans().clean


async def test_nothing_goes_while_something_refers_to_everything() -> None:
    async with faulty_store() as (store, _parts):
        source = await put_body(store, content(10 * S))
        again = await copy(store, "all", source, (0, 10 * S))
        part = await copy(store, "part", source, (0, S))
        await drop_body(store, source)
        await store.reaper.run()
        assert await get_body(store, again) == content(10 * S)
        assert await get_body(store, part) == content(10 * S)[:S]
        assert store.index.read(lambda tx: trimming.bodies_to_trim(b"", tx)) == []


async def test_nothing_goes_while_it_is_read() -> None:
    async with faulty_store(settings=NO_HOT) as (store, _parts):
        source = await put_body(store, content(10 * S))
        await settle(store)
        opened = store.index.read(lambda tx: store.body_reader.open(tx, source))
        await copy(store, "part", source, (0, S))
        await drop_body(store, source)
        await store.reaper.run()
        assert live_bytes(store) == 10 * store.geometry.block_bytes
        opened.close()
        await store.reaper.run()
        assert live_bytes(store) == store.geometry.block_bytes


async def test_what_was_given_up_cannot_be_copied() -> None:
    async with faulty_store() as (store, _parts):
        source = await put_body(store, content(10 * S))
        await copy(store, "part", source, (S, 3 * S))
        await drop_body(store, source)
        await store.reaper.run()
        await copy(store, "less", source, (S + 5, 2 * S))
        with pytest.raises(IndexDamaged):
            await copy(store, "more", source, (S, 3 * S + 1))
        with pytest.raises(IndexDamaged):
            await copy(store, "all", source, (0, 10 * S))


async def test_a_body_of_many_runs_is_trimmed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "RUNS_AT_ONCE", 1)
    async with faulty_store(settings=NO_HOT) as (store, _parts):
        source = await put_body(store, content(90 * S + 9))
        await settle(store)
        kept = await copy(store, "part", source, (44 * S, 46 * S))
        await drop_body(store, source)
        await store.reaper.run()
        assert live_bytes(store) == 2 * store.geometry.block_bytes
        assert await get_body(store, kept) == content(90 * S + 9)[44 * S : 46 * S]


@pytest.mark.parametrize("seed", range(6))
async def test_any_history_of_ranges_keeps_what_it_must(seed: int) -> None:
    """Copies come and go, packs are cleaned at the same time; what is left is exact and is all that is stored."""
    chance = random.Random(seed)
    size = 30 * S + 3000
    plain = content(size, seed)
    async with faulty_store(settings=NO_HOT, workers_seed=seed) as (store, _parts):
        source = await put_body(store, plain)
        (whole,) = source
        if seed % 2:
            await settle(store)
        held: dict[str, tuple[int, int]] = {}

        def expected() -> int:
            wanted = {n for start, end in held.values() for n in range(start // S, -(-end // S))}
            return len(wanted - {30}) * store.geometry.block_bytes

        async def forget(name: str) -> None:
            start, end = held.pop(name)

            def gone(tx: Writing) -> None:
                release(tx, [Extent(whole.body_id, start, end - start)], store.clock.now_us())
                tx.delete(Table.OBJECTS, object_key(2, name))

            await store.commits.run(gone)

        for number in range(8):
            start = chance.randrange(size)
            held[str(number)] = (start, min(size, start + chance.randint(1, 6 * S)))
            await copy(store, str(number), source, held[str(number)])
        await drop_body(store, source)
        while held:
            await asyncio.gather(store.reaper.run(), store.cleaner.run(everything=True))
            await store.reaper.run()
            for start, end in held.values():
                assert await get_body(store, (Extent(whole.body_id, start, end - start),)) == plain[start:end]
            slices = store.auditor.space()
            assert slices.live_bytes - expected() < S // 8
            assert store.auditor.orphans().clean
            await forget(chance.choice(list(held)))
        await store.reaper.run()
        assert live_bytes(store) == 0
