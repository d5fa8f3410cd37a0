"""The disk model is right: what careful writers promise holds on it, what careless ones promise does not."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from noisefs.adapters.outbound.sqlite.connection import Sync
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.errors import DiskFull, IndexClosed, IndexDamaged, NoisefsError, StorageFailed, WrongRootKey
from noisefs.core.ports.disk import atomic_write, read_whole
from noisefs.core.ports.index import Table, Writing
from tests.support.simulated_disk import PAGE, SimulatedCrash, SimulatedDisk
from tests.support.simulated_vfs import mount

KEY = b"k" * 32


# ---------------------------------------------------------------- SQLite on it


def _index(disk: SimulatedDisk, *, sync: Sync = "fsync", create: bool = True) -> SqliteIndex:
    return SqliteIndex.open(Path("/data/index.db"), KEY, create=create, sync=sync, vfs=mount(disk), exclusive=True)


def _put(number: int) -> Callable[[Writing], object]:
    def work(tx: Writing) -> None:
        tx.put(Table.INLINE, number.to_bytes(4, "big"), bytes([number % 256]) * 3000)
        tx.put(Table.META, b"last", number.to_bytes(4, "big"))

    return work


def _commits_until_crash(disk: SimulatedDisk, *, sync: Sync = "fsync", checkpoints: int = 7) -> int:
    """One commit a row until the power fails; returns how many were acknowledged."""
    acknowledged = 0
    try:
        index = _index(disk, sync=sync)
        for number in range(40):
            index.transact([_put(number)])
            if disk.down:
                break
            acknowledged += 1
            if number % checkpoints == checkpoints - 1:
                index.checkpoint()
        index.close()
    except (SimulatedCrash, NoisefsError, apsw.Error):
        assert disk.down
    return acknowledged


def _survived(disk: SimulatedDisk) -> int:
    """Rows there are, after a check that they are the first ones, whole and in one piece."""
    index = _index(disk)
    index.verify()
    rows = index.read(lambda tx: tx.scan(Table.INLINE, b"", b"\xff" * 5, 1000))
    last = index.read(lambda tx: tx.get(Table.META, b"last"))
    index.close()
    assert rows == [(n.to_bytes(4, "big"), bytes([n % 256]) * 3000) for n in range(len(rows))]
    assert last == ((len(rows) - 1).to_bytes(4, "big") if rows else None)
    return len(rows)


def _disk(seed: int, crash_at: int | None) -> SimulatedDisk:
    disk = SimulatedDisk(seed)
    disk.make_folder("/data")
    disk.crash_at = crash_at
    return disk


def _steps() -> int:
    disk = _disk(0, None)
    _commits_until_crash(disk)
    return disk.steps


STEPS = _steps()


@pytest.mark.parametrize("part", range(8))
def test_an_acknowledged_commit_survives_a_crash_at_any_step(part: int) -> None:
    for step in range(1 + part, STEPS + 1, 8):
        for seed in range(2):
            disk = _disk(seed * 1000 + step, step)
            acknowledged = _commits_until_crash(disk)
            disk.crash()
            assert acknowledged <= _survived(disk) <= acknowledged + 1


@pytest.mark.parametrize("planted", ["sync:wal", "sync:db", "sync_folder:data", "synchronous off"])
def test_a_missing_sync_of_the_index_is_found(planted: str) -> None:
    """Without one of the syncs that SQLite does, some crash loses what was acknowledged."""
    for number in range(400):
        disk = _disk(number, 1 + number * 7 % STEPS)
        disk.ignore_syncs = lambda label: label == planted
        acknowledged = _commits_until_crash(disk, sync="os" if planted == "synchronous off" else "fsync")
        disk.crash()
        try:
            if _survived(disk) < acknowledged:
                return
        except (AssertionError, IndexDamaged, WrongRootKey, StorageFailed):
            return
    pytest.fail(f"400 crashes did not find it: {planted}")


def test_a_failed_sync_of_the_log_closes_the_index() -> None:
    disk = _disk(1, None)
    index = _index(disk)
    index.transact([_put(0)])
    disk.fail_next("sync", "wal")
    with pytest.raises(IndexClosed):
        index.transact([_put(1)])
    with pytest.raises(IndexClosed):
        index.transact([_put(1)])
    disk.crash()
    assert _survived(disk) in (1, 2)


def test_a_full_disk_refuses_a_commit_and_the_next_one_may_succeed() -> None:
    disk = _disk(1, None)
    index = _index(disk)
    index.transact([_put(0)])
    room, disk.capacity_bytes = disk.capacity_bytes, disk.capacity_bytes - disk.free("/").bytes
    with pytest.raises(DiskFull):
        index.transact([_put(1)])
    disk.capacity_bytes = room
    index.transact([_put(1)])
    disk.crash()
    assert _survived(disk) == 2


# ---------------------------------------------------------------- small files on it


def test_an_atomic_write_leaves_the_old_or_the_new_bytes_at_any_crash() -> None:
    old, new = b"o" * 5000, b"n" * 9000
    outcomes = set()
    for seed in range(200):
        disk = SimulatedDisk(seed)
        disk.make_folder("/data")
        atomic_write(disk, "/data/head", old)
        disk.crash_at = disk.steps + 1 + seed % 5
        with contextlib.suppress(SimulatedCrash):
            atomic_write(disk, "/data/head", new)
        disk.crash()
        outcomes.add(read_whole(disk, "/data/head"))
        atomic_write(disk, "/data/head", new)
        assert read_whole(disk, "/data/head") == new
    assert outcomes == {old, new}


@pytest.mark.parametrize("planted", ["sync:tmp", "sync_folder:data"])
def test_a_missing_sync_of_a_small_file_is_found(planted: str) -> None:
    wrong = 0
    for seed in range(50):
        disk = SimulatedDisk(seed)
        disk.make_folder("/data")
        disk.ignore_syncs = lambda label: label == planted
        atomic_write(disk, "/data/head", b"n" * 9000)
        disk.crash()
        try:
            wrong += read_whole(disk, "/data/head") != b"n" * 9000
        except NoisefsError:
            wrong += 1
    assert wrong > 0


# ---------------------------------------------------------------- the model itself


def _file_of(seed: int, *, synced: bytes, unsynced: bytes) -> bytes:
    disk = SimulatedDisk(seed)
    file = disk.create("/a")
    file.write([memoryview(synced)], 0)
    file.sync()
    disk.sync_folder("/")
    file.write([memoryview(unsynced)], 0)
    disk.crash()
    return read_whole(disk, "/a")


def test_an_unsynced_write_is_kept_lost_or_torn_at_sectors() -> None:
    seen = set()
    for seed in range(100):
        found = _file_of(seed, synced=b"o" * 2 * PAGE, unsynced=b"n" * 2 * PAGE)
        assert len(found) == 2 * PAGE
        sectors = [found[k : k + 512] for k in range(0, len(found), 512)]
        assert all(sector in (b"o" * 512, b"n" * 512) for sector in sectors)
        seen.add("".join(chr(sector[0]) for sector in sectors))
    assert "o" * 16 in seen
    assert "n" * 16 in seen
    assert len(seen) > 20
    assert any("no" in pattern for pattern in seen), "a later sector may be there without an earlier one"


def test_an_unsynced_length_is_kept_or_lost_apart_from_its_bytes() -> None:
    lengths, zeros = set(), False
    for seed in range(100):
        found = _file_of(seed, synced=b"o" * 100, unsynced=b"n" * 3 * PAGE)
        lengths.add(len(found))
        zeros = zeros or (len(found) == 3 * PAGE and 0 in found)
    assert lengths == {100, 3 * PAGE}
    assert zeros, "a length may be there without its bytes"


def test_a_failed_sync_forgets_what_was_dirty() -> None:
    """As on Linux: reads still see it, a later sync does not write it, and says nothing."""
    lost = 0
    for seed in range(50):
        disk = SimulatedDisk(seed)
        file = disk.create("/a")
        disk.sync_folder("/")
        file.write([memoryview(b"x" * PAGE)], 0)
        disk.fail_next("sync", "a")
        with pytest.raises(StorageFailed):
            file.sync()
        file.sync()
        assert read_whole(disk, "/a") == b"x" * PAGE
        disk.crash()
        lost += read_whole(disk, "/a") != b"x" * PAGE
    assert 0 < lost < 50


def test_the_end_of_a_process_loses_no_bytes_but_its_locks() -> None:
    disk = SimulatedDisk()
    file = disk.create("/a")
    file.write([memoryview(b"unsynced")], 0)
    assert file.try_lock()
    disk.crash(gently=True)
    assert read_whole(disk, "/a") == b"unsynced"
    again = disk.open("/a", write=True)
    assert again.try_lock()
    with pytest.raises(SimulatedCrash):
        file.size()
    seen = set()
    for seed in range(20):
        disk = SimulatedDisk(seed)
        disk.create("/a").write([memoryview(b"unsynced")], 0)
        disk.crash(gently=True)
        disk.crash()
        seen.add("a" in disk.list_folder("/"))
    assert seen == {True, False}, "a power loss that follows may still take them"


def test_the_same_seed_and_calls_give_the_same_disk() -> None:
    def play(seed: int) -> dict[str, bytes]:
        disk, chance = SimulatedDisk(seed), random.Random(1)
        for life in range(3):
            for number in range(5):
                file = disk.create(f"/{life}-{number}")
                file.write([memoryview(chance.randbytes(chance.randint(1, 20_000)))], chance.randint(0, 9000))
                if number % 2:
                    file.sync()
                    disk.sync_folder("/")
            disk.crash()
        return disk.snapshot()

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_room_is_counted_and_given_back() -> None:
    disk = SimulatedDisk(capacity_bytes=100_000)
    file = disk.create("/a")
    file.allocate(60_000)
    file.write([memoryview(bytes(1000))], 0)
    assert disk.free("/").bytes == 40_000
    with pytest.raises(DiskFull):
        file.write([memoryview(bytes(50_000))], 60_000)
    file.truncate(10_000)
    assert disk.free("/").bytes == 90_000
    disk.unlink("/a")
    file.write([memoryview(bytes(99_999))], 0)
    assert disk.free("/").bytes == 100_000
