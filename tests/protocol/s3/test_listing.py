"""Listings, by boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_raw import request
from tests.support.s3_server import OTHER_KEY, OTHER_SECRET, S3Server

KEYS = ["a", "a/", "a/b", "a/b/c", "a/d", "b c+", "e/f", "é", "z%2F"]


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    """A bucket with some keys."""
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def names(answer: dict[str, Any]) -> list[str]:
    """Keys of a page, and its common prefixes."""
    found = [entry["Key"] for entry in answer.get("Contents", [])]
    return found + [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]


def test_keys_come_in_the_order_of_their_bytes(s3: Any, filled: str) -> None:
    answer = s3.list_objects_v2(Bucket=filled)
    assert names(answer) == sorted(KEYS, key=str.encode)
    assert answer["KeyCount"] == len(KEYS)
    assert not answer["IsTruncated"]
    assert "Owner" not in answer["Contents"][0]


@pytest.mark.parametrize(
    ("prefix", "delimiter", "expected"),
    [
        ("", "/", ["a", "b c+", "z%2F", "é", "a/", "e/"]),
        ("a/", "/", ["a/", "a/d", "a/b", "a/b/"]),
        ("a/", "", ["a/", "a/b", "a/b/c", "a/d"]),
        ("a/b", "/", ["a/b", "a/b/"]),
        ("", "b", ["a", "a/", "a/d", "e/f", "z%2F", "é", "a/b", "b"]),
        ("nothing", "/", []),
        ("", " c", ["a", "a/", "a/b", "a/b/c", "a/d", "e/f", "z%2F", "é", "b c"]),
    ],
)
def test_a_delimiter_rolls_keys_up(s3: Any, filled: str, prefix: str, delimiter: str, expected: list[str]) -> None:
    for call in (s3.list_objects, s3.list_objects_v2):
        answer = call(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
        assert sorted(names(answer)) == sorted(expected)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_join_to_the_whole(s3: Any, filled: str, size: int, delimiter: str) -> None:
    for operation in ("list_objects_v2", "list_objects", "list_object_versions"):
        entries, prefixes = [], []
        pages = s3.get_paginator(operation).paginate(
            Bucket=filled, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        for page in pages:
            found = page.get("Contents", []) + page.get("Versions", [])
            assert len(found) + len(page.get("CommonPrefixes", [])) <= size
            entries += [entry["Key"] for entry in found]
            prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        whole = s3.list_objects_v2(Bucket=filled, Delimiter=delimiter)
        assert entries + prefixes == names(whole)


def test_a_page_begins_where_it_is_told(s3: Any, filled: str) -> None:
    assert names(s3.list_objects_v2(Bucket=filled, StartAfter="a/b/c")) == ["a/d", "b c+", "e/f", "z%2F", "é"]
    assert names(s3.list_objects(Bucket=filled, Marker="b")) == ["b c+", "e/f", "z%2F", "é"]
    answer = s3.list_objects_v2(Bucket=filled, StartAfter="zz", MaxKeys=1)
    assert (answer["StartAfter"], names(answer)) == ("zz", ["é"])
    first = s3.list_objects_v2(Bucket=filled, MaxKeys=2)
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(Bucket=filled, MaxKeys=2, ContinuationToken=token, StartAfter="z")
    assert names(second) == ["a/b", "a/b/c"]
    assert second["ContinuationToken"] == token


def test_owners_are_told_where_asked(s3: Any, filled: str) -> None:
    assert s3.list_objects_v2(Bucket=filled, FetchOwner=True)["Contents"][0]["Owner"]["DisplayName"] == "alice"
    assert s3.list_objects(Bucket=filled)["Contents"][0]["Owner"]["DisplayName"] == "alice"


def test_no_keys_are_a_page_too(s3: Any, filled: str) -> None:
    answer = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (answer["KeyCount"], answer["IsTruncated"], answer["MaxKeys"]) == (0, False, 0)
    assert s3.list_objects(Bucket=filled, MaxKeys=5000)["MaxKeys"] == 1000


@pytest.mark.parametrize(
    "query",
    ["max-keys=x", "max-keys=-1", "list-type=2&continuation-token=no", "encoding-type=base64", "list-type=3"],
)
def test_parameters_that_make_no_sense_are_refused(server: S3Server, filled: str, query: str) -> None:
    reply = request(server, "GET", f"/{filled}?{query}")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_names_are_encoded_for_clients_that_ask(server: S3Server, filled: str) -> None:
    reply = request(server, "GET", f"/{filled}?delimiter=c%2B&encoding-type=url&list-type=2&prefix=b%20")
    assert (reply.text("EncodingType"), reply.text("Prefix"), reply.text("Delimiter")) == ("url", "b%20", "c%2B")
    assert reply.text("CommonPrefixes/Prefix") == "b%20c%2B"


def test_a_key_that_xml_cannot_carry_does_not_hide_the_others(server: S3Server, s3: Any, bucket: str) -> None:
    for key in ("a", "b\x01", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    reply = request(server, "GET", f"/{bucket}")
    assert b"<Key>a</Key>" in reply.body
    assert "<Key>b\ufffd</Key>".encode() in reply.body
    assert reply.text("Contents/Key") == "a"
    assert names(s3.list_objects_v2(Bucket=bucket)) == ["a", "b\x01", "c"]


def test_every_object_is_its_only_version(s3: Any, filled: str) -> None:
    answer = s3.list_object_versions(Bucket=filled, Prefix="a/")
    assert [(entry["Key"], entry["VersionId"], entry["IsLatest"]) for entry in answer["Versions"]] == [
        (key, "null", True) for key in ("a/", "a/b", "a/b/c", "a/d")
    ]


def test_users_see_their_own_buckets_only(server: S3Server, s3: Any, bucket: str) -> None:
    bob = server.client(OTHER_KEY, OTHER_SECRET)
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert bob.list_buckets()["Buckets"] == []
    assert bob.list_buckets()["Owner"]["DisplayName"] == "bob"
    for call in (bob.list_objects_v2, bob.head_bucket, bob.delete_bucket, bob.get_bucket_location):
        with pytest.raises(ClientError) as refused:
            call(Bucket=bucket)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError) as refused:
        bob.create_bucket(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "BucketAlreadyExists"
    with pytest.raises(ClientError) as refused:
        bob.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_buckets_come_in_pages(s3: Any, bucket: str) -> None:
    for name in ("page-b", "page-a", "page-c"):
        s3.create_bucket(Bucket=name)
    first = s3.list_buckets(Prefix="page-", MaxBuckets=2)
    assert [entry["Name"] for entry in first["Buckets"]] == ["page-a", "page-b"]
    second = s3.list_buckets(Prefix="page-", MaxBuckets=2, ContinuationToken=first["ContinuationToken"])
    assert [entry["Name"] for entry in second["Buckets"]] == ["page-c"]
    assert "ContinuationToken" not in second
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []
    for name in ("page-b", "page-a", "page-c"):
        s3.delete_bucket(Bucket=name)
