"""Space comes back, nothing that lives is lost, and nothing tells what went where."""

import asyncio
import random
from collections import Counter
from functools import partial

import pytest

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.packs.manifest import RunEntry
from noisefs.core.domain.records import BodyState, Extent, PackState, Run, SlicePlace, decode
from noisefs.core.errors import DiskFull
from noisefs.core.ports import telemetry
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.bodies.reading import OpenBodies
from noisefs.core.services.maintenance.cleaner import next_generation
from noisefs.core.services.store import Store, StoreSettings
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import (
    FaultyParts,
    S,
    cancel_after,
    faulty_store,
    manifests,
    pack_row,
    packs_of,
    publishing,
    rows,
    stage,
)

pytestmark = pytest.mark.usefixtures("small_packs")

Kept = dict[int, tuple[Extent, ...]]


def datum(number: int) -> bytes:
    """Some are runs, some are runs and a slice, some are slices."""
    return content((number % 4) * S + 7000 * (number % 3) + 2000 * (number % 4 == 0), number)


async def half_dead(store: Store, count: int = 60) -> Kept:
    """Several sealed packs with much that is dead in each; what lives."""
    kept: Kept = {}
    for number in range(count):
        kept[number] = await put_body(store, datum(number))
        if number % 15 == 14:
            await store.packer.run(flush=True)
    await store.writer.rest()
    for number in range(count):
        if number % 3:
            await drop_body(store, kept.pop(number))
    await store.reaper.run()
    return kept


async def check(store: Store, kept: Kept) -> None:
    """All that lives is there, and all is in order."""
    for number, extents in kept.items():
        assert await get_body(store, extents) == datum(number)
    assert store.auditor.orphans().clean
    assert (await store.scrubber.run()).clean


def cells_in(store: Store) -> Counter[tuple[bytes, int, int]]:
    """How often each (body, segment, generation) lies in a sealed pack."""
    found: Counter[tuple[bytes, int, int]] = Counter()
    for manifest in manifests(store).values():
        for entry in manifest.entries:
            if isinstance(entry, RunEntry):
                found.update((entry.body_id, entry.segment + n, entry.generation) for n in range(entry.count))
    return found


def blocks_of(store: Store, pack_id: PackId) -> set[bytes]:
    """The bytes of a pack's blocks."""
    size = store.geometry.block_bytes
    count = next(pack.blocks for pack in store.packs.list() if pack.pack_id == pack_id)
    found = bytearray(count * size)
    store.packs.read(pack_id, 0, [memoryview(found)])
    return {bytes(found[at : at + size]) for at in range(0, len(found), size)}


# ---------------------------------------------------------------------- what it promises


@pytest.mark.parametrize("strategy", ["chain", "uniform", "fresh"])
async def test_space_comes_back_and_everything_that_lives_stays(strategy: str) -> None:
    shape = FaultyParts().geometry.__class__(strategy=strategy)
    async with faulty_store(shape=shape) as (store, _parts):
        kept = await half_dead(store)
        before = store.auditor.space()
        cleaned = await store.cleaner.run(everything=True)
        after = store.auditor.space()
        assert cleaned.packs_dropped > 3
        assert cleaned.rows_left == 0
        assert after.stored_bytes < 0.7 * before.stored_bytes
        assert after.live_bytes == before.live_bytes
        await check(store, kept)


async def test_cleaning_what_is_clean_moves_nothing() -> None:
    async with faulty_store() as (store, _parts):
        kept = await half_dead(store)
        await store.cleaner.run(everything=True)
        # The cell each victim's last slices leave half empty weighs much in so small a pack.
        await store.cleaner.run(everything=True)
        again = await store.cleaner.run(everything=True)
        assert (again.packs_dropped, again.bytes_moved) == (0, 0)
        await check(store, kept)


async def test_a_generation_is_never_given_twice() -> None:
    async with faulty_store() as (store, _parts):
        given = await asyncio.gather(*(store.commits.run(next_generation) for _ in range(20)))
        assert sorted(given) == list(range(1, 21))
        await half_dead(store)
        for _ in range(3):
            await half_dead(store, 30)
            await store.cleaner.run(everything=True)
        found = [manifest.generation for manifest in manifests(store).values() if manifest.generation]
        assert len(found) == len(set(found)) > 0
        assert min(found) > 20


async def test_what_is_all_dead_goes_without_being_read() -> None:
    async with faulty_store() as (store, parts):
        for number in range(30):
            await drop_body(store, await put_body(store, content(2 * S, number)))
        await store.writer.rest()
        await store.reaper.run()
        cleaned = await store.cleaner.run()
        assert cleaned.bytes_moved == 0
        assert parts.packs.list() == []
        assert rows(store, Table.PACKS) == rows(store, Table.PACK_LIVE) == rows(store, Table.PLACEMENTS) == 0


async def test_no_pack_goes_while_a_reader_needs_its_cells() -> None:
    async with faulty_store() as (store, parts):
        extents = await put_body(store, content(10 * S))
        await store.writer.rest()
        opened = store.index.read(lambda tx: store.body_reader.open(tx, extents))
        await drop_body(store, extents)
        await store.reaper.run()
        await store.cleaner.run(everything=True)
        assert b"".join([bytes(chunk) async for chunk in opened.chunks(0, 10 * S)]) == content(10 * S)
        opened.close()
        await store.reaper.run()
        await store.cleaner.run(everything=True)
        assert parts.packs.list() == []


def _opened(store: Store, extents: tuple[Extent, ...], tx: Reading) -> OpenBodies:
    return store.body_reader.open(tx, extents)


async def test_a_reader_finds_what_is_moved_under_it() -> None:
    async with faulty_store(settings=StoreSettings(hot_bytes=0)) as (store, _parts):
        kept = await half_dead(store)
        readers = {n: store.index.read(partial(_opened, store, extents)) for n, extents in kept.items()}
        streams = {n: opened.chunks(0, len(datum(n))) for n, opened in readers.items()}
        first = {n: [bytes(await anext(stream))] for n, stream in streams.items() if datum(n)}
        await store.cleaner.run(everything=True)
        for n, got in first.items():
            got.extend([bytes(chunk) async for chunk in streams[n]])
            assert b"".join(got) == datum(n)
            readers[n].close()


async def test_hot_cells_stay_right_when_their_body_is_moved() -> None:
    async with faulty_store() as (store, _parts):
        kept = await half_dead(store)
        for number, extents in kept.items():
            assert await get_body(store, extents) == datum(number)
        await store.cleaner.run(everything=True)
        await check(store, kept)


# ---------------------------------------------------------------------- what it must not give away


def homes(store: Store) -> dict[tuple[bytes, int], set[bytes]]:
    """The packs in which each run or slice lies, by body and the row's first segment (-1: the slice)."""
    found: dict[tuple[bytes, int], set[bytes]] = {}
    for key, raw in store.index.read(lambda tx: tx.scan(Table.RUNS, b"", b"\xff" * 25, 99999)):
        found.setdefault((key[:16], int.from_bytes(key[16:], "big")), set()).add(decode(Run, raw).pack_id)
    for key, raw in store.index.read(lambda tx: tx.scan(Table.SLICES, b"", b"\xff" * 17, 99999)):
        found[key, -1] = {piece.pack_id for piece in decode(SlicePlace, raw).pieces}
    return found


async def test_no_block_of_a_cleaned_pack_is_in_the_packs_that_took_it_in() -> None:
    async with faulty_store() as (store, parts):
        await half_dead(store, 90)
        pairs = 0
        for _ in range(6):
            before = homes(store)
            blocks = {pack.pack_id: blocks_of(store, pack.pack_id) for pack in parts.packs.list() if pack.sealed}
            await store.cleaner.run(everything=True)
            moved = {
                (old, new)
                for what, packs in homes(store).items()
                for new in packs - before.get(what, packs)
                for old in before.get(what, set()) - packs
            }
            for old, new in moved:
                assert not blocks[PackId(old)] & blocks_of(store, PackId(new))
            pairs += len(moved)
            assert await half_dead(store, 30)
        assert pairs > 20


@pytest.mark.parametrize("rounds", [*range(0, 120, 4), 150, 200, 300, 500])
async def test_a_cleaning_that_is_broken_off_seals_nothing_twice(rounds: int) -> None:
    async with faulty_store() as (store, _parts):
        kept = await half_dead(store, 30)
        await cancel_after(store.cleaner.run(everything=True), rounds)
        await store.cleaner.run(everything=True)
        await store.writer.rest()
        assert max(cells_in(store).values()) == 1
        await check(store, kept)


@pytest.mark.parametrize("failing", range(1, 12))
async def test_a_cleaning_whose_commit_fails_seals_nothing_twice(failing: int) -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store, 30)
        commits = 0
        real = parts.index.transact

        def transact(batch, *, wipe=True):  # type: ignore[no-untyped-def]
            nonlocal commits
            commits += 1
            parts.index.full_for = int(commits == failing)
            return real(batch, wipe=wipe)

        parts.index.transact = transact  # type: ignore[method-assign]
        try:
            await store.cleaner.run(everything=True)
        except DiskFull:
            await store.cleaner.run(everything=True)
        await store.writer.rest()
        assert max(cells_in(store).values()) == 1
        await check(store, kept)


async def test_two_runs_at_once_move_everything_once() -> None:
    async with faulty_store(workers_seed=3) as (store, _parts):
        kept = await half_dead(store)
        await asyncio.gather(*(store.cleaner.run(everything=True) for _ in range(3)))
        assert max(cells_in(store).values()) == 1
        await check(store, kept)


async def test_cleaners_of_two_processes_do_no_harm() -> None:
    parts = FaultyParts(workers_seed=11)
    one, two = parts.store(), parts.store()
    kept = await half_dead(one)
    await asyncio.gather(one.cleaner.run(everything=True), two.cleaner.run(everything=True))
    await one.cleaner.run(everything=True)
    await check(two, kept)


async def test_deletes_and_overwrites_while_it_cleans_stay_what_they_are() -> None:
    async with faulty_store(workers_seed=4) as (store, _parts):
        kept = await half_dead(store)

        async def deletes() -> None:
            for number in list(kept)[::2]:
                await drop_body(store, kept.pop(number))
                await store.reaper.run()

        await asyncio.gather(store.cleaner.run(everything=True), deletes())
        await check(store, kept)


# ---------------------------------------------------------------------- when it waits


async def test_an_emptied_pack_stays_until_what_it_held_is_in_a_sealed_pack() -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store)
        victims = {pack.pack_id for pack in parts.packs.list()}
        row = pack_row(store, next(iter(victims)))
        assert row is not None
        for victim in victims:
            row = pack_row(store, victim)
            assert row is not None
            outcome = await store.cleaner._mover.empty(victim, row)
            store.cleaner._emptied[victim] = frozenset(outcome.goals)
        open_now = {pack.pack_id for pack in parts.packs.list() if not pack.sealed}
        assert open_now
        waiting = {v for v, goals in store.cleaner._emptied.items() if goals & open_now}
        await store.cleaner._drop_dead(*await store.cleaner._survey())
        assert waiting <= {pack.pack_id for pack in parts.packs.list()}
        await store.cleaner_writer.rest()
        await store.cleaner.run()
        assert not victims & {pack.pack_id for pack in parts.packs.list()}
        await check(store, kept)


async def test_an_emptied_pack_outlives_the_poisoned_one_that_took_it_in() -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store, 30)
        (victim, *_rest) = [pack.pack_id for pack in parts.packs.list()]
        row = pack_row(store, victim)
        assert row is not None
        outcome = await store.cleaner._mover.empty(victim, row)
        store.cleaner._emptied[victim] = frozenset(outcome.goals)
        parts.packs.fail_syncs(1)
        with pytest.raises(Exception, match="writing to pack"):
            await store.cleaner_writer.seal()
        (goal,) = outcome.goals
        row = pack_row(store, goal)
        assert row is not None
        assert row.state == PackState.POISONED
        packs, pack_rows = await store.cleaner._survey()
        assert victim in store.cleaner._waits(pack_rows)
        assert (await store.cleaner._drop_dead(packs, pack_rows))[0] == 0
        await store.cleaner.run(everything=True)
        left = {pack.pack_id for pack in parts.packs.list()}
        assert victim not in left
        assert goal not in left
        await check(store, kept)


@pytest.mark.parametrize("before", range(6))
async def test_a_destination_that_is_poisoned_meanwhile_does_not_keep_a_cleaning_from_ending(before: int) -> None:
    """Whichever of its syncs fails: the run ends, and another one finishes the work."""
    async with faulty_store() as (store, parts):
        kept = await half_dead(store)
        real, syncs = parts.packs.take_sync_failure, 0

        def fails() -> bool:
            nonlocal syncs
            syncs += 1
            return syncs == before + 1 or real()

        parts.packs.take_sync_failure = fails  # type: ignore[method-assign]
        async with asyncio.timeout(60):
            for _ in range(3):
                cleaned = await store.cleaner.run(everything=True)
        assert syncs > before
        assert cleaned.rows_left == 0
        states = {row.state for pack in parts.packs.list() if (row := pack_row(store, pack.pack_id)) is not None}
        assert states == {PackState.SEALED}
        await check(store, kept)


async def test_bodies_that_are_being_written_are_not_moved_and_not_lost() -> None:
    async with faulty_store() as (store, _parts):
        kept = {0: await put_body(store, datum(0))}
        async with await stage(store, 40 * S, 77) as staged:
            for number in range(3, 30, 3):
                await drop_body(store, await put_body(store, datum(number)))
            await store.writer.seal()
            await store.reaper.run()
            cleaned = await store.cleaner.run(everything=True)
            assert cleaned.rows_left
            await staged.settle()
            extents = await store.commits.run(publishing(staged))
        assert await get_body(store, extents) == content(40 * S, 77)
        await store.cleaner.run(everything=True)
        await check(store, kept)


async def test_bodies_of_open_uploads_are_moved() -> None:
    async with faulty_store() as (store, _parts):
        async with await stage(store, 8 * S, 5) as staged:
            await staged.settle()
            extents = await store.commits.run(publishing(staged, BodyState.HELD))
        await drop_body(store, await put_body(store, content(9 * S)))
        await store.writer.rest()
        await store.reaper.run()
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.bytes_moved == 8 * store.geometry.block_bytes
        assert await get_body(store, extents) == content(8 * S, 5)
        assert store.auditor.orphans().clean


# ---------------------------------------------------------------------- damage


async def test_rot_is_not_copied_and_does_not_stop_the_rest() -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store)
        body = next(n for n in kept if n % 4 == 3)
        raw = store.index.read(lambda tx: tx.get(Table.RUNS, kept[body][0].body_id + bytes(8)))
        assert raw is not None
        run = decode(Run, raw)
        parts.packs.overwrite(run.pack_id, run.position, bytes(store.geometry.block_bytes))
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.rows_left >= 1
        left = {pack.pack_id for pack in parts.packs.list()}
        assert run.pack_id in left
        assert cleaned.packs_dropped > 2
        report = await store.scrubber.run()
        assert report.damaged_bodies
        # The next background step leaves the pack alone: no second copy of what was moved in vain.
        moved = parts.telemetry.counted(telemetry.Counter.PACK_BYTES, ("cleaner",))
        await store.cleaner.run()
        assert parts.telemetry.counted(telemetry.Counter.PACK_BYTES, ("cleaner",)) == moved


@pytest.mark.parametrize("missing", [False, True])
async def test_a_damaged_manifest_or_a_missing_pack_does_not_stop_the_cleaner(missing: bool) -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store)
        pack = next(p for p in parts.packs.list() if p.blocks == 24)
        lost = {n for n, extents in kept.items() if any(_lies_in(store, extent, pack.pack_id) for extent in extents)}
        if missing:
            parts.packs.drop(pack.pack_id)
        else:
            parts.packs.overwrite(pack.pack_id, pack.blocks - 1, bytes(store.geometry.block_bytes))
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.packs_dropped > 2
        assert bool(cleaned.rows_left) == missing
        if missing:
            kept = {n: extents for n, extents in kept.items() if n not in lost}
        else:
            assert pack.pack_id not in {p.pack_id for p in parts.packs.list()}
            assert (await store.scrubber.run()).clean
        for number, extents in kept.items():
            assert await get_body(store, extents) == datum(number)


def _lies_in(store: Store, extent: Extent, pack_id: PackId) -> bool:
    found = store.index.read(
        lambda tx: (
            tx.scan(Table.RUNS, extent.body_id, extent.body_id + b"\xff" * 9, 99)
            + tx.scan(Table.SLICES, extent.body_id, extent.body_id + b"\0", 1)
        )
    )
    return any(raw.find(pack_id) >= 0 for _key, raw in found)


async def test_a_full_disk_lets_dead_packs_go() -> None:
    async with faulty_store() as (store, parts):
        kept = await half_dead(store)
        for number in range(100, 140):
            await drop_body(store, await put_body(store, datum(number)))
        await store.writer.rest()
        await store.reaper.run()
        parts.packs.capacity_bytes = 0
        before = len(parts.packs.list())
        with pytest.raises(DiskFull):
            await store.cleaner.run(everything=True)
        assert len(parts.packs.list()) < before
        parts.packs.capacity_bytes = 1 << 40
        await store.cleaner.run(everything=True)
        await check(store, kept)


async def test_a_full_disk_is_cleaned_within_the_reserve() -> None:
    """Packs that are half dead: there is room for one pack to move to, and that is the reserve's."""
    async with faulty_store() as (store, parts):
        kept = await half_dead(store, 90)
        pack_bytes = 24 * store.geometry.block_bytes
        parts.packs._pack_blocks = 24
        used = sum(pack.size_bytes for pack in parts.packs.list())
        parts.packs.capacity_bytes = used + 2 * pack_bytes
        parts.packs._reserve_bytes = 2 * pack_bytes
        with pytest.raises(DiskFull):
            await put_body(store, content(S))
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.packs_dropped > 5
        await check(store, kept)
        assert parts.packs.free_bytes() > 4 * pack_bytes


# ---------------------------------------------------------------------- the ratio under churn


async def test_churn_is_held_at_the_ratio_at_a_bounded_cost() -> None:
    """Uniform overwrites of 4 KiB to 4 MiB objects, three times the live set, on packs of 64 blocks."""
    chance = random.Random(2)
    with packs_of(64):
        async with faulty_store(settings=StoreSettings(hot_bytes=0)) as (store, parts):
            live: dict[int, tuple[tuple[Extent, ...], int]] = {}
            written, worst = 0, 0.0

            async def put(name: int) -> None:
                nonlocal written
                size = int(4096 * 2 ** chance.uniform(0, 10))
                if name in live:
                    await drop_body(store, live.pop(name)[0])
                live[name] = (await put_body(store, bytes(size)), size)
                written += size

            for name in range(200):
                await put(name)
            target = 4 * written
            while written < target:
                await put(chance.randrange(200))
                await store.packer.run()
                await store.reaper.run()
                await store.cleaner.run()
                stored = sum(p.blocks for p in parts.packs.list() if p.sealed) * store.geometry.block_bytes
                worst = max(worst, stored / sum(size for _extents, size in live.values()))
            packed = parts.telemetry.counted(telemetry.Counter.PACK_BYTES)
            # Seeds and manifest are a twelfth of so small a pack, of a full one a hundredth; and a pack more or less
            # is much in so small a store.
            assert worst <= 1.33 * 64 / 59 + 2 * store.geometry.block_bytes * 64 / (target / 4)
            assert packed / written < 3
            for extents, size in list(live.values())[::10]:
                assert await get_body(store, extents) == bytes(size)
            await store.writer.rest()
            assert store.auditor.orphans().clean
