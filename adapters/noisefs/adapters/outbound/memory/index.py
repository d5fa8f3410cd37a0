"""The index in memory: a verified fake of the encrypted one. It keeps every promise of the port but durability."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from sortedcontainers import SortedDict

from noisefs.adapters.outbound.pending import Pending
from noisefs.core.errors import IndexClosed
from noisefs.core.ports.index import Change, Changed, Committed, Index, Outcome, Reading, Table, Writing

T = TypeVar("T")


class _Rows(Reading):
    """The committed rows."""

    def __init__(self) -> None:
        self.tables: dict[str, SortedDict] = {table.value: SortedDict() for table in Table}

    def get(self, table: Table, key: bytes) -> bytes | None:
        found: bytes | None = self.tables[table._value_].get(key)
        return found

    def scan(
        self, table: Table, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        rows = self.tables[table._value_]
        pairs: list[tuple[bytes, bytes]] = []
        for key in rows.irange(start, end, (True, False), reverse):
            if len(pairs) >= limit:
                break
            pairs.append((key, rows[key]))
        return pairs

    def count(self, table: Table) -> int:
        return len(self.tables[table._value_])


class MemoryIndex(Index):
    """An index whose life is its process's. Thread-safe: every call holds one lock."""

    def __init__(self) -> None:
        """An empty index, sequence number 0."""
        self._lock = threading.RLock()
        self._rows = _Rows()
        self._sequence = 0
        self._changes: SortedDict = SortedDict()
        self._sink: Callable[[Committed], None] | None = None
        self._closed = False

    def read(self, work: Callable[[Reading], T]) -> T:
        """Run ``work``; writers wait meanwhile."""
        with self._lock:
            self._check_open()
            return work(self._rows)

    def transact(self, batch: Sequence[Callable[[Writing], object]], *, wipe: bool = True) -> list[Outcome[object]]:  # noqa: ARG002 - memory has nothing to wipe
        """Run the batch and apply what it wrote."""
        with self._lock:
            self._check_open()
            pending = Pending(self._rows, self._sequence + 1)
            outcomes = [pending.run(work) for work in batch]
            if pending:
                self._apply(pending.writes())
            return outcomes

    def _apply(self, committed: Committed) -> None:
        for table, writes in committed.tables:
            rows = self._rows.tables[table._value_]
            for key, value in writes:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
        self._sequence = committed.sequence
        keys = tuple((table, key) for table, writes in committed.tables for key, _ in writes)
        self._changes[self._sequence] = Change(self._sequence, keys)
        if self._sink is not None:
            self._sink(committed)

    def sequence(self) -> int:
        """Number of the last commit."""
        with self._lock:
            self._check_open()
            return self._sequence

    def skip_to(self, sequence: int) -> None:
        """Raise the last commit's number."""
        with self._lock:
            self._check_open()
            self._sequence = max(self._sequence, sequence)

    def changes(self, after: int, limit: int) -> list[Change]:
        """Changes of later commits."""
        with self._lock:
            self._check_open()
            numbers = self._changes.irange(after, None, (False, True))
            return [self._changes[number] for number, _ in zip(numbers, range(limit), strict=False)]

    def changed_rows(self, after: int, limit: int) -> Changed:
        """Rows under the keys that later commits changed."""
        with self._lock:
            self._check_open()
            keys: dict[tuple[Table, bytes], None] = {}
            upto = after
            for number in self._changes.irange(after, None, (False, True)):
                if len(keys) >= limit:
                    break
                keys.update(dict.fromkeys(self._changes[number].keys))
                upto = number
            else:
                upto = self._sequence
            rows = [(table, key, self._rows.get(table, key)) for table, key in keys]
            return Changed(upto, rows, upto == self._sequence)

    def follow(self, sink: Callable[[Committed], None] | None) -> None:
        """Hand later commits to ``sink``."""
        with self._lock:
            self._sink = sink

    def forget_changes(self, upto: int) -> None:
        """Drop what is known about earlier commits."""
        with self._lock:
            self._check_open()
            for number in list(self._changes.irange(None, upto)):
                del self._changes[number]

    def checkpoint(self) -> None:
        """Nothing to do: a deleted row is gone."""
        with self._lock:
            self._check_open()

    def verify(self) -> None:
        """Nothing to do: there are no pages to be damaged."""
        with self._lock:
            self._check_open()

    def size_bytes(self) -> int:
        """Bytes of all keys and values."""
        with self._lock:
            self._check_open()
            return sum(len(key) + len(value) for rows in self._rows.tables.values() for key, value in rows.items())

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._closed = True
            self._rows = _Rows()
            self._changes.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosed("the index is closed")
