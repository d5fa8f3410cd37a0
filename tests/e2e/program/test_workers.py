"""Several processes on one store."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.program.test_serving import dav
from tests.support.server import NotReady, RunningServer, noisefs

pytestmark = pytest.mark.e2e


def workers_of(server: RunningServer) -> list[int]:
    """Process ids of the workers: children that listen are named in their command line as spawned."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in command_line(pid)]


def command_line(pid: str) -> bytes:
    """Of a process; empty if it has just ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def server(tmp_path: Path) -> RunningServer:
    """Two workers."""
    return RunningServer(tmp_path / "data", "--workers", "2")


def test_all_workers_serve_one_namespace(server: RunningServer) -> None:
    """A write through any connection is seen through every other at once."""
    body = bytes(range(256)) * 1500
    with server:
        assert len(workers_of(server)) == 2
        assert dav(server.webdav, "MKCOL", "/shared")[0] == 201
        for number in range(20):
            assert dav(server.webdav, "PUT", f"/shared/{number}", body[number:])[0] == 201
            assert dav(server.webdav, "GET", f"/shared/{number}") == (200, body[number:])
        metrics = server.metrics()
        puts = [
            metrics.get(f'noisefs_requests_total{{operation="PUT",protocol="webdav",status="201",worker="{n}"}}', 0)
            for n in (0, 1)
        ]
        assert sum(puts) == 20
        done = noisefs("audit", "orphans", "--data", str(server.data), "--json")
        assert json.loads(done.stdout)["clean"]
    with server:
        assert dav(server.webdav, "GET", "/shared/7") == (200, body[7:])


def test_a_revoked_device_is_out_of_every_worker_within_a_second(server: RunningServer) -> None:
    """Each has verified its password, and the command tells one of them at most."""
    with server:
        made = noisefs("app-password", "add", "admin", "phone", "--data", str(server.data), "--json")
        login = f"admin:{json.loads(made.stdout)['password']}"
        assert {dav(server.webdav, "PROPFIND", "/", login=login)[0] for _ in range(20)} == {207}
        listed = noisefs("app-password", "list", "--data", str(server.data), "--json")
        assert json.loads(listed.stdout)[0]["last_used"] is not None
        noisefs("app-password", "revoke", "admin", "phone", "--data", str(server.data))
        begun = time.monotonic()
        while {dav(server.webdav, "PROPFIND", "/", login=login)[0] for _ in range(8)} != {401}:
            assert time.monotonic() - begun < 3


def test_a_worker_that_dies_is_replaced_and_nothing_is_lost(server: RunningServer) -> None:
    """Requests go on meanwhile, on the others."""
    with server:
        assert dav(server.webdav, "MKCOL", "/shared")[0] == 201
        assert dav(server.webdav, "PUT", "/shared/before", b"x" * 300_000)[0] == 201
        before = workers_of(server)
        os.kill(before[1], signal.SIGKILL)
        limit = time.monotonic() + 30
        while len(set(workers_of(server)) - {before[1]}) < 2:
            assert time.monotonic() < limit
        while server.stderr.count('"store.opened"') < 4:  # the one that made it, two workers, the new one
            assert time.monotonic() < limit
        assert dav(server.webdav, "GET", "/shared/before") == (200, b"x" * 300_000)
        assert dav(server.webdav, "PUT", "/shared/after", b"y" * 300_000)[0] == 201
        assert server.stop() == 0
    with server:
        assert dav(server.webdav, "GET", "/shared/after") == (200, b"y" * 300_000)


def test_a_worker_that_does_not_pack_small_objects_goes_on_taking_them(tmp_path: Path) -> None:
    """One worker packs for all; the others learn of it, and do not count for ever what they added."""
    settings = tmp_path / "noisefs.toml"
    settings.write_text('[store]\ninline_max_bytes = "1MiB"\n')
    with RunningServer(tmp_path / "data", "--workers", "2", "--config", str(settings)) as server:
        assert dav(server.webdav, "MKCOL", "/shared")[0] == 201
        for number in range(30):  # a connection each, so both workers get some
            assert dav(server.webdav, "PUT", f"/shared/{number}", bytes([number]) * 100_000)[0] == 201


def test_workers_end_with_their_parent(server: RunningServer) -> None:
    """A killed parent leaves nobody behind who would hold its ports."""
    with server:
        workers = workers_of(server)
        server.kill()
        limit = time.monotonic() + 30
        while any(Path(f"/proc/{pid}/stat").exists() and not _zombie(pid) for pid in workers):
            assert time.monotonic() < limit


def test_a_second_server_is_refused_while_workers_serve(server: RunningServer) -> None:
    """The parent holds the store."""
    with server, pytest.raises(NotReady, match=r"exit code 4\n[\s\S]*another server or command"):
        RunningServer(server.data, "--workers", "2").start()


def test_what_keeps_a_worker_from_starting_is_told(tmp_path: Path) -> None:
    """The parent ends with the worker's error."""
    data = tmp_path / "data"
    with RunningServer(data):
        pass
    for file in (data / "index").iterdir():
        file.unlink()
    with pytest.raises(NotReady, match=r"exit code 3\n[\s\S]*there is no index"):
        RunningServer(data, "--workers", "2").start()


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
