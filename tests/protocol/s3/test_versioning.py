"""Versions of objects, by boto3: what is written, deleted, named and listed."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_raw import request
from tests.support.s3_server import S3Server


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def configure(s3: Any, bucket: str, status: str) -> None:
    """Enable or suspend versioning."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    """A bucket that keeps versions."""
    configure(s3, bucket, "Enabled")
    return bucket


def put(s3: Any, bucket: str, key: str, body: bytes = b"x") -> str:
    """Store something; returns the version's id (empty: it has none)."""
    return str(s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId", ""))


def listed(s3: Any, bucket: str, **options: Any) -> list[tuple[str, str, bool, bool]]:
    """Key, version id, whether it is a delete marker, whether it is the latest; of all pages, in the answer's order
    but for delete markers, which boto3 lists apart.
    """
    found = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **options):
        for name, marker in (("Versions", False), ("DeleteMarkers", True)):
            found += [(one["Key"], one["VersionId"], marker, one["IsLatest"]) for one in page.get(name, [])]
    return found


def text(s3: Any, bucket: str, key: str, **options: Any) -> bytes:
    """An object's bytes."""
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()
    return body


def test_a_bucket_says_whether_it_keeps_versions(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        configure(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("<VersioningConfiguration/>", (400, "IllegalVersioningConfigurationException")),
        ("<VersioningConfiguration><Status>On</Status></VersioningConfiguration>", (400, "MalformedXML")),
        ("<Versioning><Status>Enabled</Status></Versioning>", (400, "MalformedXML")),
        (
            "<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>",
            (501, "NotImplemented"),
        ),
    ],
)
def test_what_is_no_versioning_configuration_is_refused(
    server: S3Server, bucket: str, body: str, answer: tuple[int, str]
) -> None:
    reply = request(server, "PUT", f"/{bucket}?versioning", body.encode())
    assert (reply.status, reply.code) == answer


def test_what_is_overwritten_stays_as_an_older_version(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "k", b"one"), put(s3, versioned, "k", b"second")
    assert first != second
    assert text(s3, versioned, "k") == b"second"
    assert text(s3, versioned, "k", VersionId=first) == b"one"
    assert text(s3, versioned, "k", VersionId=first, Range="bytes=1-1") == b"n"
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == second
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=first)["VersionId"] == first
    assert listed(s3, versioned) == [("k", second, False, True), ("k", first, False, False)]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=versioned)["Contents"]] == ["k"]


def test_a_delete_marker_covers_the_object(s3: Any, versioned: str) -> None:
    version = put(s3, versioned, "k", b"one")
    answer = s3.delete_object(Bucket=versioned, Key="k")
    assert answer["DeleteMarker"] is True
    marker = answer["VersionId"]
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=versioned, Key="k")
    assert code(refused) == (404, "NoSuchKey")
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert listed(s3, versioned) == [("k", version, False, False), ("k", marker, True, True)]
    assert text(s3, versioned, "k", VersionId=version) == b"one"
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=versioned, Key="k", VersionId=marker)
    assert code(refused) == (405, "MethodNotAllowed")
    headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["allow"], headers["x-amz-delete-marker"]) == ("DELETE", "true")
    assert "last-modified" in headers


def test_removing_the_delete_marker_brings_the_object_back(s3: Any, versioned: str) -> None:
    put(s3, versioned, "k", b"one")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (answer["DeleteMarker"], answer["VersionId"]) == (True, marker)
    assert text(s3, versioned, "k") == b"one"


def test_removing_the_newest_version_brings_the_next_one_back(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "k", b"one"), put(s3, versioned, "k", b"second")
    answer = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert answer["VersionId"] == second
    assert "DeleteMarker" not in answer
    assert text(s3, versioned, "k") == b"one"
    s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert listed(s3, versioned) == []


def test_what_was_there_before_is_the_null_version(s3: Any, bucket: str) -> None:
    assert put(s3, bucket, "k", b"old") == ""
    assert "VersionId" not in s3.head_object(Bucket=bucket, Key="k")
    configure(s3, bucket, "Enabled")
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    version = put(s3, bucket, "k", b"new")
    assert listed(s3, bucket) == [("k", version, False, True), ("k", "null", False, False)]
    assert text(s3, bucket, "k", VersionId="null") == b"old"
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert listed(s3, bucket) == [("k", version, False, True)]
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert code(refused) == (404, "NoSuchVersion")


def test_a_suspended_bucket_replaces_the_null_version_only(s3: Any, versioned: str) -> None:
    version = put(s3, versioned, "k", b"kept")
    configure(s3, versioned, "Suspended")
    assert put(s3, versioned, "k", b"one") == ""
    assert put(s3, versioned, "k", b"two") == ""
    assert listed(s3, versioned) == [("k", "null", False, True), ("k", version, False, False)]
    answer = s3.delete_object(Bucket=versioned, Key="k")
    assert (answer["DeleteMarker"], answer["VersionId"]) == (True, "null")
    assert listed(s3, versioned) == [("k", version, False, False), ("k", "null", True, True)]
    configure(s3, versioned, "Enabled")
    newest = put(s3, versioned, "k", b"three")
    configure(s3, versioned, "Suspended")
    put(s3, versioned, "k", b"four")
    assert listed(s3, versioned) == [
        ("k", "null", False, True),
        ("k", newest, False, False),
        ("k", version, False, False),
    ]


def test_many_are_deleted_with_their_versions(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "a", b"1"), put(s3, versioned, "a", b"2")
    put(s3, versioned, "b")
    answer = s3.delete_objects(
        Bucket=versioned,
        Delete={
            "Objects": [
                {"Key": "a", "VersionId": first},
                {"Key": "a", "VersionId": second},
                {"Key": "b"},
                {"Key": "c", "VersionId": "no such id"},
                {"Key": "d", "VersionId": first},
            ]
        },
    )
    plain = [{name: one[name] for name in one} for one in answer["Deleted"]]
    marker = plain[2].pop("DeleteMarkerVersionId")
    assert plain == [
        {"Key": "a", "VersionId": first},
        {"Key": "a", "VersionId": second},
        {"Key": "b", "DeleteMarker": True},
        {"Key": "d", "VersionId": first},
    ]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("c", "NoSuchVersion")]
    again = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b", "VersionId": marker}]})
    assert again["Deleted"] == [
        {"Key": "b", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker}
    ]
    assert text(s3, versioned, "b") == b"x"


def test_a_bucket_with_only_old_versions_is_not_empty(s3: Any, versioned: str) -> None:
    version = put(s3, versioned, "k")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for last in (version, marker):
        with pytest.raises(ClientError) as refused:
            s3.delete_bucket(Bucket=versioned)
        assert code(refused) == (409, "BucketNotEmpty")
        s3.delete_object(Bucket=versioned, Key="k", VersionId=last)
    s3.delete_bucket(Bucket=versioned)


def test_a_copy_takes_the_version_it_names(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "k", b"one"), put(s3, versioned, "k", b"second")
    answer = s3.copy_object(Bucket=versioned, Key="k", CopySource=f"{versioned}/k?versionId={first}")
    assert answer["CopySourceVersionId"] == first
    assert s3.head_object(Bucket=versioned, Key="k")["VersionId"] == answer["VersionId"]
    assert text(s3, versioned, "k") == b"one"
    assert s3.copy_object(Bucket=versioned, Key="c", CopySource=f"{versioned}/k")["CopySourceVersionId"] not in (
        first,
        second,
    )
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for source, answered in (
        (f"{versioned}/k", (404, "NoSuchKey")),
        (f"{versioned}/k?versionId={marker}", (400, "InvalidRequest")),
        (f"{versioned}/k?versionId=v7", (404, "NoSuchVersion")),
    ):
        with pytest.raises(ClientError) as refused:
            s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
        assert code(refused) == answered


def test_an_upload_in_parts_makes_a_version(s3: Any, versioned: str) -> None:
    source = put(s3, versioned, "k", b"old bytes")
    put(s3, versioned, "k", b"others")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="m")["UploadId"]
    part = s3.upload_part_copy(
        Bucket=versioned, Key="m", UploadId=upload, PartNumber=1, CopySource=f"{versioned}/k?versionId={source}"
    )
    assert part["CopySourceVersionId"] == source
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]}
    answers = [
        s3.complete_multipart_upload(Bucket=versioned, Key="m", UploadId=upload, MultipartUpload=parts)["VersionId"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1] == s3.head_object(Bucket=versioned, Key="m")["VersionId"]
    assert text(s3, versioned, "m") == b"old bytes"
    assert text(s3, versioned, "m", PartNumber=1, VersionId=answers[0]) == b"old bytes"


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_versions_are_listed_in_pages(s3: Any, versioned: str, page: int) -> None:
    for number in range(3):
        for key in ("a", "b/1", "b/2", "ü"):
            put(s3, versioned, key, b"%d" % number)
    s3.delete_object(Bucket=versioned, Key="b/1")
    configure(s3, versioned, "Suspended")
    put(s3, versioned, "a", b"null")
    configure(s3, versioned, "Enabled")
    put(s3, versioned, "a", b"newest")
    options = {"PaginationConfig": {"PageSize": page}}
    whole = sorted(listed(s3, versioned))
    assert len(whole) == 15
    assert len({one[:2] for one in whole}) == 15
    assert sorted(listed(s3, versioned, **options)) == whole
    assert sorted(listed(s3, versioned, Prefix="b/", **options)) == [one for one in whole if one[0] > "b"][:7]
    grouped = list(s3.get_paginator("list_object_versions").paginate(Bucket=versioned, Delimiter="/", **options))
    assert [one["Prefix"] for part in grouped for one in part.get("CommonPrefixes", [])] == ["b/"]
    assert sum(len(part.get("Versions", [])) for part in grouped) == 8


def test_a_listing_goes_on_behind_a_version_that_is_gone(s3: Any, versioned: str) -> None:
    ids = [put(s3, versioned, "k", b"%d" % number) for number in range(4)]
    page = s3.list_object_versions(Bucket=versioned, MaxKeys=1)
    assert (page["NextKeyMarker"], page["NextVersionIdMarker"], page["IsTruncated"]) == ("k", ids[3], True)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=ids[3])
    rest = s3.list_object_versions(Bucket=versioned, KeyMarker="k", VersionIdMarker=ids[3])
    assert [(one["VersionId"], one["IsLatest"]) for one in rest["Versions"]] == [
        (ids[2], True),
        (ids[1], False),
        (ids[0], False),
    ]


def test_markers_of_a_listing_are_checked(server: S3Server, versioned: str) -> None:
    for query in ("version-id-marker=null", "key-marker=k&version-id-marker=v7", "encoding-type=hex", "max-keys=x"):
        reply = request(server, "GET", f"/{versioned}?versions&{query}")
        assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_version_that_cannot_be_is_told_from_one_that_is_not_there(s3: Any, versioned: str) -> None:
    version = put(s3, versioned, "k")
    other = version[:-1] + ("0" if version[-1] != "0" else "1")
    assert s3.delete_object(Bucket=versioned, Key="k", VersionId=other)["VersionId"] == other
    for refused_id in ("v7", other):
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=versioned, Key="k", VersionId=refused_id)
        assert code(refused) == (404, "NoSuchVersion")
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=versioned, Key="k", VersionId="v7")
    assert code(refused) == (400, "InvalidArgument")


def test_a_condition_is_about_the_current_version(s3: Any, versioned: str) -> None:
    put(s3, versioned, "k", b"one")
    s3.delete_object(Bucket=versioned, Key="k")
    s3.put_object(Bucket=versioned, Key="k", Body=b"two", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=versioned, Key="k", Body=b"three", IfNoneMatch="*")
    assert code(refused) == (412, "PreconditionFailed")
    assert len(listed(s3, versioned)) == 3
