"""IAM and STS on the S3 endpoint, by the SDK's own clients."""

import asyncio
import json
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.namespace import ACCOUNT
from tests.support.s3_server import ACCESS_KEY, OTHER_KEY, OTHER_SECRET, REGION, SECRET_KEY, S3Server

ADMIN = ("AKIDROOT000000000001", "root/secret+00000000000000000000000001")


@pytest.fixture(scope="module")
def root(server: S3Server) -> S3Server:
    """The server, with an administrator."""

    async def add() -> None:
        await server.world.accounts.add_user("root", admin=True)
        await server.world.accounts.add_key("root", access_key_id=ADMIN[0], secret=ADMIN[1])

    asyncio.run_coroutine_threadsafe(add(), server.loop).result()
    return server


def client_of(server: S3Server, service: str, key: str, secret: str, token: str | None = None) -> Any:
    """A client of another service. Any: boto3 makes its clients at run time."""
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            proxies={},
            parameter_validation=False,
            signature_version="s3v4" if service == "s3" else "v4",
        ),
    )


@pytest.fixture(scope="module")
def iam(root: S3Server) -> Any:
    """IAM for the administrator."""
    return client_of(root, "iam", *ADMIN)


@pytest.fixture(scope="module")
def sts(root: S3Server) -> Any:
    """STS for alice."""
    return client_of(root, "sts", ACCESS_KEY, SECRET_KEY)


def code(call: Any, **named: Any) -> tuple[int, str]:
    """Status and code of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**named)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], str(answer["Error"]["Code"])


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})


def test_users_and_keys_come_and_go(root: S3Server, iam: Any, s3: Any, bucket: str) -> None:
    made = iam.create_user(UserName="carol")["User"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/carol"
    assert iam.get_user(UserName="carol")["User"]["UserId"] == made["UserId"]
    assert code(iam.create_user, UserName="carol") == (409, "EntityAlreadyExists")
    assert code(iam.create_user, UserName="no spaces") == (400, "ValidationError")
    assert code(iam.create_user, UserName="dave", Path="staff") == (400, "ValidationError")
    names = [
        user["UserName"]
        for page in iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1})
        for user in page["Users"]
    ]
    assert names == ["alice", "bob", "carol", "root"]

    key = iam.create_access_key(UserName="carol")["AccessKey"]
    pair = (key["AccessKeyId"], key["SecretAccessKey"])
    carol = client_of(root, "s3", *pair)
    carol.create_bucket(Bucket="carols")
    assert [one["Status"] for one in iam.list_access_keys(UserName="carol")["AccessKeyMetadata"]] == ["Active"]
    iam.update_access_key(UserName="carol", AccessKeyId=pair[0], Status="Inactive")
    assert code(carol.list_buckets) == (403, "InvalidAccessKeyId")
    assert [one["Status"] for one in iam.list_access_keys(UserName="carol")["AccessKeyMetadata"]] == ["Inactive"]
    iam.update_access_key(UserName="carol", AccessKeyId=pair[0], Status="Active")
    assert code(iam.delete_user, UserName="carol") == (409, "DeleteConflict")
    carol.delete_bucket(Bucket="carols")
    names_her = policy({"Principal": {"AWS": made["Arn"]}, "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}"})
    s3.put_bucket_policy(Bucket=bucket, Policy=names_her)
    assert code(iam.delete_user, UserName="carol") == (409, "DeleteConflict")
    s3.delete_bucket_policy(Bucket=bucket)
    assert code(iam.delete_user, UserName="carol") == (409, "DeleteConflict")
    assert code(iam.delete_access_key, UserName="bob", AccessKeyId=pair[0]) == (404, "NoSuchEntity")
    iam.delete_access_key(UserName="carol", AccessKeyId=pair[0])
    assert code(carol.list_buckets) == (403, "InvalidAccessKeyId")
    iam.delete_user(UserName="carol")
    assert code(iam.get_user, UserName="carol") == (404, "NoSuchEntity")


def test_the_store_as_an_account(iam: Any) -> None:
    found = iam.get_account_summary()["SummaryMap"]
    assert (found["Users"], found["Roles"], found["Groups"]) == (3, 0, 0)
    assert iam.list_groups()["Groups"] == []
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
    assert iam.create_access_key(UserName="bob")["AccessKey"]["CreateDate"]
    key = iam.list_access_keys(UserName="bob")["AccessKeyMetadata"]
    for one in key:
        if one["AccessKeyId"] != OTHER_KEY:
            iam.delete_access_key(UserName="bob", AccessKeyId=one["AccessKeyId"])
    iam.create_user(UserName="Bert")
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["alice", "Bert", "bob", "root"]
    pages = iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1})
    assert [user["UserName"] for page in pages for user in page["Users"]] == ["alice", "Bert", "bob", "root"]
    iam.delete_user(UserName="Bert")


def test_users_have_paths_and_get_other_names(root: S3Server, iam: Any, s3: Any, bucket: str) -> None:
    made = iam.create_user(UserName="erin", Path="/staff/")["User"]
    assert (made["Arn"], made["Path"]) == (f"arn:aws:iam::{ACCOUNT}:user/staff/erin", "/staff/")
    assert [user["UserName"] for user in iam.list_users(PathPrefix="/st")["Users"]] == ["erin"]
    key = iam.create_access_key(UserName="erin")["AccessKey"]
    pair = (key["AccessKeyId"], key["SecretAccessKey"])
    assert client_of(root, "sts", *pair).get_caller_identity()["Arn"] == made["Arn"]

    def let(arn: str, **more: Any) -> None:
        named = {"Principal": {"AWS": arn}, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}", **more}
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(named))

    with pytest.raises(ClientError, match="no such user"):
        let(f"arn:aws:iam::{ACCOUNT}:user/erin")
    let(made["Arn"])
    erin = client_of(root, "s3", *pair)
    erin.list_objects_v2(Bucket=bucket)
    assert code(iam.update_user, UserName="erin", NewUserName="eve") == (409, "DeleteConflict")
    let("*", Condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/staff/*"}})
    erin.list_objects_v2(Bucket=bucket)
    assert code(iam.update_user, UserName="erin", NewUserName="bob") == (409, "EntityAlreadyExists")
    iam.update_user(UserName="erin", NewUserName="eve", NewPath="/gone/")
    assert code(iam.get_user, UserName="erin") == (404, "NoSuchEntity")
    assert iam.get_user(UserName="eve")["User"]["UserId"] == made["UserId"]
    assert code(erin.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    own = policy({"Action": "iam:GetUser", "Resource": f"arn:aws:iam::{ACCOUNT}:user/gone/*"})
    iam.put_user_policy(UserName="eve", PolicyName="own", PolicyDocument=own)
    assert client_of(root, "iam", *pair).get_user()["User"]["UserName"] == "eve"
    iam.delete_user_policy(UserName="eve", PolicyName="own")
    iam.delete_access_key(UserName="eve", AccessKeyId=pair[0])
    iam.delete_user(UserName="eve")
    s3.delete_bucket_policy(Bucket=bucket)


def test_policies_of_users_read_back_and_count_at_once(root: S3Server, iam: Any, bucket: str) -> None:
    bob = client_of(root, "s3", OTHER_KEY, OTHER_SECRET)
    document = policy({"Action": ["s3:ListBucket", "s3:PutObject"], "Resource": ["arn:aws:s3:::*"]})
    assert code(bob.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    iam.put_user_policy(UserName="bob", PolicyName="some", PolicyDocument=document)
    assert json.dumps(iam.get_user_policy(UserName="bob", PolicyName="some")["PolicyDocument"]) == document
    bob.head_bucket(Bucket=bucket)
    bob.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(bob.get_object, Bucket=bucket, Key="k") == (403, "AccessDenied")
    deny = policy({"Effect": "Deny", "Action": ["s3:ListAllMyBuckets", "s3:CreateBucket"], "Resource": "*"})
    iam.put_user_policy(UserName="bob", PolicyName="less", PolicyDocument=deny)
    assert code(bob.list_buckets) == (403, "AccessDenied")
    assert code(bob.create_bucket, Bucket="bobs-own") == (403, "AccessDenied")
    assert iam.list_user_policies(UserName="bob")["PolicyNames"] == ["less", "some"]
    assert code(iam.delete_user_policy, UserName="bob", PolicyName="none") == (404, "NoSuchEntity")
    for name in ("less", "some"):
        iam.delete_user_policy(UserName="bob", PolicyName=name)
    assert bob.list_buckets()["Buckets"] == []
    assert code(bob.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        policy({"Action": "s3:Frobnicate", "Resource": "*"}),
        policy({"Action": "s3:*", "Resource": "*", "Principal": "*"}),
        policy({"Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:Nonsense": "x"}}}),
    ],
)
def test_policies_that_cannot_be_honoured(iam: Any, document: str) -> None:
    refused = code(iam.put_user_policy, UserName="bob", PolicyName="p", PolicyDocument=document)
    assert refused == (400, "MalformedPolicyDocument")


def test_users_manage_what_a_policy_lets_them(root: S3Server, iam: Any) -> None:
    bob = client_of(root, "iam", OTHER_KEY, OTHER_SECRET)
    assert code(bob.list_users) == (403, "AccessDenied")
    assert code(bob.create_user, UserName="mallory") == (403, "AccessDenied")
    assert code(bob.get_user, UserName="nobody-there") == (403, "AccessDenied")
    own = policy({"Action": "iam:*AccessKey*", "Resource": f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"})
    iam.put_user_policy(UserName="bob", PolicyName="own", PolicyDocument=own)
    assert len(bob.list_access_keys()["AccessKeyMetadata"]) == 1
    assert code(bob.list_access_keys, UserName="alice") == (403, "AccessDenied")
    iam.delete_user_policy(UserName="bob", PolicyName="own")


def test_forms_nobody_signed_or_understands(root: S3Server, iam: Any) -> None:
    assert code(client_of(root, "iam", ADMIN[0], "wrong").list_users) == (403, "SignatureDoesNotMatch")
    assert code(client_of(root, "iam", "AKIDUNKNOWN000000001", "x").list_users) == (403, "InvalidClientTokenId")
    assert code(iam.create_group, GroupName="g") == (501, "NotImplemented")
    assert code(iam.create_user, UserName="eve", Tags=[{"Key": "a", "Value": "b"}]) == (400, "ValidationError")


def test_who_somebody_is(sts: Any) -> None:
    told = sts.get_caller_identity()
    assert (told["Account"], told["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/alice")


def temporary(server: S3Server, made: dict[str, Any], service: str = "s3") -> Any:
    """A client with temporary credentials."""
    keys = made["Credentials"]
    return client_of(server, service, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def test_a_session_has_its_users_rights(root: S3Server, sts: Any, bucket: str) -> None:
    session = temporary(root, sts.get_session_token(DurationSeconds=900))
    session.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert session.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    url = session.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert "X-Amz-Security-Token" in url
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"
    assert code(temporary(root, sts.get_session_token(), "sts").get_session_token) == (403, "AccessDenied")


def test_a_session_policy_narrows_them(root: S3Server, sts: Any, s3: Any, bucket: str) -> None:
    narrow = policy({"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/in/*"})
    made = sts.assume_role(RoleArn="arn:aws:iam::999999999999:role/any", RoleSessionName="job", Policy=narrow)
    assert made["AssumedRoleUser"]["Arn"].endswith(":assumed-role/alice/job")
    session = temporary(root, made)
    s3.put_object(Bucket=bucket, Key="in/k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="out/k", Body=b"x")
    assert session.get_object(Bucket=bucket, Key="in/k")["Body"].read() == b"x"
    for call, named in (
        (session.get_object, {"Bucket": bucket, "Key": "out/k"}),
        (session.put_object, {"Bucket": bucket, "Key": "in/k", "Body": b"y"}),
        (session.list_objects_v2, {"Bucket": bucket}),
        (session.create_bucket, {"Bucket": "by-a-session"}),
        (session.list_buckets, {}),
    ):
        assert code(call, **named) == (403, "AccessDenied")


def test_a_client_of_minios_names_no_role(root: S3Server, sts: Any, bucket: str) -> None:
    made = sts.assume_role(DurationSeconds=900)
    assert made["AssumedRoleUser"]["Arn"].endswith(":assumed-role/alice/session")
    temporary(root, made).list_objects_v2(Bucket=bucket)
    assert code(sts.assume_role, RoleArn="arn:aws:iam::999999999999:role/any") == (400, "ValidationError")


def test_tokens_that_are_worth_nothing(root: S3Server, sts: Any, bucket: str) -> None:
    made, other = sts.get_session_token()["Credentials"], sts.get_session_token()["Credentials"]
    pair = (made["AccessKeyId"], made["SecretAccessKey"])
    for token in (other["SessionToken"], made["SessionToken"][:-4] + "AAAA", "nonsense", "é"):
        if token.isascii():
            assert code(client_of(root, "s3", *pair, token).list_objects_v2, Bucket=bucket) == (400, "InvalidToken")
    assert code(client_of(root, "s3", *pair).list_objects_v2, Bucket=bucket) == (403, "InvalidAccessKeyId")
    lasting = client_of(root, "s3", ACCESS_KEY, SECRET_KEY, made["SessionToken"])
    assert code(lasting.list_objects_v2, Bucket=bucket) == (400, "InvalidToken")


def test_a_token_ends_with_its_time_and_with_its_key(root: S3Server, iam: Any, bucket: str) -> None:
    key = iam.create_access_key(UserName="bob")["AccessKey"]
    pair = (key["AccessKeyId"], key["SecretAccessKey"])
    made = client_of(root, "sts", *pair).get_session_token(DurationSeconds=900)
    session = temporary(root, made)
    session.list_buckets()
    keys = made["Credentials"]
    now_us = root.world.clock.now_us()
    tokens = root.world.tokens
    assert str(tokens.credential(keys["AccessKeyId"], keys["SessionToken"], now_us + 901_000_000)) == "Fault.EXPIRED"
    iam.delete_access_key(UserName="bob", AccessKeyId=pair[0])
    assert code(session.list_buckets) == (400, "InvalidToken")


@pytest.mark.parametrize(
    "named",
    [
        {"DurationSeconds": 899},
        {"DurationSeconds": 43_201},
        {"RoleSessionName": "a b"},
        {"Policy": "{}"},
        {"Policy": policy({"Action": "s3:*", "Resource": "*", "Sid": "x" * 2048})},
        {"ExternalId": "not-known"},
    ],
)
def test_sessions_that_are_refused(root: S3Server, named: dict[str, Any]) -> None:
    asked = {"RoleArn": "arn:aws:iam::999999999999:role/any", "RoleSessionName": "job", **named}
    status, _ = code(client_of(root, "sts", ACCESS_KEY, SECRET_KEY).assume_role, **asked)
    assert status == 400
