"""``noisefs serve`` as a process: making a store, the ready line, restart, signals, refusals."""

import base64
import http.client
import json
import re
import signal
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.server import ACCESS_KEY, SECRET_KEY, NotReady, RunningServer, noisefs

pytestmark = pytest.mark.e2e


def dav(
    url: str, method: str, path: str, body: bytes | None = None, login: str = f"{ACCESS_KEY}:{SECRET_KEY}"
) -> tuple[int, bytes]:
    """One WebDAV request."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    basic = base64.b64encode(login.encode()).decode()
    connection.request(method, path, body, {"Authorization": f"Basic {basic}"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_ready_line_names_real_addresses_and_is_all_of_stdout(tmp_path: Path) -> None:
    """A program that starts the server reads one line of JSON and knows where it is."""
    server = RunningServer(tmp_path / "data").start()
    assert server.ready["ready"] is True
    for name in ("s3", "webdav", "admin"):
        parts = urlsplit(server.ready[name])
        assert parts.scheme == "http"
        assert parts.hostname == "127.0.0.1"
        assert parts.port
    assert server.stop() == 0
    assert server.rest == ""


def test_logs_are_json_lines_around_the_banner(tmp_path: Path) -> None:
    """Logs go to stderr, each a line of JSON with time, level and event."""
    with RunningServer(tmp_path / "data") as server:
        dav(server.webdav, "GET", "/nothing?secret=1")
    lines = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert "server.ready" in events
    assert events[-1] == "server.stopped"
    request = next(line for line in lines if line["event"] == "request")
    assert request["path"] == "/nothing"
    assert request["protocol"] == "webdav"
    assert re.fullmatch(r"[0-9A-F]{16}", request["request_id"])
    assert request["client"] == "127.0.0.1"


def test_the_first_start_shows_the_secret_once(tmp_path: Path) -> None:
    """The banner has a pair that works; a second start has none."""
    with RunningServer(tmp_path / "data", preset=False) as server:
        key = re.search(r"access key +(\S+)", server.stderr)
        secret = re.search(r"secret key +(\S+)", server.stderr)
        assert key
        assert secret
        assert dav(server.webdav, "PROPFIND", "/", login=f"{key[1]}:{secret[1]}")[0] == 207
    first = server.stderr
    with RunningServer(tmp_path / "data", preset=False) as server:
        assert secret[1] not in server.stderr.removeprefix(first)
        assert dav(server.webdav, "PROPFIND", "/", login=f"{key[1]}:{secret[1]}")[0] == 207


def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    """Objects, users and keys are there after a stop and a start, and after a kill and a start."""
    body = bytes(range(256)) * 4000
    with RunningServer(tmp_path / "data") as server:
        assert dav(server.webdav, "MKCOL", "/photos")[0] == 201
        assert dav(server.webdav, "PUT", "/photos/a%20b.bin", body)[0] == 201
    with RunningServer(tmp_path / "data") as server:
        assert dav(server.webdav, "GET", "/photos/a%20b.bin") == (200, body)
        assert dav(server.webdav, "PUT", "/photos/c.bin", body[:5])[0] == 201
        server.kill()
    with RunningServer(tmp_path / "data") as server:
        assert dav(server.webdav, "GET", "/photos/a%20b.bin") == (200, body)
        assert dav(server.webdav, "GET", "/photos/c.bin") == (200, body[:5])


def test_a_second_server_on_the_store_is_refused(server: RunningServer) -> None:
    """Two servers would not see each other's writes."""
    with pytest.raises(NotReady, match=r"exit code 4\n[\s\S]*another server or command"):
        RunningServer(server.data).start()


@pytest.mark.parametrize("name", ["notes.txt", ".hidden"])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    """Somebody else's files are never mixed with a store."""
    data = tmp_path / "data"
    data.mkdir()
    (data / name).write_text("mine")
    with pytest.raises(NotReady, match=r"exit code 4\n[\s\S]*not empty and holds no store"):
        RunningServer(data).start()
    assert [path.name for path in data.iterdir()] == [name]


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    """As a fresh volume does, with its lost+found."""
    data = tmp_path / "data"
    (data / "lost+found").mkdir(parents=True)
    with RunningServer(data) as server:
        assert dav(server.webdav, "PROPFIND", "/")[0] == 207


def test_an_unfinished_store_is_made_anew(tmp_path: Path) -> None:
    """A machine that went down while the store was made needs no person to clean up."""
    data = tmp_path / "data"
    with RunningServer(data):
        pass
    (data / "VERSION").unlink()
    (data / ".initialising").touch()
    with RunningServer(data) as server:
        assert dav(server.webdav, "PROPFIND", "/")[0] == 207


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """An old program must not touch what it does not understand."""
    data = tmp_path / "data"
    with RunningServer(data):
        pass
    (data / "VERSION").write_text("noisefs store, format 99\n")
    with pytest.raises(NotReady, match=r"exit code 4\n[\s\S]*format 99"):
        RunningServer(data).start()


def test_a_wrong_root_key_is_named(tmp_path: Path) -> None:
    """Another key, none, and one that others may read each get a message of their own."""
    data = tmp_path / "data"
    with RunningServer(data):
        pass
    key = data / "root.key"
    right = key.read_text()
    key.write_text(f"noisefs-root-key-1:{'0' * 64}\n")
    with pytest.raises(NotReady, match=r"exit code 5\n[\s\S]*does not open this store"):
        RunningServer(data).start()
    key.write_text(right)
    key.chmod(0o644)
    with pytest.raises(NotReady, match=r"exit code 5\n[\s\S]*mode 0644"):
        RunningServer(data).start()
    key.unlink()
    with pytest.raises(NotReady, match=r"exit code 5\n[\s\S]*missing"):
        RunningServer(data).start()


def test_a_passphrase_replaces_the_key_file(tmp_path: Path) -> None:
    """With a passphrase nothing in the folder opens the store."""
    data = tmp_path / "data"
    phrase = {"NOISEFS_ROOT_KEY__PASSPHRASE": "correct horse battery"}
    with RunningServer(data, environment=phrase) as server:
        assert dav(server.webdav, "MKCOL", "/b1-b")[0] == 201
    assert not (data / "root.key").exists()
    with pytest.raises(NotReady, match=r"exit code 5\n[\s\S]*needs a passphrase"):
        RunningServer(data).start()
    with pytest.raises(NotReady, match=r"exit code 5\n[\s\S]*does not open"):
        RunningServer(data, environment={"NOISEFS_ROOT_KEY__PASSPHRASE": "wrong horse"}).start()
    with RunningServer(data, environment=phrase) as server:
        assert dav(server.webdav, "PROPFIND", "/b1-b")[0] == 207


def test_off_loopback_in_the_clear_is_refused(tmp_path: Path) -> None:
    """Passwords would cross a network; whoever wants that says so."""
    with pytest.raises(NotReady, match=r"exit code 2\n[\s\S]*s3\.listen is '0\.0\.0\.0:0'[\s\S]*allow_insecure"):
        RunningServer(tmp_path / "data", "--s3", "0.0.0.0:0").start()
    with pytest.raises(NotReady, match=r"admin\.listen[\s\S]*admin\.token"):
        RunningServer(tmp_path / "data", "--admin", "0.0.0.0:0").start()
    with RunningServer(tmp_path / "data", "--s3", "0.0.0.0:0", "--set", "allow_insecure=true") as server:
        assert urlsplit(server.s3).hostname == "127.0.0.1"


def test_a_taken_port_is_named(server: RunningServer, tmp_path: Path) -> None:
    """The message has the field and the address."""
    taken = urlsplit(server.s3).netloc
    with pytest.raises(NotReady, match=rf"exit code 2\n[\s\S]*s3\.listen is '{taken}'"):
        RunningServer(tmp_path / "data", "--s3", taken).start()


def test_sigterm_lets_a_request_under_way_finish(tmp_path: Path) -> None:
    """What was begun before the signal ends with its answer, and is there after a start."""
    body = b"n" * 300_000
    with RunningServer(tmp_path / "data") as server:
        dav(server.webdav, "MKCOL", "/drain")
        parts = urlsplit(server.webdav)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        basic = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
        connection.putrequest("PUT", "/drain/slow")
        connection.putheader("Authorization", f"Basic {basic}")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100_000])
        while (
            'protocol="webdav"' not in str(server.metrics())
            or server.metrics().get('noisefs_open_requests{protocol="webdav"}') != 1
        ):
            pass  # each look is a request to the server, which has not seen ours yet
        server.signal(signal.SIGTERM)
        connection.send(body[100_000:])
        assert connection.getresponse().status == 201
        connection.close()
        assert server.wait() == 0
    with RunningServer(tmp_path / "data") as server:
        assert dav(server.webdav, "GET", "/drain/slow") == (200, body)


def test_a_request_that_never_ends_cannot_hold_up_the_end(tmp_path: Path) -> None:
    """Draining has a limit."""
    with RunningServer(tmp_path / "data", "--set", "limits.drain_s=0.2") as server:
        dav(server.webdav, "MKCOL", "/drain")
        parts = urlsplit(server.webdav)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        basic = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
        connection.putrequest("PUT", "/drain/never")
        connection.putheader("Authorization", f"Basic {basic}")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders(b"some")
        while server.metrics().get('noisefs_open_requests{protocol="webdav"}') != 1:
            pass  # as above
        assert server.stop() == 0
        connection.close()


def test_health_and_metrics(server: RunningServer) -> None:
    """The admin port tells that it lives, that it is ready, and its numbers."""
    with urllib.request.urlopen(f"{server.admin}/healthz") as answer:
        assert json.load(answer) == {"alive": True}
    with urllib.request.urlopen(f"{server.admin}/readyz") as answer:
        assert json.load(answer) == {"ready": True, "checks": {"index": "ok", "packs": "ok", "owner": "ok"}}
    metrics = server.metrics()
    assert metrics["noisefs_free_bytes"] > 0
    assert metrics["noisefs_index_bytes"] > 0
    assert metrics["noisefs_index_commits_total"] > 0


def test_a_token_guards_metrics_but_not_liveness(tmp_path: Path) -> None:
    """Whoever restarts a dead server needs no secret; numbers do."""
    token = "a-token-of-some-length"
    with RunningServer(tmp_path / "data", environment={"NOISEFS_ADMIN__TOKEN": token}) as server:
        parts = urlsplit(server.admin)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        found = []
        for path, bearer in (
            ("/healthz", ""),
            ("/metrics", ""),
            ("/metrics", "Bearer wrong"),
            ("/metrics", f"Bearer {token}"),
        ):
            connection.request("GET", path, headers={"Authorization": bearer} if bearer else {})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
        connection.close()
    assert found == [200, 401, 401, 200]
    assert server.stderr.count('"event": "auth.failed"') == 2


def test_presets_are_the_webdav_login_and_survive_a_change(tmp_path: Path) -> None:
    """A second preset adds a pair; the first one stays."""
    data = tmp_path / "data"
    with RunningServer(data):
        pass
    other = {"NOISEFS_ADMIN_ACCESS_KEY": "SECONDKEY", "NOISEFS_ADMIN_SECRET_KEY": "second-secret"}
    with RunningServer(data, environment=other) as server:
        assert dav(server.webdav, "PROPFIND", "/", login="SECONDKEY:second-secret")[0] == 207
        assert dav(server.webdav, "PROPFIND", "/")[0] == 207
        assert "second-secret" not in server.stderr


def test_declared_users_and_buckets_are_there_after_every_start(tmp_path: Path) -> None:
    """Applied twice without complaint; a contradiction is refused."""
    (tmp_path / "secret").write_text("alices-secret\n")
    config = tmp_path / "noisefs.toml"
    declaration = f"""
        [[users]]
        name = "alice"
        password = "alices password"
        keys = [{{ access_key = "ALICEKEY", secret_key_file = "{tmp_path}/secret" }}]
        [[buckets]]
        name = "alices-photos"
        owner = "alice"
    """
    config.write_text(declaration)
    for _ in range(2):
        with RunningServer(tmp_path / "data", "--config", str(config)) as server:
            for login in ("alice:alices password", "ALICEKEY:alices-secret"):
                assert dav(server.webdav, "PROPFIND", "/alices-photos", login=login)[0] == 207
    config.write_text(declaration.replace('owner = "alice"', 'owner = "admin"'))
    with pytest.raises(NotReady, match="another owner"):
        RunningServer(tmp_path / "data", "--config", str(config)).start()


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A typo never means the default."""
    with pytest.raises(NotReady, match=r"exit code 2\n[\s\S]*s3\.regoin[\s\S]*did you mean 'region'"):
        RunningServer(tmp_path / "data", environment={"NOISEFS_S3__REGOIN": "x"}).start()
    done = noisefs("config", "check", "--set", "workers=0", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["kind"] == "BadConfiguration"
