"""Blocks of open packs on nodes."""

import asyncio

import pytest

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.nodes.root import RootKind
from noisefs.core.domain.records import Copies, Interim, decode
from noisefs.core.errors import DiskFull, NodeUnavailable
from noisefs.core.ports.index import Table
from noisefs.core.services.network.confirming import blocks as confirming
from noisefs.core.services.packs.copies import set_copies
from tests.support.durable import DurableLab, driven
from tests.support.stores import pieces

SEGMENT = 131072


async def written(lab: DurableLab, segments: int) -> tuple[PackId, int]:
    """Append a body of so many segments and make it durable; the pack it went to, and the pack's blocks."""
    data = lab.parts.entropy.secret(segments * SEGMENT)
    staged = await lab.store.body_writer.ingest(pieces(data, SEGMENT))
    await staged.settle()
    (pack,) = [pack for pack in lab.parts.packs.list() if not pack.sealed and pack.blocks > 4]
    return pack.pack_id, pack.blocks


@pytest.fixture
async def lab() -> DurableLab:
    """Three nodes."""
    made = DurableLab("a", "b", "c")
    await made.store.start(background=False)
    await made.known.look()
    return made


async def test_blocks_and_seeds_are_on_as_many_nodes_as_asked(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 3)
    await lab.confirmer.place(pack_id, blocks, 2)
    holders = [name for name, node in lab.nodes.items() if node.pinned]
    assert len(holders) == 2
    for name in holders:
        assert sorted(lab.restored_packs(name)[pack_id]) == list(range(blocks))
    assert lab.confirmer.held(pack_id) == dict.fromkeys(holders, blocks)


async def test_what_follows_is_sent_alone_and_stands_without_what_was_before(lab: DurableLab) -> None:
    """The second root links the seeds and the block before it, so that garbage collection leaves them."""
    pack_id, first = await written(lab, 3)
    await lab.confirmer.place(pack_id, first, 1)
    (name,) = [name for name, node in lab.nodes.items() if node.pinned]
    node = lab.nodes[name]
    sent = len(node.blocks)
    _, blocks = await written(lab, 2)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    assert len(node.blocks) == sent + (blocks - first) + 1
    roots = sorted(lab.roots(name), key=lambda root: root.meta.first)
    assert [(root.meta.kind, root.meta.first, root.meta.count) for root in roots] == [
        (RootKind.INTERIM, 0, first),
        (RootKind.INTERIM, first, blocks - first),
    ]
    first_root = next(root for root in node.pinned if lab.sealer.open(node.blocks[root]).meta.first == 0)
    await node.unpin([first_root])
    await node.collect_garbage()
    assert set(roots[1].links) <= node.blocks.keys()
    assert len(roots[1].links) == blocks - first + 5


async def test_who_asks_meanwhile_shares_the_next_import(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 8)
    await asyncio.gather(*(lab.confirmer.place(pack_id, upto, 1) for upto in range(5, blocks + 1)))
    assert sum(node.calls.get("import", 0) for node in lab.nodes.values()) == 1


async def test_imports_begin_apart_but_the_first_waits_for_nothing(lab: DurableLab) -> None:
    pack_id, first = await written(lab, 1)
    await lab.confirmer.place(pack_id, first, 1)  # the clock stands still
    _, second = await written(lab, 1)
    waiting = asyncio.ensure_future(lab.confirmer.place(pack_id, second, 1))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    lab.clock.advance(0.05)
    await waiting


async def test_a_row_names_every_root_that_a_node_may_hold(lab: DurableLab) -> None:
    """Also of an import that failed behind its back."""
    pack_id, blocks = await written(lab, 1)
    for node in lab.nodes.values():
        node.full = True
    with pytest.raises(NodeUnavailable):
        await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    rows = lab.parts.index.read(lambda tx: tx.scan(Table.INTERIMS, b"", b"\xff" * 64, 99))
    assert {name for _key, raw in rows for name in decode(Interim, raw).nodes} == {"a", "b", "c"}
    assert all(key == pack_id + decode(Interim, raw).root for key, raw in rows)


async def test_another_node_takes_the_place_of_one_that_fails(lab: DurableLab) -> None:
    pack_id, first = await written(lab, 2)
    await lab.confirmer.place(pack_id, first, 2)
    holders = [name for name, node in lab.nodes.items() if node.pinned]
    lab.nodes[holders[0]].down = True
    _, blocks = await written(lab, 2)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 2))
    whole = [name for name in lab.nodes if len(lab.restored_packs(name).get(pack_id, {})) == blocks]
    assert len(whole) == 2
    assert holders[0] not in whole


async def test_another_node_takes_the_place_of_one_that_hangs(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 2)
    for node in lab.nodes.values():
        node.hanging = True
        break
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 2))
    assert len(lab.confirmer.held(pack_id)) == 2


async def test_without_enough_nodes_the_write_fails_within_its_patience(lab: DurableLab) -> None:
    lab.nodes["a"].down = lab.nodes["b"].down = True
    pack_id, blocks = await written(lab, 1)
    begun_s = lab.clock.monotonic_s()
    with pytest.raises(NodeUnavailable):
        await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 2))
    assert lab.clock.monotonic_s() - begun_s < 12
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))


async def test_a_node_that_comes_back_in_time_saves_the_write(lab: DurableLab) -> None:
    for node in lab.nodes.values():
        node.down = True
    await lab.known.look()
    pack_id, blocks = await written(lab, 1)

    async def come_back() -> None:
        await lab.clock.sleep(5)
        lab.nodes["b"].down = False
        await lab.known.look()

    back = asyncio.ensure_future(come_back())
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    await back
    assert lab.confirmer.held(pack_id) == {"b": blocks}


async def test_a_node_that_lost_what_it_had_is_sent_everything(lab: DurableLab) -> None:
    pack_id, first = await written(lab, 2)
    await lab.confirmer.place(pack_id, first, 3)
    for node in lab.nodes.values():
        node.pinned.clear()
        await node.collect_garbage()
    _, blocks = await written(lab, 2)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 3))
    for name in lab.nodes:
        assert sorted(lab.restored_packs(name)[pack_id]) == list(range(blocks))


async def test_our_own_failure_is_told_and_no_node_is_blamed(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 1)
    lab.store.commits.relieve_with(lambda: False)
    full = DiskFull("no space is left")

    def refuse(*_args: object, **_kwargs: object) -> list[object]:
        raise full

    lab.parts.index.transact = refuse  # type: ignore[assignment]  # a disk that is full for the index alone
    with pytest.raises(DiskFull):
        await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    assert all(map(lab.known.is_ready, lab.nodes))


async def test_a_cluster_gives_as_many_copies_as_it_has_peers() -> None:
    lab = DurableLab("a")
    await lab.store.start(background=False)
    lab.nodes["a"]._copies_at_most = 3
    await lab.known.look()
    pack_id, first = await written(lab, 1)
    await lab.confirmer.place(pack_id, first, 1)
    _, blocks = await written(lab, 1)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 3))
    assert 3 in lab.nodes["a"].pinned.values()
    with pytest.raises(NodeUnavailable):
        await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 4))


async def test_a_forgotten_pack_is_begun_anew(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 1)
    await lab.confirmer.place(pack_id, blocks, 1)
    lab.confirmer.forget(pack_id)
    assert lab.confirmer.held(pack_id) == {}


async def test_packs_that_nobody_tells_of_are_forgotten(lab: DurableLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "REMEMBERED_PACKS", 2)
    packs = []
    for _ in range(4):
        pack_id, blocks = await written(lab, 1)
        await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
        await lab.store.writer.seal()
        packs.append(pack_id)
    assert [bool(lab.confirmer.held(pack_id)) for pack_id in packs] == [False, False, True, True]


async def test_closing_fails_who_waits(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 1)
    for node in lab.nodes.values():
        node.hanging = True
    waiting = asyncio.ensure_future(lab.confirmer.place(pack_id, blocks, 1))
    for _ in range(100):
        await asyncio.sleep(0)
    await lab.confirmer.close()
    with pytest.raises(NodeUnavailable):
        await waiting


async def test_while_a_pack_is_uploaded_nothing_of_it_is_sent_twice(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 2)
    assert await lab.confirmer.hand_over(pack_id) == {}
    waiting = asyncio.ensure_future(lab.confirmer.place(pack_id, blocks, 1))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(node.calls.get("import") for node in lab.nodes.values())
    lab.confirmer.forget(pack_id)
    assert not await waiting


async def test_an_upload_that_fails_or_takes_long_holds_no_write_up(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 2)
    await lab.confirmer.hand_over(pack_id)
    waiting = asyncio.ensure_future(lab.confirmer.place(pack_id, blocks, 1))
    await asyncio.sleep(0)
    lab.confirmer.take_back(pack_id)
    assert await driven(lab.clock, _the(waiting))
    _, blocks = await written(lab, 2)
    await lab.confirmer.hand_over(pack_id)
    assert await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))


async def _the(task: "asyncio.Task[bool]") -> bool:
    return await task


async def test_names_are_known_as_far_as_blocks_were_sent(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 2)
    assert not lab.confirmer.names(pack_id)
    await lab.confirmer.place(pack_id, blocks, 1)
    (root,) = lab.roots()
    assert tuple(lab.confirmer.names(pack_id)) == root.links[:blocks]


# ------------------------------------------------------------------ nodes whose garbage is collected


async def test_what_a_node_has_begun_goes_on_elsewhere_while_its_garbage_is_collected(lab: DurableLab) -> None:
    pack_id, first = await written(lab, 3)
    await lab.confirmer.place(pack_id, first, 1)
    (begun,) = lab.confirmer.held(pack_id)
    lab.known.close_to_new(begun, closed=True)
    _, blocks = await written(lab, 2)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    held = lab.confirmer.held(pack_id)
    assert held[begun] == first
    assert [upto for name, upto in held.items() if name != begun] == [blocks]
    assert not lab.known.missed.is_set()


async def test_a_write_waits_where_there_is_no_other_node_and_says_so() -> None:
    lab = DurableLab("a")
    await lab.store.start(background=False)
    await lab.known.look()
    lab.known.close_to_new("a", closed=True)
    pack_id, blocks = await written(lab, 3)
    waiting = asyncio.ensure_future(lab.confirmer.place(pack_id, blocks, 1))
    for _ in range(8):
        await asyncio.sleep(0)
        lab.clock.advance(0.5)
    assert lab.known.missed.is_set()
    assert not waiting.done()
    lab.known.close_to_new("a", closed=False)
    lab.clock.advance(0.5)
    assert await waiting


async def lose(lab: DurableLab, name: str) -> None:
    """A node is gone for so long that it does not count any more."""
    lab.nodes[name].down = True
    await lab.known.look()
    lab.clock.advance(1000)


async def sent(lab: DurableLab, pack_id: PackId) -> None:
    """Return when nothing is on its way any more."""
    while lab.confirmer._placings[pack_id].sending:
        await asyncio.sleep(0)


async def test_blocks_of_an_open_pack_get_another_holder_for_one_that_is_lost(lab: DurableLab) -> None:
    """So that nodes may be lost one after the other before the pack is sealed."""
    pack_id, blocks = await written(lab, 5)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 2))
    first, second = sorted(lab.confirmer.held(pack_id))

    await lose(lab, first)
    await lab.confirmer.keep()
    await driven(lab.clock, sent(lab, pack_id))
    await lose(lab, second)

    (third,) = set(lab.nodes) - {first, second}
    assert sorted(lab.restored_packs(third)[pack_id]) == list(range(blocks))


async def test_a_pack_that_another_process_uploaded_is_forgotten(lab: DurableLab) -> None:
    pack_id, blocks = await written(lab, 5)
    await driven(lab.clock, lab.confirmer.place(pack_id, blocks, 1))
    await lab.confirmer.keep()
    assert lab.confirmer.names(pack_id)

    row = Copies(RootId(b"root"), tuple(lab.nodes), confirmed_us=1)
    await lab.store.commits.run(lambda tx: set_copies(tx, pack_id, row))
    await lab.confirmer.keep()

    assert not lab.confirmer.names(pack_id)
