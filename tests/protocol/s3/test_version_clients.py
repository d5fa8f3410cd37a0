"""Programs people use, over a bucket that keeps versions: each brings back what was overwritten or deleted."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer
from tools import components


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """URL of S3 of a fresh store."""
    with RunningServer(tmp_path / "data") as running:
        yield running.s3


def run(program: str, *words: str | Path, **environment: str) -> str:
    """Run a client; its output. A failure shows what it said."""
    path = components.find(program)
    assert path is not None
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    done = subprocess.run(
        [str(path), *map(str, words)],
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.needs("rclone")
def test_rclone_finds_versions_and_cleans_them_up(endpoint: str, tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
        f"endpoint = {endpoint}\nregion = us-east-1\n"
    )

    def rclone(*words: str | Path) -> str:
        return run("rclone", "--config", config, *words)

    rclone("mkdir", "s3:kept")
    rclone("backend", "versioning", "s3:kept", "Enabled")
    assert json.loads(rclone("backend", "versioning", "s3:kept")) == "Enabled"
    source = tmp_path / "file.txt"
    for text in ("first", "second one"):
        source.write_text(text)
        rclone("copyto", source, "s3:kept/d/file.txt")
    rclone("delete", "s3:kept/d")
    assert rclone("lsf", "-R", "--files-only", "s3:kept") == ""
    assert len(rclone("lsf", "--s3-versions", "s3:kept/d").split()) == 2
    found = rclone("cat", "--s3-versions", "s3:kept/d")  # of one second, so that they have one name in rclone
    assert found in ("firstsecond one", "second onefirst")
    rclone("backend", "cleanup-hidden", "s3:kept")
    assert rclone("lsf", "--s3-versions", "s3:kept/d") == ""
    rclone("rmdir", "s3:kept")


@pytest.mark.needs("aws")
def test_aws_cli_locks_and_brings_back(endpoint: str, tmp_path: Path) -> None:
    def aws(*words: str | Path) -> str:
        return run(
            "aws", "--endpoint-url", endpoint, "s3api", *words,
            AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY, AWS_DEFAULT_REGION="us-east-1",
        )  # fmt: skip

    aws("create-bucket", "--bucket", "locked", "--object-lock-enabled-for-bucket")
    source = tmp_path / "file.txt"
    source.write_text("kept")
    put = json.loads(aws("put-object", "--bucket", "locked", "--key", "k", "--body", source))
    hold = ("put-object-legal-hold", "--bucket", "locked", "--key", "k", "--legal-hold")
    aws(*hold, "Status=ON")
    marker = json.loads(aws("delete-object", "--bucket", "locked", "--key", "k"))
    assert marker["DeleteMarker"] is True
    version = ("--bucket", "locked", "--key", "k", "--version-id")
    with pytest.raises(AssertionError, match="AccessDenied"):
        aws("delete-object", *version, put["VersionId"])
    aws("delete-object", *version, marker["VersionId"])
    aws("get-object", "--bucket", "locked", "--key", "k", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "kept"
    aws(*hold, "Status=OFF")
    aws("delete-object", *version, put["VersionId"])
    aws("delete-bucket", "--bucket", "locked")
