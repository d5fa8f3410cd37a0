"""The writes of one batch before their commit, as every index adapter keeps them.

Functions of a batch write into memory and read through it; only what is left when all have run reaches the store:
a row that thirty-two functions changed is written once, a failed function costs nothing but its own undo, and the
keys of the commit are known without a second list.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import Final

from noisefs.core.ports.index import Committed, Outcome, Reading, Table, Writing

_ABSENT: Final = object()
"""Stands in the undo list for "nothing was pending under this key"."""

_FEW: Final = 64
"""So many pending keys are looked at one by one; more are kept in order once a scan has asked for them."""

_SHARED: Final = frozenset({Table.BUCKETS.value, Table.LOCKS.value})
"""Tables whose rows are small and few, and asked for again by each function of a batch: read once for all of them."""

_Rows = dict[bytes, bytes | None]


class Pending(Writing):
    """A view of ``base`` with the batch's own writes over it. Belongs to one thread, dies with the batch."""

    def __init__(self, base: Reading, sequence: int) -> None:
        """``sequence``: the number this batch's commit will have."""
        self._base = base
        self._sequence = sequence
        self._tables: dict[str, _Rows] = {}
        self._ordered: dict[str, list[bytes]] = {}
        """Keys of large tables, where they were needed in order."""
        self._undo: list[tuple[_Rows, bytes, object]] = []
        self._shared: dict[tuple[str, bytes], bytes | None] = {}
        """Rows of the base that most functions look at."""
        self._demands: frozenset[str] = frozenset()

    @property
    def sequence(self) -> int:
        """The number of the commit to come."""
        return self._sequence

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The pending value, else that of the base."""
        name = table._value_
        rows = self._tables.get(name)
        if rows is not None and key in rows:
            return rows[key]
        if name not in _SHARED:
            return self._base.get(table, key)
        try:
            return self._shared[name, key]
        except KeyError:
            value = self._shared[name, key] = self._base.get(table, key)
            return value

    def scan(
        self, table: Table, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """The base's pairs with the pending ones merged in."""
        rows = self._tables.get(table._value_)
        mine = self._within(table._value_, rows, start, end) if rows else []
        if not rows or not mine:
            return self._base.scan(table, start, end, limit, reverse=reverse)
        # Each pending key hides at most one row of the base: with that many more, the first `limit` are complete.
        merged = dict(self._base.scan(table, start, end, limit + len(mine), reverse=reverse))
        for key in mine:
            value = rows[key]
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = value
        return sorted(merged.items(), reverse=reverse)[:limit]

    def exists(self, table: Table, start: bytes, end: bytes) -> bool:
        """Where a function of the batch has put a row there, the base is not asked."""
        rows = self._tables.get(table._value_)
        if not rows:
            return self._base.exists(table, start, end)
        mine = self._within(table._value_, rows, start, end)
        if not mine:
            return self._base.exists(table, start, end)
        return any(rows[key] is not None for key in mine) or bool(self.scan(table, start, end, 1))

    def _within(self, name: str, rows: _Rows, start: bytes, end: bytes) -> list[bytes]:
        """The pending keys of a range."""
        if len(rows) <= _FEW:
            return [key for key in rows if start <= key < end]
        ordered = self._ordered.get(name)
        if ordered is None:
            ordered = self._ordered[name] = sorted(rows)
        begin = bisect_left(ordered, start)
        return ordered[begin : bisect_left(ordered, end, begin)]

    def count(self, table: Table) -> int:
        """The base's count, corrected by a look at each pending key of the table."""
        total = self._base.count(table)
        for key, value in self._tables.get(table._value_, {}).items():
            total += (value is not None) - (self._base.get(table, key) is not None)
        return total

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set the value under ``key`` in this batch."""
        self._set(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        """Remove ``key`` in this batch."""
        self._set(table, key, None)

    def put_all(self, table: Table, rows: Mapping[bytes, bytes | None]) -> None:
        """Set or remove many. Cost: a fifth of one by one."""
        name = table._value_
        present = self._tables.setdefault(name, {})
        get = present.get
        self._undo += [(present, key, get(key, _ABSENT)) for key in rows]
        present.update(rows)
        self._ordered.pop(name, None)

    def demand(self, durability: str) -> None:
        """Note it for this function's outcome."""
        self._demands |= {durability}

    def _set(self, table: Table, key: bytes, value: bytes | None) -> None:
        name = table._value_
        rows = self._tables.get(name)
        if rows is None:
            rows = self._tables[name] = {}
        before = rows.get(key, _ABSENT)
        if before is _ABSENT and name in self._ordered:
            insort(self._ordered[name], key)
        self._undo.append((rows, key, before))
        rows[key] = value

    def run(self, work: Callable[[Writing], object]) -> Outcome[object]:
        """Run one function; undo what it wrote if it raises. What is no ``Exception`` ends the whole batch."""
        self._demands = frozenset()
        try:
            value = work(self)
        except Exception as exc:  # noqa: BLE001 - it is handed to whoever queued the function
            for rows, key, before in reversed(self._undo):
                if before is _ABSENT:
                    del rows[key]
                else:
                    rows[key] = before  # type: ignore[assignment]  # only _ABSENT or what was in rows is kept
            self._undo.clear()
            self._ordered.clear()
            return Outcome(None, exc)
        self._undo.clear()
        # Where nobody writes, this number will not be given: the last commit's counts then.
        return Outcome(value, None, self._demands, self._sequence if self else self._sequence - 1)

    def writes(self) -> Committed:
        """What is to be committed."""
        return Committed(
            self._sequence, [(Table(name), sorted(rows.items())) for name, rows in self._tables.items() if rows]
        )

    def __bool__(self) -> bool:
        """Whether anything is to be committed."""
        return any(self._tables.values())
