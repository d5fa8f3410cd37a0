"""s3fs-fuse: a bucket as a folder of the machine, over the installed program."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from tests.support.clients import BUCKET, REGION, aws_environment, content, make_tree
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer
from tools import components

LIMIT_S = 60
OPTIONS = ("use_path_request_style", f"endpoint={REGION}", "multipart_size=5", "retries=1")


def wait_until_mounted(folder: Path, client: subprocess.Popen[str]) -> None:
    """The kernel tells when the list of mounts changes. Skips where it lets nobody mount."""
    with Path("/proc/self/mounts").open() as mounts:
        changes = select.poll()
        changes.register(mounts, select.POLLERR | select.POLLPRI)
        for _ in range(LIMIT_S):
            if os.path.ismount(folder):
                return
            if client.poll() is not None:
                said = client.communicate()[0]
                if "Operation not permitted" in said:
                    pytest.skip(f"s3fs: this machine lets nobody mount: {said.strip()}")
                raise AssertionError(said)
            changes.poll(1000)
    raise AssertionError("s3fs did not mount")


@contextmanager
def mounted(endpoint: str, folder: Path) -> Iterator[Path]:
    """The bucket as ``folder``, by an s3fs that stays in the foreground and unmounts when it is ended."""
    folder.mkdir()
    passwords = folder.with_suffix(".passwords")
    passwords.touch(mode=0o600)
    passwords.write_text(f"{ACCESS_KEY}:{SECRET_KEY}")
    options = [word for option in (*OPTIONS, f"url={endpoint}", f"passwd_file={passwords}") for word in ("-o", option)]
    client = subprocess.Popen(
        [str(components.find("s3fs")), BUCKET, str(folder), "-f", *options],
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_mounted(folder, client)
        yield folder
        client.send_signal(signal.SIGTERM)
        said, _ = client.communicate(timeout=LIMIT_S)
        assert client.returncode == 0, said
    finally:
        if client.poll() is None:
            client.kill()
            client.communicate()
            subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.needs("s3fs")
def test_a_mounted_bucket_is_a_folder(tmp_path: Path) -> None:
    """Files with odd names and in parts, appends, truncation, renames of files and folders, times, removal."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("s3fs: this machine lets nobody mount: no /dev/fuse")
    model = make_tree(tmp_path / "model")
    with RunningServer(tmp_path / "data") as server:
        environment = aws_environment(server.s3)
        s3 = boto3.client(
            "s3",
            endpoint_url=server.s3,
            region_name=REGION,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket=BUCKET)
        with mounted(server.s3, tmp_path / "first") as there:
            make_tree_like(model, there)
            assert content(there) == content(model)
            for folder in (there, model):
                with (folder / "plain.txt").open("ab") as file:
                    file.write(b" and more")
                with (folder / "sub/#hash?.txt").open("r+b") as file:  # by path s3fs 1.90 fills it with zeros
                    file.truncate(5)
                os.utime(folder / "plain.txt", (1_500_000_000, 1_500_000_000))
                (folder / "big.bin").rename(folder / "sub" / "moved.bin")
                (folder / "sub").rename(folder / "renamed")
                (folder / "empty").unlink()
                (folder / "new folder").mkdir()
            assert content(there) == content(model)
        with mounted(server.s3, tmp_path / "second") as there:
            assert content(there) == content(model)
            assert (there / "new folder").is_dir()
            assert int((there / "plain.txt").stat().st_mtime) == 1_500_000_000
            assert not (there / "sub").exists()
            (there / "new folder").rmdir()
        keys = {one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert {key for key in keys if not key.endswith("/")} == set(content(model))
        s3.close()


def make_tree_like(model: Path, target: Path) -> None:
    """The same files once more."""
    for path in model.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(model)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
