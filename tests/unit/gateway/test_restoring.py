"""A store comes back into an empty folder from nodes in memory: packs, moved cells, open packs, and what is lost."""

from pathlib import Path

import pytest

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.domain.sealing.spelled_key import read_spelled_key, spell_key
from noisefs.core.errors import ForeignDirectory, NodeUnavailable, StoreSuperseded, WrongRootKey
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder, State
from noisefs.gateway.making import make_store
from tests.support.gateways import ROOT_KEY, names_on
from tests.support.lost_machine import Machine, check_read, restore, restored_store
from tests.support.upkeep import S, three


async def test_every_body_is_read_through_nodes_after_the_loss_of_the_machine(tmp_path: Path) -> None:
    """Large and small, packed and inline, and the audits are clean."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    for size in (3 * S + 7, 100, 5000, S, 40_000):
        await machine.put(size)
    await machine.world.store.packer.run()
    await machine.put(2000, seal=False)
    _info, shipped = await machine.shipping.create()
    assert shipped
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.objects_lost == []
    assert back.packs_lost == []
    assert back.warnings == []
    assert back.head.epoch.counter == 2
    assert Folder(tmp_path / "data").state() is State.STORE
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)
        audit = store.auditor.orphans()
        assert (audit.runs_without_pack, audit.wrong_live_counts, audit.wrong_reference_counts) == (0, 0, 0)
        assert (audit.bodies_without_reference, audit.references_without_body) == (0, 0)
        assert (await store.scrubber.run()).clean


async def test_what_was_moved_after_the_snapshot_is_found_by_manifests(tmp_path: Path) -> None:
    """The cleaner dropped the pack that the snapshot names; its cells are in one that the snapshot does not know."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    for _ in range(4):
        await machine.put(3 * S, seal=False)
    await machine.shipping.create()
    world = machine.world
    world.kept = [extents for extents, _data in machine.written]
    del machine.written[:2]
    await world.forget(2)
    await world.store.cleaner_writer.seal()
    await world.settle(3)
    await world.store.cleaner.run(everything=True)  # what was moved has its copies now
    await world.settle(3)
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.runs_relocated
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)


async def test_what_was_packed_since_the_last_snapshot_is_no_less_safe(tmp_path: Path) -> None:
    """Small objects leave the index for an open pack: the next snapshot, which names it, waits for it."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    for _ in range(40):
        await machine.put(9000, seal=False)
    await machine.shipping.run()
    await machine.world.store.packer.run()
    await machine.shipping.run()
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.objects_lost == []
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)


async def test_what_was_moved_into_a_pack_that_is_nowhere_is_found_where_it_was(tmp_path: Path) -> None:
    """The snapshot names the cleaner's pack, which no node has; the one it came from is still there."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    for _ in range(4):
        await machine.put(3 * S, seal=False)
    await machine.shipping.create()
    machine.world.kept = [extents for extents, _data in machine.written]
    del machine.written[:2]
    await machine.world.forget(2)
    await machine.snapshots.create()
    await machine.shipping.ship()
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.objects_lost == []
    assert back.settled.runs_relocated
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)


async def test_what_was_on_no_node_yet_is_told_by_name(tmp_path: Path) -> None:
    """Class ``local``: a pack that was sealed, or open, and not uploaded when the snapshot went."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(3 * S)
    await machine.flush()
    await machine.put(2 * S)
    await machine.put(2 * S, seal=False)
    await machine.snapshots.create()
    await machine.shipping.ship()
    back = await restore(tmp_path / "data", nodes)
    assert len(back.settled.objects_lost) == 2
    assert len(back.packs_lost) == 2
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written[:1])


async def test_a_pack_uploaded_after_the_snapshot_counts(tmp_path: Path) -> None:
    """It was open when the snapshot was taken; its root is pinned now."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(3 * S, seal=False)
    await machine.snapshots.create()
    await machine.shipping.ship()
    await machine.flush()
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.objects_lost == []
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)


async def test_one_of_three_nodes_is_enough_where_each_has_a_copy(tmp_path: Path) -> None:
    """And the store goes on: a second restore has what was written since."""
    nodes = three()
    machine = await Machine(*nodes, copies=3).begin()
    await machine.put(3 * S)
    await machine.shipping.create()
    back = await restore(tmp_path / "data", nodes[2:])
    assert back.settled.objects_lost == []
    async with restored_store(tmp_path / "data", nodes[2:]) as store:
        await check_read(store, machine.written)


async def test_damaged_blocks_of_one_node_are_read_from_another(tmp_path: Path) -> None:
    """Snapshots, roots, manifests, cells."""
    nodes = three()
    machine = await Machine(*nodes, copies=2).begin()
    await machine.put(3 * S)
    await machine.shipping.create()
    nodes[0].damaged = set(nodes[0].blocks)
    back = await restore(tmp_path / "data", nodes)
    assert back.settled.objects_lost == []
    async with restored_store(tmp_path / "data", nodes) as store:
        await check_read(store, machine.written)


async def test_the_old_gateway_stops_when_its_store_was_restored(tmp_path: Path) -> None:
    """At its next look at the nodes' heads."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(S)
    await machine.shipping.create()
    await restore(tmp_path / "data", nodes)
    assert not await machine.heads.owns()
    with pytest.raises(StoreSuperseded):
        await machine.put(S)


async def test_a_wrong_key_an_occupied_folder_and_silent_nodes_change_nothing(tmp_path: Path) -> None:
    """No new head, and no store in the folder."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(S)
    await machine.shipping.create()
    heads = names_on(nodes[0])
    with pytest.raises(WrongRootKey):
        await restore(tmp_path / "data", nodes, b"another root key of thirty-two b")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(ForeignDirectory):
        await restore(tmp_path / "other", nodes)
    for node in nodes:
        node.down = True
    with pytest.raises(NodeUnavailable, match="cannot be asked"):
        await restore(tmp_path / "data", nodes)
    for node in nodes:
        node.down = False
    assert names_on(nodes[0]) == heads
    await restore(tmp_path / "data", nodes)
    with pytest.raises(ForeignDirectory):
        await restore(tmp_path / "data", nodes)


async def test_a_restore_that_no_node_can_be_told_of_is_refused(tmp_path: Path) -> None:
    """Another gateway could go on."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(S)
    await machine.shipping.create()
    for node in nodes:
        node.full = True
    with pytest.raises(NodeUnavailable, match="new epoch"):
        await restore(tmp_path / "data", nodes)
    assert Folder(tmp_path / "data").state() is State.UNFINISHED
    with pytest.raises(ForeignDirectory, match="run it again"):
        await make_store(Folder(tmp_path / "data"), Config(), MemoryTelemetry())
    for node in nodes:
        node.full = False
    await restore(tmp_path / "data", nodes)


async def test_the_key_of_the_sheet_opens_the_store(tmp_path: Path) -> None:
    """Typed as it is printed."""
    nodes = three()
    machine = await Machine(*nodes).begin()
    await machine.put(S)
    await machine.shipping.create()
    await restore(tmp_path / "data", nodes, read_spelled_key(spell_key(ROOT_KEY)))
