"""Object lock, by boto3: what keeps a version, and from whom."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_raw import request
from tests.support.s3_server import S3Server

LATER = datetime(2140, 1, 1, tzinfo=UTC)
LATEST = datetime(2150, 1, 1, tzinfo=UTC)


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.fixture
def locked(s3: Any, bucket: str) -> str:
    """A bucket with object lock and no rule."""
    name = f"{bucket}-locked"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def rule(mode: str, **period: int) -> dict[str, Any]:
    """A configuration."""
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode, **period}}}


def remove(s3: Any, bucket: str, version: str, **options: Any) -> tuple[int, str]:
    """Try to remove a version of ``k`` for good."""
    try:
        answer = s3.delete_object(Bucket=bucket, Key="k", VersionId=version, **options)
    except ClientError as exc:
        return exc.response["ResponseMetadata"]["HTTPStatusCode"], exc.response["Error"]["Code"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], ""


def test_a_bucket_tells_its_rule_as_it_was_put(s3: Any, locked: str) -> None:
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled"
    }
    for wanted in (rule("GOVERNANCE", Days=3), rule("COMPLIANCE", Years=2)):
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=wanted)
        assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == wanted


def test_versioning_of_a_bucket_with_object_lock_stays_enabled(s3: Any, locked: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    assert code(refused) == (409, "InvalidBucketState")


def test_object_lock_needs_versions(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule("GOVERNANCE", Days=1))
    assert code(refused) == (409, "InvalidBucketState")
    with pytest.raises(ClientError) as refused:
        s3.get_object_lock_configuration(Bucket=bucket)
    assert code(refused) == (404, "ObjectLockConfigurationNotFoundError")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule("GOVERNANCE", Days=1))
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == rule("GOVERNANCE", Days=1)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("", "MalformedXML"),
        ("<ObjectLockEnabled>Disabled</ObjectLockEnabled>", "MalformedXML"),
        ("<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>", "MalformedXML"),
        ("<Mode>COMPLIANCE</Mode>", "MalformedXML"),
        ("<Mode>COMPLIANCE</Mode><Days>1</Days><Years>1</Years>", "MalformedXML"),
        ("<Mode>compliance</Mode><Days>1</Days>", "MalformedXML"),
        ("<Mode>COMPLIANCE</Mode><Days>x</Days>", "MalformedXML"),
        ("<Mode>COMPLIANCE</Mode><Days>0</Days>", "InvalidRetentionPeriod"),
        ("<Mode>COMPLIANCE</Mode><Years>-1</Years>", "InvalidRetentionPeriod"),
        ("<Mode>COMPLIANCE</Mode><Years>101</Years>", "InvalidArgument"),
    ],
)
def test_a_rule_without_a_meaning_is_refused(server: S3Server, locked: str, content: str, answer: str) -> None:
    if content.startswith("<Mode>"):
        content = f"<Rule><DefaultRetention>{content}</DefaultRetention></Rule>"
        content = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled>{content}"
    body = f"<ObjectLockConfiguration>{content}</ObjectLockConfiguration>".encode()
    reply = request(server, "PUT", f"/{locked}?object-lock", body)
    assert (reply.status, reply.code) == (400, answer)


def test_new_versions_are_retained_by_the_rule(s3: Any, locked: str) -> None:
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=rule("GOVERNANCE", Days=2))
    version = s3.put_object(Bucket=locked, Key="k", Body=b"x")["VersionId"]
    told = s3.head_object(Bucket=locked, Key="k")
    assert told["ObjectLockMode"] == "GOVERNANCE"
    left = told["ObjectLockRetainUntilDate"] - told["LastModified"]
    assert timedelta(days=2) <= left <= timedelta(days=2, seconds=1)
    assert remove(s3, locked, version) == (403, "AccessDenied")
    assert remove(s3, locked, version, BypassGovernanceRetention=True) == (204, "")


def test_a_delete_marker_may_cover_a_locked_version(s3: Any, locked: str) -> None:
    version = s3.put_object(
        Bucket=locked, Key="k", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=LATER
    )["VersionId"]
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    assert remove(s3, locked, version, BypassGovernanceRetention=True) == (403, "AccessDenied")
    assert remove(s3, locked, marker) == (204, "")
    assert s3.get_object(Bucket=locked, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket=locked)
    assert code(refused) == (409, "BucketNotEmpty")


def test_governance_gives_way_to_whoever_bypasses_it(s3: Any, locked: str) -> None:
    version = s3.put_object(
        Bucket=locked, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=LATEST
    )["VersionId"]
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": LATER}
    with pytest.raises(ClientError) as refused:
        s3.put_object_retention(Bucket=locked, Key="k", Retention=shorter)
    assert code(refused) == (403, "AccessDenied")
    s3.put_object_retention(Bucket=locked, Key="k", Retention=shorter, BypassGovernanceRetention=True)
    assert s3.get_object_retention(Bucket=locked, Key="k", VersionId=version)["Retention"] == shorter
    s3.put_object_retention(Bucket=locked, Key="k", Retention={}, BypassGovernanceRetention=True)
    with pytest.raises(ClientError) as refused:
        s3.get_object_retention(Bucket=locked, Key="k")
    assert code(refused) == (404, "NoSuchObjectLockConfiguration")
    assert remove(s3, locked, version) == (204, "")


def test_compliance_is_only_ever_made_longer(s3: Any, locked: str) -> None:
    version = s3.put_object(
        Bucket=locked, Key="k", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=LATER
    )["VersionId"]
    for weaker in (
        {"Mode": "COMPLIANCE", "RetainUntilDate": LATER - timedelta(days=1)},
        {},
        {"Mode": "GOVERNANCE", "RetainUntilDate": LATEST},
    ):
        with pytest.raises(ClientError) as refused:
            s3.put_object_retention(Bucket=locked, Key="k", Retention=weaker, BypassGovernanceRetention=True)
        assert code(refused) == (403, "AccessDenied")
    longer = {"Mode": "COMPLIANCE", "RetainUntilDate": LATEST}
    s3.put_object_retention(Bucket=locked, Key="k", VersionId=version, Retention=longer)
    assert s3.get_object_retention(Bucket=locked, Key="k")["Retention"] == longer


def test_a_legal_hold_keeps_a_version_until_it_is_off(s3: Any, locked: str) -> None:
    version = s3.put_object(Bucket=locked, Key="k", Body=b"x")["VersionId"]
    with pytest.raises(ClientError) as refused:
        s3.get_object_legal_hold(Bucket=locked, Key="k")
    assert code(refused) == (404, "NoSuchObjectLockConfiguration")
    s3.put_object_legal_hold(Bucket=locked, Key="k", LegalHold={"Status": "ON"})
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    assert remove(s3, locked, version, BypassGovernanceRetention=True) == (403, "AccessDenied")
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(Bucket=locked, Key="k")["LegalHold"] == {"Status": "OFF"}
    assert remove(s3, locked, version) == (204, "")


def test_copies_and_uploads_bring_their_own_lock(s3: Any, locked: str) -> None:
    """A lock is never copied with the object."""
    s3.put_object(
        Bucket=locked,
        Key="k",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=LATER,
        ObjectLockLegalHoldStatus="ON",
    )
    s3.copy_object(Bucket=locked, Key="bare", CopySource=f"{locked}/k")
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="bare")
    s3.copy_object(Bucket=locked, Key="held", CopySource=f"{locked}/k", ObjectLockLegalHoldStatus="ON")
    assert s3.head_object(Bucket=locked, Key="held")["ObjectLockLegalHoldStatus"] == "ON"
    upload = s3.create_multipart_upload(
        Bucket=locked, Key="m", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=LATER
    )["UploadId"]
    etag = s3.upload_part(Bucket=locked, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(
        Bucket=locked, Key="m", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    assert s3.head_object(Bucket=locked, Key="m")["ObjectLockRetainUntilDate"] == LATER


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"x-amz-object-lock-mode": "COMPLIANCE"}, (400, "InvalidArgument")),
        ({"x-amz-object-lock-retain-until-date": "2140-01-01T00:00:00Z"}, (400, "InvalidArgument")),
        (
            {"x-amz-object-lock-mode": "X", "x-amz-object-lock-retain-until-date": "2140-01-01T00:00:00Z"},
            (400, "InvalidArgument"),
        ),
        (
            {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "soon"},
            (400, "InvalidArgument"),
        ),
        (
            {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2001-01-01T00:00:00Z"},
            (400, "InvalidArgument"),
        ),
        ({"x-amz-object-lock-legal-hold": "on"}, (400, "InvalidArgument")),
    ],
)
def test_a_lock_that_cannot_be_is_refused(
    server: S3Server, locked: str, headers: dict[str, str], answer: tuple[int, str]
) -> None:
    reply = request(server, "PUT", f"/{locked}/k", b"x", headers=headers)
    assert (reply.status, reply.code) == answer


def test_a_bucket_without_object_lock_locks_nothing(s3: Any, server: S3Server, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    reply = request(server, "PUT", f"/{bucket}/k", b"new", headers={"x-amz-object-lock-legal-hold": "ON"})
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    for name, body in (
        (
            "retention",
            b"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate></Retention>",
        ),
        ("legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>"),
    ):
        for method in ("GET", "PUT"):
            reply = request(server, method, f"/{bucket}/k?{name}", body if method == "PUT" else b"")
            assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
