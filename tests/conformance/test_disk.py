"""Every disk keeps the promises of the port."""

import mmap
from pathlib import Path

import pytest

from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.errors import FileExists, FileMissing
from noisefs.core.ports.disk import DIRECT_ALIGNMENT, Disk, File, atomic_write, name_exists, read_whole
from tests.support.simulated_disk import SimulatedDisk


@pytest.fixture(params=["local", "simulated"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """Every adapter."""
    return LocalDisk() if request.param == "local" else SimulatedDisk()


@pytest.fixture
def folder(disk: Disk, tmp_path: Path) -> str:
    """A folder on it that exists."""
    path = str(tmp_path / "deep" / "folder")
    disk.make_folder(path)
    return path


def _write(file: File, data: bytes, offset: int = 0) -> None:
    file.write([memoryview(data)], offset)


def _read(file: File, length: int, offset: int = 0) -> bytes:
    data = bytearray(length)
    return bytes(data[: file.read([memoryview(data)], offset)])


def test_what_was_written_is_read(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    file.write([memoryview(b"one "), memoryview(b"two "), memoryview(b"three")], 3)
    assert _read(file, 100) == b"\0\0\0one two three"
    assert file.size() == disk.file_size(f"{folder}/a") == 16
    file.close()


def test_a_read_fills_several_buffers_and_stops_at_the_end(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    _write(file, b"0123456789")
    first, second, third = bytearray(3), bytearray(4), bytearray(b"....")
    assert file.read([memoryview(first), memoryview(second), memoryview(third)], 2) == 8
    assert (bytes(first), bytes(second), bytes(third)) == (b"234", b"5678", b"9...")
    assert _read(file, 5, 10) == b""
    file.close()


def test_more_buffers_than_one_call_of_the_system_takes(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    data = bytes(range(256)) * 10
    file.write([memoryview(data)[k : k + 1] for k in range(len(data))], 0)
    into = memoryview(bytearray(len(data)))
    assert file.read([into[k : k + 1] for k in range(len(data))], 0) == len(data)
    assert bytes(into) == data
    file.close()


def test_a_file_is_cut_and_grown_with_zeros(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    _write(file, b"x" * 10_000)
    file.truncate(5000)
    file.truncate(5010)
    assert _read(file, 100, 4990) == b"x" * 10 + bytes(10)
    file.close()


def test_allocation_grows_a_file_with_zeros_and_keeps_its_bytes(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    _write(file, b"abc")
    file.allocate(10_000)
    assert file.size() == 10_000
    assert _read(file, 10_000) == b"abc" + bytes(9997)
    file.allocate(100)
    assert file.size() == 10_000
    file.close()


def test_direct_writes_are_seen_by_reads_of_any_alignment(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a", direct=True)
    page = memoryview(mmap.mmap(-1, 2 * DIRECT_ALIGNMENT))
    page[:] = bytes(range(256)) * (len(page) // 256)
    file.write([page[:DIRECT_ALIGNMENT], page[DIRECT_ALIGNMENT:]], DIRECT_ALIGNMENT)
    assert _read(file, 300, DIRECT_ALIGNMENT - 1) == b"\0" + bytes(range(256)) + bytes(range(43))
    file.sync()
    file.close()
    again = disk.open(f"{folder}/a", write=True, direct=True)
    assert _read(again, 3, DIRECT_ALIGNMENT + 7) == b"\x07\x08\x09"
    again.close()


def test_a_name_is_created_once(disk: Disk, folder: str) -> None:
    disk.create(f"{folder}/a").close()
    with pytest.raises(FileExists):
        disk.create(f"{folder}/a")


def test_what_is_not_there_is_missing(disk: Disk, folder: str) -> None:
    path = f"{folder}/none"
    for attempt in (
        lambda: disk.open(path),
        lambda: disk.file_size(path),
        lambda: disk.unlink(path),
        lambda: disk.rename(path, f"{folder}/b"),
        lambda: disk.list_folder(path),
        lambda: disk.create(f"{path}/a"),
    ):
        with pytest.raises(FileMissing):
            attempt()
    assert not name_exists(disk, path)


def test_a_rename_replaces_and_open_files_go_on(disk: Disk, folder: str) -> None:
    old, other = disk.create(f"{folder}/old"), disk.create(f"{folder}/other")
    _write(old, b"old")
    disk.rename(f"{folder}/old", f"{folder}/other")
    assert disk.list_folder(folder) == ["other"]
    assert read_whole(disk, f"{folder}/other") == b"old"
    _write(other, b"still there")
    assert _read(other, 20) == b"still there"
    assert disk.same(f"{folder}/other", old)
    assert not disk.same(f"{folder}/other", other)
    assert not disk.same(f"{folder}/old", old)
    old.close()
    other.close()


def test_an_unlinked_file_is_gone_from_its_folder_and_stays_open(disk: Disk, folder: str) -> None:
    file = disk.create(f"{folder}/a")
    _write(file, b"bytes")
    disk.unlink(f"{folder}/a")
    disk.sync_folder(folder)
    assert disk.list_folder(folder) == []
    assert _read(file, 5) == b"bytes"
    file.close()


def test_a_folder_is_made_once_with_its_parents(disk: Disk, folder: str) -> None:
    disk.make_folder(f"{folder}/x/y")
    disk.make_folder(f"{folder}/x/y")
    disk.create(f"{folder}/f").close()
    assert sorted(disk.list_folder(folder)) == ["f", "x"]
    assert disk.list_folder(f"{folder}/x") == ["y"]


def test_a_lock_belongs_to_one_open_file(disk: Disk, folder: str) -> None:
    first = disk.create(f"{folder}/a")
    second = disk.open(f"{folder}/a", write=True)
    assert first.try_lock()
    assert first.try_lock()
    assert not second.try_lock()
    first.unlock()
    assert second.try_lock()
    second.close()
    assert first.try_lock()
    first.close()
    first.close()


def test_an_atomic_write_replaces_the_whole_file(disk: Disk, folder: str) -> None:
    atomic_write(disk, f"{folder}/head", b"a long first version")
    atomic_write(disk, f"{folder}/head", b"short")
    assert read_whole(disk, f"{folder}/head") == b"short"
    assert disk.list_folder(folder) == ["head"]


def test_an_atomic_write_is_not_stopped_by_a_leftover(disk: Disk, folder: str) -> None:
    disk.create(f"{folder}/.head.tmp").close()
    atomic_write(disk, f"{folder}/head", b"new")
    assert read_whole(disk, f"{folder}/head") == b"new"


def test_there_is_room(disk: Disk, folder: str) -> None:
    free = disk.free(folder)
    assert free.bytes > 0
    assert free.inodes > 0


def test_what_is_read_at_once_is_what_was_written_or_nothing(disk: Disk, folder: str) -> None:
    """A disk without a cache has nothing at once; none has what lies behind the end."""
    file = disk.create(f"{folder}/a")
    _write(file, b"0123456789")
    assert _read(file, 10) == b"0123456789"
    first, second = bytearray(3), bytearray(4)
    if file.read_at_once([memoryview(first), memoryview(second)], 2):
        assert (bytes(first), bytes(second)) == (b"234", b"5678")
    assert not file.read_at_once([memoryview(first), memoryview(second)], 5)
    file.close()
