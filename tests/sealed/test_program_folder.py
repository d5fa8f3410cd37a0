"""The installed program, killed in the middle of it and ended properly: no canary in its folder or in what it logs."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.canaries import files_of, found_in, found_in_folder, uneven_files
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs

pytestmark = pytest.mark.e2e

CANARIES = {
    "bucket": b"canary-bucket-9k3v",
    "key": b"canary object name 4hJw",
    "content": b"the canary in the coal mine sings 31415926. ",
    "metadata": b"canary-metadata-value-Zp81",
    "user": b"canary-user-7Qx2",
    "password": b"canary password 9u8y7t",
    "secret": SECRET_KEY.encode(),
}
NAMED = {name: canary for name, canary in CANARIES.items() if name not in ("bucket", "key", "user")}
"""What no log may tell. Names of buckets, keys and users may be in a request's line."""


def content(size: int) -> bytes:
    """The canary over and over."""
    line = CANARIES["content"]
    return (line * (size // len(line) + 1))[:size]


def client(server: RunningServer) -> Any:  # Any: boto3 has no types
    """An S3 client."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def fill(server: RunningServer) -> None:
    """Objects of every kind, and an upload that stays open."""
    s3 = client(server)
    bucket, key = CANARIES["bucket"].decode(), CANARIES["key"].decode()
    s3.create_bucket(Bucket=bucket)
    for size in (0, 400, 9000, 60000, 400_000, 3_000_000):
        body = content(size)
        s3.put_object(Bucket=bucket, Key=f"{key}/{size}", Body=body, Metadata={"note": CANARIES["metadata"].decode()})
    s3.put_object(Bucket=bucket, Key="zeros", Body=bytes(2_000_000))
    upload = s3.create_multipart_upload(Bucket=bucket, Key=f"{key}/open")["UploadId"]
    s3.upload_part(Bucket=bucket, Key=f"{key}/open", UploadId=upload, PartNumber=1, Body=content(5_300_000))
    s3.delete_object(Bucket=bucket, Key=f"{key}/60000")
    s3.get_object(Bucket=bucket, Key=f"{key}/400000")["Body"].read()


def searched(folder: Path, moment: str) -> None:
    """Look through the whole folder."""
    assert files_of(folder)
    assert found_in_folder(folder, CANARIES) == [], moment
    assert uneven_files(folder) == [], moment


def test_no_canary_is_in_the_folder_or_in_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with RunningServer(data) as server:
        added = noisefs("user", "add", "canary-user-7Qx2", "--data", str(data), "--json")
        assert added.returncode == 0, added.stderr
        fill(server)
        searched(data, "while it runs")
        server.kill()
    searched(data, "after a kill")
    with RunningServer(data) as server:
        answer = client(server).get_object(Bucket=CANARIES["bucket"].decode(), Key=CANARIES["key"].decode() + "/400000")
        assert answer["Body"].read() == content(400_000)
        assert answer["Metadata"] == {"note": CANARIES["metadata"].decode()}
        made = noisefs("snapshot", "create", "--data", str(data), "--json")
        assert made.returncode == 0, made.stderr
        cleaned = noisefs("clean", "--data", str(data), "--json")
        assert cleaned.returncode == 0, cleaned.stderr
        assert json.loads(cleaned.stdout)["clean"]
        searched(data, "after a snapshot and cleaning")
        assert server.stop() == 0
    searched(data, "after the end")
    assert found_in(server.stderr.encode(), NAMED) == []
