"""RenameObject, by raw requests and by boto3."""

from typing import Any

import pytest

from tests.support.s3_raw import Reply, request
from tests.support.s3_server import S3Server

PAST, FUTURE = "Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2140 00:00:00 GMT"


def rename(server: S3Server, bucket: str, source: str, key: str, **conditions: str) -> Reply:
    """Send the request. Conditions by header name, ``_`` for ``-``."""
    headers = {name.replace("_", "-"): value for name, value in conditions.items()}
    return request(server, "PUT", f"/{bucket}/{key}?renameObject", headers={"x-amz-rename-source": source, **headers})


def keys(s3: Any, bucket: str) -> list[str]:
    """What is listed."""
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.mark.parametrize("form", ["/{bucket}/a%20b", "{bucket}/a%20b", "/a%20b", "a%20b"])
def test_an_object_gets_another_key(server: S3Server, s3: Any, bucket: str, form: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x" * 2000, ContentType="x/y", Metadata={"n": "1"})
    before = s3.head_object(Bucket=bucket, Key="a b")
    reply = rename(server, bucket, form.format(bucket=bucket), "c/d")
    assert (reply.status, reply.body) == (200, b"")
    assert keys(s3, bucket) == ["c/d"]
    after = s3.get_object(Bucket=bucket, Key="c/d")
    assert after["Body"].read() == b"x" * 2000
    for name in ("ETag", "LastModified", "ContentType", "Metadata"):
        assert after[name] == before[name]


def test_what_had_the_new_key_is_replaced(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"new")
    s3.put_object(Bucket=bucket, Key="b", Body=b"old")
    assert rename(server, bucket, "a", "b").status == 200
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"new"
    assert keys(s3, bucket) == ["b"]


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"if_none_match": "*"}, 412),
        ({"if_match": '"{b}"'}, 200),
        ({"if_match": '"{a}"'}, 412),
        ({"if_modified_since": PAST}, 200),
        ({"if_modified_since": FUTURE}, 412),
        ({"if_unmodified_since": PAST}, 412),
        ({"x_amz_rename_source_if_match": '"{a}"'}, 200),
        ({"x_amz_rename_source_if_match": '"{b}"'}, 412),
        ({"x_amz_rename_source_if_none_match": "*"}, 412),
        ({"x_amz_rename_source_if_modified_since": FUTURE}, 412),
        ({"x_amz_rename_source_if_unmodified_since": PAST}, 412),
    ],
)
def test_conditions_on_both_ends(
    server: S3Server, s3: Any, bucket: str, conditions: dict[str, str], status: int
) -> None:
    etags = {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"].strip('"') for key in "ab"}
    filled = {name: value.format(**etags) for name, value in conditions.items()}
    assert rename(server, bucket, "a", "b", **filled).status == status
    assert keys(s3, bucket) == (["b"] if status == 200 else ["a", "b"])


def test_conditions_on_a_target_that_is_not_there(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for name, value in (("if_match", "*"), ("if_modified_since", PAST)):
        assert rename(server, bucket, "a", "b", **{name: value}).status == 412
    assert rename(server, bucket, "a", "b", if_none_match="*", if_unmodified_since=PAST).status == 200


def test_what_cannot_be_renamed(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for source, key, answer in (
        ("none", "b", (404, "NoSuchKey")),
        ("a", "a", (400, "InvalidArgument")),
        ("", "b", (400, "InvalidArgument")),
        ("a", "b/", (400, "InvalidRequest")),
        ("d/", "b", (400, "InvalidRequest")),
    ):
        reply = rename(server, bucket, source, key)
        assert (reply.status, reply.code) == answer
    reply = request(server, "PUT", f"/{bucket}/b", headers={"x-amz-rename-source": "a"})
    assert (reply.status, reply.code) == (501, "NotImplemented")
    assert keys(s3, bucket) == ["a"]


def test_a_token_makes_it_happen_once(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"first")
    for _ in range(2):
        assert rename(server, bucket, "a", "b", x_amz_client_token="token-1").status == 200
    s3.put_object(Bucket=bucket, Key="a", Body=b"second")
    assert rename(server, bucket, "a", "b", x_amz_client_token="token-1").status == 200
    assert keys(s3, bucket) == ["a", "b"]
    reply = rename(server, bucket, "a", "c", x_amz_client_token="token-1")
    assert (reply.status, reply.code) == (400, "IdempotencyParameterMismatch")
    reply = rename(server, bucket, "a", "c", x_amz_client_token="t" * 65)
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_in_a_bucket_with_versions_both_ends_keep_theirs(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = [s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["VersionId"] for key in "ab"]
    version = rename(server, bucket, "a", "b").headers["x-amz-version-id"]
    assert s3.get_object(Bucket=bucket, Key="b", VersionId=version)["Body"].read() == b"a"
    page = s3.list_object_versions(Bucket=bucket)
    assert [(one["Key"], one["VersionId"]) for one in page["Versions"]] == [
        ("a", old[0]),
        ("b", version),
        ("b", old[1]),
    ]
    assert [(one["Key"], one["IsLatest"]) for one in page["DeleteMarkers"]] == [("a", True)]
