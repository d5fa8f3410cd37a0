"""Whatever batches are run, every index adapter answers as a plain dictionary would."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.ports.index import Index, Reading, Table, Writing

TABLES = (Table.OBJECTS, Table.BODIES, Table.INLINE)
END = b"\xff" * 64

keys = st.one_of(
    st.sampled_from([b"", b"\0", b"\0\0", b"\1", b"a", b"a\0", b"ab", b"b", b"\xfe\xff"]),
    st.binary(max_size=70),
)
values = st.one_of(st.binary(max_size=40), st.integers(0, 9000).map(lambda size: bytes(range(256)) * (size // 256)))
tables = st.sampled_from(TABLES)


@dataclass(frozen=True)
class Put:
    """Set a row."""

    table: Table
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Delete:
    """Remove a row."""

    table: Table
    key: bytes


@dataclass(frozen=True)
class Look:
    """Compare a range with the model."""

    table: Table
    start: bytes
    end: bytes
    limit: int
    reverse: bool


steps = st.one_of(
    st.builds(Put, tables, keys, values),
    st.builds(Delete, tables, keys),
    st.builds(Look, tables, keys, keys | st.just(END), st.integers(0, 6), st.booleans()),
)
functions = st.tuples(st.lists(steps, max_size=6), st.booleans())
batches = st.lists(st.tuples(st.lists(functions, max_size=5), st.booleans()), max_size=8)

Model = dict[tuple[Table, bytes], bytes]


def scan(model: Model, look: Look) -> list[tuple[bytes, bytes]]:
    """The range in the model."""
    pairs = [
        (key, value) for (table, key), value in model.items() if table is look.table and look.start <= key < look.end
    ]
    return sorted(pairs, reverse=look.reverse)[: look.limit]


def check(tx: Reading, model: Model) -> None:
    """Every table, whole, by scan, count and get."""
    for table in TABLES:
        expected = scan(model, Look(table, b"", END, 10**6, reverse=False))
        assert tx.scan(table, b"", END, 10**6) == expected
        assert tx.count(table) == len(expected)
        for key, value in expected:
            assert tx.get(table, key) == value


Step = Put | Delete | Look
Function = tuple[list[Step], bool]
Touched = set[tuple[Table, bytes]]


class Undone(Exception):
    """What a function raises that is to fail."""


def function(steps_: list[Step], current: Model, touched: Touched, *, fails: bool) -> Callable[[Writing], None]:
    """A function of a batch: it works on the index and on ``current``, and compares them at its end."""

    def work(tx: Writing) -> None:
        mine = dict(current)
        keys_touched: Touched = set()
        for step in steps_:
            match step:
                case Put(table, key, value):
                    tx.put(table, key, value)
                    mine[table, key] = value
                    keys_touched.add((table, key))
                case Delete(table, key):
                    tx.delete(table, key)
                    mine.pop((table, key), None)
                    keys_touched.add((table, key))
                case Look(table, start, end, limit, reverse):
                    assert tx.scan(table, start, end, limit, reverse=reverse) == scan(mine, step)
        check(tx, mine)
        if fails:
            raise Undone
        current.clear()
        current.update(mine)
        touched.update(keys_touched)

    return work


def run(index: Index, model: Model, changed: dict[int, Touched], batch: list[Function], *, wipe: bool) -> None:
    """One batch against index and model."""
    touched: Touched = set()
    before = index.sequence()
    functions_ = [function(todo, model, touched, fails=fails) for todo, fails in batch]
    for (_, fails), outcome in zip(batch, index.transact(functions_, wipe=wipe), strict=True):
        if outcome.error is not None and not (fails and isinstance(outcome.error, Undone)):
            raise outcome.error
        assert (outcome.error is None) is not fails
    assert index.sequence() == before + bool(touched)
    if touched:
        changed[before + 1] = touched


@pytest.mark.parametrize("kind", ["memory", "sqlite", "sqlite-exclusive"])
@given(todo=batches, forget=st.integers(0, 6))
def test_an_index_is_a_dictionary_with_batches(kind: str, todo: list[tuple[list[Function], bool]], forget: int) -> None:
    """Reads inside and outside of batches, undone functions, changes, a checkpoint and a restart."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.db"

        def opened() -> Index:
            if kind == "memory":
                return MemoryIndex()
            return SqliteIndex.open(path, bytes(32), create=True, sync="os", exclusive=kind != "sqlite")

        index = opened()
        model: Model = {}
        changed: dict[int, Touched] = {}
        for number, (batch, wipe) in enumerate(todo):
            run(index, model, changed, batch, wipe=wipe)
            index.read(lambda tx: check(tx, model))
            if number == forget:
                index.forget_changes(number)
                changed = {sequence: touched for sequence, touched in changed.items() if sequence > number}
                index.checkpoint()
                if kind != "memory":
                    index.close()
                    index = opened()
        assert {change.sequence: set(change.keys) for change in index.changes(0, 1000)} == changed
        for after in range(index.sequence() + 1):
            answer = index.changed_rows(after, 1000)
            assert answer.complete
            expected: Touched = set().union(*(touched for sequence, touched in changed.items() if sequence > after))
            assert {(table, key): value for table, key, value in answer.rows} == {
                (table, key): model.get((table, key)) for table, key in expected
            }
        index.verify()
        index.close()
