"""Every kind of orphan is planted and found; space and tuples are counted right."""

from collections.abc import Callable

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import run_key
from noisefs.core.domain.records import (
    Body,
    BodyState,
    Pack,
    PackLive,
    PackState,
    Run,
    SeedInfo,
    SlicePiece,
    SlicePlace,
    Version,
    decode,
    encode,
)
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, put_body
from tests.support.faults import FaultyParts, S, faulty_store, stage
from tests.support.stores import memory_store

pytestmark = pytest.mark.usefixtures("small_packs")

GONE = BodyId(b"a body that went")
NO_PACK = PackId(b"a pack that went")


def _run_without_body(tx: Writing, pack_id: PackId) -> None:
    tx.put(Table.RUNS, run_key(GONE, 0), encode(Run(pack_id, 4, 1, 0, 0)))


def _run_without_pack(tx: Writing, _pack_id: PackId) -> None:
    key = next(iter(tx.scan(Table.BODIES, b"", b"\xff" * 17, 1)))[0]
    tx.put(Table.RUNS, run_key(BodyId(key), 900), encode(Run(NO_PACK, 4, 1, 0, 0)))


def _slice_without_body(tx: Writing, pack_id: PackId) -> None:
    tx.put(Table.SLICES, GONE, encode(SlicePlace((SlicePiece(pack_id, 4, 0, 0, 50),), 0)))


def _inline_without_body(tx: Writing, _pack_id: PackId) -> None:
    tx.put(Table.INLINE, GONE, b"sealed")


def _tiny_without_body(tx: Writing, _pack_id: PackId) -> None:
    tx.put(Table.TINY, GONE, b"sealed")


def _body_without_reference(tx: Writing, _pack_id: PackId) -> None:
    tx.put(Table.BODIES, GONE, encode(Body(BodyState.LIVE, 5, b"", 0, InstanceId(bytes(16)))))


def _reference_without_body(tx: Writing, _pack_id: PackId) -> None:
    key, raw = tx.scan(Table.OBJECTS, b"", b"\xff" * 99, 1)[0]
    extent = decode(Version, raw).extents[0]
    tx.put(Table.OBJECTS, key + b"2", encode(Version(5, "", 0, "", extents=(extent.__class__(GONE, 0, 5),))))  # type: ignore[arg-type]  # no owner


def _wrong_reference_count(tx: Writing, _pack_id: PackId) -> None:
    key, raw = tx.scan(Table.BODIES, b"", b"\xff" * 17, 1)[0]
    body = decode(Body, raw)
    tx.put(Table.BODIES, key, encode(Body(body.state, body.size, body.wrapped_key, 7, body.owner, 0, 1, body.tail)))


def _wrong_live_count(tx: Writing, pack_id: PackId) -> None:
    live = decode(PackLive, tx.get(Table.PACK_LIVE, pack_id) or b"")
    tx.put(Table.PACK_LIVE, pack_id, encode(PackLive(live.cells + 1, live.slice_bytes, live.slices)))


def _row_without_pack(tx: Writing, _pack_id: PackId) -> None:
    tx.put(Table.PACKS, NO_PACK, encode(Pack(PackState.SEALED, InstanceId(bytes(16)), 20, "chain", 0, 0)))


def _quarantined(tx: Writing, pack_id: PackId) -> None:
    row = decode(Pack, tx.get(Table.PACKS, pack_id) or b"")
    tx.put(Table.PACKS, pack_id, encode(Pack(PackState.QUARANTINED, row.owner, row.blocks, row.strategy, 0, 0)))


def _pack_without_row(tx: Writing, pack_id: PackId) -> None:
    tx.delete(Table.PACKS, pack_id)


PLANTED: list[tuple[Callable[[Writing, PackId], None], str]] = [
    (_run_without_body, "runs_without_body"),
    (_run_without_pack, "runs_without_pack"),
    (_slice_without_body, "slices_without_body"),
    (_inline_without_body, "inline_without_body"),
    (_tiny_without_body, "inline_without_body"),
    (_body_without_reference, "bodies_without_reference"),
    (_reference_without_body, "references_without_body"),
    (_wrong_reference_count, "wrong_reference_counts"),
    (_wrong_live_count, "wrong_live_counts"),
    (_row_without_pack, "rows_without_pack"),
    (_quarantined, "packs_quarantined"),
    (_pack_without_row, "packs_without_row"),
]


async def filled(store: Store) -> PackId:
    """A few bodies in one sealed pack."""
    for number in range(4):
        await put_body(store, content(2 * S + 5000, number))
    await store.packer.run(flush=True)
    await store.writer.rest()
    (pack,) = store.packs.list()
    return pack.pack_id


@pytest.mark.parametrize(("plant", "found"), PLANTED, ids=[plant.__name__.strip("_") for plant, _found in PLANTED])
async def test_each_kind_of_orphan_is_found(plant: Callable[[Writing, PackId], None], found: str) -> None:
    async with memory_store() as (store, _parts):
        pack_id = await filled(store)
        assert store.auditor.orphans().clean
        await store.commits.run(lambda tx: plant(tx, pack_id))
        audit = store.auditor.orphans()
        assert getattr(audit, found)
        assert not audit.clean


async def test_bodies_that_are_being_written_or_are_dead_are_no_orphans() -> None:
    async with memory_store() as (store, _parts):
        staged = await stage(store, 30 * S)
        extents = await put_body(store, content(3 * S))
        await drop_body(store, extents)
        assert store.auditor.orphans().clean
        assert staged.digested.size == 30 * S


async def test_space_is_counted() -> None:
    async with memory_store() as (store, _parts):
        await put_body(store, content(10 * S))
        await put_body(store, content(5000))
        await put_body(store, content(300))
        await store.writer.rest()
        space = store.auditor.space()
        assert space.packs == 1
        assert space.stored_bytes == 15 * store.geometry.block_bytes
        assert space.live_bytes == 10 * store.geometry.block_bytes
        assert space.packed_plaintext_bytes == 10 * S
        assert (space.inline_bytes, space.tiny_bytes) == (5016, 316)
        assert (space.objects, space.object_bytes) == (3, 10 * S + 5300)
        assert space.stored_by_live == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("strategy", "reads", "uses"), [("chain", 1.4, 2.4), ("uniform", 2.0, 2.4), ("fresh", 3.0, 0.9)]
)
async def test_tuples_are_counted(strategy: str, reads: float, uses: float) -> None:
    async with memory_store(Geometry(strategy=strategy)) as (store, _parts):
        for number in range(12):
            await put_body(store, content(7 * S, number))
        await store.writer.rest()
        audit = store.auditor.tuples()
        assert (audit.strategy, audit.unreadable, audit.cells) == (strategy, 0, 84)
        assert audit.pairs_used_twice == 0
        assert audit.reads_per_cell == pytest.approx(reads, abs=0.5)
        assert audit.tuples_per_block > uses
        if strategy == "chain":
            assert audit.data_blocks_in_one_tuple == 0
            assert audit.runs_alone == 0


async def test_filler_is_no_hole_in_the_chain() -> None:
    parts = FaultyParts()
    store = parts.store()
    await store.start(background=False)
    await put_body(store, content(3 * S))
    await stage(store, 2 * S, 1)
    await put_body(store, content(2 * S, 2))
    parts.packs.crash()
    store = parts.store()
    await store.start(background=False)
    audit = store.auditor.tuples()
    assert (audit.packs, audit.cells, audit.data_blocks_in_one_tuple) == (1, 5, 0)


async def test_a_manifest_that_cannot_be_read_is_counted() -> None:
    async with faulty_store() as (store, parts):
        pack_id = await filled(store)
        parts.packs.overwrite(pack_id, parts.packs.list()[0].blocks - 1, bytes(store.geometry.block_bytes))
        assert store.auditor.tuples().unreadable == 1


async def test_a_seed_that_is_a_copy_names_its_source() -> None:
    async with memory_store() as (store, _parts):
        for number in range(12):
            await put_body(store, content(7 * S, number))
        await store.writer.rest()
        audit = store.auditor.tuples()
        assert audit.copied_seeds > 0
        assert audit.neutral_seeds >= audit.packs
        assert SeedInfo(None).source_pack is None
