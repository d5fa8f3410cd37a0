"""Keys that customers bring, keys with names, and what a bucket says of both, through a real client."""

import asyncio
import base64
import hashlib
import http.client
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.services.named_keys import DEFAULT
from tests.support.s3_raw import request
from tests.support.s3_server import S3Server

Fields = dict[str, Any]  # Any: what boto3 takes

KEY, OTHER = b"k" * 32, b"o" * 32
P = 131_072 - 16
SIZES = (0, 1, 1000, P, P + 1, 3_000_000)


def customer(key: bytes = KEY, *, source: bool = False) -> Fields:
    """A customer's key as boto3 wants it."""
    prefix = "CopySource" if source else ""
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": key}


def pattern(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"sse").digest(size)


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """S3's error code, or the status of an answer to HEAD."""
    return str(refused.value.response["Error"]["Code"])


@pytest.fixture
def named(server: S3Server) -> str:
    """A named key."""
    adding = server.world.store.named_keys.add("first", anew=False)
    asyncio.run_coroutine_threadsafe(adding, server.loop).result()
    return "first"


@pytest.mark.parametrize("size", SIZES)
def test_an_object_under_a_customers_key(s3: Any, bucket: str, size: int) -> None:
    """Comes back with the key, whole and in part; the answers say which key it was."""
    data = pattern(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, **customer())
    md5 = base64.b64encode(hashlib.md5(KEY).digest()).decode()
    head = s3.head_object(Bucket=bucket, Key="k", **customer())
    got = s3.get_object(Bucket=bucket, Key="k", **customer())
    assert got["Body"].read() == data
    for answer in (put, head, got):
        assert (answer["SSECustomerAlgorithm"], answer["SSECustomerKeyMD5"]) == ("AES256", md5)
        assert answer["ETag"] == put["ETag"]
    assert head["ContentLength"] == size
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == size
    if size > 2:
        part = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes=1-{size - 2}", **customer())
        assert part["Body"].read() == data[1:-1]


def test_without_the_key_nothing_is_told(s3: Any, bucket: str) -> None:
    """No key, another key, and a key for an object that has none."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", **customer())
    s3.put_object(Bucket=bucket, Key="plain", Body=b"data")
    for fields, key, code, status in (
        ({}, "k", "InvalidRequest", "400"),
        (customer(OTHER), "k", "InvalidRequest", "400"),
        (customer(), "plain", "InvalidRequest", "400"),
    ):
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key=key, **fields)
        assert code_of(refused) == code
        with pytest.raises(ClientError) as refused:
            s3.head_object(Bucket=bucket, Key=key, **fields)
        assert code_of(refused) == status


@pytest.mark.parametrize(
    "fields",
    [
        {"SSECustomerAlgorithm": "AES256"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"short"},
        {
            "SSECustomerAlgorithm": "AES256",
            "SSECustomerKey": base64.b64encode(KEY).decode(),
            "SSECustomerKeyMD5": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
        {**customer(), "ServerSideEncryption": "AES256"},
        {**customer(), "ServerSideEncryption": "aws:kms"},
        {"SSEKMSKeyId": "first"},
    ],
)
def test_bad_keys_are_refused(s3: Any, bucket: str, fields: Fields) -> None:
    """And nothing is stored."""
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"data", **fields)
    assert code_of(refused) == "InvalidArgument"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ServerSideEncryption": "ROT13"}, "InvalidArgument"),
        ({"ServerSideEncryption": "ROT13", "SSEKMSKeyId": "x"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented"),
        ({"SSECustomerAlgorithm": "DES", "SSECustomerKey": KEY}, "InvalidEncryptionAlgorithmError"),
    ],
)
def test_unknown_ways_are_refused(s3: Any, bucket: str, fields: Fields, code: str) -> None:
    """Each with S3's own code; and one that a policy forbids, with that."""
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **fields)
    assert code_of(refused) == code
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **fields)
    assert code_of(refused) == "AccessDenied"


def test_a_read_does_not_say_how_to_encrypt(server: S3Server, s3: Any, bucket: str) -> None:
    """The header belongs to writes."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ServerSideEncryption="aws:kms")
    for method in ("GET", "HEAD"):
        reply = request(server, method, f"/{bucket}/k", headers={"x-amz-server-side-encryption": "aws:kms"})
        assert reply.status == 400


def test_parts_under_a_customers_key(s3: Any, bucket: str) -> None:
    """Every part needs the upload's key; ranges go across parts."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **customer())
    common = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    data = [pattern(5 << 20), pattern(100_000)]
    for fields in ({}, customer(OTHER)):
        with pytest.raises(ClientError):
            s3.upload_part(**common, PartNumber=1, Body=data[0], **fields)
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**common, PartNumber=n, Body=body, **customer())["ETag"]}
        for n, body in enumerate(data, start=1)
    ]
    s3.complete_multipart_upload(**common, MultipartUpload={"Parts": parts})
    whole = b"".join(data)
    assert s3.get_object(Bucket=bucket, Key="k", **customer())["Body"].read() == whole
    start = (5 << 20) - 10
    part = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{start + 99}", **customer())
    assert part["Body"].read() == whole[start : start + 100]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, **customer())
    assert second["Body"].read() == data[1]


def test_copies_between_all_of_them(s3: Any, bucket: str, named: str) -> None:
    """From each to each: the target is sealed as it was asked for."""
    kinds: dict[str, Fields] = {
        "none": {},
        "s3": {"ServerSideEncryption": "AES256"},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": named},
        "customer": customer(),
    }
    data = pattern(P + 7)
    for source, fields in kinds.items():
        s3.put_object(Bucket=bucket, Key=source, Body=data, **fields)
        read = customer(source=True) if source == "customer" else {}
        for target, wanted in kinds.items():
            key = f"{source}-{target}"
            s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/{source}", **read, **wanted)
            got = s3.get_object(Bucket=bucket, Key=key, **(wanted if target == "customer" else {}))
            assert got["Body"].read() == data
            assert got.get("SSEKMSKeyId") == (named if target == "kms" else None)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="x", CopySource=f"{bucket}/customer")
    assert code_of(refused) == "InvalidRequest"


def test_a_part_that_is_sent_again_is_the_same_part(s3: Any, bucket: str) -> None:
    """Its ETag is that of the first time, and not the MD5 of what only who has the key may know."""
    named = {"Bucket": bucket, "Key": "k", **customer()}
    upload = s3.create_multipart_upload(**named)["UploadId"]
    parts = [s3.upload_part(UploadId=upload, PartNumber=1, Body=b"data", **named)["ETag"] for _ in range(2)]
    other = s3.upload_part(UploadId=upload, PartNumber=2, Body=b"else", **named)["ETag"]
    assert parts[0] == parts[1] != other
    assert parts[0] != f'"{hashlib.md5(b"data").hexdigest()}"'
    s3.complete_multipart_upload(
        UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": parts[0]}]}, **named
    )
    assert s3.get_object(**named)["Body"].read() == b"data"


def test_parts_copied_from_a_customers_object(s3: Any, bucket: str) -> None:
    """Sealed anew, whole and in part."""
    data = pattern(P + 7)
    s3.put_object(Bucket=bucket, Key="from", Body=data, **customer())
    upload = s3.create_multipart_upload(Bucket=bucket, Key="to", **customer(OTHER))
    common = {"Bucket": bucket, "Key": "to", "UploadId": upload["UploadId"]}
    copied = s3.upload_part_copy(
        **common,
        PartNumber=1,
        CopySource=f"{bucket}/from",
        CopySourceRange=f"bytes=5-{P}",
        **customer(source=True),
        **customer(OTHER),
    )
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**common, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="to", **customer(OTHER))["Body"].read() == data[5 : P + 1]


def test_named_keys(s3: Any, bucket: str, named: str) -> None:
    """Told in every answer, asked of nobody who reads; the default one is made when it is needed."""
    for fields, name in (
        ({"SSEKMSKeyId": named}, named),
        ({}, DEFAULT),
        ({"SSEKMSKeyId": f"arn:aws:kms:x:1:key/{named}"}, named),
    ):
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ServerSideEncryption="aws:kms", **fields)
        got = s3.get_object(Bucket=bucket, Key="k")
        assert got["Body"].read() == b"data"
        for answer in (put, got, s3.head_object(Bucket=bucket, Key="k")):
            assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms", name)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="unknown")
    assert code_of(refused) == "KMS.NotFoundException"


@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms"])
def test_a_buckets_default(s3: Any, bucket: str, named: str, algorithm: str) -> None:
    """Holds for what says nothing itself, in one go and in parts."""
    rule: Fields = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": named} if algorithm == "aws:kms" else {})
    configuration = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    assert (
        s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0][
            "ApplyServerSideEncryptionByDefault"
        ]
        == rule
    )
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")
    common = {"Bucket": bucket, "Key": "parts", "UploadId": upload["UploadId"]}
    part = s3.upload_part(**common, PartNumber=1, Body=b"data")
    done = s3.complete_multipart_upload(**common, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    for answer in (
        s3.put_object(Bucket=bucket, Key="k", Body=b"data"),
        s3.get_object(Bucket=bucket, Key="k"),
        upload,
        done,
    ):
        assert answer["ServerSideEncryption"] == algorithm
        assert answer.get("SSEKMSKeyId") == (named if algorithm == "aws:kms" else None)
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"data"
    s3.put_object(Bucket=bucket, Key="own", Body=b"data", **customer())
    assert s3.get_object(Bucket=bucket, Key="own", **customer())["Body"].read() == b"data"


def test_a_buckets_default_holds_for_what_is_sent_at_once(server: S3Server, s3: Any, bucket: str, named: str) -> None:
    """A small body right behind its head, on a connection that was used before."""
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": named}
    configuration = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(2):
        signed = server.signer().sign("PUT", f"/{bucket}/k", payload_sha256=hashlib.sha256(b"x").hexdigest())
        connection.request("PUT", f"/{bucket}/k", body=b"x", headers=signed)
        connection.getresponse().read()
    connection.close()
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == named
