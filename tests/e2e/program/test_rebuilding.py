"""Snapshots, and the index made anew from them, as an operator does it."""

import json
from pathlib import Path

import pytest

from tests.e2e.program.test_serving import dav
from tests.support.server import RunningServer, noisefs

pytestmark = pytest.mark.e2e

LARGE = bytes(range(251)) * 4000
SMALL = b"small enough to be shared"


def ask(data: Path, *command: str, code: int = 0) -> dict[str, object]:
    """Run a command with ``--json``; its answer."""
    done = noisefs(*command, "--data", str(data), "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def fill(server: RunningServer) -> None:
    """A bucket with a large and a small object."""
    assert dav(server.webdav, "MKCOL", "/photos")[0] == 201
    assert dav(server.webdav, "PUT", "/photos/large", LARGE)[0] == 201
    assert dav(server.webdav, "PUT", "/photos/small", SMALL)[0] == 201


def test_a_lost_index_comes_back_whole(tmp_path: Path) -> None:
    """Snapshot and log of commits together hold everything that was answered before a clean stop."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        fill(server)
        taken = ask(data, "snapshot", "create")
        assert taken["kind"] == "full"
        assert dav(server.webdav, "PUT", "/photos/later", LARGE[:70_000])[0] == 201
    for file in (data / "index").iterdir():
        file.unlink()
    assert ask(data, "user", "list", code=3)["error"]
    report = ask(data, "rebuild-index")
    assert report["commits_lost"] == 0
    assert report["objects_lost"] == []
    with RunningServer(data) as server:
        assert dav(server.webdav, "GET", "/photos/large") == (200, LARGE)
        assert dav(server.webdav, "GET", "/photos/small") == (200, SMALL)
        assert dav(server.webdav, "GET", "/photos/later") == (200, LARGE[:70_000])
        assert ask(data, "audit", "orphans")["clean"]
        assert ask(data, "scrub")["clean"]


@pytest.mark.parametrize("keep", [False, True])
def test_the_old_index_goes_unless_it_is_wanted(tmp_path: Path, keep: bool) -> None:
    """It has keys of objects that were deleted since its snapshot."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        fill(server)
        ask(data, "snapshot", "create")
        assert dav(server.webdav, "DELETE", "/photos/small")[0] == 204
    report = ask(data, "rebuild-index", *(["--keep-old"] if keep else []))
    old = [str(path) for path in data.glob("index.old-*")]
    assert old == ([str(report["old_index"])] if keep else [])
    assert bool(report["old_index"]) == keep
    with RunningServer(data) as server:
        assert dav(server.webdav, "GET", "/photos/large") == (200, LARGE)
        assert dav(server.webdav, "GET", "/photos/small")[0] == 404


def test_the_old_index_stays_where_something_is_lost(tmp_path: Path) -> None:
    """A pack is gone: whoever finds it again may need the old index too."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        fill(server)
        ask(data, "snapshot", "create")
    for pack in (data / "packs").iterdir():
        pack.unlink()
    report = ask(data, "rebuild-index", code=6)
    assert report["objects_lost"]
    assert Path(str(report["old_index"])).is_dir()


def test_going_back_to_a_snapshot_undoes_what_came_later(tmp_path: Path) -> None:
    """A deleted object is there again, a later one is gone; the index in use before is kept."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        fill(server)
        name = str(ask(data, "snapshot", "create")["snapshot"])
        assert dav(server.webdav, "DELETE", "/photos/small")[0] == 204
        assert dav(server.webdav, "PUT", "/photos/later", LARGE)[0] == 201
        assert ask(data, "snapshot", "restore", name, code=4)["error"]
    report = ask(data, "snapshot", "restore", name)
    assert Path(str(report["old_index"])).is_dir()
    with RunningServer(data) as server:
        assert dav(server.webdav, "GET", "/photos/large") == (200, LARGE)
        assert dav(server.webdav, "GET", "/photos/small") == (200, SMALL)
        assert dav(server.webdav, "GET", "/photos/later")[0] == 404
        assert dav(server.webdav, "PUT", "/photos/later", SMALL)[0] == 201
        assert ask(data, "clean", "--accept-loss")["clean"]
        assert ask(data, "audit", "orphans")["clean"]


def test_an_unknown_snapshot_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    """The index stays as it is."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        fill(server)
    assert ask(data, "snapshot", "restore", "nope.snapshot", code=3)["error"]
    with RunningServer(data) as server:
        assert dav(server.webdav, "GET", "/photos/large") == (200, LARGE)


def test_snapshots_are_listed(tmp_path: Path) -> None:
    """The increment follows the full one."""
    data = tmp_path / "data"
    with RunningServer(data) as server:
        ask(data, "snapshot", "create")
        fill(server)
        ask(data, "snapshot", "create")
    done = noisefs("snapshot", "list", "--data", str(data), "--json")
    assert [row["kind"] for row in json.loads(done.stdout)] == ["full", "increment"]
