"""The program itself: one namespace for S3 and WebDAV, and what survives when it is killed."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

pytestmark = pytest.mark.e2e

LOCK = (
    '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>'
    "<locktype><write/></locktype><owner>me</owner></lockinfo>"
)
PATCH = '<propertyupdate xmlns="DAV:"><set><prop><mood xmlns="u:">good</mood></prop></set></propertyupdate>'
ASK = '<propfind xmlns="DAV:"><prop><mood xmlns="u:"/><lockdiscovery/></prop></propfind>'


def dav(
    server: RunningServer,
    method: str,
    path: str,
    body: bytes | str | None = None,
    *,
    password: str = SECRET_KEY,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """One WebDAV request: status, headers, body."""
    connection = http.client.HTTPConnection(urlsplit(server.webdav).netloc, timeout=60)
    login = base64.b64encode(f"{ACCESS_KEY}:{password}".encode()).decode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {"Authorization": f"Basic {login}", **fields})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A program on a new store, with one bucket."""
    with RunningServer(tmp_path / "data") as running:
        assert dav(running, "MKCOL", "/bucket")[0] == 201
        yield running


@pytest.fixture
def s3(server: RunningServer) -> Iterator[Any]:
    """A boto3 client of the same program."""
    client = boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )
    yield client
    client.close()


def test_what_one_protocol_writes_the_other_reads_at_once(server: RunningServer, s3: Any) -> None:
    """Bytes, ETags, content types, folders, deletions, buckets; names that only S3 can express stay out of sight."""
    s3.put_object(Bucket="bucket", Key="d/from-s3.txt", Body=b"one" * 100_000, ContentType="text/strange")
    status, headers, body = dav(server, "GET", "/bucket/d/from-s3.txt")
    assert (status, body, headers["content-type"]) == (200, b"one" * 100_000, "text/strange")
    put = dav(server, "PUT", "/bucket/d/from-dav", b"two")
    head = s3.head_object(Bucket="bucket", Key="d/from-dav")
    assert head["ETag"] == put[1]["etag"]
    assert s3.get_object(Bucket="bucket", Key="d/from-dav")["Body"].read() == b"two"
    s3.put_object(Bucket="bucket", Key="d//hidden", Body=b"")
    listing = dav(server, "PROPFIND", "/bucket/d", Depth="1")[2]
    assert re.findall(rb"<D:href>([^<]+)", listing) == [b"/bucket/d/", b"/bucket/d/from-dav", b"/bucket/d/from-s3.txt"]
    assert server.metrics()["noisefs_webdav_hidden_names_total"] >= 1
    assert dav(server, "MOVE", "/bucket/d", Destination="/bucket/e")[0] == 201
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == ["e//hidden", "e/from-dav", "e/from-s3.txt"]
    s3.delete_object(Bucket="bucket", Key="e/from-dav")
    assert dav(server, "GET", "/bucket/e/from-dav")[0] == 404
    s3.create_bucket(Bucket="made-by-s3")
    assert b"/made-by-s3/" in dav(server, "PROPFIND", "/", Depth="1")[2]


def test_an_upload_in_parts_is_one_file(server: RunningServer, s3: Any) -> None:
    """With S3's ETag, quoted, and ranges over its parts."""
    upload = s3.create_multipart_upload(Bucket="bucket", Key="big")["UploadId"]
    bodies = [bytes([number]) * (5 << 20) for number in (1, 2)]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket="bucket", Key="big", UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(bodies, 1)
    ]
    done = s3.complete_multipart_upload(Bucket="bucket", Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    status, headers, body = dav(server, "GET", "/bucket/big", Range=f"bytes={(5 << 20) - 1}-{5 << 20}")
    assert (status, body) == (206, b"\1\2")
    assert headers["etag"] == done["ETag"]
    assert headers["etag"].endswith('-2"')


def test_files_locks_and_properties_survive_a_kill(server: RunningServer) -> None:
    """What was acknowledged is there when the program is started again."""
    dav(server, "PUT", "/bucket/f", b"kept")
    assert dav(server, "PROPPATCH", "/bucket/f", PATCH)[0] == 207
    token = dav(server, "LOCK", "/bucket/f", LOCK, Timeout="Second-3600")[1]["lock-token"]
    server.kill()
    server.start()
    assert dav(server, "GET", "/bucket/f")[2] == b"kept"
    shown = dav(server, "PROPFIND", "/bucket/f", ASK, Depth="0")[2].decode()
    assert ">good</" in shown
    assert token.strip("<>") in shown
    assert dav(server, "PUT", "/bucket/f", b"new")[0] == 423
    assert dav(server, "PUT", "/bucket/f", b"new", If=f"({token})")[0] == 204
    assert dav(server, "UNLOCK", "/bucket/f", Lock_Token=token)[0] == 204


def test_a_failed_login_is_one_stable_line(server: RunningServer) -> None:
    """With the client's address and the name, and never the password."""
    assert dav(server, "GET", "/bucket/f", password="wrong-secret-000")[0] == 401
    assert server.metrics()['noisefs_auth_failures_total{protocol="webdav",reason="refused"}'] == 1
    server.stop()
    lines = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "auth.failed"]
    assert (line["protocol"], line["client"], line["login"]) == ("webdav", "127.0.0.1", ACCESS_KEY)
    assert "wrong-secret-000" not in server.stderr
