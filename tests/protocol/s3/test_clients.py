"""The programs people use against the installed one: each does what a backup does, and finds every byte again."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer
from tools import components

NAMES = ["plain.txt", "sub/dir/ümläut & space+plus%20.bin", "sub/#hash?.txt", "empty", "big.bin"]


REGION = "us-east-1"
BUCKET = "backup"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """URL of S3 of a fresh store."""
    with RunningServer(tmp_path / "data") as running:
        yield running.s3


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files with names that need encoding, one of them larger than a part."""
    folder = tmp_path / "source"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes({"empty": b"", "big.bin": os.urandom(17 << 20)}.get(name, name.encode() * (number + 1)))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(program: str, *words: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a client; its output. A failure shows what it said."""
    path = components.find(program)
    assert path is not None
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    done = subprocess.run(
        [str(path), *map(str, words)],
        env={**own, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.needs("aws")
def test_aws_cli_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path) -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def aws(*words: str | Path) -> str:
        return run("aws", *words, environment=environment)

    aws("s3", "mb", f"s3://{BUCKET}")
    aws("s3", "sync", tree, f"s3://{BUCKET}/there", "--no-progress")
    assert aws("s3", "sync", tree, f"s3://{BUCKET}/there", "--no-progress", "--size-only") == ""
    back = tmp_path / "back"
    aws("s3", "sync", f"s3://{BUCKET}/there", back, "--no-progress")
    assert content(back) == content(tree)
    aws("s3", "cp", f"s3://{BUCKET}/there/big.bin", f"s3://{BUCKET}/copy.bin", "--no-progress")
    head = json.loads(aws("s3api", "head-object", "--bucket", BUCKET, "--key", "copy.bin"))
    assert head["ContentLength"] == 17 << 20
    listed = aws("s3", "ls", f"s3://{BUCKET}/", "--recursive")
    assert all(name in listed for name in NAMES)
    aws("s3", "rb", f"s3://{BUCKET}", "--force")
    assert BUCKET not in aws("s3", "ls")


@pytest.mark.needs("s3cmd")
def test_s3cmd_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path) -> None:
    config = tmp_path / "s3cfg"
    host = endpoint.removeprefix("http://")
    config.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {host}\nhost_bucket = {host}\n"
        f"use_https = False\nbucket_location = {REGION}\nmultipart_chunk_size_mb = 5\nprogress_meter = False\n"
    )

    def s3cmd(*words: str | Path) -> str:
        return run("s3cmd", "-c", config, *words)

    s3cmd("mb", f"s3://{BUCKET}")
    s3cmd("sync", f"{tree}/", f"s3://{BUCKET}/there/")
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{BUCKET}/there/", f"{back}/")
    assert content(back) == content(tree)
    s3cmd("cp", f"s3://{BUCKET}/there/plain.txt", f"s3://{BUCKET}/copy.txt")
    s3cmd("mv", f"s3://{BUCKET}/copy.txt", f"s3://{BUCKET}/moved.txt")
    assert "moved.txt" in s3cmd("ls", f"s3://{BUCKET}/")
    assert "FULL_CONTROL" in s3cmd("info", f"s3://{BUCKET}/moved.txt")
    s3cmd("setacl", "--acl-private", f"s3://{BUCKET}/moved.txt")
    s3cmd("del", "--recursive", "--force", f"s3://{BUCKET}/")
    s3cmd("rb", f"s3://{BUCKET}")


@pytest.mark.needs("rclone")
def test_rclone_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
        f"endpoint = {endpoint}\nregion = {REGION}\nupload_cutoff = 5Mi\nchunk_size = 5Mi\n"
    )

    def rclone(*words: str | Path) -> str:
        return run("rclone", "--config", config, *words)

    there = f"s3:{BUCKET}/there"
    rclone("sync", tree, there)
    rclone("check", tree, there, "--download")
    rclone("check", tree, there)
    (tree / "plain.txt").write_bytes(b"changed")
    (tree / "empty").unlink()
    rclone("sync", tree, there)
    back = tmp_path / "back"
    rclone("sync", there, back)
    assert content(back) == content(tree)
    rclone("moveto", f"{there}/plain.txt", f"{there}/moved.txt")
    assert sorted(rclone("lsf", "-R", "--files-only", there).split("\n"))[1:] == sorted(
        ["moved.txt", *(name for name in NAMES if name not in ("plain.txt", "empty"))]
    )
    rclone("purge", there)
    assert rclone("lsf", f"s3:{BUCKET}") == ""
