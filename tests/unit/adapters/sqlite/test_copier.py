"""Copying the log beside the commits."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from noisefs.adapters.outbound.sqlite.connection import connect
from noisefs.adapters.outbound.sqlite.copier import LogCopier
from noisefs.adapters.outbound.sqlite.index import CHECKPOINT_PAGES, PAGE_BYTES, SqliteIndex
from noisefs.core.ports.index import Reading, Table, Writing

KEY = bytes(range(32))
VALUE = os.urandom(100 * PAGE_BYTES)


def put(number: int) -> Callable[[Writing], None]:
    """A value of a hundred pages."""
    return lambda tx: tx.put(Table.INLINE, b"%d" % number, VALUE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index is."""
    return tmp_path / "index.db"


@pytest.fixture
def index(path: Path) -> SqliteIndex:
    """One that never syncs, for speed."""
    return SqliteIndex.open(path, KEY, create=True, sync="os")


def copier_of(path: Path, failures: list[apsw.Error]) -> LogCopier:
    """One beside an index, as that makes its own."""
    return LogCopier(
        lambda: connect(str(path), KEY, sync="os", vfs=None, exclusive=False, writer=True), failures.append
    )


def test_a_round_copies_what_was_committed_while_others_commit(index: SqliteIndex, path: Path) -> None:
    """No lock is between them; what it copied can be read from the file alone."""
    for number in range(10):
        index.transact([put(number)])
    before = path.stat().st_size
    failures: list[apsw.Error] = []
    copier = copier_of(path, failures)
    round_ = copier.begin()
    assert copier.begin() is round_  # one at a time
    index.transact([put(10)])
    copier.take()
    assert not copier.has_begun
    assert not copier.is_busy
    assert path.stat().st_size >= before + 1000 * PAGE_BYTES
    copier.begin()
    copier.close()
    assert not failures
    index.close()
    again = SqliteIndex.open(path, KEY, create=False)
    for number in range(11):
        assert again.read_pair(Table.INLINE, b"%d" % number, Table.META, b"")[0] == VALUE
    again.close()


def test_a_copier_elsewhere_is_no_failure_and_a_broken_disk_is() -> None:
    """Whoever began it hears of the second."""
    failures: list[apsw.Error] = []
    for error in (apsw.BusyError("another process copies"), apsw.IOError("broken")):

        def fail(error: apsw.Error = error) -> apsw.Connection:
            raise error

        copier = LogCopier(fail, failures.append)
        copier.begin()
        copier.close()
    assert [str(error) for error in failures] == ["broken"]


def test_the_log_is_emptied_while_a_round_is_under_way(index: SqliteIndex, path: Path) -> None:
    """And the round after it begins anew."""
    wal = path.with_name("index.db-wal")
    for _ in range(2):
        for number in range(CHECKPOINT_PAGES // 100 + 1):
            index.transact([put(number)])
        index.checkpoint()
        assert wal.stat().st_size == 0
    index.close()


def test_the_log_stays_short_while_a_reader_comes_and_goes(index: SqliteIndex, path: Path) -> None:
    """A reader keeps the log from beginning anew; once it is gone, it does."""
    wal = path.with_name("index.db-wal")
    for number in range(4):
        index.transact([put(number)])

    def read(tx: Reading) -> None:
        tx.get(Table.INLINE, b"0")
        for number in range(2 * CHECKPOINT_PAGES // 100):
            index.transact([put(number % 7)])

    index.read(read)
    long = wal.stat().st_size
    for number in range(2 * CHECKPOINT_PAGES // 100):
        index.transact([put(number % 7)])
    assert wal.stat().st_size < long + 1.2 * CHECKPOINT_PAGES * (PAGE_BYTES + 24)
    index.checkpoint()
    assert wal.stat().st_size == 0
    index.close()
