"""What is particular to the operating system's files."""

import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.errors import DiskFull, FileExists, ReadOnlyStore, StorageFailed


def test_a_full_device_is_a_full_disk() -> None:
    file = LocalDisk().open("/dev/full", write=True)
    with pytest.raises(DiskFull, match="No space left"):
        file.write([memoryview(b"x")], 0)
    file.close()


def test_a_file_that_may_not_be_written_is_read_only() -> None:
    with pytest.raises(ReadOnlyStore, match="Permission denied"):
        LocalDisk().open("/proc/sys/kernel/version", write=True)


def test_other_errors_name_operation_path_and_cause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match=r"listing of '.*/file' failed: Not a directory"):
        LocalDisk().list_folder(str(tmp_path / "file"))


def test_a_file_limit_reached_is_a_storage_error(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(StorageFailed, match=os.strerror(errno.EMFILE)):
            LocalDisk().create(str(tmp_path / "a"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    disk = LocalDisk()
    disk.make_folder(str(tmp_path / "x" / "y"))
    disk.create(str(tmp_path / "x" / "y" / "f")).close()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "x" / "y" / "f").stat().st_mode) == 0o600


def test_an_unaligned_direct_write_falls_back_to_the_page_cache(tmp_path: Path) -> None:
    """A file system that refuses direct writes only at the first one answers like this unaligned one."""
    file = LocalDisk().create(str(tmp_path / "a"), direct=True)
    file.write([memoryview(b"odd")], 1)
    assert not file.direct
    file.write([memoryview(b"more")], 4)
    file.close()
    assert (tmp_path / "a").read_bytes() == b"\0oddmore"


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(FileExists):
        LocalDisk().make_folder(str(tmp_path / "f" / "below"))
