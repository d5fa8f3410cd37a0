"""What a start makes of everything a crash can leave behind."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from noisefs.adapters.outbound.memory.presence import MemoryPresence, Neighbourhood
from noisefs.core.domain.ids import InstanceId, PackId
from noisefs.core.domain.packs.manifest import FillerEntry, RunEntry
from noisefs.core.domain.records import BodyState, Extent, Pack, PackState, SeedInfo
from noisefs.core.errors import BlockUnavailable, DiskFull
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.packs.recovery import RecoveryReport
from noisefs.core.services.packs.rows import set_pack
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import FaultyParts, S, manifests, pack_row, publishing, rows, stage, steps


async def begin(parts: FaultyParts) -> Store:
    """A first life."""
    store = parts.store()
    await store.start(background=False)
    return store


async def restart(parts: FaultyParts) -> tuple[Store, RecoveryReport]:
    """Power fails; the next life begins."""
    parts.packs.crash()
    store = parts.store()
    return store, await store.start(background=False)


async def sound(store: Store) -> None:
    """Nothing refers to nothing, nothing is damaged, and every pack is closed."""
    await store.reaper.run()
    assert store.auditor.orphans().clean
    assert (await store.scrubber.run()).clean
    assert all(pack.sealed for pack in store.packs.list())


def only_pack(parts: FaultyParts) -> PackId:
    """The one pack there is."""
    (pack,) = parts.packs.list()
    return pack.pack_id


# ---------------------------------------------------------------------- open packs


async def test_cells_of_published_bodies_are_kept_and_the_rest_is_filler_or_cut() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    first = await put_body(store, content(3 * S))
    await stage(store, 2 * S, 1)
    second = await put_body(store, content(2 * S, 2))
    await stage(store, 4 * S, 3)
    store, report = await restart(parts)
    assert (report.packs_closed, report.packs_left) == (1, 0)
    (manifest,) = manifests(store).values()
    assert [type(entry) for entry in manifest.entries] == [RunEntry, FillerEntry, RunEntry]
    assert manifest.blocks == 4 + 7 + 1
    assert await get_body(store, first) == content(3 * S)
    assert await get_body(store, second) == content(2 * S, 2)
    await sound(store)


async def test_rows_of_a_body_under_way_may_be_older_than_its_cells_are_durable() -> None:
    """The ``WRITING`` rows of a seal are committed before the pack is synced; the power fails in between."""
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    await stage(store, 4 * S, 1)
    parts.packs.fail_syncs(1)
    with pytest.raises(Exception, match="writing to pack"):
        await store.writer.seal()
    assert rows(store, Table.BODIES) == 2
    store, report = await restart(parts)
    assert (report.bodies_released, report.packs_closed, report.packs_left) == (1, 1, 0)
    assert await get_body(store, kept) == content(3 * S)
    await sound(store)


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_crash_inside_a_seal_is_finished(failing: int) -> None:
    """After the rows of bodies under way, and between the rename and the commit of the pack's row."""
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    staged = await stage(store, 4 * S, 1)
    seal = asyncio.ensure_future(store.writer.seal())
    if failing == 2:
        while rows(store, Table.RUNS) != 2:
            await asyncio.sleep(0)
    parts.index.full_for = 1
    with pytest.raises(DiskFull):
        await seal
    pack_id = only_pack(parts)
    assert parts.packs.list()[0].sealed == (failing == 2)
    store, report = await restart(parts)
    row = pack_row(store, pack_id)
    assert row is not None
    assert row.state == PackState.SEALED
    assert report.packs_closed == 1
    assert staged.digested.size == 4 * S
    assert await get_body(store, kept) == content(3 * S)
    await sound(store)


async def test_a_pack_that_was_prepared_and_never_used_goes() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(9 * S))
    more = await put_body(store, content(S, 1))
    await steps()
    assert len(parts.packs.list()) == 2
    store, report = await restart(parts)
    assert (report.packs_dropped, report.packs_closed) == (1, 1)
    assert await get_body(store, kept) + await get_body(store, more) == content(9 * S) + content(S, 1)
    await sound(store)


async def test_a_pack_of_cells_nobody_published_goes() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    await stage(store, 4 * S)
    store, report = await restart(parts)
    assert report.packs_dropped == 1
    assert parts.packs.list() == []
    await sound(store)


async def test_shared_cells_and_runs_beside_them_survive() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    found = [await put_body(store, content(S + 9000 * n, n)) for n in range(1, 12)]
    await store.packer.run(flush=True)
    store, report = await restart(parts)
    assert report.packs_left == 0
    for n, extents in enumerate(found, 1):
        assert await get_body(store, extents) == content(S + 9000 * n, n)
    await sound(store)


async def test_a_poisoned_pack_of_a_dead_process_is_closed() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    parts.packs.fail_syncs(1)
    with pytest.raises(Exception, match="writing to pack"):
        await put_body(store, content(S, 1))
    store, report = await restart(parts)
    assert report.packs_closed == 1
    assert await get_body(store, kept) == content(3 * S)
    await sound(store)


async def test_a_pack_shorter_than_its_rows_is_told_and_left_and_the_rest_is_served() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(2 * S, 1))
    await store.writer.seal()
    lost = await put_body(store, content(3 * S, 2))
    (open_pack,) = [pack for pack in parts.packs.list() if not pack.sealed]
    opened = parts.packs._packs[open_pack.pack_id]
    del opened.blocks[5:]
    opened.synced = 5
    store, report = await restart(parts)
    assert report.packs_left == 1
    assert await get_body(store, kept) == content(2 * S, 1)
    with pytest.raises(BlockUnavailable):
        await get_body(store, lost)


async def test_a_sealed_row_over_an_unsealed_file_never_costs_the_pack() -> None:
    """``sync = os`` keeps no order between the index and the rename."""
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    await store.writer.seal()
    parts.packs._packs[only_pack(parts)].sealed = False
    store, report = await restart(parts)
    assert (report.packs_closed, report.packs_dropped) == (1, 0)
    assert await get_body(store, kept) == content(3 * S)
    await sound(store)


async def test_counters_without_places_never_cost_the_pack() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    await put_body(store, content(3 * S))
    pack_id = only_pack(parts)
    for key, _raw in store.index.read(lambda tx: tx.scan(Table.PLACEMENTS, b"", b"\xff" * 19, 99)):
        await store.commits.run(partial(_delete, key))
    _store, report = await restart(parts)
    assert (report.packs_left, report.packs_dropped) == (1, 0)
    assert only_pack(parts) == pack_id


def _delete(key: bytes, tx: Writing) -> None:
    tx.delete(Table.PLACEMENTS, key)


async def test_running_it_again_changes_nothing() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    store, _report = await restart(parts)
    sequence = store.index.sequence()
    assert await store.recovery.run() == RecoveryReport()
    assert store.index.sequence() == sequence
    assert await get_body(store, kept) == content(3 * S)


@pytest.mark.parametrize("seed", range(10))
async def test_mending_a_store_in_use_touches_nothing_of_it(seed: int) -> None:
    parts = FaultyParts(workers_seed=seed)
    store = await begin(parts)

    async def mends() -> None:
        for _ in range(30):
            assert (await store.recovery.mend()) == RecoveryReport()

    async def writes(number: int) -> None:
        extents = await put_body(store, content(5 * S, number))
        assert await get_body(store, extents) == content(5 * S, number)

    await asyncio.gather(mends(), *(writes(n) for n in range(10)))
    await store.writer.rest()
    await sound(store)


# ---------------------------------------------------------------------- rows against files


@pytest.mark.parametrize("removed", [False, True])
async def test_a_drop_that_was_broken_off_is_finished(removed: bool) -> None:
    parts = FaultyParts()
    store = await begin(parts)
    await drop_body(store, await put_body(store, content(3 * S)))
    await store.writer.seal()
    await store.reaper.run()
    pack_id = only_pack(parts)
    row = pack_row(store, pack_id)
    assert row is not None
    dropping = Pack(PackState.DROPPING, row.owner, row.blocks, row.strategy, 0, row.created_us)
    await store.commits.run(lambda tx: set_pack(tx, pack_id, dropping))
    if removed:
        parts.packs.drop(pack_id)
    store, report = await restart(parts)
    assert report.packs_dropped == 1
    assert parts.packs.list() == []
    assert rows(store, Table.PACKS) == rows(store, Table.PACK_LIVE) == 0


async def test_a_missing_pack_is_told_and_the_rest_is_served() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    lost = await put_body(store, content(3 * S))
    await store.writer.seal()
    kept = await put_body(store, content(3 * S, 1))
    await store.writer.seal()
    first = next(pack_id for pack_id, manifest in manifests(store).items() if _holds(manifest.entries, lost))
    parts.packs.drop(first)
    store, report = await restart(parts)
    assert report.packs_missing == 1
    assert await get_body(store, kept) == content(3 * S, 1)
    with pytest.raises(BlockUnavailable):
        await get_body(store, lost)
    assert store.auditor.orphans().rows_without_pack == [first.hex()]


def _holds(entries: object, extents: tuple[Extent, ...]) -> bool:
    assert isinstance(entries, tuple)
    return any(isinstance(entry, RunEntry) and entry.body_id == extents[0].body_id for entry in entries)


async def test_an_unknown_sealed_pack_is_told_and_never_dropped() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    await put_body(store, content(3 * S))
    await store.writer.seal()
    stranger = only_pack(parts)

    def forget(tx: Writing) -> None:
        for table in (Table.PACKS, Table.PACK_LIVE):
            tx.delete(table, stranger)
        for table in (Table.RUNS, Table.BODIES, Table.OBJECTS):
            for key, _raw in tx.scan(table, b"", b"\xff" * 99, 99):
                tx.delete(table, key)

    await store.commits.run(forget)
    store, report = await restart(parts)
    assert report.packs_unknown == 1
    await store.cleaner.run(everything=True)
    assert only_pack(parts) == stranger
    assert store.auditor.orphans().packs_without_row == [stranger.hex()]


async def test_a_quarantined_pack_stays_so_and_is_never_dropped() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    await drop_body(store, await put_body(store, content(3 * S)))
    await store.writer.seal()
    await store.reaper.run()
    pack_id = only_pack(parts)
    row = pack_row(store, pack_id)
    assert row is not None
    away = Pack(PackState.QUARANTINED, row.owner, row.blocks, row.strategy, 0, row.created_us, 0, row.seeds)
    await store.commits.run(lambda tx: set_pack(tx, pack_id, away))
    store, report = await restart(parts)
    assert report == RecoveryReport()
    await store.cleaner.run(everything=True)
    row = pack_row(store, pack_id)
    assert row is not None
    assert row.state == PackState.QUARANTINED
    assert only_pack(parts) == pack_id
    audit = store.auditor.orphans()
    assert audit.packs_quarantined == [pack_id.hex()]
    assert not audit.clean


async def test_a_row_of_a_pack_that_never_came_to_be_goes() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    gone = Pack(PackState.OPEN, InstanceId(bytes(16)), 0, "chain", 0, 0, 0, (SeedInfo(None),) * 4)
    await store.commits.run(lambda tx: set_pack(tx, PackId(b"p" * 16), gone))
    store, report = await restart(parts)
    assert report.packs_missing == 0
    assert rows(store, Table.PACKS) == 0


# ---------------------------------------------------------------------- bodies, processes, disks


async def test_bodies_of_a_process_that_lives_are_left_alone() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    staged = await stage(store, 30 * S)
    assert rows(store, Table.META) >= 1
    assert (await store.recovery.mend()).bodies_released == 0
    async with staged:
        await staged.settle()
        extents = await store.commits.run(publishing(staged))
    assert await get_body(store, extents) == content(30 * S)


async def test_a_held_body_survives() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    async with await stage(store, 5 * S) as staged:
        await staged.settle()
        extents = await store.commits.run(publishing(staged, BodyState.HELD))
    store, _report = await restart(parts)
    assert await get_body(store, extents) == content(5 * S)
    await sound(store)


async def test_after_a_restart_the_parts_of_an_open_upload_open_no_pack() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    async with await stage(store, 5 * S, group=b"upload") as staged:
        await staged.settle()
        await store.commits.run(publishing(staged, BodyState.HELD))
    store, _report = await restart(parts)
    await put_body(store, content(S))
    (row,) = [
        row
        for pack in parts.packs.list()
        if (row := pack_row(store, pack.pack_id)) is not None and row.state == PackState.OPEN
    ]
    assert all(seed.body_id is None for seed in row.seeds)


async def test_a_start_on_a_full_disk_serves_what_is_there_and_mends_later() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    kept = await put_body(store, content(3 * S))
    await stage(store, 30 * S, 1)
    await put_body(store, content(S, 2))
    parts.packs.crash()
    store = parts.store()
    parts.index.full_for = 1000
    report = await store.start(background=False)
    assert report.packs_left
    assert await get_body(store, kept) == content(3 * S)
    parts.index.full_for = 0
    report = await store.recovery.mend()
    assert report.packs_left == 0
    await sound(store)


async def test_another_process_closes_what_a_dead_one_left_and_nothing_of_a_living_one() -> None:
    parts = FaultyParts()
    street = Neighbourhood()

    def process(name: bytes) -> Store:
        store = parts.store()
        presence = MemoryPresence(InstanceId(name * 16), street)
        return type(store)(
            index=parts.index,
            packs=parts.packs,
            clock=parts.clock,
            entropy=parts.entropy,
            workers=store.workers,
            telemetry=parts.telemetry,
            presence=presence,
            keys=store.keys,
            geometry=store.geometry,
            settings=store.settings,
        )

    one, two = process(b"1"), process(b"2")
    await one.start(background=False)
    await two.start(background=False)
    kept = await put_body(one, content(3 * S))
    mine = await put_body(two, content(3 * S, 1))
    under_way = await stage(one, 30 * S, 2)
    assert await two.recovery.mend() == RecoveryReport()
    one.presence.close()
    for pack in parts.packs._packs.values():  # its locks go with it
        if pack.writer is not None and pack.writer.pack_id not in two.writer._fillings:
            pack.writer = None
    report = await two.recovery.mend()
    assert report.bodies_released == 1
    assert report.packs_dropped >= 1
    assert under_way.digested.size == 30 * S
    assert await get_body(two, kept) == content(3 * S)
    assert await get_body(two, mine) == content(3 * S, 1)
    await two.writer.rest()
    await sound(two)


async def test_counters_of_a_dropped_pack_do_not_come_back() -> None:
    parts = FaultyParts()
    store = await begin(parts)
    extents = await put_body(store, content(3 * S))
    await drop_body(store, extents)
    store, report = await restart(parts)
    assert report.packs_dropped == 1
    await store.reaper.run()
    assert rows(store, Table.PACK_LIVE) == rows(store, Table.RUNS) == 0


async def test_a_failing_source_on_a_dying_store_still_ends_with_its_own_error() -> None:
    parts = FaultyParts()
    store = await begin(parts)

    async def failing() -> AsyncIterator[bytes]:
        yield content(30 * S)
        await steps(400)
        parts.index.full_for = 1
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await put_body(store, failing())
    assert rows(store, Table.BODIES) == 1
    await store.reaper.run()
    assert rows(store, Table.BODIES) == 0
    assert store.auditor.orphans().clean
