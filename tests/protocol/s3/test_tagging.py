"""Tags of objects and buckets, by boto3, and by the calls of S3 Control that infrastructure tools make."""

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.s3_raw import request
from tests.support.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

ACCOUNT = "123456789012"


def tag_set(**tags: str) -> dict[str, Any]:
    """Tags as boto3 takes them."""
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def told(answer: dict[str, Any], field: str = "TagSet") -> dict[str, str]:
    """Tags as boto3 gives them."""
    return {tag["Key"]: tag["Value"] for tag in answer[field]}


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.fixture
def control(server: S3Server) -> Iterator[Any]:
    """A client of S3 Control. Any: made at run time."""
    client = boto3.client(
        "s3control",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )

    def without_account(request: Any, **_: Any) -> None:
        request.url = request.url.replace(f"//{ACCOUNT}.", "//")

    client.meta.events.register("before-sign", without_account)
    yield client
    client.close()


def test_an_object_keeps_its_bytes_and_times_when_its_tags_change(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", Tagging="a=1&b%20b=%C3%A9&c", Metadata={"m": "x"})
    before = s3.get_object(Bucket=bucket, Key="k")
    assert (before["TagCount"], before["Body"].read()) == (3, b"abc")
    assert told(s3.get_object_tagging(Bucket=bucket, Key="k")) == {"a": "1", "b b": "é", "c": ""}
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(only="this"))
    assert told(s3.get_object_tagging(Bucket=bucket, Key="k")) == {"only": "this"}
    after = s3.head_object(Bucket=bucket, Key="k")
    assert (after["LastModified"], after["ETag"], after["Metadata"]) == (
        before["LastModified"],
        before["ETag"],
        {"m": "x"},
    )
    assert after["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "1"
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "x-amz-tagging-count" not in s3.head_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPHeaders"]


def test_an_overwrite_has_its_own_tags_and_a_copy_those_of_the_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source, Tagging="ignored=1")
    assert told(s3.get_object_tagging(Bucket=bucket, Key="same")) == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="meta", CopySource=source, MetadataDirective="REPLACE", Metadata={"x": "y"})
    assert told(s3.get_object_tagging(Bucket=bucket, Key="meta")) == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert told(s3.get_object_tagging(Bucket=bucket, Key="other")) == {"b": "2"}
    s3.copy_object(Bucket=bucket, Key="sum", CopySource=source, TaggingDirective="REPLACE", ChecksumAlgorithm="SHA256")
    assert s3.get_object_tagging(Bucket=bucket, Key="sum")["TagSet"] == []
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, TaggingDirective="REPLACE", Tagging="c=3")
    assert told(s3.get_object_tagging(Bucket=bucket, Key="k")) == {"c": "3"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_an_upload_in_parts_brings_its_tags(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k", Tagging="a=1&b=2")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=parts)
    assert told(s3.get_object_tagging(Bucket=bucket, Key="k")) == {"a": "1", "b": "2"}


def test_every_version_has_its_tags(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="v=1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", Tagging="v=2")["VersionId"]
    assert told(s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=first)) == {"v": "1"}
    changed = s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=first, Tagging=tag_set(v="one"))
    assert changed["VersionId"] == first
    answer = s3.get_object_tagging(Bucket=bucket, Key="k")
    assert (told(answer), answer["VersionId"]) == ({"v": "2"}, second)
    assert s3.delete_object_tagging(Bucket=bucket, Key="k", VersionId=first)["VersionId"] == first
    assert s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=first)["TagSet"] == []
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2


@pytest.mark.parametrize(
    "tags",
    [
        [(f"k{number}", "") for number in range(11)],
        [("k" * 129, "")],
        [("k", "v" * 257)],
        [("", "v")],
        [("k", "1"), ("k", "2")],
        [("k", "a<b")],
        [("k!", "")],
        [("aws:k", "")],
    ],
)
def test_tags_that_cannot_be_are_refused(server: S3Server, s3: Any, bucket: str, tags: list[tuple[str, str]]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    texts = "".join(f"<Tag><Key>{k}</Key><Value>{v.replace('<', '&lt;')}</Value></Tag>" for k, v in tags)
    reply = request(server, "PUT", f"/{bucket}/k?tagging", f"<Tagging><TagSet>{texts}</TagSet></Tagging>".encode())
    assert (reply.status, reply.code) == (400, "InvalidTag")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


@pytest.mark.parametrize("header", ["a=1&a=2", "a=%ff", "=1", "a=1&", "aws:x=1", "&".join(f"k{n}=" for n in range(11))])
def test_a_header_that_is_no_list_of_tags_is_refused(server: S3Server, bucket: str, header: str) -> None:
    reply = request(server, "PUT", f"/{bucket}/k", b"x", headers={"x-amz-tagging": header})
    assert (reply.status, reply.code) in [(400, "InvalidArgument"), (400, "InvalidTag")]
    assert request(server, "GET", f"/{bucket}/k").status == 404


def test_limits_are_reached(s3: Any, bucket: str) -> None:
    tags = tag_set(**{f"{number}{'ü' * 127}": "ß" * 256 for number in range(10)})
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags["TagSet"]
    tags = tag_set(**{f"k{number}": "v" for number in range(50)})
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]


@pytest.mark.parametrize(
    "body", [b"", b"<Tagging/>", b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", b"<A/>"]
)
@pytest.mark.parametrize("target", ["/{bucket}/k?tagging", "/{bucket}?tagging"])
def test_what_is_no_tagging_is_malformed(server: S3Server, s3: Any, bucket: str, body: bytes, target: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    reply = request(server, "PUT", target.format(bucket=bucket), body)
    assert (reply.status, reply.code) == (400, "MalformedXML")


def test_a_bucket_has_tags_until_they_are_deleted(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code(refused) == (404, "NoSuchTagSet")
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(team="x", stage="y z"))
    assert told(s3.get_bucket_tagging(Bucket=bucket)) == {"team": "x", "stage": "y z"}
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_bucket_tagging(Bucket=bucket)


def test_a_bucket_may_be_made_with_tags(s3: Any) -> None:
    tags = tag_set(b="1", a="2")["TagSet"]
    s3.create_bucket(Bucket="made-with-tags", CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket="made-with-tags")["TagSet"] == tags


def test_tools_tag_buckets_by_their_arn(s3: Any, control: Any, bucket: str) -> None:
    named = {"AccountId": ACCOUNT, "ResourceArn": f"arn:aws:s3:::{bucket}"}
    assert control.list_tags_for_resource(**named)["Tags"] == []
    control.tag_resource(**named, Tags=tag_set(a="1", b="2")["TagSet"])
    control.tag_resource(**named, Tags=tag_set(b="3", c="4")["TagSet"])
    assert told(control.list_tags_for_resource(**named), "Tags") == {"a": "1", "b": "3", "c": "4"}
    assert told(s3.get_bucket_tagging(Bucket=bucket)) == {"a": "1", "b": "3", "c": "4"}
    control.untag_resource(**named, TagKeys=["a", "c", "none"])
    assert told(control.list_tags_for_resource(**named), "Tags") == {"b": "3"}
    control.untag_resource(**named, TagKeys=["b"])
    with pytest.raises(ClientError):
        s3.get_bucket_tagging(Bucket=bucket)


def test_tags_that_are_added_at_once_are_all_there(server: S3Server, control: Any, bucket: str) -> None:
    named = {"AccountId": ACCOUNT, "ResourceArn": f"arn:aws:s3:::{bucket}"}
    threads = [
        threading.Thread(target=control.tag_resource, kwargs={**named, "Tags": tag_set(**{f"k{n}": "v"})["TagSet"]})
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(control.list_tags_for_resource(**named)["Tags"]) == 8


@pytest.mark.parametrize(
    ("arn", "refusal"),
    [
        ("arn:aws:s3:::no-such-bucket", (404, "NoSuchBucket")),
        ("arn:aws:s3:::bucket/key", (501, "NotImplemented")),
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/x", (501, "NotImplemented")),
    ],
)
def test_other_arns_are_refused(control: Any, arn: str, refusal: tuple[int, str]) -> None:
    with pytest.raises(ClientError) as refused:
        control.list_tags_for_resource(AccountId=ACCOUNT, ResourceArn=arn)
    assert code(refused) == refusal
