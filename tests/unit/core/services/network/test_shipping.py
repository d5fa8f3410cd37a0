"""Snapshot files and heads on nodes, and a store that comes back from them."""

import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest

from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.files.log_file import Record
from noisefs.core.domain.files.log_records import seal_records
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.keyspace import head_row_key
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import car_of
from noisefs.core.domain.nodes.file_parts import part_name, whole_name
from noisefs.core.domain.nodes.root import RootKind, RootMeta, RootSealer, links_of, root_id
from noisefs.core.domain.sealing.head import Head
from noisefs.core.errors import InvalidArgument, StoreNotFound, StoreSuperseded, WrongRootKey
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.nodes import Car
from noisefs.core.ports.telemetry import Gauge
from noisefs.core.services.network.heads.files import file_rows
from noisefs.core.services.network.heads.heads import head_rows
from noisefs.core.services.network.restoring.survey import find_store, survey
from noisefs.core.services.snapshots.service import SnapshotSettings
from tests.support.gateways import Gateway, names_on, restored
from tests.support.snapshots import everything
from tests.support.stores import KEYS


def three() -> list[MemoryNode]:
    """Nodes that are connected with each other."""
    nodes = [MemoryNode(name) for name in ("north", "east", "west")]
    for node in nodes:
        node.swarm = nodes
    return nodes


def roots_of(node: MemoryNode, kind: RootKind) -> list[str]:
    """Names of the files a node has pinned."""
    sealer = RootSealer(KEYS.store_id, KEYS.store_key)
    opened = [sealer.open(node.blocks[root]) for root in node.pinned]
    return sorted(root.meta.name for root in opened if root.meta.kind == kind)


# ------------------------------------------------------------------ files


async def test_a_snapshot_goes_onto_as_many_nodes_as_wanted_and_heads_onto_all() -> None:
    """And its blocks are noise of one size: nothing of the file's own header is in the clear."""
    nodes = three()
    gateway = await Gateway(nodes, copies=2).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    (name,) = gateway.files_on_nodes()
    assert len(gateway.files_on_nodes()[name]) == 2
    assert sum(roots_of(node, RootKind.FILE) == [name] for node in nodes) == 2
    assert [len(names_on(node)) for node in nodes] == [1, 1, 1]
    holder = next(node for node in nodes if node.pinned)
    (root,) = holder.pinned
    for link in links_of(holder.blocks[root]):
        block = holder.blocks[link]
        assert len(block) == Geometry().block_bytes
        assert b"NFSS" not in block
        assert len(set(block)) == 256


async def test_only_new_files_travel() -> None:
    """An increment, and nothing where nothing changed."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one", b"x" * 500_000)
    await gateway.shipping.run()
    first = node.calls["import"]
    await gateway.shipping.run()
    assert (node.calls["import"], node.calls["put_head"]) == (first, 1)
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert (node.calls["import"], node.calls["put_head"]) == (first + 1, 2)
    assert len(roots_of(node, RootKind.FILE)) == 2


async def test_an_expired_set_goes_from_nodes_after_the_head_that_needs_it() -> None:
    """Its root waits to be unpinned only once no head on any node names it."""
    nodes = three()
    gateway = await Gateway(nodes, settings=SnapshotSettings(set_age_s=0, keep_sets=1)).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    (old,) = gateway.files_on_nodes()
    nodes[0].down = True
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert old in gateway.files_on_nodes(), "the head on the node that is down still names it"
    assert [len(names_on(node)) for node in nodes] == [1, 2, 2], "nor does the head go elsewhere before it goes there"
    nodes[0].down = False
    await gateway.heal()
    await gateway.shipping.run()
    assert old not in gateway.files_on_nodes()
    assert [len(names_on(node)) for node in nodes] == [1, 1, 1]


async def test_a_node_that_was_removed_keeps_nothing_waiting() -> None:
    """What it held goes with it."""
    nodes = three()
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    gateway.network = nodes[1:]
    await gateway.boot()
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert len(gateway.index.read(head_rows)) == 1


async def test_a_file_finds_another_node_when_one_fails() -> None:
    """And the head does not wait for the one that is down."""
    nodes = three()
    gateway = await Gateway(nodes, copies=2).boot()
    nodes[0].refusing = nodes[1].full = True
    await gateway.write(b"one")
    await gateway.shipping.run()
    assert set(gateway.files_on_nodes().popitem()[1]) == {"west"}
    assert names_on(nodes[2])
    nodes[0].refusing = nodes[1].full = False
    await gateway.heal()
    await gateway.shipping.run()
    assert len(gateway.files_on_nodes().popitem()[1]) == 2
    assert all(names_on(node) for node in nodes)


async def test_a_node_whose_garbage_is_collected_holds_nothing_up() -> None:
    """It gets the head later."""
    nodes = three()
    gateway = await Gateway(nodes, settings=SnapshotSettings(set_age_s=0, keep_sets=1)).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    gateway.nodes.close_to_new("north", closed=True)
    async with gateway.nodes.changing("north"):
        await gateway.write(b"two")
        assert (await gateway.shipping.create())[1]
        assert [len(names_on(node)) for node in nodes] == [1, 2, 2]
    gateway.nodes.close_to_new("north", closed=False)
    await gateway.shipping.run()
    assert [len(names_on(node)) for node in nodes] == [1, 1, 1]


async def test_without_any_node_a_snapshot_stays_here_and_goes_later() -> None:
    """Nothing is lost, nothing raised."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    node.down = True
    await gateway.heal()
    await gateway.write(b"one")
    await gateway.shipping.run()
    assert not names_on(node)
    node.down = False
    await gateway.heal()
    assert gateway.telemetry.gauged(Gauge.SNAPSHOT_ON_NODES) is None
    info, shipped = await gateway.shipping.create()
    assert shipped
    assert gateway.telemetry.gauged(Gauge.SNAPSHOT_ON_NODES) == info.created_us / 1e6
    assert gateway.flushed == 1
    assert names_on(node)


# ------------------------------------------------------------------ files that are too long for one root


async def long_gateway(nodes: Sequence[MemoryNode], copies: int = 1) -> Gateway:
    """Its snapshots have more blocks than a root may link."""
    gateway = await Gateway(nodes, copies=copies, most_blocks=2).boot()
    await gateway.write(b"one", random.Random(1).randbytes(900_000))
    return gateway


async def test_a_long_file_goes_in_parts_and_comes_back() -> None:
    """With the increment that builds on it, on another machine."""
    (node,) = nodes = [MemoryNode()]
    gateway = await long_gateway(nodes)
    await gateway.shipping.run()
    (whole,) = [name for name in gateway.files_on_nodes() if whole_name(name) == name]
    parts = roots_of(node, RootKind.PART)
    assert sorted(gateway.files_on_nodes()) == parts == [whole, *(part_name(whole, number) for number in range(3))]
    assert all(len(links_of(node.blocks[root])) <= 2 for root in node.pinned)
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert len(roots_of(node, RootKind.FILE)) == 1, "the increment is short"
    before = node.calls["import"]
    await gateway.shipping.run()
    assert node.calls["import"] == before
    back, found, warnings = await restored(nodes)
    assert warnings == []
    assert len(found.snapshots.chain) == 2
    assert back.objects() == gateway.objects()
    assert back.files_on_nodes() == gateway.files_on_nodes(), "no part is forgotten, or unpinned"


async def test_parts_go_with_their_file() -> None:
    (node,) = nodes = [MemoryNode()]
    gateway = await long_gateway(nodes)
    gateway.settings = SnapshotSettings(set_age_s=0, keep_sets=1)
    await gateway.boot()
    await gateway.shipping.run()
    old = set(gateway.files_on_nodes())
    roots = set(node.pinned)
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert len(old) == 4
    assert not old & gateway.files_on_nodes().keys()
    assert roots <= gateway.unpins(node)


async def test_parts_that_are_there_do_not_travel_again() -> None:
    """Where a node fails in the middle of a file; and the last part is never there without the others."""
    nodes = three()
    gateway = await long_gateway(nodes, copies=2)
    nodes[0].down = nodes[1].down = True
    await gateway.heal()
    await gateway.shipping.run()
    first = gateway.files_on_nodes()
    assert all(held == ("west",) for held in first.values())
    sent = nodes[2].calls["import"]
    nodes[0].down = False
    await gateway.heal()
    await gateway.shipping.run()
    assert nodes[2].calls["import"] == sent
    assert all(set(held) == {"north", "west"} for held in gateway.files_on_nodes().values())


async def test_a_long_file_of_which_a_part_is_lost_is_passed_over_and_told() -> None:
    """The snapshot before it is restored."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes, settings=SnapshotSettings(set_age_s=0), most_blocks=2).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    await gateway.write(b"two", random.Random(1).randbytes(900_000))
    await gateway.shipping.run()
    sealer = RootSealer(KEYS.store_id, KEYS.store_key)
    (lost,) = [
        name for name in node.pinned if (meta := sealer.open(node.blocks[name]).meta).kind == 5 and meta.first == 1
    ]
    del node.blocks[lost], node.pinned[lost]
    back, _found, warnings = await restored(nodes)
    assert back.objects().keys() == {b"one"}
    assert any("part 1 of it cannot be had" in warning for warning in warnings)


async def test_a_long_file_that_no_head_names_is_found() -> None:
    """The gateway was lost between the last part and the head."""
    node = BreakingNode()
    gateway = await long_gateway([node])
    await gateway.shipping.run()
    gateway.settings = SnapshotSettings(set_age_s=86_400)
    await gateway.write(b"two", random.Random(2).randbytes(900_000))
    node.steps, node.crash_at = 0, 3 * 4 + 1  # three steps for each part, and then the head
    with contextlib.suppress(Crash):
        await gateway.shipping.run()
    node.crash_at = -1
    assert len(names_on(node)) == 1
    assert len(roots_of(node, RootKind.PART)) == 8
    back, _found, _warnings = await restored([node])
    assert back.objects().keys() == {b"one", b"two"}


class Crash(Exception):
    """The machine stops."""


class BreakingNode(MemoryNode):
    """Lets the gateway crash before or after one of its calls."""

    crash_at = -1
    steps = 0

    async def _answer(self, call: str, wait_s: float | None = None, *, counted: bool = True) -> None:
        if call in ("import", "put_head", "drop_head"):
            self.steps += 1
            if self.steps == self.crash_at:
                raise Crash
        await super()._answer(call, wait_s, counted=counted)

    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        await super().put_head(store_id, name, data)
        self._after()

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        confirmed = await super().import_car(car, copies=copies)
        self._after()
        return confirmed

    def _after(self) -> None:
        self.steps += 1
        if self.steps == self.crash_at:
            raise Crash


@pytest.mark.parametrize("crash_at", range(1, 18))
async def test_a_crash_at_any_step_leaves_a_state_to_go_on_from_and_to_restore_from(crash_at: int) -> None:
    """Never two heads under one name, never a head without its snapshot, never an alarm about oneself."""
    node = BreakingNode()
    gateway = await Gateway([node], settings=SnapshotSettings(set_age_s=0, keep_sets=1)).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    node.crash_at, node.steps = crash_at, 0
    for key in (b"two", b"three"):
        await gateway.write(key)
        with contextlib.suppress(Crash):
            await gateway.shipping.run()
        rows = gateway.index.read(file_rows).values()
        known = {row.root for row in rows if node.name in (*row.nodes, *row.asked)}
        assert node.pinned.keys() <= known | gateway.unpins(node), "what is pinned is in a row that names the node"
        await gateway.boot()
    node.crash_at = -1
    back, found, _warnings = await restored([node])
    assert back.objects().keys() >= {b"one"}
    assert found.snapshots.unusable == ()
    # The gateway that crashed was never told to stop before that restore, and is now.
    with pytest.raises(StoreSuperseded):
        await gateway.shipping.run()


@pytest.mark.parametrize("crash_at", range(1, 18))
async def test_after_a_crash_at_any_step_the_next_round_brings_all_there(crash_at: int) -> None:
    """With one head, one snapshot that it needs, and all that was written."""
    node = BreakingNode()
    gateway = await Gateway([node], settings=SnapshotSettings(set_age_s=0, keep_sets=1)).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    node.crash_at, node.steps = crash_at, 0
    await gateway.write(b"two")
    with contextlib.suppress(Crash):
        await gateway.shipping.run()
    node.crash_at = -1
    await gateway.boot()
    await gateway.write(b"three")
    await gateway.shipping.run()
    await gateway.shipping.run()
    assert len(names_on(node)) == 1
    back, _found, warnings = await restored([node])
    assert back.objects().keys() == {b"one", b"two", b"three"}
    assert warnings == []


# ------------------------------------------------------------------ other gateways


async def test_a_gateway_whose_store_was_restored_elsewhere_stops() -> None:
    """Its writes are refused from the first look on, and it lets go of nothing."""
    nodes = three()
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    other, _found, _warnings = await restored(nodes)
    await other.boot()
    assert await gateway.heads.owns() is False
    with pytest.raises(StoreSuperseded, match="restored elsewhere"):
        await gateway.write(b"two")
    await other.write(b"three")
    await other.shipping.run()
    assert other.objects().keys() == {b"one", b"three"}
    assert not other.heads.superseded


def put(table: Table, key: bytes, value: bytes, tx: Writing) -> None:
    """One row."""
    tx.put(table, key, value)


async def test_a_copy_of_a_folder_and_its_original_notice_each_other() -> None:
    """Whoever sees the other's head first stops first; the other one at its next look."""
    nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    copy = Gateway(nodes, seed=9, head=gateway.keeper.read())
    for (table, key), value in everything(gateway.index).items():
        copy.index.transact([partial(put, table, key, value)])
    await copy.boot()
    assert await copy.heads.owns()
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert await copy.heads.owns() is False
    with pytest.raises(StoreSuperseded):
        await copy.write(b"three")
    assert await gateway.heads.owns()


async def test_two_restores_at_the_same_time_cannot_both_win() -> None:
    """They would write one name: the second finds another head under it."""
    nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    before = dict(nodes[0].kept_heads[KEYS.store_id])
    one, _found, _warnings = await restored(nodes)
    after = dict(nodes[0].kept_heads[KEYS.store_id])
    nodes[0].kept_heads[KEYS.store_id] = before
    two, _found, _warnings = await restored(nodes, seed=3)
    nodes[0].kept_heads[KEYS.store_id] = after
    await one.boot()
    await two.boot()
    await two.write(b"two")
    with pytest.raises(StoreSuperseded):
        await two.shipping.run()
    assert await one.heads.owns()


async def test_made_up_and_old_heads_stop_nobody() -> None:
    """Only what opens under the root key counts; one of ours that came back from a node's backup is old."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    (old,) = node.kept_heads[KEYS.store_id].items()
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert old[0] not in names_on(node)
    node.kept_heads[KEYS.store_id] |= {
        old[0]: old[1],
        "00000000000000ff-00000000000000ff": b"made up",
        "00000000000000fe-00000000000000ff": old[1],
        "garbage": b"",
    }
    assert await gateway.heads.owns()
    await gateway.write(b"three")
    await gateway.shipping.run()
    assert old[0] not in names_on(node), "what is stale is taken away again"
    assert "00000000000000ff-00000000000000ff" in names_on(node), "what is not ours stays"


async def test_a_row_that_a_power_failure_took_is_no_other_gateway() -> None:
    """With ``sync = os`` the index may lose its last commits; the head on this disk tells."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    (name,) = names_on(node)
    gateway.index.transact([lambda tx: tx.delete(Table.META, head_row_key(name))])
    await gateway.boot()
    assert await gateway.heads.owns()
    await gateway.write(b"two")
    await gateway.shipping.run()
    assert len(names_on(node)) == 1


async def test_nodes_that_do_not_answer_are_not_waited_for() -> None:
    """Whoever is cut off goes on."""
    nodes = three()
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    for node in nodes:
        node.down = True
    assert await gateway.heads.owns()
    await gateway.write(b"two")


# ------------------------------------------------------------------ restoring


async def test_everything_comes_back_from_one_of_three_nodes_two_generations_long() -> None:
    """Increments too, and again after the first restore."""
    nodes = three()
    gateway = await Gateway(nodes, copies=3).boot()
    written: set[bytes] = set()
    for generation in range(2):
        for number in range(5):
            key = b"%d-%d" % (generation, number)
            written.add(key)
            await gateway.write(key, key * 1000)
            await gateway.shipping.run()
        gateway, found, warnings = await restored(nodes[generation : generation + 1], seed=7 + generation, copies=3)
        gateway.network = nodes
        await gateway.boot()
        assert gateway.objects().keys() == written
        assert len(found.snapshots.chain) == 5
        assert warnings == []
        assert await gateway.heads.owns()


async def test_a_node_that_offers_an_old_head_is_told_and_not_believed() -> None:
    """The newest one counts, wherever it is."""
    nodes = three()
    gateway = await Gateway(nodes, copies=3).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    old = dict(nodes[0].kept_heads[KEYS.store_id])
    await gateway.write(b"two")
    await gateway.shipping.run()
    nodes[0].kept_heads[KEYS.store_id] = old
    back, _found, warnings = await restored(nodes)
    assert back.objects().keys() == {b"one", b"two"}
    assert any("north offers" in warning for warning in warnings)


async def test_a_snapshot_that_no_head_names_yet_is_used() -> None:
    """It reached the nodes before the gateway was lost; the head did not. A node that hides heads hides less."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    await gateway.write(b"two")
    await gateway.taken.create()
    await gateway.files.place()
    back, _found, _warnings = await restored(nodes)
    assert back.objects().keys() == {b"one", b"two"}
    assert len(names_on(node)) == 2


async def test_a_damaged_newest_snapshot_is_passed_over_and_told() -> None:
    """What is behind it comes back; another node's whole copy is taken where there is one."""
    nodes = three()[:2]
    gateway = await Gateway(nodes, copies=2).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    before = {link for root in nodes[0].pinned for link in links_of(nodes[0].blocks[root])}
    await gateway.write(b"two")
    await gateway.shipping.run()
    newest = {link for root in nodes[0].pinned for link in links_of(nodes[0].blocks[root])} - before
    nodes[0].damaged |= newest
    back, _found, warnings = await restored(nodes)
    assert back.objects().keys() == {b"one", b"two"}
    nodes[1].damaged |= newest
    back, _found, warnings = await restored(nodes, seed=5)
    assert back.objects().keys() == {b"one"}
    assert any("cannot be read" in warning for warning in warnings)


async def test_a_rotated_root_key_is_not_passed_over_for_an_old_head() -> None:
    """An old key must not bring back an old state."""
    nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()

    def refused(_raw: bytes) -> Head:
        raise WrongRootKey("no")

    with pytest.raises(WrongRootKey, match="on node memory"):
        await survey(nodes, KEYS.store_id, refused, InlineWorkers())


async def test_several_stores_on_nodes_have_to_be_named() -> None:
    """And one that nobody holds is refused."""
    node = MemoryNode()
    with pytest.raises(StoreNotFound):
        await find_store([node], None)
    one, two = StoreId(b"1" * 16), StoreId(b"2" * 16)
    for store in (one, two):
        await node.put_head(store, "0000000000000001-0000000000000001", b"head")
    with pytest.raises(InvalidArgument, match="--store"):
        await find_store([node], None)
    assert (await find_store([node], two))[0] == two
    with pytest.raises(StoreNotFound):
        await find_store([node], StoreId(b"3" * 16))


async def test_a_node_that_is_down_is_told() -> None:
    """Its copies may still be there."""
    nodes = three()
    gateway = await Gateway(nodes, copies=3).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    (first,) = gateway.files_on_nodes()
    await gateway.write(b"two")
    await gateway.shipping.run()
    nodes[2].down = True
    back, _found, warnings = await restored(nodes)
    assert any("west" in warning for warning in warnings)
    assert set(back.files_on_nodes()[first]) == {"north", "east", "west"}


async def test_a_head_without_a_snapshot_that_can_be_had_is_refused() -> None:
    """Better than an empty store."""
    nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    nodes[0].blocks.clear()
    with pytest.raises(Exception, match="does not exist"):
        await restored(nodes)


# ------------------------------------------------------------------ log records


async def put_records(gateway: Gateway, node: MemoryNode, first: int, last: int, rows: dict[bytes, bytes]) -> None:
    """What a durable write brings onto a node: rows as commits ``first`` to ``last`` left them."""
    key = gateway.keeper.list()[-1]
    tables: list[tuple[str, list[tuple[bytes, bytes | None]]]] = [(Table.OBJECTS.value, list(rows.items()))]
    size = Geometry().block_bytes
    blocks, size_bytes = seal_records(
        [Record(last, tables)],
        store_id=KEYS.store_id,
        store_key=KEYS.store_key,
        key=key,
        file_id=gateway.entropy.secret(16),
        block_bytes=size,
    )
    links = tuple(compute_block_id(block) for block in blocks)
    epoch = gateway.keeper.read().head.epoch.counter
    meta = RootMeta(
        RootKind.LOG, count=len(links), log_first=first, log_number=last, size_bytes=size_bytes, epoch=epoch
    )
    raw = RootSealer(KEYS.store_id, KEYS.store_key).seal(links, meta, nonce=gateway.entropy.secret(12))
    stream = car_of(root_id(raw), [*zip(links, blocks, strict=True), (root_id(raw), raw)])

    async def parts() -> AsyncIterator[bytes]:
        yield stream

    await node.import_car(Car(root_id(raw), len(stream), len(blocks) + 1, parts))


async def test_log_records_behind_the_snapshot_are_applied_up_to_the_first_gap() -> None:
    """What follows a gap is told; numbers go on behind all of them."""
    (node,) = nodes = [MemoryNode()]
    gateway = await Gateway(nodes).boot()
    await gateway.write(b"one")
    await gateway.shipping.run()
    upto = gateway.keeper.read().head.snapshot.index_sequence  # type: ignore[union-attr]  # there is one
    await put_records(gateway, node, upto + 1, upto + 3, {b"two": b"2"})
    await put_records(gateway, node, upto + 2, upto + 4, {b"two": b"2", b"three": b"3"})
    await put_records(gateway, node, upto + 7, upto + 8, {b"lost": b"4"})
    heads = dict(node.kept_heads[KEYS.store_id])
    back, found, warnings = await restored(nodes)
    assert back.objects().keys() == {b"one", b"two", b"three"}
    assert (found.reached, found.log_files) == (upto + 4, 2)
    assert any(f"{upto + 5} to {upto + 8}" in warning for warning in warnings)
    assert back.index.sequence() >= upto + 8
    # One that cannot be read is gone round, where others overlap it.
    nodes[0].kept_heads[KEYS.store_id] = heads
    sealer = RootSealer(KEYS.store_id, KEYS.store_key)
    (first,) = (
        opened
        for root in node.pinned
        if (opened := sealer.open(node.blocks[root])).meta.log_number == upto + 4 and opened.meta.kind == RootKind.LOG
    )
    node.damaged = set(first.links)
    back, found, warnings = await restored(nodes, seed=3)
    assert back.objects().keys() == {b"one", b"two"}
    assert any("cannot be read" in warning for warning in warnings)
    again, found, _warnings = await restored(nodes, seed=4)
    assert again.objects().keys() == {b"one"}, "records of another epoch are another course of history"
