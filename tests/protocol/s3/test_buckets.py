"""Buckets and what can be configured about them, by boto3."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from bench.sigv4 import UNSIGNED, Signer
from noisefs.adapters.inbound.s3 import S3Settings
from tests.support.s3_raw import Wire, head_of, request
from tests.support.s3_server import ACCESS_KEY, OTHER_KEY, OTHER_SECRET, SECRET_KEY, S3Server, serve


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.mark.parametrize("name", ["Upper", "ab", "x" * 64, "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "xn--ab"])
def test_an_illegal_name_is_refused(server: S3Server, name: str) -> None:
    reply = request(server, "PUT", f"/{name}")
    assert (reply.status, reply.code) == (400, "InvalidBucketName")


def test_a_bucket_is_made_once_found_and_removed_when_empty(s3: Any) -> None:
    s3.create_bucket(Bucket="to-remove")
    assert s3.create_bucket(Bucket="to-remove")["Location"] == "/to-remove"
    assert s3.head_bucket(Bucket="to-remove")["BucketRegion"] == "us-east-1"
    s3.put_object(Bucket="to-remove", Key="k", Body=b"")
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket="to-remove")
    assert code(refused) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket="to-remove", Key="k")
    s3.delete_bucket(Bucket="to-remove")
    for call in (s3.head_bucket, s3.delete_bucket):
        with pytest.raises(ClientError) as refused:
            call(Bucket="to-remove")
        assert code(refused)[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"<CreateBucketConfiguration/>", 200, ""),
        (b"<CreateBucketConfiguration><LocationConstraint></LocationConstraint></CreateBucketConfiguration>", 200, ""),
        (
            b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>",
            200,
            "",
        ),
        (
            b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>",
            400,
            "IllegalLocationConstraintException",
        ),
        (
            b"<CreateBucketConfiguration><LocationConstraint>moon</LocationConstraint></CreateBucketConfiguration>",
            400,
            "InvalidLocationConstraint",
        ),
        (b"<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>", 400, "MalformedXML"),
        (b"<Wrong/>", 400, "MalformedXML"),
        (b"junk", 400, "MalformedXML"),
    ],
)
def test_the_region_of_a_new_bucket_must_be_ours(
    server: S3Server, bucket: str, body: bytes, status: int, error: str
) -> None:
    reply = request(server, "PUT", f"/{bucket}-new", body)
    assert (reply.status, reply.code) == (status, error)


def test_the_classic_region_is_an_empty_constraint(server: S3Server, s3: Any, bucket: str) -> None:
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    reply = request(server, "GET", f"/{bucket}?location")
    assert reply.body.endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>'
    )


def test_another_region_says_its_name() -> None:
    with serve(S3Settings(region="eu-west-1")) as server:
        client = server.client(region_name="eu-west-1")
        assert client.get_bucket_location(Bucket="bucket")["LocationConstraint"] == "eu-west-1"
        with pytest.raises(ClientError) as refused:
            client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        assert code(refused) == (409, "BucketAlreadyOwnedByYou")
        with pytest.raises(ClientError) as refused:
            server.client().list_buckets()
        assert code(refused) == (400, "AuthorizationHeaderMalformed")
        assert refused.value.response["Error"]["Region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_what_is_not_configured_is_told_as_s3_does(s3: Any, bucket: str, call: str, error: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(s3, call)(Bucket=bucket)
    assert code(refused) == (404, error)
    with pytest.raises(ClientError) as refused:
        getattr(s3, call)(Bucket="nowhere")
    assert code(refused) == (404, "NoSuchBucket")


def test_settings_that_are_fixed_are_told(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert not s3.list_bucket_metrics_configurations(Bucket=bucket)["IsTruncated"]
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_metrics_configuration(Bucket=bucket, Id="x")
    assert code(refused) == (404, "NoSuchConfiguration")


def test_removing_what_is_not_configured_succeeds(s3: Any, bucket: str) -> None:
    for call in ("policy", "lifecycle", "cors", "tagging", "website", "replication", "encryption"):
        getattr(s3, f"delete_bucket_{call}")(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)


def test_the_owner_has_full_control_and_may_say_so(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    for get, put, named in (
        (s3.get_bucket_acl, s3.put_bucket_acl, {"Bucket": bucket}),
        (s3.get_object_acl, s3.put_object_acl, {"Bucket": bucket, "Key": "k"}),
    ):
        acl = get(**named)
        assert acl["Owner"]["DisplayName"] == "alice"
        assert [(grant["Grantee"]["ID"], grant["Permission"]) for grant in acl["Grants"]] == [
            (acl["Owner"]["ID"], "FULL_CONTROL")
        ]
        put(**named, ACL="private")
        put(**named, AccessControlPolicy={"Owner": acl["Owner"], "Grants": acl["Grants"]})
        for other in (
            {"ACL": "public-read"},
            {"AccessControlPolicy": {"Owner": acl["Owner"], "Grants": []}},
            {"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'},
        ):
            with pytest.raises(ClientError) as refused:
                put(**named, **other)
            assert code(refused) == (400, "AccessControlListNotSupported")


def test_objects_have_no_tags_and_no_locks(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    for call in (s3.get_object_retention, s3.get_object_legal_hold):
        with pytest.raises(ClientError) as refused:
            call(Bucket=bucket, Key="k")
        assert code(refused) == (400, "InvalidRequest")
    with pytest.raises(ClientError) as refused:
        s3.get_object_tagging(Bucket=bucket, Key="missing")
    assert code(refused) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/{bucket}?replication="),
        ("GET", "/{bucket}?session"),
        ("GET", "/{bucket}?frobnicate"),
        ("GET", "/{bucket}/k?torrent"),
        ("POST", "/{bucket}/k?restore"),
        ("POST", "/{bucket}/k?select&select-type=2"),
        ("GET", "/{bucket}/k?frobnicate"),
        ("HEAD", "/{bucket}?acl"),
    ],
)
def test_what_is_not_there_yet_is_not_implemented(server: S3Server, bucket: str, method: str, target: str) -> None:
    reply = request(server, method, target.format(bucket=bucket), b"<x/>" if method in ("PUT", "POST") else b"")
    assert reply.status == 501
    if method != "HEAD":
        assert reply.code == "NotImplemented"


@pytest.mark.parametrize(
    ("method", "target"),
    [("PUT", "/"), ("DELETE", "/"), ("POST", "/"), ("PATCH", "/b/k"), ("POST", "/b/k"), ("TRACE", "/b")],
)
def test_methods_that_mean_nothing_are_not_allowed(server: S3Server, method: str, target: str) -> None:
    reply = request(server, method, target)
    assert (reply.status, reply.code) == (405, "MethodNotAllowed")


def test_a_request_that_expects_another_owner_is_refused(server: S3Server, s3: Any, bucket: str) -> None:
    owner = s3.list_buckets()["Owner"]["ID"]
    other = server.client(OTHER_KEY, OTHER_SECRET).list_buckets()["Owner"]["ID"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=owner)
    s3.copy_object(
        Bucket=bucket, Key="l", CopySource=f"{bucket}/k", ExpectedBucketOwner=owner, ExpectedSourceBucketOwner=owner
    )
    for call, given in (
        (s3.get_object, {"Key": "k"}),
        (s3.put_object, {"Key": "k", "Body": b"y"}),
        (s3.list_objects_v2, {}),
    ):
        with pytest.raises(ClientError) as refused:
            call(Bucket=bucket, ExpectedBucketOwner=other, **given)
        assert code(refused) == (403, "AccessDenied")
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="m", CopySource=f"{bucket}/k", ExpectedSourceBucketOwner=other)
    assert code(refused) == (403, "AccessDenied")


def test_virtual_hosts_name_buckets() -> None:
    with serve(S3Settings(virtual_host_domain="s3.example.org")) as server:
        signer = Signer(ACCESS_KEY, SECRET_KEY, f"bucket.s3.example.org:{server.port}")
        for method, target, body in (("PUT", "/a//b", b"x"), ("GET", "/a//b", b""), ("GET", "/", b"")):
            headers = signer.sign(method, target, headers={"content-length": str(len(body))}, payload_sha256=UNSIGNED)
            with Wire(server) as wire:
                wire.send(head_of(method, target, headers), body)
                reply = wire.receive()
            assert reply.status == 200
        assert reply.text("Contents/Key") == "a//b"
        assert server.client().get_object(Bucket="bucket", Key="a//b")["Body"].read() == b"x"


def test_every_answer_has_ids(server: S3Server, bucket: str) -> None:
    for target in (f"/{bucket}", f"/{bucket}/missing", "/nowhere"):
        reply = request(server, "GET", target)
        assert reply.headers["x-amz-request-id"]
        assert reply.headers["x-amz-id-2"]
        if reply.status != 200:
            assert reply.text("RequestId") == reply.headers["x-amz-request-id"]
            assert reply.text("Resource") == target
