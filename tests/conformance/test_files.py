"""Port ``FileStore``: every promise of its docstrings, asked of every adapter."""

from pathlib import Path

import pytest

from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.core.errors import FileNotInStore, InvalidArgument, StorageFailed
from noisefs.core.ports.files import FileStore, StoredFile


@pytest.fixture(params=["memory", "local"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    """An empty folder of each adapter."""
    return MemoryFiles() if request.param == "memory" else LocalFiles(tmp_path / "folder")


def publish(files: FileStore, name: str, data: bytes) -> None:
    """One whole file."""
    draft = files.draft()
    draft.write(data)
    draft.publish(name)


def test_a_draft_is_seen_only_when_it_is_published(files: FileStore) -> None:
    """Whole, with everything that was written, in order."""
    draft = files.draft()
    draft.write(b"one ")
    draft.write(bytearray(b"two "))
    assert files.list() == []
    draft.write(memoryview(b"three"))
    draft.publish("name.1")
    draft.discard()
    assert files.list() == [StoredFile("name.1", 13)]
    assert files.read("name.1", 0, 100) == b"one two three"


def test_publishing_replaces_an_older_file(files: FileStore) -> None:
    """Of the same name."""
    publish(files, "a", b"old")
    publish(files, "a", b"newer")
    assert files.list() == [StoredFile("a", 5)]
    assert files.read("a", 0, 9) == b"newer"


def test_a_discarded_draft_leaves_nothing(files: FileStore) -> None:
    """Discarding twice is fine."""
    draft = files.draft()
    draft.write(b"bytes")
    draft.discard()
    draft.discard()
    assert files.list() == []


def test_reads_take_any_part(files: FileStore) -> None:
    """Fewer bytes only at the end."""
    publish(files, "a", bytes(range(100)))
    assert files.read("a", 10, 5) == bytes(range(10, 15))
    assert files.read("a", 95, 50) == bytes(range(95, 100))
    assert files.read("a", 100, 1) == files.read("a", 500, 1) == files.read("a", 0, 0) == b""


def test_what_is_not_there_cannot_be_read_but_deleted(files: FileStore) -> None:
    """Deleting is idempotent."""
    with pytest.raises(FileNotInStore) as caught:
        files.read("a", 0, 1)
    assert caught.value.name == "a"
    publish(files, "a", b"1")
    files.delete("a")
    files.delete("a")
    assert files.list() == []


def test_files_are_listed_by_name(files: FileStore) -> None:
    """In any order of their making."""
    for name in ("b", "a.2", "c-1", "a.10"):
        publish(files, name, name.encode())
    assert [file.name for file in files.list()] == ["a.10", "a.2", "b", "c-1"]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a b", "ä", "a\0", "x.draft", "x" * 201])
def test_names_that_are_no_plain_file_names_are_refused(files: FileStore, name: str) -> None:
    """In every method."""
    draft = files.draft()
    for call in (
        lambda: draft.publish(name),
        lambda: files.append_to(name),
        lambda: files.read(name, 0, 1),
        lambda: files.delete(name),
    ):
        with pytest.raises(InvalidArgument):
            call()
    draft.discard()


def test_a_growing_file_is_seen_while_it_grows(files: FileStore) -> None:
    """And is told from one whose appender is gone."""
    appender = files.append_to("log")
    appender.append(b"one ")
    appender.append(memoryview(b"two"))
    assert files.list() == [StoredFile("log", 7, growing=True)]
    assert files.read("log", 0, 99) == b"one two"
    appender.sync()
    appender.append(b"!")
    appender.close()
    appender.close()
    assert files.list() == [StoredFile("log", 8, growing=False)]
    with pytest.raises(StorageFailed):
        appender.append(b"more")
    with pytest.raises(StorageFailed):
        appender.sync()


def test_a_name_grows_once(files: FileStore) -> None:
    """A log is never continued: its key might be used twice."""
    files.append_to("log").close()
    with pytest.raises(InvalidArgument):
        files.append_to("log")
    files.delete("log")
    files.append_to("log").close()
