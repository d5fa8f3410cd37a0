"""S3 and WebDAV clients at work on the same keys: readers get all of one write, and both see the same in the end."""

import hashlib
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.dav_requests import DavClient
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

pytestmark = pytest.mark.e2e

KEYS = ("k0", "k1", "d/k2", "d/k3")
CLIENTS = 3
ROUNDS = 40
SIZES = (0, 100, 5_000, 70_000, 300_000)
LISTED = re.compile(r"<D:href>/bucket/([^<]*)</D:href>.*?<D:getetag>([^<]*)</D:getetag>")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """Two processes on a new store."""
    with RunningServer(tmp_path / "data", "--workers", "2") as running:
        assert DavClient(running)("MKCOL", "/bucket").status == 201
        assert DavClient(running)("MKCOL", "/bucket/d").status == 201
        yield running


def s3_client(server: RunningServer) -> Any:  # Any: boto3 makes its classes at run time
    """An S3 client that repeats nothing."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


class Ledger:
    """What was ever written, by digest. Used from many threads."""

    def __init__(self) -> None:
        self._written: set[bytes] = set()

    def made(self, draw: random.Random) -> bytes:
        """Bytes that nobody wrote before (but for none at all)."""
        data = draw.randbytes(draw.choice(SIZES))
        self._written.add(hashlib.sha256(data).digest())
        return data

    def check(self, data: bytes) -> None:
        """It was written so, whole."""
        assert hashlib.sha256(data).digest() in self._written, len(data)


def through_s3(server: RunningServer, ledger: Ledger, draw: random.Random) -> None:
    """PUT, GET, DELETE and COPY."""
    s3 = s3_client(server)
    for _ in range(ROUNDS):
        key, other = draw.sample(KEYS, 2)
        try:
            match draw.randrange(5):
                case 0 | 1:
                    s3.put_object(Bucket="bucket", Key=key, Body=ledger.made(draw))
                case 2 | 3:
                    ledger.check(s3.get_object(Bucket="bucket", Key=key)["Body"].read())
                case _:
                    s3.copy_object(Bucket="bucket", Key=key, CopySource=f"bucket/{other}")
        except ClientError as exc:
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, 409):
                raise
    s3.close()


def through_webdav(server: RunningServer, ledger: Ledger, draw: random.Random) -> None:
    """PUT (also in chunks), GET, DELETE, COPY, MOVE, and PUT under a lock."""
    dav = DavClient(server)
    for _ in range(ROUNDS):
        key, other = draw.sample(KEYS, 2)
        path, goal = f"/bucket/{key}", f"/bucket/{other}"
        match draw.randrange(7):
            case 0:
                assert dav("PUT", path, ledger.made(draw)).status in (201, 204, 423)
            case 1:
                data = ledger.made(draw)
                pieces = (data[at : at + 40_000] for at in range(0, len(data), 40_000))
                assert dav("PUT", path, pieces).status in (201, 204, 423)
            case 2 | 3:
                reply = dav("GET", path)
                assert reply.status in (200, 404)
                if reply.status == 200:
                    ledger.check(reply.body)
            case 4:
                assert dav("DELETE", path).status in (204, 404, 423)
            case 5:
                method = draw.choice(("COPY", "MOVE"))
                assert dav(method, path, Destination=goal).status in (201, 204, 404, 423)
            case _:
                _lock_and_write(dav, path, ledger.made(draw))


def _lock_and_write(dav: DavClient, path: str, data: bytes) -> None:
    """What is written under a lock stays until it is released, as far as WebDAV clients go."""
    granted = dav(
        "LOCK",
        path,
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
    )
    assert granted.status in (200, 201, 423)
    if granted.status == 423:
        return
    token = granted.headers["lock-token"]
    assert dav("PUT", path, data, If=f"({token})").status in (201, 204)
    assert dav("UNLOCK", path, Lock_Token=token).status == 204


def test_both_protocols_on_the_same_keys(server: RunningServer) -> None:
    """Six clients, two processes, four keys."""
    ledger = Ledger()
    with ThreadPoolExecutor(2 * CLIENTS) as pool:
        clients = [
            pool.submit(work, server, ledger, random.Random(seed))
            for seed in range(CLIENTS)
            for work in (through_s3, through_webdav)
        ]
    for client in clients:
        client.result()
    s3, dav = s3_client(server), DavClient(server)
    listed = {one["Key"]: one["ETag"] for one in s3.list_objects_v2(Bucket="bucket").get("Contents", [])}
    files = {key: etag for key, etag in listed.items() if not key.endswith("/")}
    shown = dav("PROPFIND", "/bucket/", Depth="infinity").body.decode()
    assert {unquote(path): etag for path, etag in LISTED.findall(shown.replace("</D:response>", "\n"))} == files
    for key, etag in files.items():
        theirs, ours = s3.get_object(Bucket="bucket", Key=key), dav("GET", f"/bucket/{key}")
        data = theirs["Body"].read()
        assert data == ours.body
        assert etag == ours.headers["etag"] == theirs["ETag"]
        ledger.check(data)
    s3.close()


def test_both_processes_have_one_lock_table(server: RunningServer) -> None:
    """Of many who lock one name at once, one gets it; everybody else is kept out, by whichever process, until it ends.

    Each request has a connection of its own, so the kernel deals them out to both processes.
    """
    dav = DavClient(server)
    dav("PUT", "/bucket/f", b"old")
    body = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(lambda _: dav("LOCK", "/bucket/f", body, Timeout="Second-600"), range(24)))
        assert sorted(reply.status for reply in granted) == [200] + [423] * 23
        token = next(reply.headers["lock-token"] for reply in granted if reply.status == 200)
        assert {reply.status for reply in pool.map(lambda _: dav("PUT", "/bucket/f", b"no"), range(24))} == {423}
        assert {reply.status for reply in pool.map(lambda _: dav("DELETE", "/bucket"), range(8))} == {423}
        held = list(pool.map(lambda _: dav("PUT", "/bucket/f", b"yes", If=f"({token})"), range(24)))
        assert {reply.status for reply in held} == {204}
        assert {reply.status for reply in pool.map(lambda _: dav("LOCK", "/bucket/f", If=f"({token})"), range(8))} == {
            200
        }
        assert dav("UNLOCK", "/bucket/f", Lock_Token=token).status == 204
        freed = list(pool.map(lambda _: dav("PUT", "/bucket/f", b"free"), range(24)))
        assert {reply.status for reply in freed} == {204}
