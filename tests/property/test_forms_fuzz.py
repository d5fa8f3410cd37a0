"""Any form that is posted to IAM or STS has an answer that is not our fault, whoever signed it."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.rights.actions import IDENTITY_ACTIONS
from tests.support.namespace import ACCOUNT
from tests.support.s3_raw import request
from tests.support.s3_server import ACCESS_KEY, S3Server, serve

ACTIONS = sorted(name.partition(":")[2] for name in IDENTITY_ACTIONS if not name.startswith("s3:"))
FIELDS = (
    "UserName RoleName PolicyName PolicyDocument AssumeRolePolicyDocument PolicyArn Path PathPrefix NewUserName "
    "NewPath Marker MaxItems AccessKeyId Status Description MaxSessionDuration RoleArn RoleSessionName DurationSeconds "
    "Policy ExternalId Tags.member.1.Key Tags.member.1.Value Tags.member.2.Key TagKeys.member.1"
)
STATEMENT = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"}}
DOCUMENTS = (
    json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]}),
    json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}),
    json.dumps({"Statement": [{**STATEMENT, "Principal": "*"}]}),
    "{}",
    "[" * 2000,
)
VALUES = (
    *("alice", "bob", "role", "/", "/a/", "900", "3600", "-1", "1e9", "Active", "job", ACCESS_KEY, *DOCUMENTS),
    "arn:aws:iam::aws:policy/IAMFullAccess",
    f"arn:aws:iam::{ACCOUNT}:role/role",
    f"arn:aws:iam::{ACCOUNT}:role/a/role",
)
forms = st.fixed_dictionaries(
    {"Action": st.sampled_from(ACTIONS) | st.text(max_size=10)},
    optional={name: st.sampled_from(VALUES) | st.text(max_size=20) for name in FIELDS.split()},
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server whose alice may do everything."""
    with serve() as running:
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
        )

        async def allow() -> None:
            await running.world.user_policies.put("alice", "everything", document.encode())
            await running.world.roles.create("role", DOCUMENTS[0].encode())

        asyncio.run_coroutine_threadsafe(allow(), running.loop).result()
        yield running


@settings(max_examples=150)
@given(form=forms, raw=st.none() | st.binary(max_size=60))
def test_any_form_has_an_answer_that_is_not_our_fault(
    server: S3Server, form: dict[str, str], raw: bytes | None
) -> None:
    """Alice's key and her policy stay, so that the next form is hers too."""
    if form.get("UserName", "alice") == "alice" and form["Action"] in (
        "DeleteAccessKey",
        "UpdateAccessKey",
        "UpdateUser",
    ):
        form = {**form, "UserName": "bob"}
    if form["Action"] in ("PutUserPolicy", "DeleteUserPolicy"):
        form = {**form, "UserName": "bob"}
    body = urlencode(form, errors="surrogatepass").encode() if raw is None else raw
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = request(server, "POST", "/", body, headers, hashlib.sha256(body).hexdigest())
    assert reply.status < 500 or reply.status == 501, (form, reply.body)
    assert reply.body.startswith(b"<")
    assert b"SignatureDoesNotMatch" not in reply.body
