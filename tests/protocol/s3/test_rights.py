"""Policies, lists, ownership and public access, as a client sees them."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from noisefs.adapters.inbound.s3.settings import S3Settings
from noisefs.core.domain.rights.identity import canonical_id
from tests.support.namespace import ACCOUNT
from tests.support.s3_raw import Wire, head_of
from tests.support.s3_server import OTHER_KEY, OTHER_SECRET, S3Server, serve

BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
_names = itertools.count(1)


@pytest.fixture
def bob(server: S3Server) -> Any:
    """A client of bob, who owns nothing."""
    return server.client(OTHER_KEY, OTHER_SECRET)


@pytest.fixture
def nobody(server: S3Server) -> Any:
    """A client that signs nothing."""
    return server.client(signature_version=UNSIGNED)


def code(call: Any, **named: Any) -> str:
    """The error code of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**named)
    return str(refused.value.response["Error"]["Code"])


def document(bucket: str, *statements: dict[str, Any]) -> str:
    """A policy; statements are about everybody, the bucket and all its objects unless they say something else."""
    everything = {
        "Effect": "Allow",
        "Principal": "*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [{**everything, **one} for one in statements]})


# ------------------------------------------------------------------ policy


def test_a_policy_reads_back_as_it_was_put(s3: Any, bucket: str) -> None:
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    policy = document(bucket, {"Action": "s3:GetObject"}).replace(":", " :  ", 1)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False


def test_a_policy_lets_another_user_and_nobody_else(s3: Any, bob: Any, nobody: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(bob.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Principal": {"AWS": BOB}, "Action": "s3:GetObject"}))
    assert bob.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert code(bob.put_object, Bucket=bucket, Key="k", Body=b"y") == "AccessDenied"
    assert code(bob.list_objects_v2, Bucket=bucket) == "AccessDenied"
    assert code(nobody.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert code(bob.get_object, Bucket=bucket, Key="missing") == "AccessDenied"


def test_a_missing_object_is_told_to_those_who_may_list(s3: Any, bob: Any, bucket: str) -> None:
    only_public = {"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "public/*"}}}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, only_public))
    assert code(bob.head_object, Bucket=bucket, Key="public/k") == "404"
    assert code(bob.head_object, Bucket=bucket, Key="private/k") == "403"
    assert code(bob.list_objects_v2, Bucket=bucket, Prefix="private/") == "AccessDenied"
    assert bob.list_objects_v2(Bucket=bucket, Prefix="public/")["KeyCount"] == 0


def test_anonymous_access_needs_a_policy(s3: Any, nobody: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for call, named in (
        (nobody.get_object, {"Bucket": bucket, "Key": "k"}),
        (nobody.put_object, {"Bucket": bucket, "Key": "k", "Body": b"y"}),
        (nobody.list_objects_v2, {"Bucket": bucket}),
        (nobody.create_bucket, {"Bucket": "nobodys"}),
        (nobody.list_buckets, {}),
    ):
        assert code(call, **named) == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Principal": {"AWS": "*"}, "Action": "s3:*"}))
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    nobody.put_object(Bucket=bucket, Key="n", Body=b"y")
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][1]["Owner"]["DisplayName"] == "alice"
    upload = nobody.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = nobody.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"z")
    nobody.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )


def test_a_deny_binds_the_owner_too_but_for_the_policy_itself(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Effect": "Deny", "Action": "s3:*"}))
    for call, named in (
        (s3.get_object, {"Key": "k"}),
        (s3.put_object, {"Key": "k", "Body": b"small"}),
        (s3.delete_object, {"Key": "k"}),
        (s3.list_objects_v2, {}),
        (s3.put_public_access_block, {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
    ):
        assert code(call, Bucket=bucket, **named) == "AccessDenied"
    assert "Deny" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_who_says_so_locks_the_owner_out(s3: Any, server: S3Server) -> None:
    name = f"rights-{next(_names)}"
    s3.create_bucket(Bucket=name)
    policy = document(name, {"Effect": "Deny", "Action": "s3:*"})
    s3.put_bucket_policy(Bucket=name, Policy=policy, ConfirmRemoveSelfBucketAccess=True)
    assert code(s3.get_bucket_policy, Bucket=name) == "AccessDenied"
    assert code(s3.delete_bucket_policy, Bucket=name) == "AccessDenied"


def test_conditions_look_at_the_request(s3: Any, bob: Any, bucket: str) -> None:
    encrypted = {
        "Effect": "Deny",
        "Action": "s3:PutObject",
        "Condition": {"Null": {"s3:x-amz-server-side-encryption": True}},
    }
    local = {"Action": "s3:PutObject", "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}
    own = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, encrypted, local, own))
    assert code(bob.put_object, Bucket=bucket, Key="home/bob/k", Body=b"x") == "AccessDenied"
    assert code(s3.put_object, Bucket=bucket, Key="home/bob/k", Body=b"x") == "AccessDenied"
    bob.put_object(Bucket=bucket, Key="home/bob/k", Body=b"x", ServerSideEncryption="AES256")
    assert bob.get_object(Bucket=bucket, Key="home/bob/k")["Body"].read() == b"x"
    bob.put_object(Bucket=bucket, Key="home/alice/k", Body=b"x", ServerSideEncryption="AES256")
    assert code(bob.get_object, Bucket=bucket, Key="home/alice/k") == "AccessDenied"


def test_who_may_not_is_told_so_before_what_is_wrong(s3: Any, bob: Any, bucket: str) -> None:
    wrong = {"Bucket": bucket, "Key": "k", "Body": b"x", "ServerSideEncryption": "AES192"}
    assert code(s3.put_object, **wrong) == "InvalidArgument"
    assert code(bob.put_object, **wrong) == "AccessDenied"
    assert code(bob.get_object, Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1") == "AccessDenied"
    assert code(bob.put_bucket_policy, Bucket=bucket, Policy="{}") == "AccessDenied"


def test_tags_of_the_very_object_decide(s3: Any, bob: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="open", Body=b"x", Tagging="kind=public")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"x", Tagging="kind=secret")
    tagged = {"Action": "s3:GetObject", "Condition": {"StringEquals": {"s3:ExistingObjectTag/kind": "public"}}}
    writes = {"Action": "s3:PutObject"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, tagged, writes))
    assert bob.get_object(Bucket=bucket, Key="open")["Body"].read() == b"x"
    assert code(bob.get_object, Bucket=bucket, Key="closed") == "AccessDenied"
    assert code(bob.put_object, Bucket=bucket, Key="closed", Body=b"y", Tagging="kind=public") == "AccessDenied"
    s3.put_object(Bucket=bucket, Key="open", Body=b"y")
    assert code(bob.get_object, Bucket=bucket, Key="open") == "AccessDenied"


def test_many_deletes_are_asked_one_by_one(s3: Any, bob: Any, bucket: str) -> None:
    for key in ("a/1", "b/1", "a/2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    some = {"Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/a/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, some))
    answer = bob.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("a/1", "b/1", "a/2")]})
    assert [one["Key"] for one in answer["Deleted"]] == ["a/1", "a/2"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("b/1", "AccessDenied")]
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b/1"]


def test_a_copy_needs_leave_for_both_ends(s3: Any, bob: Any, bucket: str) -> None:
    bob_bucket = f"rights-{next(_names)}"
    bob.create_bucket(Bucket=bob_bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    copy = {"Bucket": bob_bucket, "Key": "c", "CopySource": f"{bucket}/k"}
    assert code(bob.copy_object, **copy) == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Action": "s3:GetObject"}))
    bob.copy_object(**copy)
    assert code(s3.copy_object, **copy) == "AccessDenied"


def test_a_version_is_asked_for_however_it_is_written(s3: Any, bob: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Action": ["s3:ListBucket", "s3:PutObject"]}))
    written = "".join(f"%{ord(letter):02X}" for letter in version)
    for text in (version, written):
        copy = {"Bucket": bucket, "Key": "stolen", "CopySource": f"{bucket}/k?versionId={text}"}
        assert code(bob.copy_object, **copy) == "AccessDenied"
    assert code(bob.get_object, Bucket=bucket, Key="k", VersionId=version) == "AccessDenied"


def test_a_rename_needs_leave_for_both_names(server: S3Server, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="mine/k", Body=b"x")
    writes = {"Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, writes))
    signer = server.signer(OTHER_KEY, OTHER_SECRET)
    path = f"/{bucket}/open/stolen"
    headers = {"x-amz-rename-source": f"/{bucket}/mine/k", "content-length": "0"}
    signed = signer.sign("PUT", path, "renameObject=", headers=headers, payload_sha256="UNSIGNED-PAYLOAD")
    with Wire(server) as wire:
        wire.send(head_of("PUT", f"{path}?renameObject", signed))
        assert wire.receive().code == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="mine/k")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"Action": "s3:Frobnicate"}, "Action"),
        ({"Condition": {"StringEquals": {"aws:SourceVpce": "x"}}, "Action": "s3:GetObject"}, "SourceVpce"),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/whoever"}, "Action": "s3:GetObject"}, "no such user"),
        ({"Principal": {"AWS": "arn:aws:iam::999999999999:user/bob"}, "Action": "s3:GetObject"}, "Principal"),
        ({"Resource": "arn:aws:s3:::another/*", "Action": "s3:GetObject"}, "Resource"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_name(
    s3: Any, bucket: str, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, change))
    error = refused.value.response["Error"]
    assert error["Code"] == "MalformedPolicy"
    assert named in error["Message"]


def test_head_bucket_is_for_those_who_may_list(s3: Any, bob: Any, bucket: str) -> None:
    assert code(bob.head_bucket, Bucket=bucket) == "403"
    s3.put_bucket_policy(Bucket=bucket, Policy=document(bucket, {"Principal": {"AWS": BOB}, "Action": "s3:*"}))
    bob.head_bucket(Bucket=bucket)


# ------------------------------------------------------------------ lists and ownership


def test_new_buckets_take_no_lists(s3: Any, bucket: str) -> None:
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    for call, named in (
        (s3.put_object, {"Key": "k", "Body": b"x", "ACL": "public-read"}),
        (
            s3.copy_object,
            {"Key": "k", "CopySource": f"{bucket}/k", "ACL": "public-read", "MetadataDirective": "REPLACE"},
        ),
        (s3.create_multipart_upload, {"Key": "k", "ACL": "public-read"}),
        (s3.put_object_acl, {"Key": "k", "ACL": "public-read"}),
        (s3.put_bucket_acl, {"ACL": "public-read"}),
    ):
        assert code(call, Bucket=bucket, **named) == "AccessControlListNotSupported"
    assert code(s3.create_bucket, Bucket="with-a-list", ACL="public-read") == "InvalidBucketAclWithObjectOwnership"


def test_rules_are_declared_and_removed(s3: Any, bucket: str) -> None:
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert code(s3.get_bucket_ownership_controls, Bucket=bucket) == "OwnershipControlsNotFoundError"
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert (
        code(s3.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=enforced)
        == "InvalidBucketAclWithObjectOwnership"
    )
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="private") == "AccessControlListNotSupported"


@pytest.fixture(scope="module")
def listed() -> Iterator[S3Server]:
    """A server whose new buckets take lists."""
    with serve(S3Settings(ownership="ObjectWriter")) as running:
        yield running


@pytest.fixture
def open_bucket(listed: S3Server) -> str:
    """A bucket of alice's there that everybody may list and write into."""
    name = f"rights-{next(_names)}"
    listed.client().create_bucket(Bucket=name, ACL="public-read-write")
    return name


def test_objects_belong_to_their_writers_there(listed: S3Server, open_bucket: str) -> None:
    alice, bob = listed.client(), listed.client(OTHER_KEY, OTHER_SECRET)
    nobody = listed.client(signature_version=UNSIGNED)
    bob.put_object(Bucket=open_bucket, Key="k", Body=b"x")
    assert code(alice.get_object, Bucket=open_bucket, Key="k") == "AccessDenied"
    assert code(nobody.get_object, Bucket=open_bucket, Key="k") == "AccessDenied"
    acl = bob.get_object_acl(Bucket=open_bucket, Key="k")
    assert acl["Owner"]["DisplayName"] == "bob"
    assert [(one["Grantee"]["ID"], one["Permission"]) for one in acl["Grants"]] == [
        (acl["Owner"]["ID"], "FULL_CONTROL")
    ]
    bob.put_object_acl(Bucket=open_bucket, Key="k", ACL="public-read")
    assert nobody.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    assert alice.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    assert code(nobody.get_object_acl, Bucket=open_bucket, Key="k") == "AccessDenied"
    alice.delete_object(Bucket=open_bucket, Key="k")


def test_grants_by_headers_and_by_document(listed: S3Server, open_bucket: str) -> None:
    alice, bob = listed.client(), listed.client(OTHER_KEY, OTHER_SECRET)
    owner = alice.list_buckets()["Owner"]
    bob_id = bob.list_buckets()["Owner"]["ID"]
    assert len(bob_id) == 64
    alice.put_object(Bucket=open_bucket, Key="k", Body=b"x", GrantRead=f'id="{bob_id}"')
    assert bob.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    assert code(bob.put_object_acl, Bucket=open_bucket, Key="k", ACL="private") == "AccessDenied"
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": bob_id}, "Permission": "WRITE_ACP"}
    alice.put_object_acl(
        Bucket=open_bucket, Key="k", AccessControlPolicy={"Owner": {"ID": owner["ID"]}, "Grants": [grant]}
    )
    assert code(bob.get_object, Bucket=open_bucket, Key="k") == "AccessDenied"
    bob.put_object_acl(Bucket=open_bucket, Key="k", ACL="authenticated-read")
    assert bob.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    acl = alice.get_object_acl(Bucket=open_bucket, Key="k")
    assert [(one["Grantee"].get("URI"), one["Permission"]) for one in acl["Grants"]] == [
        ("http://acs.amazonaws.com/groups/global/AuthenticatedUsers", "READ"),
        (None, "FULL_CONTROL"),
    ]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"GrantRead": "id=nobody"}, "InvalidArgument"),
        ({"GrantRead": f"id={canonical_id('c' * 32)}"}, "InvalidArgument"),  # type: ignore[arg-type]  # no such user
        ({"GrantRead": "emailAddress=a@example.com"}, "UnresolvableGrantByEmailAddress"),
        ({"GrantRead": "uri=http://example.com"}, "InvalidArgument"),
        ({"GrantRead": "whoever"}, "InvalidArgument"),
        ({"ACL": "public"}, "InvalidArgument"),
        ({"ACL": "private", "GrantRead": "uri=http://acs.amazonaws.com/groups/global/AllUsers"}, "InvalidRequest"),
        ({"AccessControlPolicy": {"Owner": {"ID": "c" * 64}, "Grants": []}}, "AccessDenied"),
        ({}, "MissingSecurityHeader"),
    ],
)
def test_lists_that_are_none(listed: S3Server, open_bucket: str, named: dict[str, Any], expected: str) -> None:
    assert code(listed.client().put_bucket_acl, Bucket=open_bucket, **named) == expected


def test_making_a_bucket_again_does_not_change_its_list(listed: S3Server, open_bucket: str) -> None:
    alice = listed.client()
    alice.create_bucket(Bucket=open_bucket, ACL="public-read-write")
    assert code(alice.create_bucket, Bucket=open_bucket) == "BucketAlreadyExists"


def test_the_switches_of_a_public_access_block(listed: S3Server, open_bucket: str) -> None:
    alice, bob = listed.client(), listed.client(OTHER_KEY, OTHER_SECRET)
    assert code(alice.get_public_access_block, Bucket=open_bucket) == "NoSuchPublicAccessBlockConfiguration"
    alice.put_object(Bucket=open_bucket, Key="k", Body=b"x")
    bob.list_objects_v2(Bucket=open_bucket)

    def switch(**on: bool) -> None:
        alice.put_public_access_block(Bucket=open_bucket, PublicAccessBlockConfiguration=on)

    switch(IgnorePublicAcls=True)
    assert code(bob.list_objects_v2, Bucket=open_bucket) == "AccessDenied"
    assert alice.get_bucket_policy_status(Bucket=open_bucket)["PolicyStatus"]["IsPublic"] is False
    switch(BlockPublicAcls=True, BlockPublicPolicy=True)
    assert code(alice.put_bucket_acl, Bucket=open_bucket, ACL="public-read") == "AccessDenied"
    assert code(alice.put_object, Bucket=open_bucket, Key="p", Body=b"", ACL="public-read") == "AccessDenied"
    public = document(open_bucket, {"Action": "s3:GetObject"})
    assert code(alice.put_bucket_policy, Bucket=open_bucket, Policy=public) == "AccessDenied"
    switch()
    alice.put_bucket_policy(Bucket=open_bucket, Policy=public)
    assert bob.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    switch(RestrictPublicBuckets=True)
    assert code(bob.get_object, Bucket=open_bucket, Key="k") == "AccessDenied"
    assert alice.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"
    told = alice.get_public_access_block(Bucket=open_bucket)["PublicAccessBlockConfiguration"]
    assert told == {
        "BlockPublicAcls": False,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }
    alice.delete_public_access_block(Bucket=open_bucket)
