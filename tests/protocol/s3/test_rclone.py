"""rclone's further features against the installed program: versions, metadata, times and copies in parts."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clients import BUCKET, REGION, content, run
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

Client = Callable[..., str]

pytestmark = pytest.mark.needs("rclone")


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Runs rclone with remote ``s3``, where copies of more than 5 MiB are made in parts."""
    folder = tmp_path_factory.mktemp("rclone")
    config = folder / "rclone.conf"
    with RunningServer(folder / "data") as server:
        config.write_text(
            f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
            f"endpoint = {server.s3}\nregion = {REGION}\nupload_cutoff = 5Mi\nchunk_size = 5Mi\ncopy_cutoff = 5Mi\n"
        )

        def client(*words: str | Path) -> str:
            return run("rclone", "--config", config, *words)

        client("mkdir", f"s3:{BUCKET}")
        yield client


def test_old_versions_are_listed_read_and_removed(rclone: Client, tmp_path: Path) -> None:
    bucket = "s3:versions"
    rclone("mkdir", bucket)
    assert json.loads(rclone("backend", "versioning", bucket)) == "Unversioned"
    assert json.loads(rclone("backend", "versioning", bucket, "Enabled")) == "Enabled"
    file = tmp_path / "file.txt"
    for text in ("first", "second", "third"):
        file.write_text(text)
        rclone("copyto", file, f"{bucket}/file.txt", "--ignore-times")
    rclone("deletefile", f"{bucket}/file.txt")
    assert rclone("lsf", bucket) == ""
    assert len(rclone("lsf", bucket, "--s3-versions").split()) == 3
    assert rclone("cat", bucket, "--s3-versions") == "thirdsecondfirst"
    rclone("backend", "cleanup-hidden", bucket)
    assert rclone("lsf", bucket, "--s3-versions") == ""
    rclone("rmdir", bucket)


def test_a_copy_in_parts_has_every_byte(rclone: Client, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(12_000_000))
    rclone("copy", source, f"s3:{BUCKET}/from")
    rclone("copy", f"s3:{BUCKET}/from", f"s3:{BUCKET}/copied")
    stats = json.loads(rclone("lsjson", "--stat", "--metadata", f"s3:{BUCKET}/copied/big"))
    assert stats["Size"] == 12_000_000
    rclone("copy", f"s3:{BUCKET}/copied", tmp_path / "back")
    assert content(tmp_path / "back") == content(source)
    rclone("check", source, f"s3:{BUCKET}/copied", "--download")


def test_metadata_and_times_come_back(rclone: Client, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"with metadata")
    moment = 1_500_000_000
    os.utime(file, (moment, moment))
    sent = {"cache-control": "max-age=9", "content-type": "text/x-own", "content-language": "de", "owner": "some one"}
    flags = [word for name, value in sent.items() for word in ("--metadata-set", f"{name}={value}")]
    rclone("copyto", file, f"s3:{BUCKET}/meta", "--metadata", *flags)
    found = json.loads(rclone("lsjson", "--stat", "--metadata", f"s3:{BUCKET}/meta"))
    assert sent.items() <= found["Metadata"].items()
    assert found["ModTime"].startswith("2017-07-14T02:40:00")
    rclone("copyto", f"s3:{BUCKET}/meta", tmp_path / "back", "--metadata")
    assert (tmp_path / "back").stat().st_mtime == moment
    rclone("touch", "-t", "2001-02-03T04:05:06", f"s3:{BUCKET}/meta")
    assert json.loads(rclone("lsjson", "--stat", f"s3:{BUCKET}/meta"))["ModTime"].startswith("2001-02-03T04:05:06")


def test_server_times_and_checksums_spare_requests(rclone: Client, tmp_path: Path) -> None:
    """With --use-server-modtime a sync asks for no object by itself, and sends nothing again."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / f"{number}").write_bytes(b"%d" % number)
    target = f"s3:{BUCKET}/synced"
    rclone("sync", source, target)
    words = ("sync", source, target, "--use-server-modtime", "--update", "-v", "--use-json-log", "--stats-log-level")
    assert json.loads(rclone("lsjson", "--stat", "--use-server-modtime", f"{target}/1"))["ModTime"] > "2026"
    assert rclone(*words, "NOTICE") == ""
    (source / "new").write_bytes(b"new")
    (source / "0").unlink()
    rclone(*words, "NOTICE")
    rclone("check", source, target, "--download")
    rclone("check", source, target, "--checkers", "2")
