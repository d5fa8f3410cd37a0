"""Whatever is put as a policy, a list or a form is answered, never with a fault of the server, and nothing leaks."""

import hashlib
import json
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisefs.adapters.inbound.s3 import S3Settings
from noisefs.adapters.inbound.s3.failure import CODES
from tests.support.s3_raw import Reply, Wire, head_of, request
from tests.support.s3_server import S3Server, serve

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
against_a_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=150
)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server whose new buckets take lists, with ``open`` for everything that is put, and ``closed`` with a secret."""
    with serve(S3Settings(ownership="ObjectWriter")) as running:
        for name in ("open", "closed"):
            assert request(running, "PUT", f"/{name}").status == 200
            assert request(running, "PUT", f"/{name}/k", b"secret").status == 200
        yield running


def check(server: S3Server, reply: Reply) -> None:
    """The answer is one of S3's, and nobody reads what nobody opened."""
    assert reply.status < 500 or reply.status == 501
    if reply.status >= 400:
        assert CODES[reply.code][0] == reply.status
    with Wire(server) as wire:
        wire.send(head_of("GET", "/closed/k", {"host": "h"}))
        assert wire.receive().code == "AccessDenied"


texts = st.one_of(
    st.sampled_from(
        ["*", "s3:*", "s3:GetObject", "arn:aws:s3:::open/*", "${aws:username}", "true", "10.0.0.0/8", "7", ""]
    ),
    st.text(max_size=12),
)
scalars = texts | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
conditions = st.dictionaries(
    st.sampled_from(
        ["StringEquals", "StringLikeIfExists", "IpAddress", "ForAnyValue:StringLike", "Null", "DateLessThan", "Nope"]
    )
    | texts,
    st.dictionaries(
        st.sampled_from(
            ["aws:SourceIp", "aws:username", "s3:prefix", "s3:RequestObjectTagKeys", "aws:CurrentTime", "s3:max-keys"]
        )
        | texts,
        st.lists(texts, max_size=3) | anything,
        max_size=2,
    )
    | anything,
    max_size=2,
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]) | texts},
    optional={
        "Sid": scalars,
        "Principal": st.sampled_from(["*", {"AWS": "*"}]) | anything,
        "NotPrincipal": anything,
        "Action": texts | st.lists(texts, max_size=3) | anything,
        "NotAction": texts,
        "Resource": texts | st.lists(texts, max_size=3) | anything,
        "NotResource": texts,
        "Condition": conditions | anything,
        "Extra": scalars,
    },
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "Version": st.sampled_from(["2012-10-17", "2008-10-17"]) | scalars,
        "Id": scalars,
        "Statement": st.lists(statements, max_size=3) | statements | anything,
    },
)


@against_a_server
@given(document=documents | anything, raw=st.none() | st.binary(max_size=60))
def test_any_policy_is_kept_as_it_is_or_refused(server: S3Server, document: Any, raw: bytes | None) -> None:
    body = json.dumps(document).encode() if raw is None else raw
    reply = request(server, "PUT", "/open?policy", body)
    check(server, reply)
    if reply.status == 204:
        assert request(server, "GET", "/open?policy").body == body
        for method, target in (("GET", "/open/k"), ("PUT", "/open/j"), ("GET", "/open"), ("DELETE", "/open/j")):
            with Wire(server) as wire:
                wire.send(head_of(method, target, {"host": "h", "content-length": "0", "referer": "x"}))
                answered = wire.receive()
            assert answered.status < 500
    assert request(server, "DELETE", "/open?policy").status == 204


def _grant(kind: str, inner: str, permission: str) -> str:
    return (
        f'<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{kind}">{inner}</Grantee>'
        f"<Permission>{permission}</Permission></Grant>"
    )


xml_texts = st.text(string.ascii_letters + string.digits + " :/.-", max_size=12)
grants = st.builds(
    _grant,
    st.sampled_from(["CanonicalUser", "Group", "AmazonCustomerByEmail", ""]),
    st.sampled_from([f"<URI>{ALL_USERS}</URI>", "<ID>x</ID>", "<EmailAddress>a@b</EmailAddress>", ""])
    | xml_texts.map("<ID>{}</ID>".format),
    st.sampled_from(["READ", "WRITE", "FULL_CONTROL", "READ_ACP"]) | xml_texts,
)
lists = st.lists(grants, max_size=4).map(
    lambda found: f"<AccessControlPolicy><AccessControlList>{''.join(found)}</AccessControlList></AccessControlPolicy>"
)
xml_bodies = lists | st.sampled_from(
    [
        "<AccessControlPolicy/>",
        "<AccessControlPolicy><Owner><ID>x</ID></Owner></AccessControlPolicy>",
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
        "<OwnershipControls><Rule><ObjectOwnership>Nobody</ObjectOwnership></Rule></OwnershipControls>",
        "<OwnershipControls/>",
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>",
        "<PublicAccessBlockConfiguration><BlockPublicAcls>maybe</BlockPublicAcls></PublicAccessBlockConfiguration>",
        "<PublicAccessBlockConfiguration/>",
        "",
    ]
)
acl_headers = st.dictionaries(
    st.sampled_from(["x-amz-acl", "x-amz-grant-read", "x-amz-grant-write-acp", "x-amz-object-ownership"]),
    st.sampled_from(["public-read", "private", f'uri="{ALL_USERS}"', "id=x", "emailAddress=a@b", "ObjectWriter", ""])
    | st.text(string.ascii_letters + string.digits + '="/:, ', max_size=20).map(str.strip),
    max_size=2,
)


@against_a_server
@given(
    target=st.sampled_from(
        [
            "/open?acl",
            "/open/k?acl",
            "/open?ownershipControls",
            "/open?publicAccessBlock",
            "/open/n",
            "/made",
            "/open/m?uploads",
        ]
    ),
    method=st.sampled_from(["PUT", "PUT", "POST", "DELETE"]),
    body=xml_bodies,
    headers=acl_headers,
)
def test_any_list_is_answered(server: S3Server, target: str, method: str, body: str, headers: dict[str, str]) -> None:
    check(server, request(server, method, target, body.encode(), headers))
    check(server, request(server, "GET", "/open?acl"))
    assert request(server, "PUT", "/open/k", b"x").status == 200
    assert request(server, "DELETE", "/made").status in (204, 404)


actions = st.sampled_from(
    [
        "CreateUser",
        "GetUser",
        "ListUsers",
        "DeleteUser",
        "CreateAccessKey",
        "ListAccessKeys",
        "DeleteAccessKey",
        "UpdateAccessKey",
        "PutUserPolicy",
        "GetUserPolicy",
        "ListUserPolicies",
        "DeleteUserPolicy",
        "GetCallerIdentity",
        "GetSessionToken",
        "AssumeRole",
        "CreateRole",
    ]
)
form_fields = st.dictionaries(
    st.sampled_from(
        [
            "UserName",
            "PolicyName",
            "PolicyDocument",
            "AccessKeyId",
            "Status",
            "DurationSeconds",
            "Policy",
            "RoleArn",
            "RoleSessionName",
            "MaxItems",
            "Marker",
            "Path",
        ]
    ),
    st.sampled_from(["alice", "nobody", "900", "{}", "Active", "arn:aws:iam::1:role/x"]) | st.text(max_size=12),
    max_size=4,
)


@against_a_server
@given(action=actions | st.text(max_size=8), more=form_fields, raw=st.none() | st.binary(max_size=60))
def test_any_form_is_answered(server: S3Server, action: str, more: dict[str, str], raw: bytes | None) -> None:
    body = urlencode({"Action": action, **more}, errors="replace").encode() if raw is None else raw
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = request(server, "POST", "/", body, headers, hashlib.sha256(body).hexdigest())
    assert reply.status < 500 or reply.status == 501
    assert b"SecretAccessKey" not in reply.body or action in ("GetSessionToken", "AssumeRole")
    assert request(server, "GET", "/closed/k").body == b"secret"
