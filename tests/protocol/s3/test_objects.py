"""Objects, by boto3: write, read, conditions, ranges, checksums, delete."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.domain.objects.digests import Digests
from tests.support.s3_raw import request
from tests.support.s3_server import S3Server

NAMES = [
    "plain",
    "a//b",
    "./x",
    "../x",
    "/leading",
    "trailing/",
    "a b+c%20d",
    "%2F",
    "ümläut/日本語/😀",
    "tab\tnew\nline\x01\x7f",
    "question?mark#hash&amp;",
    "quote'\"`<>|\\^{}[]",
    "x" * 1024,
    ".",
    "..",
    "~tilde*star!(bang)",
    "=;:@,$",
]
"""Keys that have cost other servers their users."""


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.mark.parametrize("key", NAMES, ids=[repr(name[:30]) for name in NAMES])
def test_any_key_holds_bytes_and_is_listed_as_it_was_written(s3: Any, bucket: str, key: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"]
    assert etag == f'"{hashlib.md5(key.encode()).hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_key_of_1025_bytes_is_too_long(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="ü" * 513, Body=b"")
    assert code(refused) == (400, "KeyTooLongError")


@pytest.mark.parametrize("target", ["/{bucket}/%00", "/{bucket}/a%00b"])
def test_a_key_with_nul_is_refused(server: S3Server, bucket: str, target: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        reply = request(server, method, target.format(bucket=bucket))
        assert (reply.status, reply.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 131_072, 300_000, 5_000_000])
def test_bytes_come_back_whatever_their_number(s3: Any, bucket: str, size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert answer["ContentLength"] == size
    assert answer["Body"].read() == body
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


def test_attributes_are_kept_and_told(s3: Any, bucket: str) -> None:
    given = {
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/plain; charset=utf-8",
        "Metadata": {"one": "1", "two-words": "a  b"},
        "ServerSideEncryption": "AES256",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=datetime(2030, 1, 1, tzinfo=UTC), **given)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in given} == given
        assert answer["ExpiresString"] == "Tue, 01 Jan 2030 00:00:00 GMT"
        assert answer["AcceptRanges"] == "bytes"
        assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_metadata_that_is_not_ascii_comes_back_by_rfc_2047(server: S3Server, bucket: str) -> None:
    assert request(server, "PUT", f"/{bucket}/k", b"x", {"x-amz-meta-name": "grüße"}).status == 200
    assert request(server, "HEAD", f"/{bucket}/k").headers["x-amz-meta-name"] == "=?UTF-8?B?Z3LDvMOfZQ==?="


def test_too_much_metadata_is_refused(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"m": "x" * 2048})
    assert code(refused) == (400, "MetadataTooLarge")


def test_a_missing_object_is_not_found_and_deleting_it_is_fine(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k")
    assert code(refused) == (404, "NoSuchKey")
    with pytest.raises(ClientError) as refused:
        s3.head_object(Bucket=bucket, Key="k")
    assert code(refused) == (404, "404")
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_missing_bucket_is_not_found(s3: Any) -> None:
    for call in (s3.get_object, s3.delete_object, s3.put_object):
        with pytest.raises(ClientError) as refused:
            call(Bucket="nowhere", Key="k")
        assert code(refused) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("wanted", "got", "told"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=3-5", b"345", "bytes 3-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-20", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-20", b"89", "bytes 8-9/10"),
    ],
)
def test_a_range_is_partial_content(s3: Any, bucket: str, wanted: str, got: bytes, told: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == told
    assert answer["Body"].read() == got
    assert "ChecksumCRC32" not in answer
    head = s3.head_object(Bucket=bucket, Key="k", Range=wanted)
    assert (head["ContentRange"], head["ContentLength"]) == (told, len(got))


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_outside_is_not_satisfiable(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    assert code(refused) == (416, "InvalidRange")
    assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes */10"


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=x"])
def test_a_range_that_makes_no_sense_is_ignored(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert answer["Body"].read() == b"0123456789"


def test_reads_keep_their_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    early, late = datetime(2000, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(hours=1)
    for holds in (
        {"IfMatch": etag},
        {"IfMatch": "*"},
        {"IfNoneMatch": '"other"'},
        {"IfModifiedSince": early},
        {"IfUnmodifiedSince": late},
        {"IfMatch": etag, "IfUnmodifiedSince": early},
        {"IfNoneMatch": '"other"', "IfModifiedSince": late},
    ):
        s3.get_object(Bucket=bucket, Key="k", **holds)
        s3.head_object(Bucket=bucket, Key="k", **holds)
    for fails, status in (
        ({"IfMatch": '"other"'}, 412),
        ({"IfNoneMatch": etag}, 304),
        ({"IfModifiedSince": late}, 304),
        ({"IfUnmodifiedSince": early}, 412),
    ):
        for call in (s3.get_object, s3.head_object):
            with pytest.raises(ClientError) as refused:
                call(Bucket=bucket, Key="k", **fails)
            assert code(refused)[0] == status
            if status == 304:
                headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
                assert headers["etag"] == etag
                assert "last-modified" in headers


def test_writes_keep_their_conditions(s3: Any, bucket: str) -> None:
    def put(**condition: str) -> Any:
        return s3.put_object(Bucket=bucket, Key="k", Body=b"x", **condition)

    with pytest.raises(ClientError) as refused:
        put(IfMatch='"other"')
    assert code(refused) == (404, "NoSuchKey")
    etag = put(IfNoneMatch="*")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfNoneMatch": etag}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as refused:
            put(**condition)
        assert code(refused) == (412, "PreconditionFailed")
    put(IfMatch=etag)
    put(IfMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch='"other"')
    assert code(refused) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_is_verified_kept_and_told(server: S3Server, bucket: str, algorithm: str) -> None:
    digests = Digests({algorithm})
    digests.update(b"body")
    right = base64.b64encode(digests.results()[algorithm]).decode()
    name = f"x-amz-checksum-{algorithm.lower()}"
    reply = request(server, "PUT", f"/{bucket}/k", b"body", {name: right})
    assert (reply.status, reply.headers[name], reply.headers["x-amz-checksum-type"]) == (200, right, "FULL_OBJECT")
    assert name not in request(server, "HEAD", f"/{bucket}/k").headers
    mode = {"x-amz-checksum-mode": "ENABLED"}
    assert request(server, "GET", f"/{bucket}/k", headers=mode).headers[name] == right
    assert name not in request(server, "GET", f"/{bucket}/k", headers={**mode, "range": "bytes=0-1"}).headers
    for wrong in (base64.b64encode(b"\0" * len(digests.results()[algorithm])).decode(), "bad", right[:-4], ""):
        reply = request(server, "PUT", f"/{bucket}/k", b"other", {name: wrong})
        assert (reply.status, reply.code) == (400, "BadDigest")
    assert request(server, "GET", f"/{bucket}/k").body == b"body"


def test_several_checksums_at_once_are_refused(server: S3Server, bucket: str) -> None:
    headers = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}
    reply = request(server, "PUT", f"/{bucket}/k", b"body", headers)
    assert (reply.status, reply.code) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, "BadDigest"),
        ({"content-md5": "short"}, "InvalidDigest"),
        ({"content-md5": ""}, "InvalidDigest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC16"}, "InvalidRequest"),
    ],
)
def test_other_digests_are_checked_too(server: S3Server, bucket: str, headers: dict[str, str], code: str) -> None:
    reply = request(server, "PUT", f"/{bucket}/k", b"body", headers)
    assert (reply.status, reply.code) == (400, code)
    assert request(server, "HEAD", f"/{bucket}/k").status == 404


def test_the_digest_that_was_signed_must_be_that_of_the_body(server: S3Server, bucket: str) -> None:
    digest = hashlib.sha256(b"body").hexdigest()
    assert request(server, "PUT", f"/{bucket}/k", b"body", payload=digest).status == 200
    reply = request(server, "PUT", f"/{bucket}/k", b"other body", payload=digest)
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert reply.text("ClientComputedContentSHA256") == digest
    assert request(server, "GET", f"/{bucket}/k").body == b"body"


def test_headers_of_the_answer_can_be_replaced(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    answer = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="image/png",
        ResponseContentDisposition="inline",
        ResponseCacheControl="no-store",
        ResponseContentLanguage="fr",
        ResponseContentEncoding="x-coding",
    )
    assert answer["ContentType"] == "image/png"
    assert answer["ContentDisposition"] == "inline"
    assert answer["CacheControl"] == "no-store"
    assert answer["ContentLanguage"] == "fr"
    assert answer["ContentEncoding"] == "x-coding"


def test_the_only_version_is_called_null(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"x"
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", VersionId="3sL4kqtJlcpXroDTDmJ")
    assert code(refused) == (404, "NoSuchVersion")
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="k", VersionId="3sL4kqtJlcpXroDTDmJ")
    assert code(refused) == (400, "InvalidArgument")
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")


@pytest.mark.parametrize("query", ["partNumber=1", "versionId=null"])
def test_a_put_with_half_a_multipart_request_overwrites_nothing(server: S3Server, bucket: str, query: str) -> None:
    request(server, "PUT", f"/{bucket}/k", b"old")
    reply = request(server, "PUT", f"/{bucket}/k?{query}", b"new")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert request(server, "GET", f"/{bucket}/k").body == b"old"


def test_many_objects_go_at_once_each_with_its_own_outcome(s3: Any, bucket: str) -> None:
    for name in ("a", "b", "c&<>\n"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    wanted = [
        {"Key": "a"},
        {"Key": "missing"},
        {"Key": "b", "ETag": "other"},
        {"Key": "c&<>\n", "VersionId": "null"},
        {"Key": "d", "VersionId": "v7"},
        {"Key": "x" * 1025},
    ]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["a", "missing", "c&<>\n"]
    assert [(entry["Key"][:1], entry["Code"]) for entry in answer["Errors"]] == [
        ("b", "PreconditionFailed"),
        ("d", "NoSuchVersion"),
        ("x", "KeyTooLongError"),
    ]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_thousand_objects_go_at_once_and_no_more(s3: Any, bucket: str) -> None:
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{n}"} for n in range(1000)]})
    assert len(answer["Deleted"]) == 1000
    with pytest.raises(ClientError) as refused:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{n}"} for n in range(1001)]})
    assert code(refused) == (400, "MalformedXML")


def test_attributes_tell_what_is_asked_for(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumAlgorithm="SHA1")["ETag"]
    answer = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert answer["ETag"] == etag.strip('"')
    assert answer["Checksum"]["ChecksumSHA1"] == base64.b64encode(hashlib.sha1(b"x").digest()).decode()
    assert answer["ObjectSize"] == 1
    assert answer["StorageClass"] == "STANDARD"
    assert "ObjectParts" not in answer
    with pytest.raises(ClientError) as refused:
        s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Colour"])
    assert code(refused) == (400, "InvalidArgument")
