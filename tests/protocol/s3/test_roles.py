"""Roles by the SDK's own clients: made, trusted, taken on, and worth no more than they say."""

import asyncio
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.namespace import ACCOUNT
from tests.support.s3_server import ACCESS_KEY, OTHER_KEY, OTHER_SECRET, REGION, SECRET_KEY, S3Server

ADMIN = ("AKIDROOT000000000001", "root/secret+00000000000000000000000001")
ALICE, BOB = (f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob"))
READER = f"arn:aws:iam::{ACCOUNT}:role/reader"


def client_of(server: S3Server, service: str, key: str, secret: str, token: str | None = None) -> Any:
    """A client of a service. Any: boto3 makes its clients at run time."""
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
    )


@pytest.fixture(scope="module")
def root(server: S3Server) -> S3Server:
    """The server, with an administrator."""

    async def add() -> None:
        await server.world.accounts.add_user("root", admin=True)
        await server.world.accounts.add_key("root", access_key_id=ADMIN[0], secret=ADMIN[1])

    asyncio.run_coroutine_threadsafe(add(), server.loop).result()
    return server


@pytest.fixture(scope="module")
def iam(root: S3Server) -> Any:
    return client_of(root, "iam", *ADMIN)


@pytest.fixture(scope="module")
def sts(root: S3Server) -> Any:
    """STS for bob, who owns nothing here."""
    return client_of(root, "sts", OTHER_KEY, OTHER_SECRET)


@pytest.fixture
def reader(iam: Any) -> Any:
    """A role that bob may take on, with no rights yet."""
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust(BOB))
    yield iam
    for name in iam.list_role_policies(RoleName="reader")["PolicyNames"]:
        iam.delete_role_policy(RoleName="reader", PolicyName=name)
    for one in iam.list_attached_role_policies(RoleName="reader")["AttachedPolicies"]:
        iam.detach_role_policy(RoleName="reader", PolicyArn=one["PolicyArn"])
    iam.delete_role(RoleName="reader")


def trust(*arns: str, effect: str = "Allow", **more: Any) -> str:
    one = {"Effect": effect, "Action": "sts:AssumeRole", "Principal": {"AWS": list(arns)}, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [one]})


def policy(*actions: str, resource: str = "*", effect: str = "Allow") -> str:
    one = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [one]})


def code(call: Any, **named: Any) -> tuple[int, str]:
    """Status and code of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**named)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], str(answer["Error"]["Code"])


def taken(server: S3Server, sts: Any, service: str = "s3", arn: str = READER, **named: Any) -> Any:
    """A client that took on a role."""
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="job", **named)["Credentials"]
    return client_of(server, service, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


DENIED = (403, "AccessDenied")


def test_roles_come_change_and_go(iam: Any) -> None:
    made = iam.create_role(
        RoleName="Backup",
        Path="/jobs/",
        AssumeRolePolicyDocument=trust(ALICE),
        Description="nightly",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "ops"}],
    )["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/jobs/Backup"
    found = iam.get_role(RoleName="backup")["Role"]
    assert (found["RoleId"], found["Description"], found["MaxSessionDuration"]) == (made["RoleId"], "nightly", 7200)
    assert json.dumps(found["AssumeRolePolicyDocument"]) == trust(ALICE)
    assert found["Tags"] == [{"Key": "team", "Value": "ops"}]
    named = {"RoleName": "BACKUP", "AssumeRolePolicyDocument": trust(ALICE)}
    assert code(iam.create_role, **named) == (409, "EntityAlreadyExists")
    iam.update_role(RoleName="Backup", Description="weekly", MaxSessionDuration=43_200)
    iam.tag_role(RoleName="Backup", Tags=[{"Key": "a", "Value": "b"}])
    iam.untag_role(RoleName="Backup", TagKeys=["team"])
    assert iam.list_role_tags(RoleName="Backup")["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.update_assume_role_policy(RoleName="Backup", PolicyDocument=trust(BOB))
    found = iam.get_role(RoleName="Backup")["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("weekly", 43_200)
    assert json.dumps(found["AssumeRolePolicyDocument"]) == trust(BOB)
    iam.put_role_policy(RoleName="Backup", PolicyName="p", PolicyDocument=policy("s3:*"))
    assert json.dumps(iam.get_role_policy(RoleName="Backup", PolicyName="p")["PolicyDocument"]) == policy("s3:*")
    assert code(iam.delete_role, RoleName="Backup") == (409, "DeleteConflict")
    iam.delete_role_policy(RoleName="Backup", PolicyName="p")
    assert code(iam.get_role_policy, RoleName="Backup", PolicyName="p") == (404, "NoSuchEntity")
    iam.create_role(RoleName="alpha", Path="/jobs/deep/", AssumeRolePolicyDocument=trust("*"))
    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/jobs/", PaginationConfig={"PageSize": 1})
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == ["alpha", "Backup"]
    assert iam.list_instance_profiles_for_role(RoleName="alpha")["InstanceProfiles"] == []
    for name in ("alpha", "Backup"):
        iam.delete_role(RoleName=name)
        assert code(iam.get_role, RoleName=name) == (404, "NoSuchEntity")


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"RoleName": "no spaces"}, (400, "ValidationError")),
        ({"Path": "no-slash"}, (400, "ValidationError")),
        ({"MaxSessionDuration": 43_201}, (400, "ValidationError")),
        ({"AssumeRolePolicyDocument": trust(BOB, Resource="*")}, (400, "MalformedPolicyDocument")),
        ({"AssumeRolePolicyDocument": trust(f"{BOB}by")}, (400, "MalformedPolicyDocument")),
        ({"AssumeRolePolicyDocument": policy("sts:AssumeRole")}, (400, "MalformedPolicyDocument")),
        ({"AssumeRolePolicyDocument": trust(BOB, Action="s3:GetObject")}, (400, "MalformedPolicyDocument")),
        ({"PermissionsBoundary": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}, (400, "ValidationError")),
    ],
)
def test_roles_that_cannot_be_honoured(iam: Any, named: dict[str, Any], status: tuple[int, str]) -> None:
    assert code(iam.create_role, **{"RoleName": "r", "AssumeRolePolicyDocument": trust(BOB), **named}) == status


def test_a_session_has_the_roles_rights_and_no_others(root: S3Server, reader: Any, sts: Any, bucket: str) -> None:
    s3 = root.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    bob = client_of(root, "s3", OTHER_KEY, OTHER_SECRET)
    bob.create_bucket(Bucket="bobs")
    session = taken(root, sts)
    for call, named in (
        (session.list_buckets, {}),
        (session.get_object, {"Bucket": bucket, "Key": "k"}),
        (session.list_objects_v2, {"Bucket": "bobs"}),
        (session.put_object, {"Bucket": "bobs", "Key": "k", "Body": b""}),
        (session.create_bucket, {"Bucket": "by-a-role"}),
    ):
        assert code(call, **named) == DENIED
    reader.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=policy("s3:GetObject", "s3:ListBucket"))
    assert session.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert session.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert code(session.put_object, Bucket=bucket, Key="k", Body=b"") == DENIED
    reader.put_role_policy(RoleName="reader", PolicyName="make", PolicyDocument=policy("s3:CreateBucket"))
    session.create_bucket(Bucket="by-a-role")
    assert code(session.put_object, Bucket="by-a-role", Key="k", Body=b"") == DENIED
    assert "by-a-role" in [one["Name"] for one in bob.list_buckets()["Buckets"]]
    for name in ("by-a-role", "bobs"):
        bob.delete_bucket(Bucket=name)
    who = taken(root, sts, "sts").get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/job"
    assert who["UserId"] == f"{reader.get_role(RoleName='reader')['Role']['RoleId']}:job"
    assert code(taken(root, sts, "iam").get_user) == (400, "ValidationError")
    assert code(taken(root, sts, "iam").list_users) == DENIED


def test_a_session_policy_and_managed_policies(root: S3Server, reader: Any, sts: Any, bucket: str) -> None:
    root.client().put_object(Bucket=bucket, Key="k", Body=b"x")
    everything = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    assert code(reader.attach_role_policy, RoleName="reader", PolicyArn=f"{everything}x") == (404, "NoSuchEntity")
    reader.attach_role_policy(RoleName="reader", PolicyArn=everything)
    assert [one["PolicyName"] for one in reader.list_attached_role_policies(RoleName="reader")["AttachedPolicies"]] == [
        "AmazonS3FullAccess"
    ]
    session = taken(root, sts, Policy=policy("s3:GetObject"))
    assert session.get_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    assert code(session.delete_object, Bucket=bucket, Key="k") == DENIED
    taken(root, sts).delete_object(Bucket=bucket, Key="k")
    reader.detach_role_policy(RoleName="reader", PolicyArn=everything)
    assert code(reader.detach_role_policy, RoleName="reader", PolicyArn=everything) == (404, "NoSuchEntity")
    assert code(session.get_object, Bucket=bucket, Key="k") == DENIED


def test_who_may_take_it_on(root: S3Server, reader: Any, sts: Any) -> None:
    assume = {"RoleArn": READER, "RoleSessionName": "job"}
    alice = client_of(root, "sts", ACCESS_KEY, SECRET_KEY)
    sts.assume_role(**assume)
    assert code(alice.assume_role, **assume) == DENIED
    assert code(sts.assume_role, **{**assume, "RoleArn": f"{READER}s"}) == DENIED
    assert code(sts.assume_role, **{**assume, "RoleArn": READER.replace(":role/", ":role/path/")}) == DENIED

    def now(document: str) -> None:
        reader.update_assume_role_policy(RoleName="reader", PolicyDocument=document)

    now(trust(f"arn:aws:iam::{ACCOUNT}:root"))
    assert code(alice.assume_role, **assume) == DENIED
    reader.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=policy("sts:AssumeRole", resource=READER))
    alice.assume_role(**assume)
    client_of(root, "sts", *ADMIN).assume_role(**assume)
    now(trust(BOB))
    assert code(alice.assume_role, **assume) == DENIED
    now(trust(ALICE))
    reader.put_user_policy(UserName="alice", PolicyName="p", PolicyDocument=policy("sts:AssumeRole", effect="Deny"))
    assert code(alice.assume_role, **assume) == DENIED
    reader.delete_user_policy(UserName="alice", PolicyName="p")
    now(trust(BOB, Condition={"StringEquals": {"sts:ExternalId": "secret-1"}}))
    assert code(sts.assume_role, **assume) == DENIED
    assert code(sts.assume_role, **assume, ExternalId="secret-2") == DENIED
    sts.assume_role(**assume, ExternalId="secret-1")
    now(trust(BOB, Condition={"StringLike": {"sts:RoleSessionName": "${aws:username}-*"}}))
    assert code(sts.assume_role, **assume) == DENIED
    sts.assume_role(RoleArn=READER, RoleSessionName="bob-1")
    now(trust(BOB, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    assert code(sts.assume_role, **assume) == DENIED
    now(trust(BOB, Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}))
    sts.assume_role(**assume)
    assert code(sts.assume_role, **assume, DurationSeconds=3601) == (400, "ValidationError")


def test_a_role_takes_on_another(root: S3Server, reader: Any, sts: Any) -> None:
    reader.create_role(RoleName="second", AssumeRolePolicyDocument=trust(READER), MaxSessionDuration=7200)
    second = READER.replace("reader", "second")
    through = taken(root, sts, "sts")
    assert code(sts.assume_role, RoleArn=second, RoleSessionName="job") == DENIED
    named = {"RoleArn": second, "RoleSessionName": "two"}
    assert code(through.assume_role, **named, DurationSeconds=3601) == (400, "ValidationError")
    made = through.assume_role(**named)
    assert made["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/second/two"
    assert code(reader.delete_role, RoleName="reader") == (409, "DeleteConflict")
    reader.delete_role(RoleName="second")


def test_bucket_policies_name_roles_and_sessions(root: S3Server, reader: Any, sts: Any, bucket: str) -> None:
    s3 = root.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    session = taken(root, sts)

    def now(principal: str, effect: str = "Allow", **more: Any) -> None:
        resource = f"arn:aws:s3:::{bucket}/*"
        one = {
            "Effect": effect,
            "Principal": {"AWS": principal},
            "Action": "s3:GetObject",
            "Resource": resource,
            **more,
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [one]}))

    now(READER)
    assert session.get_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    assert code(reader.delete_role, RoleName="reader") == (409, "DeleteConflict")
    now(f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/other")
    assert code(session.get_object, Bucket=bucket, Key="k") == DENIED
    now(f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/job")
    assert session.get_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    narrow = taken(root, sts, Policy=policy("s3:ListBucket"))
    assert narrow.get_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    now(READER)
    assert code(narrow.get_object, Bucket=bucket, Key="k") == DENIED
    now(BOB)
    assert code(session.get_object, Bucket=bucket, Key="k") == DENIED
    now(
        "*", Condition={"ArnEquals": {"aws:PrincipalArn": READER}, "StringEquals": {"aws:PrincipalType": "AssumedRole"}}
    )
    assert session.get_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    reader.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=policy("s3:GetObject"))
    now(READER, "Deny")
    assert code(session.get_object, Bucket=bucket, Key="k") == DENIED
    with pytest.raises(ClientError, match="no such role"):
        now(f"{READER}s")
    s3.delete_bucket_policy(Bucket=bucket)


def test_a_session_ends_with_its_role(root: S3Server, iam: Any, sts: Any) -> None:
    arn = READER.replace("reader", "short")
    iam.create_role(RoleName="short", AssumeRolePolicyDocument=trust(BOB))
    session = taken(root, sts, arn=arn)
    assert code(session.list_buckets) == DENIED
    iam.delete_role(RoleName="short")
    assert code(session.list_buckets) == (400, "InvalidToken")
    iam.create_role(RoleName="short", AssumeRolePolicyDocument=trust(BOB))
    assert code(session.list_buckets) == (400, "InvalidToken")
    iam.delete_role(RoleName="short")


def test_managed_policies_of_users(root: S3Server, iam: Any, bucket: str) -> None:
    readonly = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    bob = client_of(root, "s3", OTHER_KEY, OTHER_SECRET)
    assert code(bob.list_objects_v2, Bucket=bucket) == DENIED
    iam.attach_user_policy(UserName="bob", PolicyArn=readonly)
    bob.list_objects_v2(Bucket=bucket)
    assert code(bob.put_object, Bucket=bucket, Key="k", Body=b"") == DENIED
    assert iam.list_user_policies(UserName="bob")["PolicyNames"] == []
    assert iam.list_attached_user_policies(UserName="bob")["AttachedPolicies"][0]["PolicyArn"] == readonly
    assert iam.list_groups_for_user(UserName="bob")["Groups"] == []
    iam.detach_user_policy(UserName="bob", PolicyArn=readonly)
    assert code(iam.detach_user_policy, UserName="bob", PolicyArn=readonly) == (404, "NoSuchEntity")
    assert code(bob.list_objects_v2, Bucket=bucket) == DENIED
