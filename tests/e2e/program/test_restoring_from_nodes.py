"""A gateway's machine is lost: the program on an empty folder, and real Kubo nodes, bring everything back."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.kubo import swarm
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs
from tools import components
from tools.ipfs_daemon import IpfsDaemon

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs", "rclone")]

SIZES = {"large": 3_000_000, "exact": 131_072 * 2, "small": 1000, "tiny/one": 1, "tiny/two": 300, "middle": 90_000}


def configuration(folder: Path, daemons: Sequence[IpfsDaemon], copies: int = 1) -> Path:
    """A file that names the nodes."""
    nodes = "".join(f'[[ipfs.nodes]]\napi = "{one.api}"\nname = "n{at}"\n' for at, one in enumerate(daemons))
    file = folder / "noisefs.toml"
    file.write_text(f"[ipfs]\ncopies = {copies}\nmin_free_bytes = 0\nmin_free_inodes = 0\n{nodes}")
    return file


def rclone(*arguments: str, s3: str) -> None:
    """Run rclone against the server."""
    remote = (
        f":s3,provider=Other,access_key_id={ACCESS_KEY},secret_access_key={SECRET_KEY!r},"
        f"endpoint={s3!r},force_path_style=true:"
    )
    program = components.find("rclone")
    assert program is not None
    done = subprocess.run(
        [str(program), *(one.replace("REMOTE:", remote) for one in arguments), "--config", "/dev/null"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def fill(source: Path, generation: int) -> None:
    """Files to upload; those of the generation before stay."""
    for name, size in SIZES.items():
        file = source / f"{generation}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(size))


def ask(*command: str, code: int = 0, stdin: str | None = None) -> dict[str, object]:
    """Run a command with ``--json``; its answer."""
    done = noisefs(*command, "--json", stdin=stdin)
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def restore(
    data: Path, config: Path, daemons: Sequence[IpfsDaemon], *key: str, stdin: str | None = None
) -> dict[str, object]:
    """The command, on an empty folder."""
    sources = [word for one in daemons for word in ("--from-ipfs", one.api)]
    return ask(
        "snapshot", "restore", *sources, *key, "--data", str(data), "--config", str(config), stdin=stdin
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files that are uploaded."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_two_generations_come_back_from_one_node(tmp_path: Path, source: Path) -> None:
    """After a kill -9 with a snapshot, and after a clean stop without one: byte-identical, and audits are clean."""
    key = tmp_path / "paper.key"
    with swarm(tmp_path) as daemons:
        config = configuration(tmp_path, daemons)
        data = tmp_path / "data"
        fill(source, 1)
        with RunningServer(data, "--config", str(config)) as server:
            rclone("copy", str(source), "REMOTE:photos", s3=server.s3)
            assert ask("snapshot", "create", "--data", str(data))["on_nodes"] is True
            status = ask("ipfs", "status", "--data", str(data))
            assert status["snapshot_on_nodes"]
            assert status["superseded"] is None
            shutil.copy(data / "root.key", key)
            sheet = ask("recovery-sheet", "--data", str(data), "--config", str(config))
            server.kill()
        shutil.rmtree(data)
        report = restore(data, config, daemons, "--root-key-file", str(key))
        assert report["clean"], report
        assert report["warnings"] == []
        fill(source, 2)
        with RunningServer(data, "--config", str(config)) as server:
            rclone("check", str(source / "1"), "REMOTE:photos/1", "--download", s3=server.s3)
            rclone("copy", str(source), "REMOTE:photos", s3=server.s3)
            for check in (("audit", "orphans"), ("audit", "tuples"), ("scrub",)):
                assert ask(*check, "--data", str(data))["clean"], check
        shutil.rmtree(data)
        report = restore(
            data, config, daemons, "--root-key", "-", "--store", str(sheet["store"]), stdin=f"{sheet['root_key']}\n"
        )
        assert report["clean"], report
        assert report["epoch"] == 3
        with RunningServer(data, "--config", str(config)) as server:
            rclone("check", str(source), "REMOTE:photos", "--download", s3=server.s3)
            assert ask("audit", "orphans", "--data", str(data))["clean"]


def test_one_of_three_nodes_may_be_lost_with_the_gateway(tmp_path: Path, source: Path) -> None:
    """With two copies of everything."""
    with swarm(tmp_path, 3) as daemons:
        config = configuration(tmp_path, daemons, copies=2)
        data = tmp_path / "data"
        fill(source, 1)
        with RunningServer(data, "--config", str(config)) as server:
            rclone("copy", str(source), "REMOTE:photos", s3=server.s3)
        key = tmp_path / "paper.key"
        shutil.copy(data / "root.key", key)
        shutil.rmtree(data)
        daemons[1].kill()
        report = restore(data, config, daemons, "--root-key-file", str(key))
        assert report["clean"], report
        assert any("n1" in str(warning) for warning in report["warnings"])  # type: ignore[attr-defined]  # a list
        with RunningServer(data, "--config", str(config)) as server:
            rclone("check", str(source), "REMOTE:photos", "--download", s3=server.s3)


def test_a_gateway_that_still_runs_stops_writing(tmp_path: Path, source: Path) -> None:
    """Its store was restored elsewhere: it answers reads, refuses writes, and is not ready."""
    with swarm(tmp_path) as daemons:
        config = configuration(tmp_path, daemons)
        data = tmp_path / "data"
        fill(source, 1)
        with RunningServer(data, "--config", str(config)) as server:
            rclone("copy", str(source), "REMOTE:photos", s3=server.s3)
            ask("snapshot", "create", "--data", str(data))
            restore(tmp_path / "other", config, daemons, "--root-key-file", str(data / "root.key"))
            refused = ask("snapshot", "create", "--data", str(data), code=7)
            assert "another gateway" in str(refused["error"])
            ask("user", "add", "somebody", "--data", str(data), code=7)
            status = ask("ipfs", "status", "--data", str(data))
            assert status["clean"] is False
            assert "another gateway" in str(status["superseded"])
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"{server.admin}/readyz", timeout=10)
            rclone("check", str(source), "REMOTE:photos", "--download", s3=server.s3)
