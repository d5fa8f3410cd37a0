"""The index file: keys, damage, formats, failing disks, several processes, what a deletion leaves."""

import os
import random
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from noisefs.adapters.outbound.sqlite import unsynced
from noisefs.adapters.outbound.sqlite.connection import connect
from noisefs.adapters.outbound.sqlite.index import CHECKPOINT_PAGES, PAGE_BYTES, SqliteIndex
from noisefs.adapters.outbound.sqlite.schema import FORMAT
from noisefs.core.errors import (
    DiskFull,
    IndexClosed,
    IndexDamaged,
    InvalidArgument,
    NewerFormat,
    NoisefsError,
    ReadOnlyStore,
    StorageFailed,
    StoreNotFound,
    WrongRootKey,
)
from noisefs.core.ports.index import SECRETS, Table, Writing
from tests.support.failing_vfs import FailingVfs, sqlite_error
from tests.support.simulated_disk import SimulatedDisk
from tests.support.simulated_vfs import mount

KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the index lies."""
    return tmp_path / "index.db"


def make(path: Path, rows: int = 200) -> None:
    """An index with some rows, closed."""
    index = SqliteIndex.open(path, KEY, create=True)
    index.transact([lambda tx: [tx.put(Table.OBJECTS, b"%04d" % n, os.urandom(200)) for n in range(rows)]])
    index.close()


def set_row(tx: Writing) -> None:
    """A function that writes something."""
    tx.put(Table.OBJECTS, b"k", b"v")


def raw_connection(path: Path) -> apsw.Connection:
    """A connection with the right key, past the adapter."""
    return connect(str(path), KEY, sync="os", vfs=None, exclusive=False, writer=True)


# ---------------------------------------------------------------- opening


def test_rows_and_numbers_survive_a_restart(path: Path) -> None:
    """What was committed is there, and the sequence goes on."""
    make(path)
    index = SqliteIndex.open(path, KEY, create=False)
    assert index.read(lambda tx: tx.count(Table.OBJECTS)) == 200
    assert index.sequence() == 1
    index.close()


def test_only_the_owner_may_read_the_files(path: Path) -> None:
    """The file and everything beside it."""
    index = SqliteIndex.open(path, KEY, create=True)
    index.transact([set_row])
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    index.close()


def test_a_missing_index_is_made_only_when_asked(path: Path) -> None:
    """A server must not start on an empty index because a path is wrong."""
    with pytest.raises(StoreNotFound):
        SqliteIndex.open(path, KEY, create=False)
    assert list(path.parent.iterdir()) == []


def test_an_empty_file_is_damage_unless_it_is_being_made(path: Path) -> None:
    """``init`` that was cut off can be repeated."""
    path.touch()
    with pytest.raises(IndexDamaged):
        SqliteIndex.open(path, KEY, create=False)
    SqliteIndex.open(path, KEY, create=True).close()
    SqliteIndex.open(path, KEY, create=False).close()


def test_another_key_does_not_open_it(path: Path) -> None:
    """And changes nothing."""
    make(path)
    before = path.read_bytes()
    with pytest.raises(WrongRootKey):
        SqliteIndex.open(path, bytes(32), create=False)
    assert path.read_bytes() == before


def test_a_key_has_32_bytes(path: Path) -> None:
    """Anything else would go through a password hash."""
    with pytest.raises(InvalidArgument):
        SqliteIndex.open(path, b"short", create=True)


def test_a_newer_format_is_refused(path: Path) -> None:
    """With both numbers in the message."""
    make(path)
    conn = raw_connection(path)
    conn.pragma("user_version", FORMAT + 1)
    conn.close()
    with pytest.raises(NewerFormat, match=rf"format {FORMAT + 1}.*up to {FORMAT}"):
        SqliteIndex.open(path, KEY, create=False)


@pytest.mark.parametrize(
    ("number", "lacking"),
    [
        (1, (Table.COPIES, Table.INTERIMS, Table.UNPINS, Table.VERSIONS, Table.POLICIES)),
        (2, (Table.VERSIONS, Table.POLICIES)),
    ],
)
def test_an_older_format_gets_the_tables_it_lacks(path: Path, number: int, lacking: tuple[Table, ...]) -> None:
    """And keeps its rows."""
    make(path)
    conn = raw_connection(path)
    for table in lacking:
        conn.execute(f"DROP TABLE {table.value}")
    conn.pragma("user_version", number)
    conn.close()
    index = SqliteIndex.open(path, KEY, create=False)
    index.transact([lambda tx: [tx.put(table, b"k", b"v") for table in lacking]])
    assert index.read(lambda tx: [tx.count(table) for table in lacking]) == [1] * len(lacking)
    assert index.read(lambda tx: tx.count(Table.OBJECTS)) == 200
    index.close()


def test_a_folder_that_does_not_exist_is_a_clear_error(path: Path) -> None:
    """Naming the path."""
    with pytest.raises(StorageFailed, match="nowhere"):
        SqliteIndex.open(path.parent / "nowhere" / "index.db", KEY, create=True)


# ---------------------------------------------------------------- damage


def test_a_flipped_bit_is_found_by_whoever_reads_the_page(path: Path) -> None:
    """Pages are authenticated: never a wrong row."""
    make(path)
    raw = bytearray(path.read_bytes())
    for page in range(1, len(raw) // PAGE_BYTES):
        raw[page * PAGE_BYTES + 1000] ^= 1
    path.write_bytes(raw)
    try:
        index = SqliteIndex.open(path, KEY, create=False)
    except IndexDamaged:
        return
    with pytest.raises(IndexDamaged):
        index.read(lambda tx: tx.scan(Table.OBJECTS, b"", b"z", 1000))
    with pytest.raises(IndexDamaged):
        index.verify()
    index.close()


@pytest.mark.parametrize("page", range(1, 30, 4))
def test_verify_finds_damage_in_any_page(path: Path, page: int) -> None:
    """One bit."""
    make(path)
    raw = bytearray(path.read_bytes())
    raw[page * PAGE_BYTES + 77] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(IndexDamaged):  # noqa: PT012 - opening may find it already
        index = SqliteIndex.open(path, KEY, create=False)
        try:
            index.verify()
        finally:
            index.close()


def test_a_damaged_first_page_does_not_open(path: Path) -> None:
    """It cannot be told from a wrong key."""
    make(path)
    raw = bytearray(path.read_bytes())
    raw[2000] ^= 1
    path.write_bytes(raw)
    with pytest.raises(WrongRootKey):
        SqliteIndex.open(path, KEY, create=False)


def test_changes_that_cannot_be_decoded_are_damage(path: Path) -> None:
    """Also a table nobody knows."""
    make(path)
    conn = raw_connection(path)
    for raw in (b"\xc1", b"\x81\xa7unknown\x91\xc4\x01a"):
        conn.execute("UPDATE changes SET keys = ? WHERE sequence = 1", (raw,))
        index = SqliteIndex.open(path, KEY, create=False)
        with pytest.raises(IndexDamaged, match="commit 1"):
            index.changes(0, 10)
        index.close()
    conn.close()


# ---------------------------------------------------------------- failing disks


@pytest.fixture
def failing() -> FailingVfs:
    """A disk that fails on demand."""
    return FailingVfs()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sqlite_error(apsw.FullError, apsw.SQLITE_FULL), DiskFull),
        (sqlite_error(apsw.ReadOnlyError, apsw.SQLITE_READONLY), ReadOnlyStore),
        (sqlite_error(apsw.IOError, apsw.SQLITE_IOERR_WRITE), StorageFailed),
    ],
    ids=["full", "read-only", "write error"],
)
def test_a_failed_write_commits_nothing_and_later_commits_succeed(
    path: Path, failing: FailingVfs, error: apsw.Error, expected: type[NoisefsError]
) -> None:
    """The batch is as if it had never been."""
    index = SqliteIndex.open(path, KEY, create=True, vfs=failing.vfs_name, exclusive=True)
    index.transact([set_row])
    with failing.fails("write", error), pytest.raises(expected):
        index.transact([lambda tx: tx.put(Table.OBJECTS, b"k", b"new")])
    assert index.read(lambda tx: tx.get(Table.OBJECTS, b"k")) == b"v"
    assert index.sequence() == 1
    index.transact([lambda tx: tx.put(Table.OBJECTS, b"k", b"newer")])
    assert index.sequence() == 2
    index.close()


def test_a_failed_sync_ends_writing_for_good(path: Path, failing: FailingVfs) -> None:
    """A second sync could succeed without the bytes being there. Reading goes on."""
    index = SqliteIndex.open(path, KEY, create=True, vfs=failing.vfs_name, exclusive=True)
    index.transact([set_row])
    with failing.fails("sync", sqlite_error(apsw.IOError, apsw.SQLITE_IOERR_FSYNC)), pytest.raises(IndexClosed):
        index.transact([lambda tx: tx.put(Table.OBJECTS, b"k", b"new")])
    with pytest.raises(IndexClosed, match="restart"):
        index.transact([set_row])
    assert index.read(lambda tx: tx.get(Table.OBJECTS, b"k")) == b"v"
    index.close()


def test_a_failed_sync_of_a_checkpoint_ends_writing_but_not_the_batch(path: Path, failing: FailingVfs) -> None:
    """The batch was synced in the log before."""
    index = SqliteIndex.open(path, KEY, create=True, vfs=failing.vfs_name, exclusive=True)
    big = os.urandom((CHECKPOINT_PAGES + 100) * PAGE_BYTES)

    def work(tx: Writing) -> None:
        tx.put(Table.INLINE, b"big", big)

    with failing.fails("sync-file", sqlite_error(apsw.IOError, apsw.SQLITE_IOERR_FSYNC)):
        assert index.transact([work])[0].error is None
    assert index.read(lambda tx: tx.get(Table.INLINE, b"big")) == big
    with pytest.raises(IndexClosed):
        index.transact([set_row])
    index.close()


def test_a_checkpoint_that_finds_the_disk_full_is_tried_again(path: Path, failing: FailingVfs) -> None:
    """Nothing is lost meanwhile: the log holds it."""
    index = SqliteIndex.open(path, KEY, create=True, vfs=failing.vfs_name, exclusive=True)
    big = os.urandom((CHECKPOINT_PAGES + 100) * PAGE_BYTES)
    with failing.fails("write-file", sqlite_error(apsw.FullError, apsw.SQLITE_FULL)):
        assert index.transact([lambda tx: tx.put(Table.INLINE, b"big", big)])[0].error is None
        with pytest.raises(DiskFull):
            index.checkpoint()
    index.transact([set_row])
    index.checkpoint()
    assert index.read(lambda tx: tx.get(Table.INLINE, b"big")) == big
    index.close()


def test_after_a_failed_sync_the_next_start_checks_the_index(path: Path) -> None:
    """The mark that the failure left goes only when the check passes."""
    make(path)
    unsynced.mark(str(path), None)
    SqliteIndex.open(path, KEY, create=False).close()
    assert not unsynced.is_marked(str(path), None)
    unsynced.mark(str(path), None)
    raw = bytearray(path.read_bytes())
    raw[-PAGE_BYTES + 10] ^= 1
    path.write_bytes(raw)
    with pytest.raises(IndexDamaged):
        SqliteIndex.open(path, KEY, create=False)
    assert unsynced.is_marked(str(path), None)


@pytest.mark.parametrize("seed", range(8))
def test_after_a_failed_sync_the_next_start_writes_file_and_log_anew(seed: int) -> None:
    """What only the system's cache holds then would be lost with the power: it looks synced, and is not."""
    disk = SimulatedDisk(seed)
    vfs = mount(disk)
    path = Path("/index.db")
    index = SqliteIndex.open(path, KEY, create=True, vfs=vfs, exclusive=True)
    disk.fail_next("sync", "wal", StorageFailed("planted"))
    with pytest.raises(IndexClosed):
        index.transact([set_row])
    disk.crash(gently=True)
    again = SqliteIndex.open(path, KEY, create=False, vfs=vfs, exclusive=True)
    seen = again.read(lambda tx: tx.get(Table.OBJECTS, b"k"))
    disk.crash()
    last = SqliteIndex.open(path, KEY, create=False, vfs=vfs, exclusive=True)
    assert last.read(lambda tx: tx.get(Table.OBJECTS, b"k")) == seen
    last.close()


# ---------------------------------------------------------------- the log


def test_the_log_is_copied_into_the_file_before_it_grows_long(path: Path) -> None:
    """And used again from its start."""
    index = SqliteIndex.open(path, KEY, create=True, sync="os")
    value = os.urandom(100 * PAGE_BYTES)
    number = 0

    def work(tx: Writing) -> None:
        tx.put(Table.INLINE, b"%d" % (number % 7), value)

    for number in range(3 * CHECKPOINT_PAGES // 100):  # noqa: B007 - work() reads it
        index.transact([work])
    wal = path.with_name("index.db-wal")
    assert wal.stat().st_size < 1.2 * CHECKPOINT_PAGES * (PAGE_BYTES + 24)
    index.checkpoint()
    assert wal.stat().st_size == 0
    index.close()


def test_checkpoint_says_so_when_a_reader_is_in_its_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not pretend."""
    monkeypatch.setattr("noisefs.adapters.outbound.sqlite.index._TRUNCATE_TRIES", 2)
    index = SqliteIndex.open(path, KEY, create=True)
    index.transact([set_row])
    reader = raw_connection(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM objects").get == 1
    index.transact([lambda tx: tx.delete(Table.OBJECTS, b"k")])
    with pytest.raises(StorageFailed, match="reader"):
        index.checkpoint()
    reader.execute("COMMIT")
    index.checkpoint()
    reader.close()
    index.close()


@pytest.mark.parametrize("table", [table for table in Table if table in SECRETS])
def test_no_deleted_or_replaced_secret_is_left_after_a_checkpoint(path: Path, table: Table) -> None:
    """Thousands of rows of changing sizes, deleted in random order, through many splits: looked for in every decrypted
    page, free ones and gaps included, and the log is empty.
    """
    index = SqliteIndex.open(path, KEY, create=True, sync="os")
    rng = random.Random(7)
    live: dict[bytes, bytes] = {}
    gone: set[bytes] = set()
    number = 0

    def step(tx: Writing) -> None:
        nonlocal number
        choice = rng.random()
        if live and choice > 0.5:
            key = rng.choice(list(live))
            gone.add(live[key])
            if choice > 0.75:
                tx.delete(table, key)
                del live[key]
                return
        else:
            key = rng.randbytes(rng.choice((16, 16, 16, 40, 57, 58, 120)))
        number += 1
        live[key] = b"CANARY%08d" % number
        tx.put(table, key, rng.randbytes(rng.choice((0, 30, 60, 90))) + live[key])

    for _ in range(120):
        index.transact([step] * 40)
        # A value that was replaced within its batch never reached the file.
    index.checkpoint()
    assert path.with_name("index.db-wal").stat().st_size == 0
    conn = raw_connection(path)
    pages = conn.serialize("main")
    conn.close()
    found = set(re.findall(rb"CANARY\d{8}", pages))
    assert found & gone == set()
    assert found == set(live.values())
    assert len(gone) > 1500
    assert dict(index.read(lambda tx: tx.scan(table, b"", b"\xff" * 200, 10**6))).keys() == live.keys()
    index.close()


def test_nothing_readable_is_in_any_file(path: Path) -> None:
    """Names and values are sealed in the file, its log and its shared memory."""
    index = SqliteIndex.open(path, KEY, create=True)
    index.transact([lambda tx: tx.put(Table.OBJECTS, b"CANARY-KEY", b"CANARY-VALUE" * 20)])
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert b"CANARY" not in b"".join(files.values())
    index.checkpoint()
    assert b"CANARY" not in path.read_bytes()
    index.close()


# ---------------------------------------------------------------- processes

_INCREMENT = """
import sys
from pathlib import Path
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.ports.index import Table
index = SqliteIndex.open(Path(sys.argv[1]), bytes(range(32)), create=False)
def work(tx):
    tx.put(Table.META, b"n", b"%d" % (int(tx.get(Table.META, b"n") or b"0") + 1))
    tx.put(Table.RUNS, b"%s-%d" % (sys.argv[2].encode(), n), b"%d" % tx.sequence)
for n in range(int(sys.argv[3])):
    index.transact([work])
    print(n, flush=True)
index.close()
"""


def test_commits_of_several_processes_exclude_each_other(path: Path) -> None:
    """No increment is lost, no sequence number is used twice."""
    SqliteIndex.open(path, KEY, create=True).close()
    processes = [
        subprocess.Popen([sys.executable, "-c", _INCREMENT, str(path), name, "100"], stdout=subprocess.PIPE)
        for name in "abc"
    ]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    index = SqliteIndex.open(path, KEY, create=False)
    assert index.read(lambda tx: tx.get(Table.META, b"n")) == b"300"
    numbers = [int(value) for _, value in index.read(lambda tx: tx.scan(Table.RUNS, b"", b"z", 1000))]
    assert sorted(numbers) == list(range(1, 301))
    assert index.sequence() == 300
    index.close()


def test_a_killed_writer_loses_nothing_it_was_told_is_committed(path: Path) -> None:
    """And the next one can write at once."""
    SqliteIndex.open(path, KEY, create=True).close()
    process = subprocess.Popen([sys.executable, "-c", _INCREMENT, str(path), "a", "100000"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == 50:
            process.send_signal(signal.SIGKILL)
            break
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout if line.endswith(b"\n"))])
    process.wait()
    process.stdout.close()
    index = SqliteIndex.open(path, KEY, create=False)
    count = int(index.read(lambda tx: tx.get(Table.META, b"n")) or b"0")
    assert acknowledged + 1 <= count <= acknowledged + 2
    index.verify()
    index.transact([set_row])
    index.close()
