"""``noisefs user policy``: what a user may do, set and read back on a stopped store."""

import json
from pathlib import Path

import pytest

from tests.support.server import noisefs

pytestmark = pytest.mark.e2e
DOCUMENT = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b*"}}'
)


def test_policies_come_and_go(tmp_path: Path) -> None:
    """Put from stdin and from a file, read back as it was put, listed, deleted; a bad one is refused by name."""
    data = str(tmp_path / "data")
    assert noisefs("init", "--data", data).returncode == 0
    assert noisefs("user", "add", "bob", "--data", data).returncode == 0

    def ask(*command: str, stdin: str | None = None, code: int = 0) -> str:
        done = noisefs("user", "policy", *command, "--data", data, "--json", stdin=stdin)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    ask("put", "bob", "one", "-", stdin=DOCUMENT)
    file = tmp_path / "policy.json"
    file.write_text(DOCUMENT)
    ask("put", "bob", "two", str(file))
    assert json.loads(ask("get", "bob", "one"))["document"] == DOCUMENT
    assert [row["policy"] for row in json.loads(ask("list", "bob"))] == ["one", "two"]
    assert "Action" in ask("put", "bob", "bad", "-", stdin=DOCUMENT.replace("s3:*", "s3:Eat"), code=2)
    ask("put", "bob", "none", str(tmp_path / "missing"), code=2)
    ask("delete", "bob", "one")
    assert [row["policy"] for row in json.loads(ask("list", "bob"))] == ["two"]
    users = json.loads(noisefs("user", "list", "--data", data, "--json").stdout)
    assert {row["user"]: row["policies"] for row in users} == {"admin": 0, "bob": 1}
    assert all(row["arn"].endswith(f":user/{row['user']}") for row in users)
