"""Small objects on their way from the index into shared cells."""

import asyncio
import random

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.packs.manifest import SharedEntry
from noisefs.core.domain.records import SlicePlace, decode
from noisefs.core.domain.sealing.shared_cell import open_directory
from noisefs.core.errors import DiskFull, PackPoisoned
from noisefs.core.ports.index import Table
from noisefs.core.services.store import Store, StoreSettings
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.faults import FaultyParts, S, faulty_store, manifests, rows
from tests.support.stores import KEYS, MemoryParts


def places(store: Store) -> dict[bytes, SlicePlace]:
    """Where packed slices lie."""
    found = store.index.read(lambda tx: tx.scan(Table.SLICES, b"", b"\xff" * 17, 10000))
    return {key: decode(SlicePlace, raw) for key, raw in found}


def copies(store: Store) -> dict[tuple[bytes, int, int], int]:
    """How often each piece of a slice lies in a sealed pack, by body, generation and offset."""
    found: dict[tuple[bytes, int, int], int] = {}
    for pack_id, manifest in manifests(store).items():
        for entry in manifest.entries:
            if isinstance(entry, SharedEntry):
                cell = memoryview(bytearray(store.geometry.block_bytes))
                store.cells.piece(pack_id, entry.position, entry.seed, 0, cell)
                for piece in open_directory(
                    cell,
                    store_key=KEYS.store_key,
                    store_id=KEYS.store_id,
                    pack_id=pack_id,
                    cell_number=entry.position,
                ):
                    name = (piece.body_id, piece.generation, piece.piece_offset)
                    found[name] = found.get(name, 0) + 1
    return found


# ---------------------------------------------------------------------- what is packed when


async def test_less_than_a_cell_waits_unless_it_is_flushed() -> None:
    async with faulty_store() as (store, _parts):
        extents = await put_body(store, content(60000))
        assert await store.packer.run() == 0
        assert rows(store, Table.INLINE) == 1
        assert await store.packer.run(flush=True) == 60016
        assert rows(store, Table.INLINE) == 0
        assert await get_body(store, extents) == content(60000)


async def test_a_slice_may_go_on_in_the_next_cell_and_in_the_next_pack() -> None:
    async with faulty_store() as (store, _parts):
        # 505 cells, so that two shared cells more fill the pack.
        await put_body(store, content(505 * S), piece=1 << 20)
        found = [await put_body(store, content(100000 + n, n)) for n in range(8)]
        await store.packer.run(flush=True)
        split = [place for place in places(store).values() if len(place.pieces) > 1]
        assert any(len({piece.pack_id for piece in place.pieces}) == 2 for place in split)
        for number, extents in enumerate(found):
            assert await get_body(store, extents) == content(100000 + number, number)
        assert store.auditor.orphans().clean
        await drop_body(store, found[0])
        for extents in found[1:]:
            await drop_body(store, extents)
        await store.reaper.run()
        assert store.auditor.orphans().clean
        assert rows(store, Table.SLICES) == 0


async def test_a_slice_of_almost_a_segment_fits() -> None:
    async with faulty_store() as (store, _parts):
        sizes = [S - 1, 30, S - 1, 5000, S - 17, 1025, S - 1]
        found = [await put_body(store, content(size, n)) for n, size in enumerate(sizes)]
        await store.packer.run(flush=True)
        for number, (size, extents) in enumerate(zip(sizes, found, strict=True)):
            assert await get_body(store, extents) == content(size, number)
        await store.writer.seal()
        assert (await store.scrubber.run()).clean


@pytest.mark.parametrize("mean", [8_192, 30_000, 100_000])
async def test_packed_objects_take_at_most_two_percent_more_than_what_lives(mean: int) -> None:
    chance = random.Random(mean)
    async with faulty_store() as (store, _parts):
        size = 0
        for number in range(2 * 64 * 1024 * 1024 // mean):
            one = int(chance.triangular(mean // 2, mean * 3 // 2))
            size += one
            await put_body(store, bytes(one))
            if number % 400 == 0:
                await store.packer.run()
        await store.packer.run()
        waiting = sum(
            len(raw) for _k, raw in store.index.read(lambda tx: tx.scan(Table.INLINE, b"", b"\xff" * 17, 9999))
        )
        await store.writer.rest()
        space = store.auditor.space()
        full = [pack for pack in store.packs.list() if pack.blocks == 512]
        assert len(full) >= 1
        assert space.stored_bytes <= 1.02 * space.live_bytes + 6 * store.geometry.block_bytes
        assert waiting < 8 * 1024 * 1024


# ---------------------------------------------------------------------- races and failures


async def test_what_is_deleted_while_it_is_packed_stays_deleted() -> None:
    async with faulty_store() as (store, _parts):
        found = [await put_body(store, content(9000 + n)) for n in range(40)]
        packing = asyncio.ensure_future(store.packer.run(flush=True))
        for extents in found[::2]:
            await drop_body(store, extents)
        await packing
        await store.reaper.run()
        assert rows(store, Table.SLICES) == 20
        assert store.auditor.orphans().clean
        for number, extents in enumerate(found):
            if number % 2:
                assert await get_body(store, extents) == content(9000 + number)


async def test_a_failed_commit_is_tried_again_with_the_cells_that_were_appended() -> None:
    async with faulty_store() as (store, parts):
        found = [await put_body(store, content(9000 + n)) for n in range(40)]
        await put_body(store, content(S))  # opens the pack
        parts.index.full_for = 1
        with pytest.raises(DiskFull):
            await store.packer.run(flush=True)
        assert rows(store, Table.INLINE) == 40
        await store.packer.run(flush=True)
        assert rows(store, Table.INLINE) == 0
        await store.writer.seal()
        assert set(copies(store).values()) == {1}
        for number, extents in enumerate(found):
            assert await get_body(store, extents) == content(9000 + number)


async def test_slices_in_a_pack_whose_sync_fails_stay_in_the_index() -> None:
    async with faulty_store() as (store, parts):
        found = [await put_body(store, content(9000 + n)) for n in range(40)]
        parts.packs.fail_syncs(1)
        with pytest.raises(PackPoisoned):
            await store.packer.run(flush=True)
        assert rows(store, Table.INLINE) == 40
        await store.packer.run(flush=True)
        for number, extents in enumerate(found):
            assert await get_body(store, extents) == content(9000 + number)
        await store.cleaner.run(everything=True)
        assert store.auditor.orphans().clean


async def test_two_runs_at_once_pack_everything_once() -> None:
    async with faulty_store() as (store, _parts):
        for number in range(60):
            await put_body(store, content(9000 + number))
        await asyncio.gather(store.packer.run(flush=True), store.packer.run(flush=True))
        await store.writer.seal()
        assert set(copies(store).values()) == {1}
        assert store.auditor.orphans().clean


async def test_packers_of_two_processes_do_no_harm() -> None:
    parts = FaultyParts(workers_seed=5)
    one, two = parts.store(), parts.store()
    found = [await put_body(one, content(9000 + n)) for n in range(60)]
    await asyncio.gather(one.packer.run(flush=True), two.packer.run(flush=True))
    assert rows(one, Table.INLINE) == 0
    for number, extents in enumerate(found):
        assert await get_body(two, extents) == content(9000 + number)
    await one.writer.seal()
    await two.writer.seal()
    assert one.auditor.orphans().clean


# ---------------------------------------------------------------------- how much fills whole cells


@pytest.mark.parametrize("size", [2000, 30_000, 90_000, 131_000])
async def test_no_more_is_chosen_than_fills_cells(size: int) -> None:
    async with faulty_store(shape=Geometry()) as (store, _parts):
        placer = store.packer._placer
        assert placer.fits([]) == 0
        assert placer.fits([size]) in (0, 1)
        chosen = placer.fits([size] * 40)
        taken = chosen * (size + 32) / store.geometry.block_bytes
        assert -(-taken // 1) - taken < 0.35


async def test_who_does_not_pack_learns_that_another_process_did() -> None:
    """Its count would grow for ever, and in the end it would take no small object any more."""
    parts = MemoryParts()
    settings = StoreSettings(inline_max_bytes=300_000, inline_wake_bytes=200_000)
    packing, adding = parts.store(settings), parts.store(settings)
    for store in (packing, adding):
        await store.start(background=False)
    for number in range(3):
        await put_body(adding, content(100_000, number))
    assert not adding.backlog.has_room
    await packing.packer.run(flush=True)
    await adding.packer.follow(lambda: True)  # who leads packs, and counts while it does
    assert not adding.backlog.has_room
    await adding.packer.follow(lambda: False)
    assert adding.backlog.has_room
    assert adding.backlog.bytes == 0
    for store in (adding, packing):
        await store.close()


async def test_writers_that_are_held_back_do_not_wait_for_a_cell_to_fill() -> None:
    parts = MemoryParts()
    store = parts.store(StoreSettings(inline_max_bytes=100_000))
    await store.start(background=False)
    await put_body(store, content(100_000))
    assert not store.backlog.has_room
    await store.packer.run()
    assert store.backlog.has_room
    assert rows(store, Table.INLINE) == 0
    await store.close()
