"""What to keep on paper, and what a restore from nodes refuses before it begins."""

import json
from pathlib import Path

import pytest

from noisefs.core.domain.sealing.keyring import parse_root_key
from noisefs.core.domain.sealing.spelled_key import read_spelled_key
from tests.support.server import noisefs

pytestmark = pytest.mark.e2e

PHRASE = "correct horse battery staple"


def test_the_sheet_shows_store_nodes_and_key(tmp_path: Path) -> None:
    """The key is the one in the file, and the secret is announced on stderr."""
    data = tmp_path / "data"
    made = json.loads(noisefs("init", "--data", str(data), "--json").stdout)
    config = tmp_path / "noisefs.toml"
    config.write_text('[[ipfs.nodes]]\napi = "http://10.9.8.7:5001"\nname = "attic"\n')
    done = noisefs("recovery-sheet", "--data", str(data), "--config", str(config))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"Store     {made['store']}" in lines
    assert "Nodes     http://10.9.8.7:5001  (called attic)" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("Root key"))
    spelled = " ".join(line[10:] for line in lines[at : at + 2])
    assert read_spelled_key(spelled) == parse_root_key((data / "root.key").read_text())
    assert "--from-ipfs http://10.9.8.7:5001 --root-key -" in done.stdout
    assert "whoever has it" in done.stderr
    assert "warning" not in done.stderr


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("", "--config"),
        ('[[ipfs.nodes]]\napi = "http://127.0.0.1:5001"\n', "of this machine only"),
        ('[[ipfs.nodes]]\napi = "http://localhost:5001"\n', "of this machine only"),
    ],
)
def test_a_sheet_that_would_be_of_no_use_is_told(tmp_path: Path, nodes: str, said: str) -> None:
    data, config = str(tmp_path / "data"), tmp_path / "noisefs.toml"
    assert noisefs("init", "--data", data).returncode == 0
    config.write_text(nodes)
    done = noisefs("recovery-sheet", "--data", data, "--config", str(config))
    assert done.returncode == 0
    assert said in done.stderr


def test_a_store_with_a_passphrase_shows_no_secret(tmp_path: Path) -> None:
    """Only the word."""
    data = tmp_path / "data"
    environment = {"NOISEFS_ROOT_KEY__PASSPHRASE": PHRASE}
    assert noisefs("init", "--data", str(data), environment=environment).returncode == 0
    done = noisefs("recovery-sheet", "--data", str(data), environment=environment)
    assert "Root key  passphrase" in done.stdout
    assert "--root-key -" not in done.stdout
    assert PHRASE not in done.stdout + done.stderr
    assert "whoever" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "either the NAME of a snapshot, or --from-ipfs"),
        (("x.snapshot", "--from-ipfs", "http://127.0.0.1:1"), 2, "either the NAME"),
        (("x.snapshot", "--root-key", "-"), 2, "with --from-ipfs only"),
        (("--from-ipfs", "http://127.0.0.1:1", "--root-key", "000G"), 2, "can be seen by others"),
        (("--from-ipfs", "http://127.0.0.1:1", "--store", "xyz"), 2, "32 hex digits"),
        (("--from-ipfs", "attic", "--root-key", "-"), 2, "attic': a URL of scheme http"),
        (("--from-ipfs", "http://127.0.0.1:1", "--root-key", "-"), 5, "root key on paper has 56"),
        (("--from-ipfs", "http://127.0.0.1:1", "--root-key-file", "/nowhere"), 5, "missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Before anything is made; no key is repeated."""
    data = tmp_path / "data"
    done = noisefs("snapshot", "restore", *arguments, "--data", str(data), "--json", stdin="typed wrong\n")
    assert done.returncode == code, done.stdout + done.stderr
    assert said in json.loads(done.stdout)["error"]["message"]
    assert not data.exists()


def test_nodes_that_do_not_answer_are_named(tmp_path: Path) -> None:
    """With what went wrong."""
    key = tmp_path / "root.key"
    key.write_text(f"noisefs-root-key-1:{'07' * 32}\n")
    key.chmod(0o600)
    arguments = ("--from-ipfs", "http://127.0.0.1:1", "--root-key-file", str(key), "--data", str(tmp_path / "data"))
    done = noisefs("snapshot", "restore", *arguments, "--json")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "127.0.0.1:1" in json.loads(done.stdout)["error"]["message"]
