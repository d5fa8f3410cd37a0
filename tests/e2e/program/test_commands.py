"""Administration commands: beside a running server and on a stopped store, with the same answers."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program.test_serving import dav
from tests.support.server import RunningServer, noisefs

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["running", "stopped"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A store's folder, with and without a server on it."""
    folder = tmp_path / "data"
    if request.param == "stopped":
        assert noisefs("init", "--data", str(folder)).returncode == 0
        yield folder
    else:
        with RunningServer(folder):
            yield folder


def ask(data: Path, *command: str, stdin: str | None = None) -> object:
    """Run a command with ``--json``; its answer."""
    done = noisefs(*command, "--data", str(data), "--json", stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_users_keys_and_buckets(data: Path) -> None:
    """The whole round of account and bucket commands."""
    made = ask(data, "user", "add", "alice", "--key")
    assert isinstance(made, dict)
    assert made["user"] == "alice"
    assert len(made["secret_key"]) == 40
    imported = ask(data, "key", "add", "alice", "--access-key", "IMPORTED", "--secret-key", "-", stdin="shhh-secret\n")
    assert imported == {"user": "alice", "access_key": "IMPORTED"}
    created = ask(data, "bucket", "create", "photos", "--owner", "alice")
    assert created == {"bucket": "photos", "owner": "alice", "durability": "local"}
    buckets = ask(data, "bucket", "list", "--owner", "alice")
    assert isinstance(buckets, list)
    told = [(row["bucket"], row["owner"], row["objects"], row["versioning"]) for row in buckets]
    assert told == [("photos", "alice", 0, "off")]
    ask(data, "bucket", "create", "album", "--owner", "admin")
    assert ask(data, "user", "root", "alice", "album/2026/") == {"user": "alice", "root": "album/2026"}
    assert noisefs("user", "root", "alice", "none", "--data", str(data)).returncode == 3
    device = ask(data, "app-password", "add", "alice", "phone", "--read-only", "--only", "album/2026")
    assert isinstance(device, dict)
    assert len(device["password"]) == 29
    listed = ask(data, "app-password", "list", "alice")
    assert isinstance(listed, list)
    assert [(row["name"], row["only"], row["last_used"]) for row in listed] == [("phone", "album/2026", None)]
    assert "password" not in listed[0]
    assert ask(data, "app-password", "revoke", "alice", "phone") == {"user": "alice", "name": "phone", "revoked": True}
    assert ask(data, "app-password", "list") == []
    assert ask(data, "user", "root", "alice", "--remove") == {"user": "alice", "root": None}
    ask(data, "key", "revoke", "IMPORTED")
    keys = ask(data, "key", "list", "alice")
    assert isinstance(keys, list)
    assert {row["access_key"]: row["revoked"] for row in keys} == {made["access_key"]: False, "IMPORTED": True}
    ask(data, "bucket", "delete", "photos")
    ask(data, "user", "disable", "alice")
    users = ask(data, "user", "list")
    assert isinstance(users, list)
    assert {row["user"]: row["disabled"] for row in users} == {"admin": False, "alice": True}


def test_a_secret_in_an_argument_is_warned_of(data: Path) -> None:
    """It works, as scripts want it; others can see it."""
    pair = ("--access-key", "IMPORTED", "--secret-key", "seen-by-all")
    done = noisefs("key", "add", "admin", *pair, "--data", str(data))
    assert done.returncode == 0
    assert "--secret-key-file" in done.stderr
    assert "seen-by-all" not in done.stdout + done.stderr


def test_the_configuration_of_a_store(data: Path) -> None:
    """``config`` tells what the server on it runs with, and whether the root key opens it."""
    shown = ask(data, "config", "show", "--set", "s3.region=mars-1")
    assert isinstance(shown, dict)
    assert shown["values"]["s3"]["region"] == ("us-east-1" if shown["running"] else "mars-1")
    checked = ask(data, "config", "check")
    assert isinstance(checked, dict)
    assert len(checked["store"]) == 32
    other = data.parent / "other.key"
    other.write_text("noisefs-root-key-1 " + "ab" * 32 + "\n")
    other.chmod(0o600)
    refused = noisefs("config", "check", "--data", str(data), environment={"NOISEFS_ROOT_KEY__FILE": str(other)})
    assert refused.returncode == 5, refused.stderr
    (data.parent / "foreign").mkdir()
    (data.parent / "foreign" / "letter.txt").touch()
    assert noisefs("config", "check", "--data", str(data.parent / "foreign")).returncode == 4
    assert ask(data.parent / "absent", "config", "check") == {"ok": True, "fields_set": 0, "store": "none yet"}


def test_a_prefix_is_moved_at_once(tmp_path: Path) -> None:
    """And nothing that is there is replaced unless it is asked for."""
    with RunningServer(tmp_path / "data") as server:
        url = str(server.ready["webdav"])
        ask(server.data, "bucket", "create", "photos", "--owner", "admin")
        for path, body in (("a/1", b"one"), ("a/2", b"two"), ("b/2", b"there")):
            dav(url, "MKCOL", f"/photos/{path[0]}/")
            assert dav(url, "PUT", f"/photos/{path}", body)[0] == 201
        done = noisefs("mv", "photos/a/", "photos/b/", "--data", str(server.data), "--json")
        assert json.loads(done.stdout)["error"]["kind"] == "PreconditionFailed"
        moved = ask(server.data, "mv", "s3://photos/a/", "s3://photos/b/", "--overwrite")
        assert moved == {"source": "photos/a/", "target": "photos/b/", "replaced": True}
        assert dav(url, "GET", "/photos/b/1") == (200, b"one")
        assert dav(url, "GET", "/photos/b/2") == (200, b"two")
        assert dav(url, "GET", "/photos/a/1")[0] == 404


def test_named_keys(data: Path) -> None:
    """Made once, listed, never shown."""
    assert ask(data, "sse-key", "add", "payroll") == {"sse_key": "payroll"}
    listed = ask(data, "sse-key", "list")
    assert isinstance(listed, list)
    assert [row["sse_key"] for row in listed] == ["payroll"]
    assert noisefs("sse-key", "add", "payroll", "--data", str(data)).returncode == 4


def test_audits_scrub_and_clean_find_a_fresh_store_sound(data: Path) -> None:
    """Each answers with what it counted, and with ``clean``."""
    for command in (["audit", "space"], ["audit", "tuples"], ["audit", "orphans"], ["scrub"], ["clean"]):
        answer = ask(data, *command)
        assert isinstance(answer, dict)
        assert answer["clean"] is True


@pytest.mark.parametrize(
    ("command", "code", "kind"),
    [
        (["user", "disable", "nobody"], 3, "UserNotFound"),
        (["bucket", "delete", "absent"], 3, "BucketNotFound"),
        (["user", "add", "admin"], 4, "UserExists"),
        (["user", "add", "no spaces"], 2, "InvalidArgument"),
        (["bucket", "create", "UPPER"], 2, "InvalidBucketName"),
        (["mv", "absent/a/", "absent/b/"], 3, "BucketNotFound"),
        (["mv", "absent/a/", "absent/b"], 2, "InvalidArgument"),
        (["mv", "absent", "absent/b"], 2, "InvalidArgument"),
    ],
)
def test_exit_codes_tell_the_family(data: Path, command: list[str], code: int, kind: str) -> None:
    """The same code and the same error, whoever ran the operation."""
    done = noisefs(*command, "--data", str(data), "--json")
    assert done.returncode == code
    assert json.loads(done.stdout)["error"]["kind"] == kind


def test_commands_without_a_store_make_none(tmp_path: Path) -> None:
    """Only ``init`` and ``serve`` make stores."""
    done = noisefs("user", "list", "--data", str(tmp_path / "absent"))
    assert done.returncode == 3
    assert "there is no store" in done.stderr
    assert not (tmp_path / "absent").exists()


def test_init_refuses_an_existing_store(tmp_path: Path) -> None:
    """Nothing is ever overwritten."""
    assert noisefs("init", "--data", str(tmp_path / "data")).returncode == 0
    assert noisefs("init", "--data", str(tmp_path / "data")).returncode == 4


def test_init_keeps_its_choices(tmp_path: Path) -> None:
    """Strategy and segment size are fixed when the store is made."""
    made = noisefs("init", "--data", str(tmp_path / "data"), "--strategy", "uniform", "--segment-bytes", "256KiB")
    assert made.returncode == 0
    done = noisefs("audit", "tuples", "--data", str(tmp_path / "data"), "--json")
    assert json.loads(done.stdout)["strategy"] == "uniform"


def test_a_revoked_key_is_refused_within_a_second(tmp_path: Path) -> None:
    """The running server takes notice by itself."""
    with RunningServer(tmp_path / "data") as server:
        assert dav(server.webdav, "PROPFIND", "/")[0] == 207
        ask(server.data, "user", "disable", "admin")
        begun = time.monotonic()
        while dav(server.webdav, "PROPFIND", "/")[0] != 401:
            assert time.monotonic() - begun < 1.5
        ask(server.data, "user", "disable", "admin", "--undo")


def test_a_deep_data_folder_has_a_socket_too(tmp_path: Path) -> None:
    """A socket's address has about 100 bytes; a path may be longer."""
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "data"
    deep.parent.mkdir(parents=True)
    with RunningServer(deep):
        users = ask(deep, "user", "list")
    assert isinstance(users, list)
    assert len(users) == 1


def test_help_teaches() -> None:
    """Every command has a description, and the exit codes are listed."""
    text = noisefs("--help").stdout
    for command in ("init", "serve", "user", "key", "bucket", "audit", "scrub", "clean", "config", "version"):
        assert command in text
    assert "6: something stored is damaged" in text
    assert "noisefs key add alice" in noisefs("key", "add", "--help").stdout


def test_quotas_are_set_and_told(data: Path) -> None:
    """Of buckets and of users; what is not named stays."""
    ask(data, "bucket", "create", "photos")
    none = {"bucket": "photos", "bytes": 0, "quota_bytes": None, "objects": 0, "quota_objects": None}
    assert ask(data, "bucket", "quota", "photos") == none
    ask(data, "bucket", "quota", "photos", "--bytes", "1GiB")
    limited = none | {"quota_bytes": 1 << 30, "quota_objects": 7}
    assert ask(data, "bucket", "quota", "photos", "--objects", "7") == limited
    assert ask(data, "bucket", "quota", "photos") == limited
    assert ask(data, "bucket", "quota", "photos", "--bytes", "0", "--objects", "0") == none
    user = ask(data, "user", "quota", "admin", "--bytes", "2TiB")
    assert user == {"user": "admin", "bytes": 0, "quota_bytes": 2 << 40, "objects": 0, "quota_objects": None}
    refused = noisefs("user", "quota", "admin", "--bytes", "much", "--data", str(data))
    assert refused.returncode != 0
    assert "--bytes" in refused.stderr
