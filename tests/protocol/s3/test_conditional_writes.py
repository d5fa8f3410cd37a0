"""Conditional writes from many clients at once: locks of infrastructure tools, and compare-and-set."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.s3_raw import Wire, signed_head
from tests.support.s3_server import S3Server, serve

CLIENTS = 50
Act = Callable[[int], str]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server that takes parts of one byte."""
    with serve(limits=NamespaceLimits(min_part_bytes=1)) as running:
        yield running


@pytest.fixture(scope="module")
def many(server: S3Server) -> Any:
    """A client with a connection for each thread. Any: made at run time."""
    return server.client(max_pool_connections=CLIENTS)


def outcomes(act: Act) -> Counter[str]:
    """What comes of it when all clients do it at once: a word, or the code of a refusal."""

    def attempt(number: int) -> str:
        try:
            return act(number)
        except ClientError as exc:
            return str(exc.response["Error"]["Code"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(attempt, range(CLIENTS)))


@pytest.mark.parametrize("size", [20, 300_000])
def test_of_many_that_create_a_lock_exactly_one_does(many: Any, bucket: str, size: int) -> None:
    def lock(number: int) -> str:
        body = f"{number:04}".encode() * (size // 4)
        many.put_object(Bucket=bucket, Key="state.tflock", Body=body, IfNoneMatch="*")
        winners.append(number)
        return "locked"

    for _ in range(3):
        winners: list[int] = []
        assert outcomes(lock) == {"locked": 1, "PreconditionFailed": CLIENTS - 1}
        held = many.get_object(Bucket=bucket, Key="state.tflock")["Body"].read()
        assert held == f"{winners[0]:04}".encode() * (size // 4)
        many.delete_object(Bucket=bucket, Key="state.tflock")


def test_of_many_uploads_that_are_completed_exactly_one_is(many: Any, bucket: str) -> None:
    uploads = []
    for number in range(CLIENTS):
        upload_id = many.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        body = str(number).encode()
        part = many.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=body)
        uploads.append((upload_id, {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}))

    def complete(number: int) -> str:
        upload_id, parts = uploads[number]
        given = {"Bucket": bucket, "Key": "k", "UploadId": upload_id, "MultipartUpload": parts}
        many.complete_multipart_upload(**given, IfNoneMatch="*")
        return "completed"

    assert outcomes(complete) == {"completed": 1, "PreconditionFailed": CLIENTS - 1}


@pytest.mark.parametrize("versioned", [False, True])
def test_of_many_that_replace_what_they_saw_exactly_one_does(many: Any, bucket: str, versioned: bool) -> None:
    if versioned:
        many.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    etag = many.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]

    def replace(number: int) -> str:
        many.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfMatch=etag)
        return "replaced"

    assert outcomes(replace) == {"replaced": 1, "PreconditionFailed": CLIENTS - 1}
    if versioned:
        assert len(many.list_object_versions(Bucket=bucket)["Versions"]) == 2


def test_a_counter_that_is_raised_by_compare_and_set_loses_nothing(server: S3Server, many: Any, bucket: str) -> None:
    many.put_object(Bucket=bucket, Key="n", Body=b"0")

    def raise_it(_: int) -> int:
        tries = 0
        while True:
            tries += 1
            seen = many.get_object(Bucket=bucket, Key="n")
            body = str(int(seen["Body"].read()) + 1).encode()
            try:
                many.put_object(Bucket=bucket, Key="n", Body=body, IfMatch=seen["ETag"])
            except ClientError as exc:
                if exc.response["Error"]["Code"] != "PreconditionFailed":
                    raise
            else:
                return tries

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_it, range(40)))
    assert many.get_object(Bucket=bucket, Key="n")["Body"].read() == b"40"


def test_of_many_that_delete_what_they_saw_exactly_one_does(many: Any, bucket: str) -> None:
    etag = many.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]

    def delete(_: int) -> str:
        many.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
        return "deleted"

    assert outcomes(delete) == {"deleted": 1, "NoSuchKey": CLIENTS - 1}


def test_an_object_that_is_deleted_while_its_replacement_comes_is_a_conflict(
    server: S3Server, s3: Any, bucket: str
) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    size = 200_000
    headers = {"content-length": str(size), "if-match": etag, "expect": "100-continue"}
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", headers))
        assert wire.receive().status == 100
        s3.delete_object(Bucket=bucket, Key="k")
        wire.send(b"y" * size)
        reply = wire.receive()
    assert (reply.status, reply.code) == (409, "ConditionalRequestConflict")
    with pytest.raises(ClientError):
        s3.head_object(Bucket=bucket, Key="k")


def test_an_object_that_is_written_while_another_comes_fails_the_condition(
    server: S3Server, s3: Any, bucket: str
) -> None:
    size = 200_000
    headers = {"content-length": str(size), "if-none-match": "*", "expect": "100-continue"}
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", headers))
        assert wire.receive().status == 100
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        wire.send(b"y" * size)
        reply = wire.receive()
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
