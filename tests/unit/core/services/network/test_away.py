"""Packs that are on nodes only belong to the store: nobody takes them for lost, and nobody waits for nodes unasked."""

import msgspec
import pytest

from noisefs.core.domain.ids import InstanceId, PackId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Pack, Run, decode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.workers import Lane
from noisefs.core.services.maintenance.reconcile import Reconciler
from noisefs.core.services.packs.copies import copies_of, set_copies
from noisefs.core.services.packs.rows import set_pack
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.network import NetworkedStore, networked_store

S = 131072


async def evict_all(net: NetworkedStore) -> PackId:
    """The one pack is on a node only, and its row says so."""
    (pack_id,) = await net.upload("one")

    def mark(tx: Writing) -> None:
        row = copies_of(tx, pack_id)
        assert row is not None
        set_copies(tx, pack_id, msgspec.structs.replace(row, local=False))

    await net.store.commits.run(mark)
    net.take_away()
    return pack_id


async def test_a_lost_file_whose_pack_nodes_hold_is_no_lost_pack() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(9 * S))
        (pack_id,) = await net.upload("one")

        def disown(tx: Writing) -> None:
            raw = tx.get(Table.PACKS, pack_id)
            assert raw is not None
            set_pack(tx, pack_id, msgspec.structs.replace(decode(Pack, raw), owner=InstanceId(bytes(16))))

        await net.store.commits.run(disown)  # as after a restart
        net.take_away()
        assert (await net.store.recovery.mend()).packs_missing == 0
        row = net.parts.index.read(lambda tx: copies_of(tx, pack_id))
        assert row is not None
        assert not row.local
        sequence = net.parts.index.sequence()
        await net.store.recovery.mend(again=True)
        assert net.parts.index.sequence() == sequence  # known by now


async def test_audits_count_packs_on_nodes_as_stored() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(9 * S))
        await evict_all(net)
        assert (await net.workers.run(Lane.NETWORK, net.store.auditor.orphans)).clean
        assert (await net.workers.run(Lane.NETWORK, net.store.auditor.space)).packs == 1
        tuples = await net.workers.run(Lane.NETWORK, net.store.auditor.tuples)
        assert (tuples.packs, tuples.unreadable) == (1, 0)


async def test_a_start_waits_for_no_node() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(9 * S))
        await evict_all(net)
        net.shelves["one"].hangs = True
        await net.store.recovery.run()
        assert not net.shelves["one"].asked


@pytest.mark.parametrize("network", [False, True])
async def test_a_scrub_reads_from_nodes_only_where_asked(network: bool) -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(9 * S))
        await put_body(net.store, content(9 * S + 70_000, 2))
        await net.store.packer.run(flush=True)
        await evict_all(net)
        await put_body(net.store, content(5 * S, 3))
        await net.store.writer.seal()
        report = await net.store.scrubber.run(network=network)
        assert report.clean
        if network:
            assert (report.packs, report.packs_on_nodes, report.bodies_on_nodes) == (2, 0, 0)
            assert report.bytes_verified == 23 * S + 70_000
        else:
            assert (report.packs, report.packs_on_nodes, report.bodies_on_nodes) == (1, 1, 2)
            assert report.bytes_verified == 5 * S
            assert not net.shelves["one"].asked


async def test_a_scrub_finds_what_no_node_has_sound() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(9 * S))
        await evict_all(net)
        net.shelves["one"].damages = True
        report = await net.store.scrubber.run(network=True)
        assert len(report.damaged_packs) == 1
        assert len(report.damaged_bodies) == 1


async def test_a_scrub_tells_of_rot_on_the_disk_though_nodes_have_it_sound() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(9 * S))
        (pack_id,) = await net.upload("one")
        net.parts.packs.overwrite(pack_id, 7, bytes(net.parts.geometry.block_bytes))
        assert not (await net.store.scrubber.run(network=True)).clean
        assert await get_body(net.store, extents) == content(9 * S)


async def test_cleaning_takes_what_lives_out_of_packs_on_nodes() -> None:
    async with networked_store("one") as net:
        dead = await put_body(net.store, content(60 * S))
        kept = await put_body(net.store, content(5 * S + 99, 2))
        await net.store.packer.run(flush=True)
        pack_id = await evict_all(net)
        await drop_body(net.store, dead)
        await net.store.reaper.run()
        cleaned = await net.store.cleaner.run(everything=True)
        assert cleaned.bytes_moved > 0
        assert await get_body(net.store, kept) == content(5 * S + 99, 2)
        runs = net.parts.index.read(lambda tx: tx.scan(Table.RUNS, kept[0].body_id, prefix_end(kept[0].body_id), 10))
        assert pack_id not in {decode(Run, raw).pack_id for _key, raw in runs}


async def test_a_rebuilt_index_keeps_what_lies_on_nodes_though_none_answers() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(9 * S + 70_000))
        await net.store.packer.run(flush=True)
        await evict_all(net)
        net.shelves["one"].down = True
        reconciler = Reconciler(
            net.parts.index,
            net.parts.packs,
            net.store.manifests,
            net.store.cells,
            net.store.keys,
            net.parts.geometry,
        )
        report = await net.workers.run(Lane.NETWORK, reconciler.run)
        assert (report.objects_lost, report.runs_relocated) == ([], 0)
        net.shelves["one"].down = False
        assert await get_body(net.store, extents) == content(9 * S + 70_000)
