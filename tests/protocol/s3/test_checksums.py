"""Checksums that no client declared, and those of uploads in parts, by boto3."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.domain.objects.digests import Digests
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.s3_server import S3Server, serve

KEY = "k"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server that takes parts of one byte."""
    with serve(limits=NamespaceLimits(min_part_bytes=1)) as running:
        yield running


@pytest.fixture
def plain(server: S3Server) -> Any:
    """A client that declares no checksum unless it must, as all did before 2025. Any: made at run time."""
    return server.client(request_checksum_calculation="when_required", response_checksum_validation="when_required")


def digest(algorithm: str, body: bytes) -> str:
    """Base64 of it."""
    digests = Digests((algorithm,))
    digests.update(body)
    return base64.b64encode(digests.results()[algorithm]).decode()


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000])
def test_an_object_has_a_checksum_though_none_was_declared(plain: Any, bucket: str, size: int) -> None:
    body = b"x" * size
    answer = plain.put_object(Bucket=bucket, Key=KEY, Body=body)
    assert answer["ChecksumCRC64NVME"] == digest("CRC64NVME", body)
    assert answer["ChecksumType"] == "FULL_OBJECT"
    assert "ChecksumCRC64NVME" not in plain.head_object(Bucket=bucket, Key=KEY)
    told = plain.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert (told["ChecksumCRC64NVME"], told["ChecksumType"]) == (digest("CRC64NVME", body), "FULL_OBJECT")


def test_a_declared_checksum_is_the_only_one(plain: Any, bucket: str) -> None:
    plain.put_object(Bucket=bucket, Key=KEY, Body=b"abc", ChecksumAlgorithm="SHA1")
    told = plain.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert told["ChecksumSHA1"] == digest("SHA1", b"abc")
    assert "ChecksumCRC64NVME" not in told


@pytest.mark.parametrize("declared", [None, "CRC32"])
def test_an_upload_without_an_algorithm_gets_the_checksum_of_the_whole(
    plain: Any, bucket: str, declared: str | None
) -> None:
    parts = [b"a" * 70_000, b"b", b"c" * 9000]
    given = {} if declared is None else {"ChecksumAlgorithm": declared}
    upload_id = plain.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    named = []
    for number, body in enumerate(parts, 1):
        answer = plain.upload_part(Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=number, Body=body, **given)
        told = {name for name in answer if name.startswith("Checksum")}
        assert told == {f"Checksum{declared or 'CRC64NVME'}"}
        named.append({"PartNumber": number, "ETag": answer["ETag"]})
    answer = plain.complete_multipart_upload(
        Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload={"Parts": named}
    )
    assert answer["ChecksumCRC64NVME"] == digest("CRC64NVME", b"".join(parts))
    assert answer["ChecksumType"] == "FULL_OBJECT"
    read = plain.get_object(Bucket=bucket, Key=KEY, PartNumber=1, ChecksumMode="ENABLED")
    assert read["ChecksumCRC64NVME"] == digest("CRC64NVME", parts[0])


def test_a_size_that_is_not_that_of_the_parts_is_refused(plain: Any, bucket: str) -> None:
    upload_id = plain.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    etag = plain.upload_part(Bucket=bucket, Key=KEY, UploadId=upload_id, PartNumber=1, Body=b"abc")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    with pytest.raises(ClientError) as refused:
        plain.complete_multipart_upload(
            Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload=parts, MpuObjectSize=4
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    plain.complete_multipart_upload(Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload=parts, MpuObjectSize=3)


def test_a_part_that_was_copied_brings_its_checksum_along(plain: Any, bucket: str) -> None:
    body = b"0123456789" * 1000
    plain.put_object(Bucket=bucket, Key="source", Body=body)
    upload_id = plain.create_multipart_upload(Bucket=bucket, Key=KEY)["UploadId"]
    source = {"Bucket": bucket, "Key": "source"}
    given = {"Bucket": bucket, "Key": KEY, "UploadId": upload_id, "CopySource": source}
    whole = plain.upload_part_copy(PartNumber=1, **given)["CopyPartResult"]
    some = plain.upload_part_copy(PartNumber=2, CopySourceRange="bytes=10-999", **given)["CopyPartResult"]
    assert whole["ChecksumCRC64NVME"] == digest("CRC64NVME", body)
    parts = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in ((1, whole), (2, some))]
    answer = plain.complete_multipart_upload(
        Bucket=bucket, Key=KEY, UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    assert answer["ChecksumCRC64NVME"] == digest("CRC64NVME", body + body[10:1000])


def test_listings_tell_algorithm_and_type(plain: Any, bucket: str) -> None:
    plain.put_object(Bucket=bucket, Key="a", Body=b"1")
    plain.put_object(Bucket=bucket, Key="b", Body=b"2", ChecksumAlgorithm="SHA256")
    upload_id = plain.create_multipart_upload(Bucket=bucket, Key="c", ChecksumAlgorithm="SHA1")["UploadId"]
    given = {"Bucket": bucket, "Key": "c", "UploadId": upload_id}
    part = plain.upload_part(**given, PartNumber=1, Body=b"3", ChecksumAlgorithm="SHA1")
    named = {"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA1": part["ChecksumSHA1"]}
    plain.complete_multipart_upload(**given, MultipartUpload={"Parts": [named]})
    wanted = [
        ("a", ["CRC64NVME"], "FULL_OBJECT"),
        ("b", ["SHA256"], "FULL_OBJECT"),
        ("c", ["SHA1"], "COMPOSITE"),
    ]
    for listed in (
        plain.list_objects_v2(Bucket=bucket)["Contents"],
        plain.list_objects(Bucket=bucket)["Contents"],
        plain.list_object_versions(Bucket=bucket)["Versions"],
    ):
        assert [(one["Key"], one["ChecksumAlgorithm"], one["ChecksumType"]) for one in listed] == wanted


def test_a_copy_with_another_checksum_writes_no_bytes(server: S3Server, plain: Any, bucket: str) -> None:
    parts = [b"a" * 90_000, b"b" * 10]
    upload_id = plain.create_multipart_upload(Bucket=bucket, Key="source")["UploadId"]
    given = {"Bucket": bucket, "Key": "source", "UploadId": upload_id}
    named = [
        {"PartNumber": number, "ETag": plain.upload_part(**given, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(parts, 1)
    ]
    etag = plain.complete_multipart_upload(**given, MultipartUpload={"Parts": named})["ETag"]
    sealed = server.world.telemetry.counted(Counter.CELLS_SEALED)
    source = {"Bucket": bucket, "Key": "source"}
    copied = plain.copy_object(Bucket=bucket, Key=KEY, CopySource=source, ChecksumAlgorithm="SHA256")[
        "CopyObjectResult"
    ]
    assert (copied["ETag"], copied["ChecksumType"]) == (etag, "FULL_OBJECT")
    assert copied["ChecksumSHA256"] == digest("SHA256", b"".join(parts))
    told = plain.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert told["ChecksumSHA256"] == digest("SHA256", b"".join(parts))
    assert "ChecksumCRC64NVME" not in told
    assert server.world.telemetry.counted(Counter.CELLS_SEALED) == sealed
    with pytest.raises(ClientError) as refused:
        plain.copy_object(
            Bucket=bucket, Key="x", CopySource=source, ChecksumAlgorithm="SHA1", CopySourceIfNoneMatch=etag
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
