"""Every kind of damage is planted and found, and the objects that suffer are named."""

import asyncio
from collections.abc import Callable

import pytest

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.records import Run, SlicePlace, Version, decode
from noisefs.core.domain.requests import Attributes, Principal
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.store import Store
from tests.support.bodies import content, get_body, put_body
from tests.support.faults import FaultyParts, S, faulty_store
from tests.support.stores import administrator, pieces

pytestmark = pytest.mark.usefixtures("small_packs")


async def three_objects(store: Store) -> Principal:
    """In ``photos``: ``run`` is segments, ``slice`` a packed slice, ``both`` is both, ``tiny`` lies in the index."""
    who = await administrator(store)
    await store.buckets.create(who, "photos")
    for key, size in (("run", 6 * S), ("slice", 9000), ("both", 2 * S + 9000), ("tiny", 200)):
        await store.objects.put(who, "photos", key, pieces(content(size), 1 << 17), Attributes())
    await store.packer.run(flush=True)
    await store.writer.rest()
    return who


def version(store: Store, key: str) -> Version:
    """An object's row."""
    raw = store.index.read(
        lambda tx: next(v for k, v in tx.scan(Table.OBJECTS, b"", b"\xff" * 99, 99) if k.endswith(key.encode()))
    )
    return decode(Version, raw)


def run_of(store: Store, key: str) -> Run:
    """Where its first segments lie."""
    body = version(store, key).extents[0].body_id
    return decode(Run, store.index.read(lambda tx: tx.get(Table.RUNS, run_key(body, 0))) or b"")


def flip(parts: FaultyParts, pack_id: PackId, position: int, at: int = 1000) -> None:
    """Change one bit on the disk."""
    block = bytearray(parts.geometry.block_bytes)
    parts.packs.read(pack_id, position, [memoryview(block)])
    block[at] ^= 1
    parts.packs.overwrite(pack_id, position, bytes(block))


def _a_cell(store: Store, parts: FaultyParts) -> None:
    run = run_of(store, "run")
    flip(parts, run.pack_id, run.position + 5)


def _the_block_before(store: Store, parts: FaultyParts) -> None:
    run = run_of(store, "both")
    flip(parts, run.pack_id, run.position - 1, TAG_BYTES)


def _a_slice(store: Store, parts: FaultyParts) -> None:
    body = version(store, "slice").extents[0].body_id
    place = decode(SlicePlace, store.index.read(lambda tx: tx.get(Table.SLICES, body)) or b"")
    flip(parts, place.pieces[0].pack_id, place.pieces[0].position, place.pieces[0].offset)


def _a_seed(store: Store, parts: FaultyParts) -> None:
    run = run_of(store, "run")
    flip(parts, run.pack_id, run.seed, 0)


@pytest.mark.parametrize(
    ("damage", "suffers"),
    [
        (_a_cell, {"photos/run"}),
        (_the_block_before, {"photos/both", "photos/run"}),
        (_a_slice, {"photos/slice"}),
        (_a_seed, {"photos/run", "photos/both"}),
    ],
    ids=["cell", "block before", "slice", "seed"],
)
async def test_rot_is_found_and_the_objects_are_named(
    damage: Callable[[Store, FaultyParts], None], suffers: set[str]
) -> None:
    async with faulty_store() as (store, parts):
        who = await three_objects(store)
        assert (await store.scrubber.run()).clean
        # Everything is in memory now: the scrub must look at the disk all the same.
        for key in ("run", "both", "slice"):
            async with await store.objects.open(who, "photos", key) as opened:
                assert b"".join([bytes(chunk) async for chunk in opened.chunks()])
        damage(store, parts)
        report = await store.scrubber.run()
        assert suffers <= set(report.damaged_objects) <= {"photos/run", "photos/both", "photos/slice"}
        assert len(report.damaged_bodies) == len(report.damaged_objects)
        assert not report.clean
        assert parts.telemetry.counted(Counter.INTEGRITY_ERRORS, ("segment",)) == len(report.damaged_bodies)
        assert not any("photos" in line for line in report.damaged_bodies + report.damaged_packs)


async def test_a_damaged_manifest_is_found_and_costs_no_object() -> None:
    async with faulty_store() as (store, parts):
        await three_objects(store)
        (pack,) = parts.packs.list()
        flip(parts, pack.pack_id, pack.blocks - 1)
        report = await store.scrubber.run()
        assert len(report.damaged_packs) == 1
        assert pack.pack_id.hex() in report.damaged_packs[0]
        assert report.damaged_objects == []


async def test_a_missing_pack_is_found_with_everything_in_it() -> None:
    async with faulty_store() as (store, parts):
        await three_objects(store)
        (pack,) = parts.packs.list()
        parts.packs.drop(pack.pack_id)
        report = await store.scrubber.run()
        assert report.damaged_objects == ["photos/both", "photos/run", "photos/slice"]
        assert len(report.damaged_packs) == 1


async def test_a_slice_without_a_place_and_a_segment_without_a_run_are_found() -> None:
    async with faulty_store() as (store, _parts):
        await three_objects(store)
        slice_of, run_body = (version(store, key).extents[0].body_id for key in ("slice", "run"))

        def forget(tx: Writing) -> None:
            tx.delete(Table.SLICES, slice_of)
            tx.delete(Table.RUNS, run_key(run_body, 0))

        await store.commits.run(forget)
        assert (await store.scrubber.run()).damaged_objects == ["photos/run", "photos/slice"]


async def test_a_damaged_inline_slice_is_found() -> None:
    async with faulty_store() as (store, _parts):
        await three_objects(store)
        body = version(store, "tiny").extents[0].body_id
        await store.commits.run(lambda tx: tx.put(Table.TINY, body, bytes(216)))
        assert (await store.scrubber.run()).damaged_objects == ["photos/tiny"]


@pytest.mark.parametrize("seed", range(6))
async def test_what_moves_while_it_is_scrubbed_is_not_damaged(seed: int) -> None:
    async with faulty_store(workers_seed=seed) as (store, _parts):
        kept = [await put_body(store, content(3 * S + 4000, n)) for n in range(20)]
        await store.packer.run(flush=True)
        await store.writer.rest()

        async def moves() -> None:
            for _ in range(3):
                packs, rows = await store.cleaner._survey()
                for pack in packs:
                    await store.cleaner._mover.empty(pack.pack_id, rows[pack.pack_id])
                await store.cleaner_writer.rest()
                await store.cleaner.run(everything=True)

        report, _none = await asyncio.gather(store.scrubber.run(), moves())
        assert report.clean
        for n, extents in enumerate(kept):
            assert await get_body(store, extents) == content(3 * S + 4000, n)


async def test_a_seed_that_was_read_wrong_once_is_read_again() -> None:
    """A bad bit in memory must not stay: the next look goes to the disk."""
    async with faulty_store() as (store, parts):
        extents = await put_body(store, content(6 * S))
        await store.writer.rest()
        (pack,) = parts.packs.list()
        flip(parts, pack.pack_id, 0)
        with pytest.raises(Exception, match="does not verify"):
            await get_body(store, extents)
        flip(parts, pack.pack_id, 0)
        assert await get_body(store, extents) == content(6 * S)
