"""The installed program on a disk that fills up, by itself and by somebody else, and on one that cannot be written."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.server import ACCESS_KEY, SECRET_KEY, NotReady, RunningServer, noisefs
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.e2e

MIB = 1 << 20
ENVIRONMENT = {"NOISEFS_STORE__RESERVE_BYTES": str(200 * MIB)}
SIZE = 3 * MIB


def client(server: RunningServer) -> Any:  # Any: boto3 has no types
    """An S3 client that does not try again."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def body(number: int) -> bytes:
    """What object ``number`` holds."""
    return bytes([number % 251]) * SIZE


def serve(disk: SmallDisk, aside: Path) -> RunningServer:
    """A server with its folder on that disk, and its log elsewhere."""
    server = RunningServer(disk.folder / "data", environment=ENVIRONMENT)
    server.stderr_file = aside / "stderr"
    return server


def fill_up(s3: Any) -> tuple[set[int], ClientError]:
    """Put objects until one is refused; those that were taken, and the refusal."""
    taken: set[int] = set()
    for number in range(1000):
        try:
            s3.put_object(Bucket="full", Key=f"{number}", Body=body(number))
        except ClientError as exc:
            return taken, exc
        taken.add(number)
    raise AssertionError("the disk never filled")


def all_there(s3: Any, numbers: set[int]) -> None:
    """Exactly these objects, byte by byte."""
    listed = {int(entry["Key"]) for entry in s3.list_objects_v2(Bucket="full").get("Contents", [])}
    assert listed == numbers
    for number in numbers:
        assert s3.get_object(Bucket="full", Key=f"{number}")["Body"].read() == body(number)


def delete_third(s3: Any, numbers: set[int]) -> None:
    """Delete one in three."""
    for number in sorted(numbers)[::3]:
        assert s3.delete_object(Bucket="full", Key=f"{number}")["ResponseMetadata"]["HTTPStatusCode"] == 204
        numbers.discard(number)


def command(disk: SmallDisk, *words: str) -> dict[str, object]:
    """Run a command of the program; its answer."""
    done = noisefs(*words, "--data", str(disk.folder / "data"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 560 * MIB) as disk:
        with serve(disk, tmp_path) as server:
            s3 = client(server)
            s3.create_bucket(Bucket="full")
            taken, refusal = fill_up(s3)
            assert len(taken) > 40
            assert refusal.response["ResponseMetadata"]["HTTPStatusCode"] == 507
            assert "space" in refusal.response["Error"]["Message"]
            # An overwrite that finds no room leaves the old version.
            with pytest.raises(ClientError):
                s3.put_object(Bucket="full", Key="1", Body=bytes(90 * MIB))
            all_there(s3, taken)
            disk.fill()
            delete_third(s3, taken)
            assert server.stop() == 0
        with serve(disk, tmp_path) as server:
            s3 = client(server)
            all_there(s3, taken)
            delete_third(s3, taken)
            cleaned = command(disk, "clean")
            assert cleaned["packs_dropped"]
            disk.relieve()
            command(disk, "clean")
            s3.put_object(Bucket="full", Key="900", Body=body(900))
            all_there(s3, taken | {900})
            assert command(disk, "scrub")["clean"]
            assert command(disk, "audit", "orphans")["clean"]


def test_a_kill_on_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 560 * MIB) as disk:
        with serve(disk, tmp_path) as server:
            s3 = client(server)
            s3.create_bucket(Bucket="full")
            taken, _refusal = fill_up(s3)
            disk.fill()
            server.kill()
        with serve(disk, tmp_path) as server:
            s3 = client(server)
            all_there(s3, taken)
            delete_third(s3, taken)
            all_there(s3, taken)


def test_a_disk_that_cannot_be_written_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 560 * MIB) as disk:
        with serve(disk, tmp_path) as server:
            s3 = client(server)
            s3.create_bucket(Bucket="full")
            s3.put_object(Bucket="full", Key="1", Body=body(1))
            assert server.stop() == 0
        disk.read_only()
        with pytest.raises(NotReady, match=r"exit code 8(.|\n)*Read-only file system"):
            serve(disk, tmp_path).start()
        disk.writable()
        with serve(disk, tmp_path) as server:
            all_there(client(server), {1})
