"""Signature Version 2: served only where the operator says so, by the SDK's own signer, and never wider than signed."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from noisefs.adapters.inbound.s3.settings import S3Settings
from tests.support.s3_server import ACCESS_KEY, OTHER_KEY, OTHER_SECRET, REGION, SECRET_KEY, S3Server, serve

DOMAIN = "localhost"


@pytest.fixture(scope="module")
def older() -> Iterator[S3Server]:
    """A server that accepts both versions."""
    with serve(S3Settings(signature_v2=True, virtual_host_domain=DOMAIN)) as running:
        yield running


@pytest.fixture(scope="module")
def s3(older: S3Server) -> Any:
    """A client that signs with Version 2. Any: boto3 makes its clients at run time."""
    return older.client(signature_version="s3")


def code(call: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as refused:
        call(**named)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], str(answer["Error"]["Code"])


def status_of(url: str, data: bytes | None = None, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    request = Request(url, data=data, method=method, headers=headers)
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as exc:
        with exc:
            return exc.code, exc.read()


def test_it_is_refused_by_default_and_told_what_to_use(server: S3Server) -> None:
    with pytest.raises(ClientError, match="AWS4-HMAC-SHA256"):
        server.client(signature_version="s3").list_buckets()
    told = status_of(server.client(signature_version="s3").generate_presigned_url("list_buckets"))[1]
    assert b"AWS4-HMAC-SHA256" in told
    assert b"signature_version='s3v4'" in told


def test_headers_sign_whatever_a_client_does(s3: Any) -> None:
    key = "dir/a b+c%/ä"
    s3.put_object(Bucket="bucket", Key=key, Body=b"hello", Metadata={"a": "  two   words "}, ContentType="text/plain")
    assert s3.get_object(Bucket="bucket", Key=key, ResponseContentType="text/x")["ContentType"] == "text/x"
    assert s3.list_objects_v2(Bucket="bucket", Prefix="dir/", Delimiter="/")["KeyCount"] == 1
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": key})
    s3.put_object_tagging(Bucket="bucket", Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_object_tagging(Bucket="bucket", Key="copy")["TagSet"] == [{"Key": "k", "Value": "v"}]
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="bucket", Key="parts", UploadId=upload, MultipartUpload=parts)
    s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": name} for name in (key, "copy", "parts")]})
    assert s3.list_objects(Bucket="bucket").get("Contents", []) == []


def test_sub_resources_that_sdks_leave_out_are_served_with_headers(s3: Any) -> None:
    assert s3.get_bucket_acl(Bucket="bucket")["Grants"]
    assert s3.get_bucket_ownership_controls(Bucket="bucket")["OwnershipControls"]
    assert code(s3.get_bucket_encryption, Bucket="bucket")[1] == "ServerSideEncryptionConfigurationNotFoundError"


def test_a_bucket_in_the_host_is_signed_with_its_name(older: S3Server) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{DOMAIN}:{older.port}",
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            signature_version="s3",
            s3={"addressing_style": "virtual"},
            proxies={},
            retries={"total_max_attempts": 1},
        ),
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "virtual"})
    assert urlsplit(url).netloc == f"bucket.{DOMAIN}:{older.port}"
    older.client().put_object(Bucket="bucket", Key="virtual", Body=b"v")
    parts = urlsplit(url)
    direct = f"http://127.0.0.1:{older.port}{parts.path}?{parts.query}"
    assert status_of(direct, Host=parts.netloc) == (200, b"v")
    assert status_of(direct.replace("/virtual", "/bucket/virtual"), Host="127.0.0.1") == (200, b"v")
    assert status_of(direct.replace("/virtual", "/other"), Host=parts.netloc)[0] == 403


def test_wrong_secrets_keys_and_times_are_refused(older: S3Server) -> None:
    wrong = older.client(OTHER_KEY, "another-secret-of-some-length", signature_version="s3", connect_timeout=9)
    assert code(wrong.list_buckets) == (403, "SignatureDoesNotMatch")
    nobody = older.client("NOBODYHASTHISKEY", SECRET_KEY, signature_version="s3")
    assert code(nobody.list_buckets) == (403, "InvalidAccessKeyId")
    other = older.client(OTHER_KEY, OTHER_SECRET, signature_version="s3")
    assert code(other.list_objects_v2, Bucket="bucket") == (403, "AccessDenied")
    old = {"Authorization": f"AWS {ACCESS_KEY}:c2ln", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}
    assert b"RequestTimeTooSkewed" in status_of(f"{older.endpoint}/bucket", None, "GET", **old)[1]
    for text in ("AWS x", "AWS :y", "AWS x:", "AWS "):
        assert status_of(f"{older.endpoint}/bucket", Authorization=text)[0] == 400


def test_a_presigned_url_is_good_for_what_it_says_and_no_longer(older: S3Server, s3: Any) -> None:
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "url", "Metadata": {"a": "b"}})
    assert "AWSAccessKeyId=" in put
    assert status_of(put, b"by url", "PUT", **{"Content-Type": ""})[0] == 200
    assert s3.head_object(Bucket="bucket", Key="url")["Metadata"] == {"a": "b"}
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "url"})
    assert status_of(get) == (200, b"by url")
    assert status_of(get, method="DELETE")[0] == 403
    for more in ("acl", "tagging", "versionId=null", "response-content-type=x", "attributes", "x-amz-acl=private"):
        assert status_of(f"{get}&{more}")[0] == 403, more
    ended = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "url"}, ExpiresIn=-10)
    status, told = status_of(ended)
    assert status == 403
    assert b"Request has expired" in told
    later = get.partition("Expires=")[0] + f"Expires={int(time.time()) + 10**6}"
    assert status_of(later)[0] == 403
    assert status_of(get.replace("Expires=", "Expires=x"))[0] == 403
    assert status_of(get.replace("Signature=", "Sig="))[0] == 403


def test_a_policy_can_tell_the_versions_apart(older: S3Server, s3: Any) -> None:
    newer = older.client()
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::told-apart/*",
        "Condition": {"StringEquals": {"s3:signatureversion": "AWS"}},
    }
    newer.create_bucket(Bucket="told-apart")
    newer.put_object(Bucket="told-apart", Key="k", Body=b"x")
    newer.put_bucket_policy(Bucket="told-apart", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert newer.get_object(Bucket="told-apart", Key="k")["ContentLength"] == 1
    assert code(s3.get_object, Bucket="told-apart", Key="k") == (403, "AccessDenied")
