"""The folder of snapshots and logs: what is left on the disk, and what a failing disk means."""

import errno
import os
import stat
from pathlib import Path

import pytest

from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.core.errors import DiskFull, NoisefsError, ReadOnlyStore, StorageFailed
from noisefs.core.ports.files import StoredFile


def test_files_survive_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    """Modes of the folder and of both kinds of files."""
    folder = tmp_path / "folder"
    files = LocalFiles(folder)
    draft = files.draft()
    draft.write(b"1")
    draft.publish("a")
    files.append_to("b").close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert LocalFiles(folder).list() == [StoredFile("a", 1), StoredFile("b", 0)]


def test_a_start_removes_drafts_of_the_dead_only(tmp_path: Path) -> None:
    """A second process that starts must not take a draft from the first."""
    files = LocalFiles(tmp_path)
    living = files.draft()
    living.write(b"1")
    (tmp_path / "0123.draft").write_bytes(b"left by a crash")
    LocalFiles(tmp_path)
    living.publish("a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, ReadOnlyStore), (errno.EIO, StorageFailed)],
)
def test_errors_of_the_system_become_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[NoisefsError]
) -> None:
    """By meaning; an appender that failed takes no more."""
    files = LocalFiles(tmp_path)
    appender = files.append_to("log")
    draft = files.draft()

    def fail(*_args: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        patch.setattr(os, "fsync", fail)
        with pytest.raises(expected):
            appender.append(b"1")
        with pytest.raises(expected):
            draft.write(b"1")
        with pytest.raises(expected):
            draft.publish("a")
    with pytest.raises(StorageFailed):
        appender.append(b"1")
    with pytest.raises(StorageFailed):
        appender.sync()
    appender.close()
    draft.discard()
    assert files.list() == [StoredFile("log", 0)]
