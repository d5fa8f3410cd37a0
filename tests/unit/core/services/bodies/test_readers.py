"""Who reads what: pins, cuts, and other processes."""

import pytest

from noisefs.adapters.outbound.memory.presence import MemoryPresence, Neighbourhood
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.records import Extent
from noisefs.core.errors import StorageFailed, Unavailable
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.bodies.readers import Readers
from noisefs.core.services.bodies.references import release
from noisefs.core.services.bodies.watch import ReaderWatch
from noisefs.core.services.maintenance.reaper import Reaper
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, put_body
from tests.support.faults import FaultyParts, S, faulty_store, rows
from tests.support.stores import joined

ONE, TWO = BodyId(b"1" * 16), BodyId(b"2" * 16)


def test_a_body_is_read_until_its_last_reader_leaves() -> None:
    readers = Readers()
    readers.enter([ONE, TWO])
    readers.enter([ONE, ONE])
    readers.leave([ONE, ONE])
    assert readers.reads() == {ONE, TWO}
    readers.leave([ONE, TWO])
    assert readers.reads() == frozenset()


def test_a_body_that_was_claimed_gets_no_new_reader() -> None:
    readers = Readers()
    readers.enter([ONE])
    assert readers.claim([ONE, TWO]) == [TWO]
    with pytest.raises(Unavailable):
        readers.enter([ONE, TWO])
    assert readers.claim([ONE]) == []
    readers.leave([ONE])
    assert readers.claim([ONE]) == [ONE]


def test_a_body_whose_readers_were_cut_waits_for_none_of_them() -> None:
    readers = Readers()
    readers.enter([ONE])
    readers.cut(ONE)
    readers.cut(TWO)
    assert readers.is_cut(ONE)
    assert not readers.is_cut(TWO)
    assert readers.reads() == frozenset()
    assert readers.claim([ONE]) == [ONE]
    readers.leave([ONE])
    assert not readers.is_cut(ONE)


async def delete(store: Store, extents: tuple[Extent, ...]) -> None:
    """Delete (not replace) what these extents belong to."""

    def forget(tx: Writing) -> None:
        release(tx, extents, store.clock.now_us(), deleted=True)
        for extent in extents:
            tx.delete(Table.OBJECTS, bytes(7) + b"\1" + extent.body_id.hex().encode())

    await store.commits.run(forget)


@pytest.mark.parametrize(("deleted", "spared_s", "cut_s"), [(True, 45, 46), (False, 3599, 3601)])
async def test_readers_of_a_deleted_object_are_cut_soon_and_of_a_replaced_one_late(
    deleted: bool, spared_s: int, cut_s: int
) -> None:
    async with faulty_store() as (store, parts):
        extents = await put_body(store, content(30 * S))
        opened = store.index.read(lambda tx: store.body_reader.open(tx, extents))
        chunks = opened.chunks(0, 30 * S)
        assert bytes(await anext(chunks))
        await (delete if deleted else drop_body)(store, extents)
        parts.clock.advance(spared_s)
        await store.watch.run()
        assert bytes(await anext(chunks))
        assert await store.reaper.run() == 0
        parts.clock.advance(cut_s - spared_s)
        await store.watch.run()
        # Its cells go although the client does not even ask for more.
        assert await store.reaper.run() == 1
        assert rows(store, Table.RUNS) == 0
        with pytest.raises(Unavailable):
            await joined(chunks)
        opened.close()


async def test_what_a_process_reads_is_told_to_others_and_waits_for_it() -> None:
    street = Neighbourhood()
    reader, other = MemoryPresence(InstanceId(b"r" * 16), street), MemoryPresence(InstanceId(b"o" * 16), street)
    async with faulty_store() as (store, parts):
        watch = ReaderWatch(
            index=store.index, workers=store.workers, clock=parts.clock, presence=reader, readers=store.readers
        )
        reaper = Reaper(
            index=store.index,
            commits=store.commits,
            workers=store.workers,
            readers=Readers(),
            discards=store.body_writer.discards,
            gate=store.gate,
            presence=other,
            clock=parts.clock,
            geometry=store.geometry,
        )
        extents = await put_body(store, content(3 * S))
        opened = store.index.read(lambda tx: store.body_reader.open(tx, extents))
        await drop_body(store, extents)
        assert await reaper.run(min_age_us=5_000_000) == 0  # the reader may not be known yet
        await watch.run()
        assert other.others_read()[0] == {extents[0].body_id}
        parts.clock.advance(6)
        assert await reaper.run(min_age_us=5_000_000) == 0
        opened.close()
        await watch.run()
        assert await reaper.run(min_age_us=5_000_000) == 1


class Restless(MemoryPresence):
    """Others that cannot be asked."""

    def others_read(self) -> tuple[set[BodyId], set[PackId]]:
        """They change too fast."""
        raise StorageFailed("ask again")


async def test_nothing_is_released_while_others_cannot_be_asked() -> None:
    parts = FaultyParts()
    store = parts.store()
    reaper = Reaper(
        index=store.index,
        commits=store.commits,
        workers=store.workers,
        readers=store.readers,
        discards=store.body_writer.discards,
        gate=store.gate,
        presence=Restless(InstanceId(b"r" * 16)),
        clock=parts.clock,
        geometry=store.geometry,
    )
    await drop_body(store, await put_body(store, content(3 * S)))
    with pytest.raises(StorageFailed):
        await reaper.run()
    assert rows(store, Table.RUNS) == 1
