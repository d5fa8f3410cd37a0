"""Quotas as S3 clients meet them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.requests import Principal
from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.s3_raw import Wire, signed_head
from tests.support.s3_server import S3Server, serve

ROOT = Principal(UserId("0" * 32), "root", admin=True)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server that takes parts of one byte."""
    with serve(limits=NamespaceLimits(min_part_bytes=1)) as running:
        yield running


def limit(server: S3Server, bucket: str, size: int) -> None:
    """Limit a bucket."""
    quotas = server.world.store.quotas
    asyncio.run_coroutine_threadsafe(quotas.set_bucket(ROOT, bucket, max_bytes=size), server.loop).result()


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_write_beyond_the_quota_is_refused_and_changes_nothing(
    server: S3Server, s3: Any, bucket: str, size: int
) -> None:
    limit(server, bucket, size)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * size)
    for key in ("k", "other"):
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket=bucket, Key=key, Body=b"y" * (size + 1))
        assert code(refused) == (403, "QuotaExceeded")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * size
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="other", Body=b"y" * size)


def test_an_upload_counts_when_it_is_completed(server: S3Server, s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = []
    for number in (1, 2):
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=b"x" * 60)
        named.append({"PartNumber": number, "ETag": part["ETag"]})
    limit(server, bucket, 100)
    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": named})
    assert code(refused) == (403, "QuotaExceeded")
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": named[:1]})
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert code(refused) == (403, "QuotaExceeded")


def test_of_writes_at_once_as_many_are_taken_as_fit(server: S3Server, bucket: str) -> None:
    client = server.client(max_pool_connections=16)
    limit(server, bucket, 1000)

    def put(number: int) -> str:
        try:
            client.put_object(Bucket=bucket, Key=str(number), Body=b"x" * 100)
        except ClientError as exc:
            return str(exc.response["Error"]["Code"])
        return "taken"

    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(put, range(40)))
    assert outcomes == {"taken": 10, "QuotaExceeded": 30}
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 10


def test_a_large_body_is_refused_before_it_is_sent(server: S3Server, s3: Any, bucket: str) -> None:
    limit(server, bucket, 2 << 20)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * (1 << 20))
    for key, size, status in (("other", 3 << 19, 403), ("k", 3 << 19, 100), ("k", 3 << 20, 403)):
        head = {"content-length": str(size), "expect": "100-continue"}
        with Wire(server) as wire:
            wire.send(signed_head(server, "PUT", f"/{bucket}/{key}", head))
            reply = wire.receive()
        assert reply.status == status
        assert status == 100 or reply.code == "QuotaExceeded"
