"""Copies that are lost come back, those that are too many go, and only then."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.nodes.root import NONCE_BYTES, RootKind, RootMeta, root_id
from noisefs.core.domain.records import Copies
from noisefs.core.ports.index import Table
from noisefs.core.ports.nodes import NodeState
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.network.service import NetworkSettings
from noisefs.core.services.packs.copies import set_copies
from tests.support.upkeep import ShakyNode, Upkeep, three, upkeep

TWO = NetworkSettings(copies=2)


async def turns(count: int) -> None:
    """Let others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def uploaded(world: Upkeep, packs: int = 4) -> list[PackId]:
    """Packs with all their copies."""
    made = await world.fill(packs)
    await world.network.uploads.run()
    return made


# ---------------------------------------------------------------------- health and repair


async def test_a_node_that_lost_everything_is_given_it_again_by_the_swarm() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        await uploaded(world)
        lost = len(world.nodes["a"].pinned)
        assert lost
        world.nodes["a"].wipe()

        await world.network.health.run()
        await world.network.census.look(fresh=True)

        assert world.telemetry.gauged(Gauge.UNDER_REPLICATED) == lost
        await world.settle(2)
        world.check(2)
        assert world.telemetry.counted(Counter.COPIES_MADE, ("pin",)) == lost
        assert world.telemetry.gauged(Gauge.UNDER_REPLICATED) == 0


async def test_a_node_that_is_down_for_a_while_costs_nothing() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        await uploaded(world)
        before = {name: dict(node.pinned) for name, node in world.nodes.items()}
        world.nodes["a"].down = True
        for _ in range(8):
            world.later(100)
            await world.step()
        world.nodes["a"].down = False
        world.later(100)
        await world.step()

        assert {name: dict(node.pinned) for name, node in world.nodes.items()} == before
        world.check(2)


async def test_a_node_that_is_down_for_good_is_replaced_and_lets_go_when_it_comes_back() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world)
        world.nodes["a"].down = True

        await world.settle(3)

        assert all(world.holders(pack_id) >= {"b", "c"} for pack_id in packs)
        world.nodes["a"].down = False
        await world.settle(4)
        world.check(2)


async def test_without_a_swarm_copies_come_from_the_disk() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        await uploaded(world)
        for node in world.nodes.values():
            node.swarm = []
        lost = len(world.nodes["b"].pinned)
        world.nodes["b"].wipe()

        await world.settle(3)

        world.check(2)
        assert not world.telemetry.counted(Counter.COPIES_MADE, ("pin",))
        assert world.telemetry.counted(Counter.COPIES_MADE, ("import",)) == 8 + lost


async def test_without_swarm_and_disk_they_are_fetched_from_a_holder() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world)
        for node in world.nodes.values():
            node.swarm = []
        for pack_id in packs:
            await evict(world, pack_id)
        lost = len(world.nodes["b"].pinned)
        world.nodes["b"].wipe()

        await world.settle(3)

        world.check(2)
        assert world.telemetry.counted(Counter.COPIES_MADE, ("fetch",)) == lost


async def test_a_holder_with_bit_rot_is_not_copied_from() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=3)) as world:
        packs = await uploaded(world, 1)
        for node in world.nodes.values():
            node.swarm = []
        await evict(world, packs[0])
        world.nodes["a"].damaged = set(world.nodes["a"].blocks)
        world.nodes["b"].wipe()

        await world.settle(3)

        world.check(3)
        row = world.row(packs[0])
        assert row is not None
        links = world.sealer.open(world.nodes["b"].blocks[row.root]).links
        assert all(world.nodes["b"].blocks[link] == world.nodes["c"].blocks[link] for link in links)


async def test_a_damaged_local_file_is_not_sent_where_a_holder_has_it_whole() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id,) = await uploaded(world, 1)
        for node in world.nodes.values():
            node.swarm = []
        world.parts.packs.drop(pack_id)  # the file is gone, and nobody noticed
        gone = next(iter(world.holders(pack_id)))
        world.nodes[gone].wipe()

        await world.settle(3)

        world.check(2)


async def test_what_nobody_can_give_is_told_and_holds_up_nothing() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        first, second = await uploaded(world, 2)
        await evict(world, first)
        for name in world.holders(first):
            row = world.row(first)
            assert row is not None
            del world.nodes[name].pinned[row.root]
            for link in world.sealer.open(world.nodes[name].blocks[row.root]).links:
                world.nodes[name].blocks.pop(link, None)
        row = world.row(second)
        assert row is not None
        del world.nodes[row.nodes[0]].pinned[row.root]

        await world.settle(3)

        assert len(world.holders(second)) == 2
        assert not world.holders(first)
        assert world.telemetry.gauged(Gauge.UNDER_REPLICATED) == 1
        kept = world.row(first)
        assert kept is not None
        assert kept.nodes == ()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_pin_whose_answer_is_lost_is_not_forgotten(when: str) -> None:
    async with upkeep(*three(), settings=TWO) as world:
        await uploaded(world)
        for node in world.nodes.values():
            node.verdict = lambda call: when if call == "pin" else "ok"
        world.nodes["a"].wipe()
        await world.settle(2)
        for node in world.nodes.values():
            node.verdict = lambda _call: "ok"

        await world.settle(3)

        world.check(2)


async def test_health_hears_of_copies_nobody_knew() -> None:
    async with upkeep(*three()) as world:
        (pack_id,) = await uploaded(world, 1)
        row = world.row(pack_id)
        assert row is not None
        other = next(name for name in world.nodes if name not in row.nodes)
        await world.nodes[other].pin(row.root)

        await world.network.health.run()

        after = world.row(pack_id)
        assert after is not None
        assert set(after.nodes) == {*row.nodes, other}
        await world.settle(2)
        world.check(1)


async def test_health_goes_round_within_its_time_and_not_oftener() -> None:
    async with upkeep(ShakyNode("a"), settings=NetworkSettings(health_every_s=100)) as world:
        await uploaded(world, 3)
        assert await world.network.health.run() == 3
        world.later(99)
        assert await world.network.health.run() == 0
        world.later(2)
        assert await world.network.health.run() == 3
        assert world.nodes["a"].calls["copies"] == 2


async def test_an_answer_older_than_the_import_does_not_take_it_back() -> None:
    async with upkeep(ShakyNode("a"), ShakyNode("b"), settings=TWO) as world:
        node = world.nodes["a"]
        node.gate = asyncio.Event()
        (pack_id,) = await world.fill()
        uploading = asyncio.create_task(world.network.uploads.run())
        await turns(2000)

        await world.network.health.run()

        row = world.row(pack_id)
        assert row is not None
        assert row.asked == ("a",)  # it is on its way: that a does not hold it yet says nothing
        node.gate.set()
        await uploading
        world.check(2)


async def test_an_answer_that_was_overtaken_by_an_import_says_nothing() -> None:
    async with upkeep(ShakyNode("a")) as world:
        node = world.nodes["a"]
        node.gate, node.answers = asyncio.Event(), asyncio.Event()
        await world.fill()
        uploading = asyncio.create_task(world.network.uploads.run())
        await turns(2000)
        asking = asyncio.create_task(world.network.health.run())
        await turns(100)
        assert node.calls["copies"] == 1
        node.gate.set()
        await uploading

        node.answers.set()
        await asking

        world.check(1)


# ---------------------------------------------------------------------- too many, draining, removing


async def test_surplus_goes_only_after_the_others_said_they_hold_it() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=3)) as world:
        (pack_id,) = await uploaded(world, 1)
        await world.restart(NetworkSettings(copies=1))
        row = world.row(pack_id)
        assert row is not None
        goal = next(iter(world.network.nodes.targets(pack_id, None, 1, 0, 0)))
        del world.nodes[goal].pinned[row.root]  # the one that would stay has just lost it

        await world.network.repair.run()

        assert world.holders(pack_id) == set("abc") - {goal}
        assert not world.unpins()
        await world.settle(4)
        world.check(1)


async def test_a_row_says_how_many_copies_there_shall_be_once_fewer_are_wanted() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=3)) as world:
        (pack_id,) = await uploaded(world, 1)
        world.nodes["a"].down = True
        await world.restart(NetworkSettings(copies=2, down_after_s=0))
        world.later(10)

        await world.step()

        row = world.row(pack_id)
        assert row is not None
        assert row.wanted == 2  # so it may leave the disk


async def test_a_drained_node_ends_empty_and_packs_never_have_fewer_copies() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world, 6)
        assert world.nodes["b"].pinned

        def watch(roots: Sequence[RootId]) -> None:
            for pack_id in packs:
                row = world.row(pack_id)
                assert row is not None
                if row.root in roots:
                    assert len(world.holders(pack_id) - {"b"}) >= 2

        world.nodes["b"].watch = watch
        await world.restart(NetworkSettings(copies=2, draining=frozenset({"b"})))
        await world.settle(4)

        world.check(2)
        assert not world.nodes["b"].pinned


async def test_a_node_that_is_drained_while_it_is_down_is_told_later() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        await uploaded(world, 4)
        world.nodes["b"].down = True
        await world.restart(NetworkSettings(copies=2, draining=frozenset({"b"})))
        await world.settle(3)
        assert all("b" not in (world.row(pack_id) or Copies(RootId(b""))).nodes for pack_id in world.sealed())
        assert world.unpins()

        world.nodes["b"].down = False
        await world.settle(2)

        world.check(2)
        assert not world.nodes["b"].pinned


async def test_draining_waits_where_there_is_no_other_place() -> None:
    async with upkeep(ShakyNode("a"), ShakyNode("b"), settings=TWO) as world:
        packs = await uploaded(world, 2)
        await world.restart(NetworkSettings(copies=2, draining=frozenset({"b"})))
        await world.settle(3)

        assert all(world.holders(pack_id) == {"a", "b"} for pack_id in packs)
        assert world.telemetry.gauged(Gauge.UNDER_REPLICATED) == 2


async def test_a_removed_node_stays_listed_until_it_is_forgotten() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world, 3)
        gone = world.nodes.pop("a")
        held = [pack_id for pack_id in packs if "a" in (world.row(pack_id) or Copies(RootId(b""))).nodes]
        await world.restart()
        await world.settle(3)
        await world.forget()
        await world.settle(1)

        assert all(len(world.holders(pack_id)) == 2 for pack_id in world.sealed())
        named = await world.network.unpins.names()
        assert ("a" in named) == (packs[0] in held)
        assert [one.name for one in await world.network.report() if not one.configured] == ["a"] * (packs[0] in held)

        assert await world.network.forget_node("a") >= len(held)

        assert await world.network.unpins.names() == ["b", "c"]
        assert all("a" not in (world.row(pack_id) or Copies(RootId(b""))).nodes for pack_id in world.sealed())
        assert gone.pinned  # what it holds is its owner's business now


class Alias(ShakyNode):
    """Another address of the same node."""

    async def state(self) -> NodeState:
        return replace(await super().state(), peer_id="one and the same")


def aliases() -> tuple[Alias, Alias]:
    first, second = Alias("a"), Alias("b")
    second.pinned, second.blocks = first.pinned, first.blocks
    return first, second


async def test_two_addresses_of_one_node_are_one_copy() -> None:
    async with upkeep(*aliases(), ShakyNode("c"), settings=TWO) as world:
        (pack_id,) = await uploaded(world, 1)
        assert "c" in world.holders(pack_id)
        await world.settle(4)

        assert world.holders(pack_id) == {"a", "b", "c"}  # one of the two, and c
        row = world.row(pack_id)
        assert row is not None
        assert len(world.network.nodes.counted(row.nodes)) == 2
        assert not world.unpins()


async def test_a_copy_is_not_let_go_of_by_its_other_address() -> None:
    async with upkeep(*aliases()) as world:
        (pack_id,) = await uploaded(world, 1)
        await world.settle(1)
        row = world.row(pack_id)
        assert row is not None
        assert set(row.nodes) == {"a", "b"}
        await world.restart(NetworkSettings(draining=frozenset({"b"})))

        await world.settle(3)

        assert world.holders(pack_id)
        assert not any(node.calls.get("unpin") for node in world.nodes.values())


# ---------------------------------------------------------------------- letting go


async def test_a_dropped_pack_goes_from_nodes_and_its_root_file_too() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id, *_) = await uploaded(world, 3)
        await world.forget()
        world.network.pack_dropped(pack_id)
        assert world.row(pack_id) is None
        assert len(world.unpins()) == 2

        unpins = next(job for job in world.network.jobs() if job.name == "unpins")
        await unpins.step()

        world.check(2)
        assert world.telemetry.counted(Counter.UNPINNED) == 2


async def test_a_node_that_took_a_pack_and_never_said_so_is_told_too() -> None:
    async with upkeep(ShakyNode("a")) as world:
        world.nodes["a"].verdict = lambda call: "after" if call == "import" else "ok"
        await world.fill()
        await world.network.uploads.run()
        assert world.nodes["a"].pinned
        world.nodes["a"].verdict = lambda _call: "ok"
        world.later(600)
        await world.forget()

        await world.network.unpins.run()

        assert not world.nodes["a"].pinned


async def test_a_node_that_is_down_is_told_later() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=3)) as world:
        await uploaded(world, 2)
        world.nodes["c"].down = True
        await world.network.nodes.look()
        await world.forget()
        await world.network.unpins.run()
        assert [key[:1] for key in world.unpins()] == [b"c"]
        assert world.telemetry.gauged(Gauge.UNPINS_WAITING, ("c",)) == 1
        await world.restart()

        world.nodes["c"].down = False
        await world.settle(1)

        world.check(3)
        assert world.nodes["a"].calls["unpin"] == 1


async def test_a_surplus_copy_is_kept_where_the_others_were_lost_meanwhile() -> None:
    async with upkeep(*three(), settings=NetworkSettings(copies=2)) as world:
        (pack_id,) = await uploaded(world, 1)
        await world.restart(NetworkSettings(copies=1))
        await world.network.repair.run()  # one of the two shall go...
        assert len(world.unpins()) == 1
        row = world.row(pack_id)
        assert row is not None
        (stays,) = row.nodes
        surplus = next(iter(world.holders(pack_id) - {stays}))
        world.nodes[stays].wipe()  # ...and the other one is lost
        await world.network.health.run()

        await world.network.unpins.run()

        assert world.holders(pack_id) == {surplus}
        assert not world.unpins()
        await world.settle(3)
        world.check(1)


async def test_many_go_in_one_call() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await uploaded(world, 9)
        await world.forget(9)

        assert await world.network.unpins.run() == 9

        assert world.nodes["a"].calls["unpin"] == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_unpin_whose_answer_is_lost_is_repeated(when: str) -> None:
    async with upkeep(ShakyNode("a")) as world:
        await uploaded(world, 2)
        world.nodes["a"].verdict = lambda call: when if call == "unpin" else "ok"
        await world.forget()
        await world.network.unpins.run()
        assert len(world.unpins()) == 1
        world.nodes["a"].verdict = lambda _call: "ok"

        await world.settle(1)

        world.check(1)


async def test_nothing_is_let_go_of_when_another_gateway_took_over() -> None:
    async def owns() -> bool:
        return False

    async with upkeep(ShakyNode("a", managed=True), owns=owns) as world:
        await uploaded(world, 2)
        await world.forget()
        pinned = dict(world.nodes["a"].pinned)

        await world.settle(2)

        assert world.nodes["a"].pinned == pinned
        assert len(world.unpins()) == 1


# ---------------------------------------------------------------------- strays


async def pin_stray(world: Upkeep, name: str, meta: RootMeta) -> RootId:
    raw = world.sealer.seal((), meta, nonce=bytes(NONCE_BYTES))
    root = root_id(raw)
    world.nodes[name].blocks[root] = raw
    world.nodes[name].pinned[root] = 1
    return root


async def test_a_pinned_pack_without_a_row_is_taken_in_again() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world, 3)
        for pack_id in packs:
            await world.store.commits.run(lambda tx, key=pack_id: tx.delete(Table.COPIES, key))  # type: ignore[misc]
        imports = sum(node.calls["import"] for node in world.nodes.values())
        await world.restart()
        await world.network.strays.run()

        await world.settle(2)

        world.check(2)
        assert sum(node.calls["import"] for node in world.nodes.values()) == imports


async def test_strays_of_ours_go_and_what_is_not_ours_stays() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await uploaded(world, 1)
        node = world.nodes["a"]
        gone = await pin_stray(world, "a", RootMeta(RootKind.PACK, bytes(16), epoch=1))
        interim = await pin_stray(world, "a", RootMeta(RootKind.INTERIM, bytes(16), epoch=1))
        foreign = RootId(bytes.fromhex("01711220") + bytes(32))
        node.pinned[foreign] = 1
        broken = b"something else"
        node.blocks[root_id(broken)] = broken
        node.pinned[root_id(broken)] = 1

        await world.settle(2)

        assert gone not in node.pinned
        assert interim not in node.pinned
        assert {foreign, root_id(broken)} <= set(node.pinned)


async def test_what_says_that_the_index_is_older_is_kept() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await uploaded(world, 1)
        later = await pin_stray(world, "a", RootMeta(RootKind.PACK, bytes(16), log_number=1 << 40, epoch=1))
        other_epoch = await pin_stray(world, "a", RootMeta(RootKind.PACK, bytes(16), epoch=2))

        await world.settle(2)

        assert {later, other_epoch} <= set(world.nodes["a"].pinned)
        assert not world.unpins()


async def test_packs_that_a_restored_index_never_heard_of_are_kept() -> None:
    async with upkeep(ShakyNode("a")) as world:
        await uploaded(world, 1)
        world.epoch = 3
        pack = await pin_stray(world, "a", RootMeta(RootKind.PACK, bytes(16), epoch=2))
        interim = await pin_stray(world, "a", RootMeta(RootKind.INTERIM, bytes(16), epoch=2))

        await world.settle(2)

        assert {pack, interim} <= set(world.nodes["a"].pinned)


async def test_log_records_go_once_a_snapshot_covers_them_and_files_go_by_rows() -> None:
    async def covered() -> int:
        return 10

    async with upkeep(ShakyNode("a"), covered=covered) as world:
        await uploaded(world, 1)
        old = await pin_stray(world, "a", RootMeta(RootKind.LOG, log_first=5, log_number=10, epoch=1))
        new = await pin_stray(world, "a", RootMeta(RootKind.LOG, log_first=8, log_number=11, epoch=1))
        file = await pin_stray(world, "a", RootMeta(RootKind.FILE, name="snapshot", epoch=1))

        await world.settle(2)

        pinned = set(world.nodes["a"].pinned)
        assert old not in pinned
        assert {new, file} <= pinned
        rows = world.parts.index.read(lambda tx: tx.scan(Table.COPIES, b"\xff", b"\xff" * 64, 10))
        assert [key.lstrip(b"\xff") for key, _raw in rows] == [b"snapshot"]


async def test_a_stray_node_that_fails_is_compared_later() -> None:
    async with upkeep(ShakyNode("a")) as world:
        stray = await pin_stray(world, "a", RootMeta(RootKind.PACK, bytes(16), epoch=1))
        world.nodes["a"].down = True
        await world.network.strays.run()
        world.nodes["a"].down = False

        await world.settle(2)

        assert stray not in world.nodes["a"].pinned


async def test_an_interim_root_of_a_pack_that_is_not_confirmed_is_kept() -> None:
    async with upkeep(ShakyNode("a")) as world:
        (pack_id,) = await world.fill()
        interim = await pin_stray(world, "a", RootMeta(RootKind.INTERIM, pack_id, epoch=1))

        await world.network.strays.run()

        assert world.parts.index.read(lambda tx: tx.count(Table.INTERIMS)) == 1
        assert not world.unpins()
        await world.settle(2)
        assert interim not in world.nodes["a"].pinned
        world.check(1)


# ---------------------------------------------------------------------- garbage


async def evict(world: Upkeep, pack_id: PackId) -> None:
    import msgspec

    row = world.row(pack_id)
    assert row is not None
    away = msgspec.structs.replace(row, local=False)
    await world.store.commits.run(lambda tx: set_copies(tx, pack_id, away))
    world.parts.packs.drop(pack_id)
