"""The pack writer under cancelled callers, failed commits, failed syncs, and commits that come at the same time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.keyspace import writing_key
from noisefs.core.domain.packs.manifest import RunEntry
from noisefs.core.domain.records import Body, BodyState, Extent, PackState, decode
from noisefs.core.errors import CommitConflict, DiskFull, NoisefsError, PackPoisoned
from noisefs.core.ports.index import Table
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import (
    FaultyParts,
    S,
    cancel_after,
    faulty_store,
    manifests,
    pack_row,
    publishing,
    rows,
    stage,
    steps,
)
from tests.support.stores import memory_store

# ---------------------------------------------------------------------- commits beside a seal


async def test_a_publish_that_waits_while_its_pack_is_sealed_goes_through() -> None:
    async with faulty_store() as (store, _parts):
        async with await stage(store, 3 * S) as staged:
            await staged.settle()
            publish = asyncio.ensure_future(store.commits.run(publishing(staged)))
            seal = asyncio.ensure_future(store.writer.seal())
            extents, _none = await asyncio.gather(publish, seal)
        assert await get_body(store, extents) == content(3 * S)
        assert rows(store, Table.BODIES) == 1
        assert store.auditor.orphans().clean


@pytest.mark.parametrize("seed", range(25))
async def test_publishes_and_seals_in_any_order_leave_everything_counted(seed: int) -> None:
    async with faulty_store(workers_seed=seed) as (store, _parts):

        async def one(number: int) -> None:
            extents = await put_body(store, content((1 + number % 5) * S + 5000 * (number % 2), number))
            assert await get_body(store, extents) == content((1 + number % 5) * S + 5000 * (number % 2), number)
            if number % 4 == 0:
                await drop_body(store, extents)

        async def seals() -> None:
            for _ in range(8):
                await steps(seed * 3 + 1)
                await store.writer.seal()

        await asyncio.gather(seals(), *(one(number) for number in range(24)))
        await store.reaper.run()
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean


async def test_a_body_marked_at_a_seal_is_counted_once_when_it_is_published() -> None:
    async with faulty_store() as (store, _parts):
        async with await stage(store, 30 * S) as staged:  # its first pack is sealed on the way
            assert rows(store, Table.BODIES) == 1
            await staged.settle()
            await store.commits.run(publishing(staged))
        assert store.auditor.orphans().clean


# ---------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_seal_whose_commit_failed_is_done_again(failing: int) -> None:
    """Whichever commit of a seal meets the full disk: the rows of what is being written, or the pack's own."""
    async with faulty_store() as (store, parts):
        async with await stage(store, 3 * S) as staged:
            await staged.settle()
            parts.index.full_for = 1
            if failing == 2:
                extents = await publish_whole(store, staged, parts)
            with pytest.raises(DiskFull):
                await store.writer.seal()
            if failing == 1:
                extents = await store.commits.run(publishing(staged))
        more = await put_body(store, content(2 * S, 1))
        assert await get_body(store, extents) == content(3 * S)
        assert await get_body(store, more) == content(2 * S, 1)
        await store.writer.seal()
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean


async def publish_whole(store: Store, staged: StagedBody, parts: FaultyParts) -> tuple[Extent, ...]:
    """Publish with room on the disk, then fill it again."""
    parts.index.full_for = 0
    extents = await store.commits.run(publishing(staged))
    parts.index.full_for = 1
    return extents


async def test_a_body_goes_on_in_a_pack_whose_seal_failed_and_is_counted_once() -> None:
    async with faulty_store() as (store, parts):
        pause = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield content(10 * S)
            await pause.wait()
            yield content(10 * S, 1)

        ingest = asyncio.ensure_future(store.body_writer.ingest(slow()))
        await steps()
        # The rows are committed, then the pack's own commit fails after its file was sealed.
        seal = asyncio.ensure_future(store.writer.seal())
        while not rows(store, Table.BODIES):
            await asyncio.sleep(0)
        parts.index.full_for = 1
        with pytest.raises(DiskFull):
            await seal
        pause.set()
        async with await ingest as staged:
            await staged.settle()
            extents = await store.commits.run(publishing(staged))
        assert await get_body(store, extents) == content(10 * S) + content(10 * S, 1)
        assert store.auditor.orphans().clean


async def test_a_body_given_up_on_a_full_disk_is_released_later() -> None:
    async with faulty_store() as (store, parts):
        async with await stage(store, 30 * S):
            parts.index.full_for = 1
        assert rows(store, Table.BODIES) == 1
        await store.reaper.run()
        assert rows(store, Table.BODIES) == rows(store, Table.RUNS) == rows(store, Table.DEAD) == 0
        assert store.auditor.orphans().clean


async def test_a_prepared_pack_that_could_not_be_made_is_tried_again_when_it_is_needed() -> None:
    async with faulty_store() as (store, parts):
        await put_body(store, content(8 * S))
        parts.index.full_for = 1
        async with await stage(store, 2 * S):  # begins to prepare the next pack
            await steps()
        assert parts.index.full_for == 0
        extents = await put_body(store, content(30 * S), piece=1 << 20)
        assert await get_body(store, extents) == content(30 * S)


# ---------------------------------------------------------------------- callers that go away


@pytest.mark.parametrize("rounds", [*range(40), 60, 80, 120])
async def test_a_cancelled_write_never_stops_those_after_it(rounds: int) -> None:
    async with faulty_store() as (store, parts):
        first = await put_body(store, content(17 * S), piece=1 << 20)
        await cancel_after(put_body(store, content(30 * S, 1)), rounds)  # crosses the end of the pack
        extents = await put_body(store, content(20 * S, 2))
        assert await get_body(store, extents) == content(20 * S, 2)
        assert await get_body(store, first) == content(17 * S)
        await store.writer.rest()
        await store.reaper.run()
        assert store.auditor.orphans().clean or rows(store, Table.OBJECTS) == 3
        assert (await store.scrubber.run()).clean
        assert all(pack.sealed for pack in parts.packs.list())


@pytest.mark.parametrize("rounds", range(30))
async def test_a_cancelled_seal_leaves_a_writer_that_works(rounds: int) -> None:
    async with faulty_store() as (store, _parts):
        first = await put_body(store, content(5 * S))
        await cancel_after(store.writer.seal(), rounds)
        second = await put_body(store, content(5 * S, 1))
        await cancel_after(store.writer.rest(), rounds)
        third = await put_body(store, content(5 * S, 2))
        for number, extents in enumerate((first, second, third)):
            assert await get_body(store, extents) == content(5 * S, number)
        await store.writer.rest()
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean


@pytest.mark.parametrize("rounds", range(12))
async def test_a_write_cancelled_while_its_pack_is_opened_leaves_no_pack_behind(rounds: int) -> None:
    async with faulty_store() as (store, parts):
        await cancel_after(put_body(store, content(5 * S)), rounds)
        await steps()
        await store.writer.rest()
        assert {pack.pack_id for pack in parts.packs.list()} == {
            key for key, _raw in store.index.read(lambda tx: tx.scan(Table.PACKS, b"", b"\xff" * 17, 99))
        }
        assert all(pack.sealed for pack in parts.packs.list())


# ---------------------------------------------------------------------- failed syncs


async def test_a_failed_sync_fails_those_who_wait_and_keeps_what_was_committed() -> None:
    async with faulty_store() as (store, parts):
        kept = await put_body(store, content(4 * S))
        (pack,) = parts.packs.list()
        parts.packs.fail_syncs(1)
        found = await asyncio.gather(*(put_body(store, content(3 * S, n)) for n in range(1, 4)), return_exceptions=True)
        assert [type(result) for result in found] == [PackPoisoned] * 3
        row = pack_row(store, pack.pack_id)
        assert row is not None
        assert row.state == PackState.POISONED
        assert await get_body(store, kept) == content(4 * S)
        later = await put_body(store, content(3 * S, 9))
        assert await get_body(store, later) == content(3 * S, 9)
        assert store.auditor.orphans().clean


async def test_the_cleaner_moves_what_lives_out_of_a_poisoned_pack() -> None:
    async with faulty_store() as (store, parts):
        kept = [await put_body(store, content(2 * S + 3000, n)) for n in range(5)]
        await store.packer.run(flush=True)
        pack = next(pack for pack in parts.packs.list() if pack.blocks > 4)
        parts.packs.fail_syncs(1)
        with pytest.raises(PackPoisoned):
            await put_body(store, content(S, 8))
        await store.cleaner.run(everything=True)
        assert pack.pack_id not in {found.pack_id for found in parts.packs.list()}
        for number, extents in enumerate(kept):
            assert await get_body(store, extents) == content(2 * S + 3000, number)
        await store.writer.rest()
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean


async def test_a_slow_upload_with_cells_in_a_poisoned_pack_does_not_stop_others() -> None:
    async with faulty_store() as (store, parts):
        go = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield content(10 * S)
            await go.wait()
            yield content(10 * S, 1)
            await asyncio.Event().wait()

        upload = asyncio.ensure_future(store.body_writer.ingest(slow()))
        await steps()
        parts.packs.fail_syncs(1)
        with pytest.raises(PackPoisoned):
            await put_body(store, content(S, 8))
        go.set()
        await steps()
        extents = await put_body(store, content(30 * S, 3), piece=1 << 20)
        assert await get_body(store, extents) == content(30 * S, 3)
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)


async def test_a_poisoned_pack_whose_row_could_not_be_written_is_named_so_later() -> None:
    async with faulty_store() as (store, parts):
        await put_body(store, content(4 * S))
        (pack,) = parts.packs.list()
        parts.packs.fail_syncs(1)
        parts.index.full_for = 1
        with pytest.raises(NoisefsError):
            await put_body(store, content(S, 1))
        await put_body(store, content(S, 2))
        row = pack_row(store, pack.pack_id)
        assert row is not None
        assert row.state == PackState.POISONED


# ---------------------------------------------------------------------- what a manifest says


async def test_a_manifest_tells_of_no_cell_twice_and_names_what_was_committed() -> None:
    async with memory_store() as (store, _parts):
        await asyncio.gather(*(put_body(store, content((n % 7 + 1) * S, n)) for n in range(60)))
        await store.writer.seal()
        cells: Counter[tuple[BodyId, int, int]] = Counter()
        for manifest in manifests(store).values():
            for entry in manifest.entries:
                assert isinstance(entry, RunEntry)
                cells.update((entry.body_id, entry.segment + n, entry.generation) for n in range(entry.count))
        assert set(cells.values()) == {1}
        assert cells.total() == sum(n % 7 + 1 for n in range(60))


async def test_a_body_buried_by_another_process_is_not_published() -> None:
    async with memory_store() as (store, _parts):
        staged = await stage(store, 30 * S)
        raw = store.index.read(lambda tx: tx.get(Table.BODIES, staged.body_id))
        assert raw is not None
        assert decode(Body, raw).state == BodyState.WRITING
        await store.commits.run(lambda tx: tx.delete(Table.META, writing_key(staged.body_id)))
        await staged.settle()
        with pytest.raises(CommitConflict):
            async with staged:
                await store.commits.run(publishing(staged))


async def test_an_aged_pack_is_sealed_if_it_has_cells() -> None:
    async with memory_store() as (store, parts):
        await store.seal_aged(0)
        assert parts.packs.list() == []
        await put_body(store, content(3 * S))
        await store.seal_aged(300)
        assert not any(pack.sealed for pack in parts.packs.list())
        parts.clock.advance(300)
        await store.seal_aged(300)
        assert [pack.sealed for pack in parts.packs.list()] == [True]
