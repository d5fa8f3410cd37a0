"""Damaged copies are found, do not count, and are mended; nothing is discarded that is nowhere else."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.nodes.root import NONCE_BYTES, RootKind, RootMeta, root_id
from noisefs.core.domain.records import Copies, Pack, decode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.index import Table
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.network.heads.files import file_rows
from noisefs.core.services.network.placing import mending
from noisefs.core.services.network.service import NetworkSettings
from noisefs.core.services.packs.copies import set_copies
from tests.support.lost_machine import Machine
from tests.support.upkeep import S, ShakyNode, Upkeep, three, upkeep

TWO = NetworkSettings(copies=2, verify_every_s=1000)
ONE = NetworkSettings(copies=1, verify_every_s=1000)


async def uploaded(world: Upkeep, packs: int = 1) -> list[PackId]:
    """Packs with all their copies."""
    made = await world.fill(packs)
    await world.network.uploads.run()
    return made


def row_of(world: Upkeep, pack_id: PackId) -> Copies:
    row = world.row(pack_id)
    assert row is not None
    return row


async def links_of(world: Upkeep, pack_id: PackId) -> tuple[BlockId, ...]:
    return await world.network.roots.links(pack_id)


async def evict(world: Upkeep, pack_id: PackId) -> None:
    away = msgspec.structs.replace(row_of(world, pack_id), local=False)
    await world.store.commits.run(lambda tx: set_copies(tx, pack_id, away))
    world.parts.packs.drop(pack_id)


def alone(world: Upkeep) -> None:
    """No node knows of any other."""
    for node in world.nodes.values():
        node.swarm = []


async def verified(world: Upkeep) -> None:
    """A whole round of verifying."""
    done = await world.network.verifying.verify(b"", 1e9)
    assert done.after is None


async def mended(world: Upkeep) -> None:
    """Everything that can be mended now, is."""
    await world.network.census.look(fresh=True)
    await world.network.mending.run()


def right(world: Upkeep, name: str, links: Sequence[BlockId]) -> bool:
    """Whether a node has all of these, undamaged."""
    node = world.nodes[name]
    return all(link in node.blocks and link not in node.damaged for link in links)


async def test_rot_is_found_does_not_count_and_is_mended() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        links = await links_of(world, pack_id)
        name, other = row_of(world, pack_id).nodes
        world.nodes[name].damaged |= set(links[5:7])

        await verified(world)

        row = row_of(world, pack_id)
        assert (row.nodes, row.asked, row.damaged) == ((other,), (name,), (name,))
        found = await world.network.census.look(fresh=True)
        assert (found.damaged_copies, found.under_replicated) == (1, 1)
        assert world.telemetry.counted(Counter.BLOCKS_DAMAGED, (name,)) == 2
        await mended(world)
        assert right(world, name, links)
        assert world.telemetry.counted(Counter.BLOCKS_MENDED, (name,)) == 2
        world.check(2)


async def test_only_what_is_damaged_is_sent_again() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        world.nodes[name].damaged.add((await links_of(world, pack_id))[5])
        before = world.telemetry.counted(Counter.NODE_SENT, (name,))

        await verified(world)
        await mended(world)

        assert world.telemetry.counted(Counter.NODE_SENT, (name,)) - before < 2 * world.parts.geometry.block_bytes
        world.check(2)


async def test_a_block_that_packs_share_is_mended_for_all_of_them() -> None:
    async with upkeep(ShakyNode("a"), ShakyNode("b"), settings=TWO) as world:
        packs = await uploaded(world, 6)
        shared, holders = await a_shared_block(world, packs)
        node = world.nodes["a"]
        node.damaged.add(shared)
        unpinned: list[RootId] = []
        node.watch = unpinned.extend

        await verified(world)
        await mended(world)

        assert {row_of(world, pack_id).root for pack_id in holders} <= set(unpinned)
        assert shared not in node.damaged
        world.check(2)


async def a_shared_block(world: Upkeep, packs: Sequence[PackId]) -> tuple[BlockId, set[PackId]]:
    """A block that several packs link, and all of these."""
    by_block: dict[BlockId, set[PackId]] = {}
    for pack_id in packs:
        for link in await links_of(world, pack_id):
            by_block.setdefault(link, set()).add(pack_id)
    return max(by_block.items(), key=lambda item: len(item[1]))


async def test_what_only_the_row_of_a_pack_knows_is_enough_to_find_who_shares_a_block() -> None:
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        packs = await uploaded(world, 6)
        shared, holders = await a_shared_block(world, packs)
        assert len(holders) > 1
        for pack_id in holders:
            raw, _root = await world.network.roots.load(pack_id)
            known = {bytes(pack_id): raw}
            found = await world.network.mending._linking.find(world.nodes["a"], {shared}, known)
            assert {one.key for one in found} == holders


async def test_right_bytes_come_from_another_holder_where_the_disk_has_none() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        links = await links_of(world, pack_id)
        name = row_of(world, pack_id).nodes[0]
        await evict(world, pack_id)
        world.nodes[name].damaged.add(links[3])

        await verified(world)
        await mended(world)

        assert right(world, name, links)
        world.check(2)


async def test_the_only_copy_is_never_discarded_and_it_is_told() -> None:
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        links = await links_of(world, pack_id)
        await evict(world, pack_id)
        node = world.nodes["a"]
        node.damaged.add(links[3])
        before = dict(node.blocks)

        await verified(world)
        await mended(world)

        assert node.blocks == before
        assert world.holders(pack_id) == {"a"}
        assert not node.calls.get("unpin")
        assert not node.calls.get("discard")
        assert world.telemetry.gauged(Gauge.BEYOND_MENDING) == 1
        assert "blocks are nowhere else" in world.network.mending.beyond["a", pack_id]


async def test_a_pack_without_any_other_copy_keeps_its_pin_although_the_bad_block_is_known_elsewhere() -> None:
    async with upkeep(ShakyNode("a"), ShakyNode("b"), settings=ONE) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        (name,) = row_of(world, pack_id).nodes
        other = world.nodes["b" if name == "a" else "a"]
        link = (await links_of(world, pack_id))[3]
        other.blocks[link] = world.nodes[name].blocks[link]  # under no pin
        await evict(world, pack_id)
        world.nodes[name].damaged.add(link)

        await verified(world)
        await mended(world)

        assert not world.nodes[name].calls.get("unpin")
        assert world.network.mending.beyond[name, pack_id] == "nothing else holds all of it"


async def test_who_shares_a_block_must_be_elsewhere_too() -> None:
    """Unpinning a pack for its neighbour's sake is no better than for its own."""
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        packs = await uploaded(world, 6)
        shared, holders = await a_shared_block(world, packs)
        alone_there = next(iter(holders))
        await evict(world, alone_there)
        world.nodes["a"].damaged.add(shared)

        await verified(world)
        await mended(world)

        assert not world.nodes["a"].calls.get("unpin")
        assert world.telemetry.gauged(Gauge.BEYOND_MENDING) == len(holders)


async def test_what_is_missing_is_imported_and_nothing_is_unpinned_for_it() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        links = await links_of(world, pack_id)
        name = row_of(world, pack_id).nodes[0]
        for link in links[2:4]:
            del world.nodes[name].blocks[link]

        await verified(world)
        await mended(world)

        assert right(world, name, links)
        assert not world.nodes[name].calls.get("unpin")
        world.check(2)


async def test_a_rotten_root_is_mended() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        world.nodes[name].damaged.add(row_of(world, pack_id).root)

        await verified(world)
        await mended(world)

        assert not world.nodes[name].damaged
        world.check(2)


async def test_a_node_that_is_down_is_mended_later() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        world.nodes[name].damaged.add((await links_of(world, pack_id))[3])
        await verified(world)
        world.nodes[name].down = True
        await world.network.nodes.look()

        await mended(world)

        assert row_of(world, pack_id).damaged == (name,)
        world.nodes[name].down = False
        await world.settle(3)
        assert not world.nodes[name].damaged
        world.check(2)


async def test_a_copy_is_made_elsewhere_while_the_damaged_one_cannot_be_mended() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        alone(world)
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        await verified(world)
        world.nodes[name].damaged.add((await links_of(world, pack_id))[3])
        world.nodes[name].verdict = lambda call: "before" if call == "unpin" else "ok"
        await verified(world)

        await world.settle(3)

        row = row_of(world, pack_id)
        assert set(row.nodes) == set("abc") - {name}
        assert row.damaged == (name,)
        world.nodes[name].verdict = lambda _call: "ok"
        await world.settle(6)
        world.check(2)
        assert not world.nodes[name].damaged


@pytest.mark.parametrize("call", ["unpin", "import"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_node_that_fails_meanwhile_is_mended_in_the_end(call: str, when: str) -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id, *_) = await uploaded(world, 4)
        name = row_of(world, pack_id).nodes[0]
        node = world.nodes[name]
        node.damaged |= set((await links_of(world, pack_id))[:6])
        await verified(world)
        node.verdict = lambda one: when if one == call else "ok"
        waits = world.parts.clock.advance
        for _ in range(2):
            task = world.network.mending.run()
            await driven_by(world, task)
            waits(1000)
        node.verdict = lambda _call: "ok"

        await world.settle(6)

        world.check(2)
        assert not node.damaged


async def driven_by(world: Upkeep, work: object) -> None:
    """Let time pass whenever everybody waits."""
    from tests.support.durable import driven

    await driven(world.parts.clock, work)  # type: ignore[arg-type]  # a coroutine


async def test_what_does_not_fit_into_memory_is_mended_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "BYTES_AT_ONCE", 2 * S)
    async with upkeep(*three(), settings=TWO) as world:
        packs = await uploaded(world, 3)
        for pack_id in packs:
            for name in row_of(world, pack_id).nodes:
                world.nodes[name].damaged |= set((await links_of(world, pack_id))[4:8])
                break
        await verified(world)
        await world.network.census.look(fresh=True)

        done = await world.network.mending.run()

        assert done.mended >= 3
        assert not done.left
        assert not any(node.damaged for node in world.nodes.values())
        world.check(2)


async def test_who_is_broken_off_pins_again_what_was_unpinned() -> None:
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        node = world.nodes["a"]
        node.damaged.add((await links_of(world, pack_id))[3])
        await verified(world)
        await world.network.census.look(fresh=True)
        node.gate = asyncio.Event()
        task = asyncio.create_task(world.network.mending.run())
        while node.pinned:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        node.gate.set()

        with pytest.raises(asyncio.CancelledError):
            await task

        assert row_of(world, pack_id).root in node.pinned
        assert not node.damaged


async def test_nothing_is_unpinned_when_another_gateway_took_over() -> None:
    async def owns() -> bool:
        return False

    async with upkeep(ShakyNode("a"), settings=ONE, owns=owns) as world:
        (pack_id,) = await uploaded(world)
        world.nodes["a"].damaged.add((await links_of(world, pack_id))[3])

        await verified(world)
        await mended(world)

        assert not world.nodes["a"].calls.get("unpin")


async def test_other_roots_of_ours_that_link_a_block_keep_their_pins() -> None:
    """An interim root, say, that the node has still to let go of."""
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        links = await links_of(world, pack_id)
        meta = RootMeta(RootKind.INTERIM, pack_id, 0, 4, epoch=1)
        raw = world.sealer.seal(links[:4], meta, nonce=bytes(NONCE_BYTES))
        node = world.nodes["a"]
        node.blocks[root_id(raw)] = raw
        node.pinned[root_id(raw)] = 1
        node.damaged.add(links[2])

        await verified(world)
        await mended(world)

        assert not node.damaged
        assert root_id(raw) in node.pinned
        assert row_of(world, pack_id).nodes == ("a",)


async def test_a_suspicion_is_looked_into_and_noted_only_where_it_is_true() -> None:
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        first, second = await uploaded(world, 2)
        only = set(await links_of(world, first)) - set(await links_of(world, second))
        world.nodes["a"].damaged.add(next(iter(only)))
        damage = world.network.damage
        for pack_id in (first, second):
            damage.suspect("a", pack_id)

        assert await damage.run() == 1

        assert row_of(world, first).damaged == ("a",)
        assert not row_of(world, second).damaged
        assert damage.found.is_set()
        read = world.nodes["a"].calls["block"]
        damage.suspect("a", second)  # it was right just now
        assert await damage.run() == 0
        assert world.nodes["a"].calls["block"] == read


class SilentNode(ShakyNode):
    """Gives no answer to questions for some blocks, or for any."""

    silent: frozenset[bytes] = frozenset()
    slow = False

    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        if self.slow or block_id in self.silent:
            raise NodeUnavailable(self.name, "block", "no answer in time")
        return await super().block(block_id, timeout_s=timeout_s)

    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        await super().discard(block_ids)
        self.silent -= set(block_ids)


async def test_a_block_that_a_node_cannot_read_is_mended_too() -> None:
    """It says that it has it, and gives all others."""
    node = SilentNode("a")
    async with upkeep(node, settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        node.silent = frozenset({(await links_of(world, pack_id))[3]})

        await verified(world)

        assert row_of(world, pack_id).damaged == ("a",)
        await mended(world)
        assert not node.silent
        world.check(1)


async def test_a_node_that_is_only_slow_is_not_called_damaged() -> None:
    node = SilentNode("a")
    async with upkeep(node, settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        node.slow = True

        done = await world.network.verifying.verify(b"", 1e9)

        assert (done.damaged, done.unread) == (0, 1)
        assert row_of(world, pack_id).nodes == ("a",)
        assert not world.network.nodes.is_ready("a")


async def test_a_health_check_does_not_take_a_damaged_copy_for_a_whole_one() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        world.nodes[name].damaged.add((await links_of(world, pack_id))[3])
        await verified(world)

        await world.network.health.check()

        assert row_of(world, pack_id).damaged == (name,)
        assert name not in row_of(world, pack_id).nodes


async def test_a_damaged_copy_that_is_lost_altogether_is_copied_again() -> None:
    async with upkeep(*three(), settings=TWO) as world:
        (pack_id,) = await uploaded(world)
        name = row_of(world, pack_id).nodes[0]
        node = world.nodes[name]
        node.damaged.add((await links_of(world, pack_id))[3])
        await verified(world)
        node.wipe()
        node.damaged.clear()

        await world.network.health.check()

        assert not row_of(world, pack_id).damaged
        await world.settle(3)
        world.check(2)


async def test_everything_is_read_once_in_a_round_and_a_restart_goes_on() -> None:
    async with upkeep(ShakyNode("a"), settings=NetworkSettings(verify_every_s=4 * 3600)) as world:
        packs = await uploaded(world, 3)
        blocks = sum([1 + len(await links_of(world, pack_id)) for pack_id in packs])
        read = world.nodes["a"].calls.get("block", 0)
        done = 0
        for _ in range(2):
            done += (await world.network.verifying.run()).copies
            world.later(3700)
            done += (await world.network.verifying.run()).copies
        assert done == 2
        await world.restart()
        for _ in range(3):
            await world.network.verifying.run()
            world.later(4000)

        assert world.nodes["a"].calls["block"] - read >= blocks
        seen = world.telemetry.counted(Counter.BLOCKS_VERIFIED, ("a",))
        assert seen == world.nodes["a"].calls["block"] - read


async def test_verifying_can_be_switched_off() -> None:
    async with upkeep(ShakyNode("a"), settings=NetworkSettings(verify_every_s=0)) as world:
        await uploaded(world)
        for _ in range(3):
            world.later(1e7)
            assert not (await world.network.verifying.run()).copies


async def test_a_dropped_pack_is_let_go_of_where_its_copy_is_damaged() -> None:
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        (pack_id,) = await uploaded(world)
        root = row_of(world, pack_id).root
        world.nodes["a"].damaged.add((await links_of(world, pack_id))[3])
        await verified(world)

        await world.forget()
        await world.network.unpins.run()

        assert root not in world.nodes["a"].pinned


@pytest.mark.parametrize("lost", ["block", "root"])
async def test_a_snapshot_file_is_mended_from_this_disk(lost: str) -> None:
    """An increment, so that it is sealed under the root of the file before it. The node has the only other copy."""
    node = ShakyNode("a")
    machine = await Machine(node).begin()
    world = machine.world
    for _ in range(2):
        await machine.put(3 * S)
        await machine.shipping.create()
    rows = world.parts.index.read(file_rows)
    assert len(rows) == 2
    name = max(rows)
    row = rows[name]
    links = world.sealer.open(node.blocks[row.root]).links
    node.damaged.add(links[0] if lost == "block" else row.root)
    assert any(info.after is not None for info in await machine.snapshots.list())

    await verified(world)
    await mended(world)

    assert not node.damaged
    assert world.parts.index.read(file_rows)[name].nodes == ("a",)
    assert not world.network.mending.beyond


async def test_packs_of_a_store_share_blocks() -> None:
    """What the tests above go by."""
    async with upkeep(ShakyNode("a"), settings=ONE) as world:
        packs = await uploaded(world, 6)
        rows = [world.parts.index.read(lambda tx, key=key: tx.get(Table.PACKS, key)) for key in packs]  # type: ignore[misc]
        assert any(seed.source_pack is not None for raw in rows if raw for seed in decode(Pack, raw).seeds)
