"""The programs people use against the installed one: each does what a backup does, and finds every byte again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import BUCKET, NAMES, REGION, aws_environment, content, make_tree, run
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

OLD_SIGNATURES = {"NOISEFS_S3__SIGNATURE_V2": "true"}


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """URL of S3 of a fresh store."""
    with RunningServer(tmp_path / "data", environment=OLD_SIGNATURES) as running:
        yield running.s3


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files as a backup has them."""
    return make_tree(tmp_path / "source")


@pytest.mark.needs("aws")
def test_aws_cli_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path) -> None:
    def aws(*words: str | Path) -> str:
        return run("aws", *words, environment=aws_environment(endpoint))

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
@pytest.mark.parametrize("more", [(), ("--signature-v2",)], ids=["version 4", "version 2"])
def test_s3cmd_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    config = tmp_path / "s3cfg"
    host = endpoint.removeprefix("http://")
    config.write_text(
        f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {host}\nhost_bucket = {host}\n"
        f"use_https = False\nbucket_location = {REGION}\nmultipart_chunk_size_mb = 5\nprogress_meter = False\n"
    )

    def s3cmd(*words: str | Path) -> str:
        return run("s3cmd", "-c", config, *more, *words)

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
@pytest.mark.parametrize("more", ["", "v2_auth = true\n"], ids=["version 4", "version 2"])
def test_rclone_syncs_both_ways(endpoint: str, tree: Path, tmp_path: Path, more: str) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
        f"endpoint = {endpoint}\nregion = {REGION}\nupload_cutoff = 5Mi\nchunk_size = 5Mi\n{more}"
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
