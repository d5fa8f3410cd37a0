"""Sealed packs go onto nodes, whatever fails on the way."""

import asyncio
from collections import Counter as Tally

import pytest

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.keyspace import interim_key
from noisefs.core.domain.nodes.root import RootKind
from noisefs.core.domain.records import Bucket, Copies, Interim, encode
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.network.nodes.registry import FULL_REST_S
from noisefs.core.services.network.service import NetworkSettings
from noisefs.core.services.packs.copies import let_go
from tests.support.upkeep import ShakyNode, Upkeep, three, upkeep


async def test_a_sealed_pack_goes_onto_one_node_and_its_root_says_what_it_is() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await world.fill()

        done = await world.network.uploads.run()

        assert (done.confirmed, done.waiting) == (1, 0)
        world.check(1)
        row = world.row(pack_id)
        assert row is not None
        node = world.nodes[row.nodes[0]]
        root = world.sealer.open(node.blocks[row.root])
        assert (root.meta.kind, root.meta.pack_id) == (RootKind.PACK, pack_id)
        assert len(root.links) == root.meta.count == next(p.blocks for p in world.parts.packs.list())
        for position, link in enumerate(root.links):
            block = memoryview(bytearray(world.parts.geometry.block_bytes))
            world.parts.packs.read(pack_id, position, [block])
            assert node.blocks[link] == block
        assert await world.network.roots.links(pack_id) == root.links


async def test_packs_older_than_the_setting_are_uploaded_and_spread() -> None:
    async with upkeep() as world:
        await world.fill(12)
        nodes = three()
        world.nodes = {node.name: node for node in nodes}
        await world.restart(NetworkSettings(copies=2))

        await world.network.uploads.run()

        world.check(2)
        held = Tally(name for pack_id in world.sealed() for name in world.holders(pack_id))
        assert all(held[name] for name in "abc")


async def test_copies_are_spread_over_zones() -> None:
    nodes = [ShakyNode(name, zone=zone) for name, zone in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))]
    async with upkeep(*nodes, settings=NetworkSettings(copies=2)) as world:
        for pack_id in await world.fill(6):
            await world.network.uploads.run()
            assert {world.nodes[name].zone for name in world.holders(pack_id)} == {"x", "y"}


async def test_the_highest_class_of_any_bucket_says_how_many_copies() -> None:
    async with upkeep(*three()) as world:
        bucket = Bucket(1, "owner", 0, durability="replicated:3")  # type: ignore[arg-type]  # a user id like any other
        await world.store.commits.run(lambda tx: tx.put(Table.BUCKETS, b"bucket", encode(bucket)))
        await world.fill()

        await world.network.uploads.run()

        world.check(3)


async def test_a_class_that_is_raised_later_raises_packs_that_are_there() -> None:
    async with upkeep(*three()) as world:
        await world.fill(2)
        await world.step()
        bucket = Bucket(1, "owner", 0, durability="replicated:2")  # type: ignore[arg-type]  # a user id like any other
        await world.store.commits.run(lambda tx: tx.put(Table.BUCKETS, b"bucket", encode(bucket)))

        await world.settle(3)

        world.check(2)


async def test_with_too_few_nodes_it_goes_onto_those_there_are_and_the_rest_follows() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=3)) as world:
        world.nodes["b"].down = True
        await world.network.nodes.look()
        (pack_id,) = await world.fill()

        done = await world.network.uploads.run()

        assert (done.confirmed, done.waiting) == (0, 1)
        row = world.row(pack_id)
        assert row is not None
        assert set(row.nodes) == {"a", "c"}
        assert not row.confirmed_us
        assert world.telemetry.gauged(Gauge.UPLOAD_PACKS) == 1
        world.nodes["b"].down = False
        await world.network.nodes.look()
        assert (await world.network.uploads.run()).confirmed == 1  # at once: a node came back
        world.check(3)
        assert all(node.calls["import"] == 1 for node in world.nodes.values())


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_import_that_fails_is_found_again_after_a_crash(when: str) -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.verdict = lambda call: when if call == "import" else "ok"
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        row = world.row(pack_id)
        assert row is not None
        assert (row.nodes, row.asked, row.confirmed_us) == ((), ("a",), 0)
        imports = node.calls.get("import", 0)

        node.verdict = lambda _call: "ok"
        await world.restart()
        await world.network.uploads.run()

        world.check(1)
        after = world.row(pack_id)
        assert after is not None
        assert after.root == row.root
        # What arrived, though nobody heard of it, is not sent again.
        assert node.calls.get("import", 0) == (1 if when == "after" else imports + 1)


async def test_a_crash_behind_the_root_file_makes_no_second_root() -> None:
    async with upkeep(ShakyNode("a")) as world:
        (pack_id,) = await world.fill()
        blocks = world.parts.packs.list()[0].blocks
        raw = await world.network.roots.make(pack_id, blocks, 1)
        await world.restart()

        await world.network.uploads.run()

        assert (await world.network.roots.load(pack_id))[0] == raw
        world.check(1)


async def test_a_root_that_is_nowhere_any_more_is_made_anew() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.verdict = lambda call: "before" if call == "import" else "ok"
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        world.files.delete(pack_id.hex())
        node.verdict = lambda _call: "ok"
        await world.restart()

        await world.settle(3)

        world.check(1)


async def test_a_lost_root_file_comes_back_from_a_node() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        links = await world.network.roots.links(pack_id)
        world.files.delete(pack_id.hex())
        await world.restart()

        assert await world.network.roots.links(pack_id) == links

        assert pack_id.hex() in {file.name for file in world.files.list()}


async def test_a_damaged_root_file_is_not_believed() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        links = await world.network.roots.links(pack_id)
        world.files.files[pack_id.hex()][40] ^= 1
        await world.restart()

        assert await world.network.roots.links(pack_id) == links


async def test_one_pack_that_cannot_be_read_holds_up_no_other() -> None:
    async with upkeep(*three(), settings=NetworkSettings(uploads_at_once=1)) as world:
        first, *others = await world.fill(4)
        bad = min([first, *others], key=lambda one: one)
        world.parts.packs.drop(bad)

        done = await world.network.uploads.run()

        assert (done.confirmed, done.waiting) == (3, 1)
        assert world.row(bad) is None
        assert (await world.network.uploads.run()).waiting == 0  # left alone for a while
        assert not any(node.calls.get("import", 0) > 3 for node in world.nodes.values())


async def test_a_node_that_hangs_holds_up_no_other_node() -> None:
    async with upkeep(*three()) as world:
        stuck = world.nodes["a"]
        stuck.gate = asyncio.Event()
        packs = await world.fill(12)
        uploading = asyncio.create_task(world.network.uploads.run())
        for _ in range(3000):
            await asyncio.sleep(0)

        arrived = {pack_id for pack_id in packs if world.holders(pack_id)}
        waiting = {pack_id for pack_id in packs if pack_id not in arrived}
        assert arrived
        assert waiting
        rows = [world.row(pack_id) for pack_id in waiting]
        assert {row.asked for row in rows if row is not None} == {("a",)}
        assert sum(row is not None for row in rows) == 1  # the others have not even begun

        stuck.gate.set()
        await uploading
        world.check(1)


async def test_one_import_at_a_time_into_one_node() -> None:
    async with upkeep(ShakyNode("a"), settings=NetworkSettings(uploads_at_once=4)) as world:
        node = world.nodes["a"]
        node.gate = asyncio.Event()
        await world.fill(4)
        uploading = asyncio.create_task(world.network.uploads.run())
        for _ in range(2000):
            await asyncio.sleep(0)

        assert sum(world.row(pack_id) is not None for pack_id in world.sealed()) == 1

        node.gate.set()
        await uploading
        world.check(1)


async def test_a_full_node_is_passed_over_for_a_while() -> None:
    async with upkeep(*three()) as world:
        world.nodes["a"].full = True
        packs = await world.fill(9)
        await world.network.uploads.run()
        for _ in range(3):
            world.later(10)
            await world.network.uploads.run()

        assert all(world.holders(pack_id) <= {"b", "c"} for pack_id in packs)
        assert all(map(world.holders, packs))
        imports = world.nodes["a"].calls["import"]
        assert imports == 1
        world.later(FULL_REST_S)
        assert world.network.nodes.is_ready("a")
        await world.settle(3)
        world.check(1)


@pytest.mark.parametrize(("free_bytes", "free_inodes"), [(5 << 20, 1 << 20), (1 << 40, 105)])
async def test_a_node_without_room_gets_nothing(free_bytes: int, free_inodes: int) -> None:
    settings = NetworkSettings(min_free_bytes=4 << 20, min_free_inodes=100)
    async with upkeep(*three(), settings=settings) as world:
        world.nodes["a"].free_bytes, world.nodes["a"].free_inodes = free_bytes, free_inodes
        await world.network.nodes.look()

        await world.fill(9)
        await world.network.uploads.run()

        assert not world.nodes["a"].calls.get("import")
        world.check(1)


async def test_what_was_sent_since_a_node_spoke_counts() -> None:
    settings = NetworkSettings(min_free_bytes=0, min_free_inodes=0)
    async with upkeep(ShakyNode("a"), settings=settings) as world:
        node = world.nodes["a"]
        await world.fill(9)
        node.free_bytes = 7 * world.parts.packs.list()[0].size_bytes // 2
        await world.network.nodes.look()

        await world.network.uploads.run()

        assert node.calls["import"] == 3
        await world.network.nodes.look()
        world.later(600)
        await world.network.uploads.run()
        assert node.calls["import"] == 6


async def test_a_draining_node_gets_nothing() -> None:
    async with upkeep(*three(), settings=NetworkSettings(draining=frozenset({"b"}))) as world:
        await world.fill(9)
        await world.network.uploads.run()

        assert not world.nodes["b"].pinned
        world.check(1)


async def test_a_public_node_gets_nothing_unless_that_is_allowed() -> None:
    node = ShakyNode("a")
    node.public = True
    async with upkeep(node) as world:
        await world.fill()
        await world.network.uploads.run()
        assert not node.pinned
        state = world.network.nodes.state("a")
        assert state is not None
        assert "public" in state.reason

        await world.restart(NetworkSettings(public=True))
        await world.network.uploads.run()
        world.check(1)


async def test_a_pack_that_is_dropped_while_it_is_on_its_way_is_let_go_of() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.gate = asyncio.Event()
        (pack_id,) = await world.fill()
        uploading = asyncio.create_task(world.network.uploads.run())
        for _ in range(2000):
            await asyncio.sleep(0)
        assert world.row(pack_id) is not None
        # Its file is read by now: memory packs lose theirs at once.
        await world.forget()
        assert world.row(pack_id) is None
        node.gate.set()
        await uploading

        await world.settle(2)

        assert not node.pinned
        assert not world.unpins()


async def test_what_has_to_be_let_go_of_is_wanted_again_when_it_is_sent_again() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.verdict = lambda call: "after" if call == "import" else "ok"
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        row = world.row(pack_id)
        assert row is not None
        await world.store.commits.run(lambda tx: let_go(tx, ["a"], row.root, 0))
        node.pinned.clear()

        node.verdict = lambda _call: "ok"
        world.later(600)
        await world.network.uploads.run()

        assert not world.unpins()
        world.check(1)


async def test_uploads_keep_to_their_bandwidth() -> None:
    async with upkeep(*three(), settings=NetworkSettings(upload_bytes_per_s=1 << 20)) as world:
        await world.fill(3)
        begun_s = world.clock.monotonic_s()
        uploading = asyncio.create_task(world.network.uploads.run())
        for _ in range(4000):
            await asyncio.sleep(0)
            wait_s = world.clock.next_wake_s()
            if uploading.done():
                break
            if wait_s is not None:
                world.later(wait_s)
        while not uploading.done():
            await asyncio.sleep(0)
            world.later(world.clock.next_wake_s() or 0.0)
        await uploading

        sent = world.telemetry.counted(Counter.NODE_SENT)
        assert sent > 3 << 20
        took_s = world.clock.monotonic_s() - begun_s
        assert took_s >= (sent - (2 << 20)) / (1 << 20)


async def test_interim_roots_go_once_the_pack_is_confirmed() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await world.fill()
        interim = next(iter(await _pinned_elsewhere(world, pack_id)))

        await world.network.uploads.run()

        assert world.parts.index.read(lambda tx: tx.count(Table.INTERIMS)) == 0
        assert [key.partition(b"\0")[0] for key in world.unpins()] == [b"c"]
        await world.network.unpins.run()
        assert interim not in world.nodes["c"].pinned


async def _pinned_elsewhere(world: Upkeep, pack_id: PackId) -> list[RootId]:
    root = RootId(bytes.fromhex("01711220") + bytes(32))
    world.nodes["c"].pinned[root] = 1

    def note(tx: Writing) -> None:
        tx.put(Table.INTERIMS, interim_key(pack_id, root), encode(Interim(root, ("c",))))

    await world.store.commits.run(note)
    return [root]


async def test_blocks_that_interim_roots_hold_are_not_sent_again() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        (pack_id,) = await world.fill(cells=12)
        raw = await world.network.roots.make(pack_id, world.parts.packs.list()[0].blocks, 1)
        links = world.sealer.open(raw).links
        for position, link in enumerate(links[:10]):
            block = bytearray(world.parts.geometry.block_bytes)
            world.parts.packs.read(pack_id, position, [memoryview(block)])
            node.blocks[link] = bytes(block)
        world.ahead.held = {"a": 10}
        await world.restart()

        await world.network.uploads.run()

        world.check(1)
        assert world.ahead.forgotten == [pack_id]
        assert world.telemetry.counted(Counter.NODE_SENT) < (len(links) - 9) * world.parts.geometry.block_bytes


async def test_blocks_that_a_node_should_hold_and_does_not_are_sent() -> None:
    async with upkeep(ShakyNode("a")) as world:
        world.ahead.held = {"a": 3}
        await world.restart()
        await world.fill()

        await world.network.uploads.run()

        world.check(1)
        assert world.nodes["a"].calls["import"] == 2
        assert world.network.nodes.is_ready("a")


async def test_a_cluster_gets_several_copies_at_once() -> None:
    async with upkeep(ShakyNode("cluster", copies_at_most=3), settings=NetworkSettings(copies=2)) as world:
        (pack_id,) = await world.fill()

        await world.network.uploads.run()

        row = world.row(pack_id)
        assert row is not None
        assert row.nodes == ("cluster", "cluster")
        assert row.confirmed_us
        assert world.nodes["cluster"].pinned[row.root] == 2


def test_settings_name_what_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match="uploads_at_once is 0"):
        NetworkSettings(uploads_at_once=0)
    with pytest.raises(InvalidArgument, match="copies is 17"):
        NetworkSettings(copies=17)


async def test_rows_of_unknown_nodes_do_not_count() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await world.fill()
        await world.network.uploads.run()
        row = world.row(pack_id)
        assert row is not None
        moved = Copies(row.root, ("elsewhere",), 1, row.confirmed_us)

        assert world.network.nodes.counted(moved.nodes) == []


async def test_the_next_packs_get_their_names_while_one_is_on_its_way() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.gate = asyncio.Event()
        await world.fill(5)
        running = asyncio.create_task(world.network.uploads.run())

        def named() -> int:
            return len(world.files.list())

        async with asyncio.timeout(20):
            while named() < 3:  # the one on its way, and two more
                await asyncio.sleep(0)
            assert not node.pinned
            for _ in range(100):
                await asyncio.sleep(0)
            assert named() == 3
            node.gate.set()
            assert (await running).confirmed == 5
        world.check(1)
        assert named() == 5
        assert world.telemetry.gauged(Gauge.UPLOAD_PACKS) == 0


async def test_naming_ahead_ends_with_the_step() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.verdict = lambda call: "before" if call == "import" else "ok"
        await world.fill(6)
        await world.network.uploads.run()
        before = len(world.files.list())
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(world.files.list()) == before < 6
        node.verdict = lambda _call: "ok"
        await world.settle()
        world.check(1)
