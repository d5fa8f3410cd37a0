"""Port ``Index``: every promise of its docstrings, asked of every adapter."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.errors import IndexClosed, ObjectNotFound
from noisefs.core.ports.index import Changed, Committed, Index, Reading, Table, Writing

KEY = bytes(range(32))
A, B, C = b"a", b"b", b"c"
END = b"\xff" * 64


def _memory(_path: Path) -> Index:
    return MemoryIndex()


def _sqlite(path: Path) -> Index:
    return SqliteIndex.open(path / "index.db", KEY, create=True, sync="os")


def _sqlite_alone(path: Path) -> Index:
    return SqliteIndex.open(path / "index.db", KEY, create=True, sync="os", exclusive=True)


@pytest.fixture(params=[_memory, _sqlite, _sqlite_alone], ids=["memory", "sqlite", "sqlite-exclusive"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    """An empty index of each adapter."""
    opened: Index = request.param(tmp_path)
    yield opened
    opened.close()


def put(key: bytes, value: bytes, table: Table = Table.OBJECTS) -> Callable[[Writing], None]:
    """A function that sets one row."""
    return lambda tx: tx.put(table, key, value)


def remove(key: bytes, table: Table = Table.OBJECTS) -> Callable[[Writing], None]:
    """A function that removes one row."""
    return lambda tx: tx.delete(table, key)


def get(index: Index, key: bytes, table: Table = Table.OBJECTS) -> bytes | None:
    """One row as a reader sees it."""
    return index.read(lambda tx: tx.get(table, key))


def everything(index: Index, table: Table = Table.OBJECTS) -> list[tuple[bytes, bytes]]:
    """All rows of a table."""
    return index.read(lambda tx: tx.scan(table, b"", END, 10**6))


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("table", list(Table))
def test_every_table_keeps_replaces_and_removes_rows(index: Index, table: Table) -> None:
    """Put, get, replace by longer, shorter and empty values, delete."""
    for value in (b"one", b"a longer value" * 50, b"", b"\0\xff"):
        index.transact([put(A, value, table)])
        assert get(index, A, table) == value
    index.transact([lambda tx: tx.delete(table, A)])
    assert get(index, A, table) is None
    assert everything(index, table) == []


def test_tables_are_apart(index: Index) -> None:
    """The same key in two tables is two rows."""
    index.transact([put(A, b"1", Table.BODIES), put(A, b"2", Table.INLINE)])
    assert (get(index, A, Table.BODIES), get(index, A, Table.INLINE), get(index, A)) == (b"1", b"2", None)


def test_a_large_value_comes_back(index: Index) -> None:
    """A value much longer than a page."""
    value = bytes(range(256)) * 1000
    index.transact([put(A, value, Table.INLINE)])
    assert get(index, A, Table.INLINE) == value


def test_deleting_what_is_not_there_does_nothing(index: Index) -> None:
    """No error, no row."""
    assert index.transact([lambda tx: tx.delete(Table.RUNS, A)])[0].error is None
    assert everything(index, Table.RUNS) == []


def test_keys_sort_by_their_bytes(index: Index) -> None:
    """Unsigned, prefixes first."""
    keys = [b"", b"\0", b"\0\0", b"a", b"a\0", b"a\xff", b"b", "ä".encode(), "\U00010000".encode(), b"\xff\xff"]
    index.transact([put(key, b"v") for key in reversed(keys)])
    assert [key for key, _ in everything(index)] == sorted(keys) == keys


def test_scan_takes_the_start_leaves_the_end_and_stops_at_the_limit(index: Index) -> None:
    """``start <= key < end``."""
    index.transact([put(bytes([n]), bytes([n])) for n in range(10)])

    def scan(start: int, end: int, limit: int, *, reverse: bool = False) -> list[int]:
        pairs = index.read(lambda tx: tx.scan(Table.OBJECTS, bytes([start]), bytes([end]), limit, reverse=reverse))
        assert all(key == value for key, value in pairs)
        return [key[0] for key, _ in pairs]

    assert scan(2, 5, 99) == [2, 3, 4]
    assert scan(2, 9, 3) == [2, 3, 4]
    assert scan(2, 5, 99, reverse=True) == [4, 3, 2]
    assert scan(2, 9, 2, reverse=True) == [8, 7]
    assert scan(5, 5, 99) == scan(7, 2, 99) == scan(0, 9, 0) == []


def test_count_counts_rows(index: Index) -> None:
    """Also inside a batch, with rows replaced, added and removed."""
    index.transact([put(A, b"1"), put(B, b"1")])

    def work(tx: Writing) -> int:
        tx.put(Table.OBJECTS, A, b"2")
        tx.put(Table.OBJECTS, C, b"2")
        tx.delete(Table.OBJECTS, B)
        tx.delete(Table.OBJECTS, b"never there")
        return tx.count(Table.OBJECTS)

    assert index.transact([work])[0].value == 2
    assert index.read(lambda tx: tx.count(Table.OBJECTS)) == 2


# ---------------------------------------------------------------- batches


def test_a_function_sees_its_own_writes(index: Index) -> None:
    """By get and by scan, forwards and backwards, at the limit too."""
    index.transact([put(bytes([n]), b"old") for n in range(6)])

    def work(tx: Writing) -> None:
        tx.put(Table.OBJECTS, b"\1", b"new")
        tx.delete(Table.OBJECTS, b"\2")
        tx.put(Table.OBJECTS, b"\3\1", b"added")
        assert tx.get(Table.OBJECTS, b"\1") == b"new"
        assert tx.get(Table.OBJECTS, b"\2") is None
        expected = [(b"\1", b"new"), (b"\3", b"old"), (b"\3\1", b"added"), (b"\4", b"old"), (b"\5", b"old")]
        for limit in range(7):
            assert tx.scan(Table.OBJECTS, b"\1", b"\6", limit) == expected[:limit]
            assert tx.scan(Table.OBJECTS, b"\1", b"\6", limit, reverse=True) == expected[::-1][:limit]

    assert index.transact([work])[0].error is None


@pytest.mark.parametrize("count", [1, 8, 71, 150])
@pytest.mark.parametrize("table", [Table.OBJECTS, Table.BODIES, Table.INLINE])
def test_many_rows_are_set_and_removed_at_once(index: Index, table: Table, count: int) -> None:
    """Whatever their number; one function's are undone together."""
    old = {b"%04d" % number: b"old" for number in range(0, count, 2)}
    new = {b"%04d" % number: None if number % 4 == 0 else b"%d" % number for number in range(count)}
    kept = sorted((key, value) for key, value in new.items() if value is not None)

    def fail(tx: Writing) -> None:
        tx.put(table, b"0000", b"before")
        tx.put_all(table, new)
        raise ValueError

    def change(tx: Writing) -> list[tuple[bytes, bytes]]:
        tx.put_all(table, new)
        return tx.scan(table, b"", b"\xff", 1000)

    index.transact([lambda tx: tx.put_all(table, old)])
    failed, changed = index.transact([fail, change])

    assert isinstance(failed.error, ValueError)
    assert changed.value == kept
    assert index.read(lambda tx: tx.scan(table, b"", b"\xff", 1000)) == kept


@pytest.mark.parametrize("table", [Table.OBJECTS, Table.BODIES])
def test_whether_there_is_a_key_in_a_range(index: Index, table: Table) -> None:
    """As readers see it, and as a function of a batch does with what the batch put and removed."""
    index.transact([lambda tx: tx.put_all(table, {b"b": b"1", b"d": b"2"})])
    ranges = [(b"a", b"b"), (b"b", b"c"), (b"c", b"d"), (b"c", b"e"), (b"e", b"f"), (b"d", b"d")]

    def ask(tx: Reading) -> list[bool]:
        return [tx.exists(table, start, end) for start, end in ranges]

    def change(tx: Writing) -> None:
        tx.delete(table, b"b")
        tx.put(table, b"e", b"3")

    outcomes = index.transact([ask, change, ask])

    assert index.read(ask) == outcomes[2].value == [False, False, False, True, True, False]
    assert outcomes[0].value == [False, True, False, True, False, False]


@pytest.mark.parametrize("table", [Table.BUCKETS, Table.LOCKS])
def test_a_row_that_many_look_at_is_always_the_newest(index: Index, table: Table) -> None:
    """Also where it was read before it was written, and after a function that wrote it failed."""
    index.transact([lambda tx: tx.put(table, b"k", b"old")])

    def fail(tx: Writing) -> None:
        tx.put(table, b"k", b"never")
        raise ValueError

    def look(tx: Writing) -> bytes | None:
        return tx.get(table, b"k")

    outcomes = index.transact([look, fail, look, lambda tx: tx.put(table, b"k", b"new"), look])

    assert [outcome.value for outcome in outcomes] == [b"old", None, b"old", None, b"new"]
    assert [outcome.value for outcome in index.transact([look])] == [b"new"]


def test_later_functions_of_a_batch_see_what_earlier_ones_wrote(index: Index) -> None:
    """In order; and readers see all of it or nothing."""
    outcomes = index.transact(
        [put(A, b"1"), lambda tx: tx.get(Table.OBJECTS, A), lambda tx: tx.delete(Table.OBJECTS, A)]
    )
    assert [outcome.value for outcome in outcomes] == [None, b"1", None]
    assert get(index, A) is None


def test_a_function_that_raises_is_undone_alone(index: Index) -> None:
    """Its writes go, over rows old, new and written by its neighbours; theirs stay."""
    index.transact([put(A, b"old")])

    def bad(tx: Writing) -> None:
        tx.put(Table.OBJECTS, A, b"bad")
        tx.put(Table.OBJECTS, A, b"worse")
        tx.delete(Table.OBJECTS, B)
        tx.put(Table.OBJECTS, C, b"bad")
        raise ObjectNotFound("bucket", "key")

    outcomes = index.transact([put(B, b"good"), bad, put(b"d", b"good")])
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ObjectNotFound, type(None)]
    assert everything(index) == [(A, b"old"), (B, b"good"), (b"d", b"good")]


def test_a_batch_that_ends_with_a_base_exception_commits_nothing(index: Index) -> None:
    """An interrupt is nobody's outcome; the index stays usable."""

    def interrupted(_tx: Writing) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.transact([put(A, b"1"), interrupted])
    assert get(index, A) is None
    index.transact([put(A, b"2")])
    assert get(index, A) == b"2"


@pytest.mark.parametrize("wipe", [True, False])
def test_a_large_batch_is_one_commit(index: Index, wipe: bool) -> None:
    """256 functions, one sequence number, whichever way deletions are done."""
    outcomes = index.transact([put(b"%03d" % n, b"v", Table.INLINE) for n in range(256)], wipe=wipe)
    assert len(outcomes) == 256
    assert index.sequence() == 1
    index.transact([remove(b"%03d" % n, Table.INLINE) for n in range(256)], wipe=wipe)
    assert everything(index, Table.INLINE) == []
    assert index.sequence() == 2


# ---------------------------------------------------------------- sequence numbers and changes


def test_a_commit_takes_the_next_number_and_a_batch_without_writes_none(index: Index) -> None:
    """``Writing.sequence`` tells it in advance; an undone function does not count as a write."""

    def fails(tx: Writing) -> None:
        tx.put(Table.OBJECTS, A, b"1")
        raise ValueError

    assert index.sequence() == 0
    assert index.transact([lambda tx: tx.sequence, put(A, b"1"), lambda tx: tx.sequence])[0].value == 1
    assert index.sequence() == 1
    index.transact([lambda tx: tx.get(Table.OBJECTS, A), fails])
    index.transact([])
    assert index.sequence() == 1
    assert index.transact([lambda tx: (tx.delete(Table.OBJECTS, A), tx.sequence)[1]])[0].value == 2


def test_demands_are_told_with_the_commit_they_are_about(index: Index) -> None:
    """Each function's own, with the number of the commit that holds what it wrote, or that it has seen."""
    index.transact([put(A, b"1")])

    def wants(*classes: str, write: bool) -> Callable[[Writing], None]:
        def work(tx: Writing) -> None:
            for one in classes:
                tx.demand(one)
            if write:
                tx.put(Table.OBJECTS, B, b"2")

        return work

    def fails(tx: Writing) -> None:
        tx.demand("ipfs")
        raise ObjectNotFound("bucket", "key")

    batch = [
        wants("ipfs", write=False),
        wants(write=True),
        wants("ipfs", "replicated:2", write=False),
        fails,
    ]
    outcomes = index.transact(batch)
    assert [outcome.demands for outcome in outcomes] == [
        frozenset({"ipfs"}),
        frozenset(),
        frozenset({"ipfs", "replicated:2"}),
        frozenset(),
    ]
    assert [outcome.sequence for outcome in outcomes[:3]] == [1, 2, 2]
    assert index.transact([wants("ipfs", write=False)])[0].sequence == 2


def test_changes_tell_the_keys_of_each_commit(index: Index) -> None:
    """Once each, deletions too, undone ones not."""

    def fails(tx: Writing) -> None:
        tx.put(Table.OBJECTS, b"never", b"1")
        raise ValueError

    index.transact([put(A, b"1"), put(A, b"2"), put(B, b"1", Table.RUNS), fails])
    index.transact([lambda tx: tx.delete(Table.OBJECTS, A)])
    index.transact([put(C, b"1")])
    first, second, third = index.changes(0, 100)
    assert (first.sequence, set(first.keys)) == (1, {(Table.OBJECTS, A), (Table.RUNS, B)})
    assert len(first.keys) == 2
    assert (second.sequence, second.keys) == (2, ((Table.OBJECTS, A),))
    assert (third.sequence, third.keys) == (3, ((Table.OBJECTS, C),))
    assert [change.sequence for change in index.changes(1, 100)] == [2, 3]
    assert [change.sequence for change in index.changes(0, 2)] == [1, 2]
    assert index.changes(3, 100) == []


def test_forgotten_changes_do_not_come_back_and_numbers_go_on(index: Index) -> None:
    """Also when all of them, or more than there are, are forgotten."""
    for n in range(4):
        index.transact([put(bytes([n]), b"v")])
    index.forget_changes(2)
    assert [change.sequence for change in index.changes(0, 100)] == [3, 4]
    index.forget_changes(99)
    assert index.changes(0, 100) == []
    assert index.sequence() == 4
    index.transact([put(A, b"1")])
    assert [change.sequence for change in index.changes(0, 100)] == [5]


def test_skip_to_raises_the_number_and_never_lowers_it(index: Index) -> None:
    """It is not a change."""
    index.skip_to(0)
    assert index.sequence() == 0
    index.skip_to(1000)
    assert index.sequence() == 1000
    index.skip_to(10)
    index.transact([put(A, b"1")])
    assert [change.sequence for change in index.changes(0, 100)] == [1001]


def test_changed_rows_are_current_rows_of_changed_keys(index: Index) -> None:
    """Each key once, deleted ones as ``None``, whole commits up to the limit."""
    index.transact([put(A, b"1"), put(B, b"1")])
    index.transact([put(A, b"2")])
    index.transact([remove(B), put(C, b"3", Table.BODIES)])
    whole = index.changed_rows(0, 100)
    assert (whole.upto, whole.complete) == (3, True)
    assert sorted((table.value, key, value) for table, key, value in whole.rows) == [
        ("bodies", C, b"3"),
        ("objects", A, b"2"),
        ("objects", B, None),
    ]
    first = index.changed_rows(0, 1)
    assert (first.upto, first.complete) == (1, False)
    assert set(first.rows) == {(Table.OBJECTS, A, b"2"), (Table.OBJECTS, B, None)}
    second = index.changed_rows(1, 1)
    assert (second.upto, second.complete, second.rows) == (2, False, [(Table.OBJECTS, A, b"2")])
    assert index.changed_rows(2, 1).complete
    assert index.changed_rows(3, 1) == Changed(3, [], complete=True)
    index.forget_changes(3)
    index.skip_to(9)
    assert index.changed_rows(3, 1) == Changed(9, [], complete=True)


def test_a_follower_gets_every_commit_in_order(index: Index) -> None:
    """With keys in order and deletions as ``None``; batches without writes and undone functions are not there."""

    def fails(tx: Writing) -> None:
        tx.put(Table.OBJECTS, b"never", b"1")
        raise ValueError

    index.transact([put(A, b"0")])
    seen: list[Committed] = []
    index.follow(seen.append)
    index.transact([put(C, b"1"), put(B, b"1"), fails])
    index.transact([lambda tx: tx.get(Table.OBJECTS, A)])
    index.transact([remove(A), put(A, b"2", Table.RUNS)])
    index.follow(None)
    index.transact([put(A, b"3")])
    assert seen[0] == Committed(2, [(Table.OBJECTS, [(B, b"1"), (C, b"1")])])
    assert seen[1].sequence == 3
    assert dict(seen[1].tables) == {Table.OBJECTS: [(A, None)], Table.RUNS: [(A, b"2")]}
    assert len(seen) == 2


# ---------------------------------------------------------------- readers, upkeep, close


def test_an_error_of_a_reader_reaches_its_caller(index: Index) -> None:
    """And the index stays usable."""

    def fails(tx: Reading) -> None:
        tx.get(Table.OBJECTS, A)
        raise ObjectNotFound("bucket", "key")

    with pytest.raises(ObjectNotFound):
        index.read(fails)
    assert get(index, A) is None


def test_readers_see_whole_commits_only(index: Index) -> None:
    """Two rows that are always written together are never seen apart, while several threads write and read."""
    index.transact([put(A, b"0"), put(B, b"0")])
    stop = threading.Event()
    torn: list[object] = []

    def both(value: bytes) -> Callable[[Writing], None]:
        def work(tx: Writing) -> None:
            tx.put(Table.OBJECTS, A, value)
            tx.put(Table.OBJECTS, B, value)

        return work

    def reader() -> None:
        while not stop.is_set():
            pair = index.read(lambda tx: (tx.get(Table.OBJECTS, A), tx.get(Table.OBJECTS, B)))
            if pair[0] != pair[1]:
                torn.append(pair)

    def writer(name: bytes) -> None:
        for n in range(60):
            index.transact([both(b"%s%d" % (name, n))])

    readers = [threading.Thread(target=reader) for _ in range(3)]
    writers = [threading.Thread(target=writer, args=(name,)) for name in (b"x", b"y")]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert torn == []
    assert index.sequence() == 121


def test_checkpoint_and_verify_leave_rows_alone(index: Index) -> None:
    """And the size grows with what is kept."""
    before = index.size_bytes()
    index.transact([put(bytes([n]), bytes(5000), Table.INLINE) for n in range(50)])
    index.checkpoint()
    index.verify()
    assert index.size_bytes() > before + 200_000
    assert index.read(lambda tx: tx.count(Table.INLINE)) == 50


def test_a_closed_index_refuses_everything(index: Index) -> None:
    """Closing twice is fine."""
    index.close()
    index.close()
    calls: list[Callable[[], object]] = [
        lambda: get(index, A),
        lambda: index.transact([put(A, b"1")]),
        index.sequence,
        lambda: index.changes(0, 1),
        lambda: index.forget_changes(1),
        lambda: index.skip_to(1),
        index.checkpoint,
        index.verify,
        index.size_bytes,
    ]
    for call in calls:
        with pytest.raises(IndexClosed):
            call()


def test_a_pair_is_read_as_it_is_now(index: Index) -> None:
    """Also before any other read, where a row is missing, and after changes."""
    assert index.read_pair(Table.BUCKETS, A, Table.OBJECTS, B) == (None, None)
    index.transact([put(A, b"bucket", Table.BUCKETS), put(B, b"object")])
    assert get(index, B) == b"object"
    assert index.read_pair(Table.BUCKETS, A, Table.OBJECTS, B) == (b"bucket", b"object")
    index.transact([put(A, b"", Table.BUCKETS), remove(B)])
    assert index.read_pair(Table.BUCKETS, A, Table.OBJECTS, B) == (b"", None)
