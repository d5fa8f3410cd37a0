"""Log records on nodes, behind the commits that made them."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from noisefs.core.domain.ids import RootId, UserId
from noisefs.core.domain.nodes.root import RootKind
from noisefs.core.domain.records import Bucket, encode
from noisefs.core.errors import IndexDamaged, NodeUnavailable
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.network.confirming import record_files
from noisefs.core.services.network.confirming.footing import Footing
from noisefs.core.services.network.confirming.log import NetworkLog
from noisefs.core.services.network.confirming.record_files import RecordFiles
from tests.support.durable import DurableLab, Rows, driven, rows_of


async def lab_of(*names: str) -> DurableLab:
    """A lab whose nodes were looked at."""
    lab = DurableLab(*names)
    await lab.known.look()
    return lab


@pytest.fixture
async def lab() -> DurableLab:
    """Three nodes."""
    return await lab_of("a", "b", "c")


def put(key: bytes, value: bytes) -> Callable[[Writing], int]:
    """Set a row; gives the commit's number."""

    def work(tx: Writing) -> int:
        tx.put(Table.OBJECTS, key, value)
        return tx.sequence

    return work


async def written(lab: DurableLab, key: bytes = b"key", value: bytes = b"value") -> int:
    """Commit one row."""
    return await lab.store.commits.run(put(key, value))


async def confirm(lab: DurableLab, sequence: int, copies: int) -> None:
    """Wait for nodes, and let time pass meanwhile."""
    await driven(lab.clock, lab.log.confirm(sequence, copies))


async def all_of(*works: Awaitable[None]) -> None:
    """Wait for all of these."""
    await asyncio.gather(*works)


async def test_a_commit_is_on_nodes_with_everything_before_it(lab: DurableLab) -> None:
    await lab.renew()
    for number in range(5):
        last = await written(lab, b"%d" % number)
    await confirm(lab, last, 1)
    rows, reached = lab.restored_rows()
    assert reached == last
    assert rows == rows_of(lab.parts.index)


async def test_each_holder_alone_has_all_of_it(lab: DurableLab) -> None:
    await lab.renew()
    for number in range(4):
        await confirm(lab, await written(lab, b"%d" % number), 2)
    whole = [name for name in lab.nodes if lab.restored_rows(name)[0] == rows_of(lab.parts.index)]
    assert len(whole) == 2


async def test_a_node_that_takes_over_gets_what_it_never_had(lab: DurableLab) -> None:
    """So that the loss of the first one leaves no gap."""
    await lab.renew()
    await confirm(lab, await written(lab, b"1"), 1)
    (first,) = [name for name, node in lab.nodes.items() if node.pinned]
    lab.nodes[first].down = True
    await confirm(lab, await written(lab, b"2"), 1)
    (second,) = [name for name, node in lab.nodes.items() if node.pinned and name != first]
    assert lab.restored_rows(second)[0] == rows_of(lab.parts.index)


async def test_without_a_snapshot_on_nodes_one_is_brought_there_first(lab: DurableLab) -> None:
    last = await written(lab)
    await confirm(lab, last, 1)
    assert lab.renewals == 1
    assert lab.restored_rows()[0] == rows_of(lab.parts.index)


async def test_a_gap_is_never_passed_over(lab: DurableLab) -> None:
    """A snapshot was taken that did not come onto nodes: what the index forgot then is not there to be sent."""
    await lab.renew()
    await written(lab, b"1")
    await confirm(lab, await written(lab, b"2"), 1)
    await written(lab, b"lost from the changes")
    lab.parts.index.forget_changes(lab.parts.index.sequence())
    lab.renewing = False
    last = await written(lab, b"3")
    with pytest.raises(NodeUnavailable):
        await confirm(lab, last, 1)
    lab.renewing = True
    await confirm(lab, last, 1)
    assert lab.restored_rows()[0] == rows_of(lab.parts.index)


async def test_too_much_for_a_file_is_a_snapshots_business(lab: DurableLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "MOST_KEYS", 2)
    monkeypatch.setattr(record_files, "PAGE_KEYS", 1)
    await lab.renew()
    for number in range(9):
        last = await written(lab, b"%d" % number)
    await confirm(lab, last, 1)
    assert lab.renewals == 2
    assert lab.restored_rows()[0] == rows_of(lab.parts.index)


async def test_who_asks_meanwhile_shares_an_import(lab: DurableLab) -> None:
    await lab.renew()

    async def one(number: int) -> None:
        await lab.log.confirm(await written(lab, b"%d" % number), 1)

    await driven(lab.clock, all_of(*(one(number) for number in range(50))))
    assert sum(node.calls.get("import", 0) for node in lab.nodes.values()) <= 3


async def test_what_is_there_already_costs_nothing(lab: DurableLab) -> None:
    await lab.renew()
    last = await written(lab)
    await confirm(lab, last, 1)
    calls = {name: dict(node.calls) for name, node in lab.nodes.items()}
    await confirm(lab, last - 1, 1)
    await confirm(lab, last, 1)
    assert {name: dict(node.calls) for name, node in lab.nodes.items()} == calls


async def test_nothing_is_sent_while_nobody_waits(lab: DurableLab) -> None:
    await lab.renew()
    for number in range(20):
        await written(lab, b"%d" % number)
    assert not any(node.calls.get("import") for node in lab.nodes.values())


async def test_more_copies_wait_for_more_nodes_and_fewer_do_not(lab: DurableLab) -> None:
    await lab.renew()
    lab.nodes["a"].down = lab.nodes["b"].down = True
    last = await written(lab)
    more = asyncio.ensure_future(lab.log.confirm(last, 2))
    await confirm(lab, last, 1)
    assert not more.done()
    with pytest.raises(NodeUnavailable):
        await driven(lab.clock, all_of(more))


async def test_a_hanging_node_is_replaced_within_the_patience(lab: DurableLab) -> None:
    await lab.renew()
    await confirm(lab, await written(lab, b"1"), 1)
    (first,) = [name for name, node in lab.nodes.items() if node.pinned]
    lab.nodes[first].hanging = True
    await confirm(lab, await written(lab, b"2"), 1)


async def test_a_node_whose_garbage_is_collected_is_replaced(lab: DurableLab) -> None:
    """And where there is no other one, whoever collects hears of it."""
    await lab.renew()
    await confirm(lab, await written(lab, b"one"), 1)
    (begun,) = [name for name in lab.nodes if lab.roots(name)]
    lab.known.close_to_new(begun, closed=True)
    await confirm(lab, await written(lab, b"two"), 1)
    assert sum(bool(lab.roots(name)) for name in lab.nodes) == 2
    assert not lab.known.missed.is_set()
    for name in lab.nodes:
        lab.known.close_to_new(name, closed=True)
    with pytest.raises(NodeUnavailable):
        await confirm(lab, await written(lab, b"three"), 1)
    assert lab.known.missed.is_set()


async def test_covered_files_are_let_go_of(lab: DurableLab) -> None:
    await lab.renew()
    await confirm(lab, await written(lab, b"1"), 2)
    await lab.log.tidy()
    assert not lab.parts.index.read(lambda tx: tx.count(Table.UNPINS))
    await lab.renew()
    await lab.log.tidy()
    assert lab.parts.index.read(lambda tx: tx.count(Table.UNPINS)) == 2
    await confirm(lab, await written(lab, b"2"), 2)
    assert lab.restored_rows()[0] == rows_of(lab.parts.index)


async def test_what_is_wrong_here_is_told_at_once(lab: DurableLab) -> None:
    await lab.renew()
    last = await written(lab)

    def broken(*_args: object) -> object:
        raise IndexDamaged("a page cannot be read")

    lab.parts.index.changed_rows = broken  # type: ignore[assignment,method-assign]  # a page that rotted
    with pytest.raises(IndexDamaged):
        await confirm(lab, last, 1)


async def test_closing_fails_who_waits(lab: DurableLab) -> None:
    await lab.renew()
    for node in lab.nodes.values():
        node.hanging = True
    waiting = asyncio.ensure_future(lab.log.confirm(await written(lab), 1))
    for _ in range(100):
        await asyncio.sleep(0)
    await lab.log.close()
    with pytest.raises(NodeUnavailable):
        await waiting


async def test_the_records_name_their_kind_and_span(lab: DurableLab) -> None:
    await lab.renew()
    number = lab.snapshots[-1].number
    last = await written(lab)
    await confirm(lab, last, 1)
    (root,) = lab.roots()
    assert (root.meta.kind, root.meta.log_first, root.meta.log_number) == (RootKind.LOG, number + 1, last)


async def lose(lab: DurableLab, name: str) -> None:
    """A node is gone for so long that it does not count any more."""
    lab.nodes[name].down = True
    await lab.known.look()
    lab.clock.advance(1000)


def holders(lab: DurableLab) -> set[str]:
    return {name for name, node in lab.nodes.items() if node.pinned and not node.down}


async def test_nodes_may_be_lost_one_after_the_other(lab: DurableLab) -> None:
    """Before a snapshot covers what they have: others have been given it in between."""
    await lab.renew()
    last = await written(lab)
    await confirm(lab, last, 2)
    first, second = holders(lab)

    await lose(lab, first)
    await driven(lab.clock, lab.log.keep())
    await lose(lab, second)

    (third,) = holders(lab)
    assert lab.restored_rows(third) == (rows_of(lab.parts.index), last)


async def test_what_has_its_copies_or_a_snapshot_covers_is_not_sent_again(lab: DurableLab) -> None:
    await lab.renew()
    await confirm(lab, await written(lab), 2)
    before = holders(lab)
    await driven(lab.clock, lab.log.keep())
    assert holders(lab) == before

    await lab.renew()
    await lose(lab, min(before))
    await driven(lab.clock, lab.log.keep())

    assert holders(lab) == before - {min(before)}


async def test_a_new_process_gives_what_the_last_one_confirmed_its_copies_again(lab: DurableLab) -> None:
    await lab.renew()
    await make_bucket(lab, "replicated:2")
    last = await written(lab)
    await confirm(lab, last, 2)
    first, second = holders(lab)
    await lab.log.close()
    lab.boot()
    await lab.known.look()
    await lose(lab, first)

    await driven(lab.clock, lab.durable.keep())
    await lose(lab, second)

    (third,) = holders(lab)
    assert lab.restored_rows(third)[1] >= last


async def test_keeping_waits_for_nodes_no_longer_than_a_write_does(lab: DurableLab) -> None:
    await lab.renew()
    await confirm(lab, await written(lab), 2)
    for name in "ab":
        await lose(lab, name)

    await driven(lab.clock, lab.log.keep())

    assert len(holders(lab)) <= 1


async def make_bucket(lab: DurableLab, durability: str) -> None:
    row = encode(Bucket(1, UserId("u"), 0, durability=durability))

    def work(tx: Writing) -> None:
        tx.put(Table.BUCKETS, b"bucket", row)

    await lab.store.commits.run(work)


async def play(seed: int) -> None:
    """Random commits, snapshots and failures: whichever copies but one of each are lost, no confirmed commit is."""
    rng = random.Random(seed)
    lab = await lab_of("a", "b", "c")
    await lab.renew()
    try:
        await _play(rng, lab)
    finally:
        await lab.log.close()


async def _play(rng: random.Random, lab: DurableLab) -> None:
    copies = rng.randrange(1, 3)
    confirmed = 0
    states = {}
    for _ in range(20):
        match rng.randrange(8):
            case 0:
                node = lab.nodes[rng.choice("abc")]
                node.down = not node.down
                await lab.known.look()
            case 1:
                await lab.renew()
                await lab.log.tidy()
            case 2:  # a snapshot that did not come onto nodes
                lab.parts.index.forget_changes(lab.parts.index.sequence())
            case _:
                last = await written(lab, b"%d" % rng.randrange(6), rng.randbytes(4))
                states[last] = objects(rows_of(lab.parts.index))
                if rng.random() < 0.6:
                    with contextlib.suppress(NodeUnavailable):
                        await confirm(lab, last, copies)
                        confirmed = last
                        up = [name for name, node in lab.nodes.items() if not node.down]
                        assert lab.restored_rows(*up)[1] >= last
        rows = lab.parts.index.read(lambda tx: tx.scan(Table.UNPINS, b"", b"\xff" * 64, 999))
        for key, _raw in rows:  # what was let go of goes at once
            lab.nodes[key[:1].decode()].pinned.pop(RootId(key[2:]), None)
        for lost in [(), *((name,) for name in lab.nodes if copies == 2)]:
            rows_left, reached = lab.restored_rows(*(name for name in lab.nodes if name not in lost))
            assert reached >= confirmed
            if reached in states:
                assert objects(rows_left) == states[reached]


@pytest.mark.parametrize("seed", range(16))
async def test_whatever_nodes_do_what_was_confirmed_is_there(seed: int) -> None:
    await play(seed)


def _forgets_nothing(_files: RecordFiles) -> int:
    return 0


def _goes_on_anywhere(log: NetworkLog, _name: str, footing: Footing) -> int:
    return max([footing.number, *(span.upto for span in log._spans.values())])


def _looks_at_the_end_only(log: NetworkLog, sequence: int, _footing: Footing, copies: int) -> bool:
    return sum(span.upto >= sequence for span in log._spans.values()) >= copies


def _is_one_short(log: NetworkLog, sequence: int, _footing: Footing, copies: int) -> bool:
    return sum(span.upto >= sequence - 1 for span in log._spans.values()) >= copies


@pytest.mark.parametrize(
    "bugs",
    [
        {"forgotten": _forgets_nothing},
        {"_reached": _goes_on_anywhere, "_has": _looks_at_the_end_only},
        {"_has": _is_one_short},
    ],
)
async def test_planted_bugs_are_found(bugs: dict[str, Callable[..., object]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Gaps that nobody sees, holders that lack the beginning, answers one commit too early."""
    for part, bug in bugs.items():
        monkeypatch.setattr(RecordFiles if part == "forgotten" else NetworkLog, part, bug)
    with pytest.raises(AssertionError):
        await play_all(range(30))


async def play_all(seeds: Iterable[int]) -> None:
    """Until one fails."""
    for seed in seeds:
        await play(seed)


def objects(rows: Rows) -> Rows:
    """Rows of objects alone."""
    return {(table, key): value for (table, key), value in rows.items() if table is Table.OBJECTS}
