"""An index restored from an older moment finds what the cleaner moved meanwhile."""

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.core.domain.records import Extent, PackState
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.maintenance.cleaner import next_generation
from noisefs.core.services.maintenance.reconcile import Reconciler, release_quarantined
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.packs.recovery import pack_rows
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.stores import memory_store

S = 131072


def copy_of(index: MemoryIndex) -> dict[Table, list[tuple[bytes, bytes]]]:
    """Every row, as a snapshot would hold it."""
    return {table: list(walk(index, table)) for table in Table}


def go_back(index: MemoryIndex, rows: dict[Table, list[tuple[bytes, bytes]]]) -> None:
    """Make the index what it was."""
    now = copy_of(index)

    def restore(tx: Writing) -> None:
        for table, pairs in now.items():
            for key, _value in pairs:
                tx.delete(table, key)
        for table, pairs in rows.items():
            for key, value in pairs:
                tx.put(table, key, value)

    (outcome,) = index.transact([restore])
    assert outcome.error is None


def reconciler(store: Store) -> Reconciler:
    return Reconciler(store.index, store.packs, store.manifests, store.cells, store.keys, store.geometry)


async def test_moved_cells_and_slices_are_found_again() -> None:
    async with memory_store() as (store, parts):
        kept: list[tuple[tuple[Extent, ...], bytes]] = []
        dropped: list[tuple[tuple[Extent, ...], bytes]] = []
        for n in range(120):
            body = (await put_body(store, content(9 * S + 300 * n, n)), content(9 * S + 300 * n, n))
            (kept if n % 2 else dropped).append(body)
        await store.packer.run(flush=True)
        await store.writer.rest()
        before = copy_of(parts.index)
        for extents, _data in dropped:
            await drop_body(store, extents)
        await store.reaper.run()
        cleaned = await store.cleaner.run(everything=True)
        assert cleaned.packs_dropped
        go_back(parts.index, before)

        report = reconciler(store).run()

        assert report.runs_relocated
        assert report.slices_relocated
        for extents, data in kept:
            assert await get_body(store, extents) == data
        assert len(report.objects_lost) == len(dropped)
        assert reconciler(store).run().runs_relocated == 0


async def test_packs_with_unknown_bodies_wait_for_the_operator() -> None:
    async with memory_store() as (store, parts):
        before = copy_of(parts.index)
        await put_body(store, content(20 * S))
        await store.writer.rest()
        go_back(parts.index, before)

        report = reconciler(store).run()

        assert len(report.packs_quarantined) == 1
        await store.cleaner.run(everything=True)
        assert len(parts.packs.list()) == 1
        assert await store.commits.run(lambda tx: release_quarantined(tx, store.presence.instance_id)) == 1
        assert {row.state for row in parts.index.read(pack_rows).values()} == {PackState.SEALED}
        await store.cleaner.run(everything=True)
        assert parts.packs.list() == []


async def test_slices_of_unknown_bodies_wait_for_the_operator_too_however_often_it_is_run() -> None:
    async with memory_store() as (store, parts):
        before = copy_of(parts.index)
        for n in range(30):
            await put_body(store, content(9000, n))
        await store.packer.run(flush=True)
        await store.writer.rest()
        go_back(parts.index, before)

        assert len(reconciler(store).run().packs_quarantined) == 1
        reconciler(store).run()

        await store.cleaner.run(everything=True)
        assert len(parts.packs.list()) == 1
        assert {row.state for row in parts.index.read(pack_rows).values()} == {PackState.QUARANTINED}


async def test_a_pack_that_was_open_keeps_what_came_after() -> None:
    async with memory_store() as (store, parts):
        extents = await put_body(store, content(5 * S))
        before = copy_of(parts.index)
        await put_body(store, content(20 * S, 1))
        await store.writer.rest()
        go_back(parts.index, before)

        assert len(reconciler(store).run().packs_quarantined) == 1

        assert await get_body(store, extents) == content(5 * S)
        assert not list(walk(parts.index, Table.PLACEMENTS))


async def test_a_generation_of_a_pack_is_not_given_again() -> None:
    async with memory_store() as (store, parts):
        kept = [await put_body(store, content(9 * S, n)) for n in range(40)]
        await store.writer.rest()
        before = copy_of(parts.index)
        for extents in kept[::2]:
            await drop_body(store, extents)
        await store.reaper.run()
        await store.cleaner.run(everything=True)
        given = max(row.generation for row in parts.index.read(pack_rows).values())
        assert given
        go_back(parts.index, before)

        reconciler(store).run()

        assert await store.commits.run(next_generation) > given
