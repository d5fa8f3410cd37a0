"""What a folder is to us, and how it becomes a store."""

from pathlib import Path

import pytest

from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.errors import ForeignDirectory, NewerFormat, StoreBusy, StoreNotFound
from noisefs.gateway.folder import Folder, State


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An absent folder."""
    return Folder(tmp_path / "data")


def test_absent_and_empty_folders_may_become_stores(folder: Folder) -> None:
    """A fresh file system's lost+found does not count."""
    assert folder.state() is State.EMPTY
    (folder.path / "lost+found").mkdir(parents=True)
    assert folder.state() is State.EMPTY
    with pytest.raises(StoreNotFound):
        folder.require_store()


def test_a_folder_is_unfinished_until_it_is_a_store(folder: Folder) -> None:
    """The mark of a store is the last thing written."""
    disk = LocalDisk()
    with folder.made_alone():
        folder.begin(disk)
        assert folder.state() is State.UNFINISHED
        folder.finish(disk)
    assert folder.state() is State.STORE
    folder.require_store()


def test_beginning_again_removes_what_an_attempt_left(folder: Folder) -> None:
    """Nothing in an unfinished folder was ever in use."""
    disk = LocalDisk()
    with folder.made_alone():
        folder.begin(disk)
    folder.root_key.write_text("old")
    folder.index.write_text("old")
    with folder.made_alone():
        folder.begin(disk)
    assert not folder.root_key.exists()
    assert not folder.index.exists()


def test_two_do_not_make_one_store(folder: Folder) -> None:
    """The second one is told so at once."""
    with folder.made_alone(), pytest.raises(StoreBusy), Folder(folder.path).made_alone():
        pass


@pytest.mark.parametrize("mark", ["", "something else\n", "noisefs store, format x\n"])
def test_a_mark_that_is_not_ours_is_foreign(folder: Folder, mark: str) -> None:
    """A file called VERSION is common."""
    folder.path.mkdir()
    folder.version.write_text(mark)
    with pytest.raises(ForeignDirectory):
        folder.state()


def test_files_of_others_are_foreign(folder: Folder, tmp_path: Path) -> None:
    """The message names one of them."""
    folder.path.mkdir()
    (folder.path / "thesis.tex").touch()
    with pytest.raises(ForeignDirectory, match=r"thesis\.tex"):
        folder.state()
    with pytest.raises(ForeignDirectory, match="not a folder"):
        Folder(folder.path / "thesis.tex").state()


def test_a_newer_format_is_refused(folder: Folder) -> None:
    """Its number is in the message."""
    folder.path.mkdir()
    folder.version.write_text("noisefs store, format 2\n")
    with pytest.raises(NewerFormat, match="format 2"):
        folder.state()
