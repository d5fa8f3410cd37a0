"""Policy documents: what is taken, what is refused and how, and what they say."""

import json
from typing import Any

import pytest

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.policy import BUCKET_POLICY_BYTES, Request, Verdict, parse_policy
from noisefs.core.domain.rights.principals import Caller
from noisefs.core.domain.rights.public_access import is_public_policy
from noisefs.core.errors import InvalidPolicy

ACCOUNT = "123456789012"
ALICE = Caller(UserId("a" * 32), "alice", ACCOUNT, admin=False)
ROOT = Caller(UserId("0" * 32), "root", ACCOUNT, admin=True)
NOBODY = Caller(UserId(""), "", ACCOUNT, admin=False)
LOGS = Caller(UserId(""), "", "", admin=False, service="logging.s3.amazonaws.com")
ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"


def statement(**fields: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **fields}


def raw(*statements: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **fields}).encode()


def verdict(
    policy: bytes,
    caller: Caller = ALICE,
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::b/k",
    **context: str,
) -> Verdict:
    lookup = {name.replace("_", ":"): (value,) for name, value in context.items()}
    return parse_policy(policy, bucket="b").verdict(Request(caller, action, resource, lookup.get))


def test_a_deny_wins_wherever_it_stands() -> None:
    allow, deny = statement(), statement(Effect="Deny", Principal={"AWS": ARN})
    for order in ((allow, deny), (deny, allow)):
        assert verdict(raw(*order)) is Verdict.DENY
        assert verdict(raw(*order), NOBODY) is Verdict.ALLOW


@pytest.mark.parametrize(
    ("fields", "action", "resource", "expected"),
    [
        ({"Action": "s3:get*"}, "s3:GetObjectAcl", "arn:aws:s3:::b/k", Verdict.ALLOW),
        ({"Action": "*"}, "s3:PutObject", "arn:aws:s3:::b/k", Verdict.ALLOW),
        ({"NotAction": "s3:Delete*", "Action": None}, "s3:PutObject", "arn:aws:s3:::b/k", Verdict.ALLOW),
        ({"NotAction": "s3:Delete*", "Action": None}, "s3:DeleteObject", "arn:aws:s3:::b/k", Verdict.SILENT),
        ({"Resource": "arn:aws:s3:::b/a/*"}, "s3:GetObject", "arn:aws:s3:::b/k", Verdict.SILENT),
        ({"Resource": ["arn:aws:s3:::b/?"]}, "s3:GetObject", "arn:aws:s3:::b/k", Verdict.ALLOW),
        ({"Resource": "arn:aws:s3:::b/K"}, "s3:GetObject", "arn:aws:s3:::b/k", Verdict.SILENT),
        (
            {"NotResource": "arn:aws:s3:::b/k", "Resource": None},
            "s3:GetObject",
            "arn:aws:s3:::b/k",
            Verdict.SILENT,
        ),
        ({"NotResource": "arn:aws:s3:::b/k", "Resource": None}, "s3:GetObject", "arn:aws:s3:::b/j", Verdict.ALLOW),
        ({"Resource": "arn:aws:s3:::b/${aws:username}"}, "s3:GetObject", "arn:aws:s3:::b/al", Verdict.ALLOW),
    ],
)
def test_actions_and_resources(fields: dict[str, Any], action: str, resource: str, expected: Verdict) -> None:
    one = {name: value for name, value in statement(**fields).items() if value is not None}
    assert verdict(raw(one), action=action, resource=resource, aws_username="al") is expected


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ("*", NOBODY, True),
        ({"AWS": "*"}, NOBODY, True),
        ({"AWS": ARN}, ALICE, True),
        ({"AWS": ["arn:aws:iam:::user/alice"]}, ALICE, True),
        ({"AWS": ARN}, ROOT, False),
        ({"AWS": ARN}, NOBODY, False),
        ({"AWS": ACCOUNT}, ALICE, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ROOT, True),
        ({"AWS": "arn:aws:iam::999999999999:root"}, ROOT, False),
    ],
)
def test_principals(principal: Any, caller: Caller, expected: bool) -> None:
    assert (verdict(raw(statement(Principal=principal)), caller) is Verdict.ALLOW) is expected


def test_a_service_is_let_by_its_name_only_and_denied_with_everybody() -> None:
    named = statement(Principal={"Service": ["logging.s3.amazonaws.com"]})
    assert verdict(raw(named), LOGS) is Verdict.ALLOW
    assert verdict(raw(named), NOBODY) is Verdict.SILENT
    assert verdict(raw(named), ROOT) is Verdict.SILENT
    assert verdict(raw(statement()), LOGS) is Verdict.SILENT
    assert verdict(raw(statement(Principal={"AWS": ACCOUNT})), LOGS) is Verdict.SILENT
    assert verdict(raw(named, statement(Effect="Deny")), LOGS) is Verdict.DENY
    spared = statement(Effect="Deny", NotPrincipal=named["Principal"])
    del spared["Principal"]
    assert verdict(raw(named, spared), LOGS) is Verdict.ALLOW
    assert verdict(raw(named, spared), ALICE) is Verdict.DENY


def test_a_denied_account_is_everybody_in_it() -> None:
    denied = raw(statement(Effect="Deny", Principal={"AWS": ACCOUNT}))
    assert verdict(denied) is Verdict.DENY
    assert verdict(denied, NOBODY) is Verdict.SILENT
    spared = raw(
        {**{k: v for k, v in statement(Effect="Deny").items() if k != "Principal"}, "NotPrincipal": {"AWS": ARN}}
    )
    assert verdict(spared) is Verdict.SILENT
    assert verdict(spared, NOBODY) is Verdict.DENY


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (b"", "policy"),
        (b"[]", "policy"),
        (b'{"Statement": 1, "Statement": 2}', "policy"),
        (b"{" * 5000, "policy"),
        (b" " * (BUCKET_POLICY_BYTES + 1), "policy"),
        (raw(), "Statement"),
        (raw(statement(), Version="2020-01-01"), "Version"),
        (raw(statement(), Extra=1), "policy element"),
        (raw(statement(Extra=1)), "statement element"),
        (raw(statement(Effect="allow")), "Effect"),
        (raw(statement(Action="s3:Frobnicate")), "Action"),
        (raw(statement(Action="iam:CreateUser")), "Action"),
        (raw(statement(Action=[])), "Action"),
        (raw(statement(NotAction="s3:*")), "Action"),
        (raw(statement(Resource="arn:aws:s3:::other/*")), "Resource"),
        (raw(statement(Resource="b/*")), "Resource"),
        (raw(statement(Resource="arn:aws:s3:::b/${aws:nonsense}")), "Resource"),
        (raw(statement(Principal={"Service": "s3.amazonaws.com"})), "Principal"),
        (raw(statement(Principal={"AWS": "arn:aws:iam::123456789012:user/*"})), "Principal"),
        (raw({k: v for k, v in statement().items() if k != "Principal"}), "Principal"),
        (raw({**statement(Principal=None), "NotPrincipal": "*"}), "Principal"),
        (raw(statement(Condition={"StringEquals": {"aws:SourceVpce": "v"}})), "Condition.StringEquals.aws:SourceVpce"),
        (raw(statement(Condition={"Nope": {"aws:username": "v"}})), "Condition.Nope.aws:username"),
        (raw(statement(Condition={"StringEquals": {}})), "Condition.StringEquals"),
        (raw(statement(Condition={"StringEquals": {"aws:username": None}})), "Condition.StringEquals.aws:username"),
        (raw(statement(Sid="x"), statement(Sid="x")), "Sid"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(policy: bytes, field: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(policy, bucket="b")
    assert refused.value.field == field


def test_an_allow_for_everybody_else_is_refused() -> None:
    one = {k: v for k, v in statement().items() if k != "Principal"} | {"NotPrincipal": {"AWS": ARN}}
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(raw(one), bucket="b")
    assert refused.value.field == "NotPrincipal"


def test_a_users_policy_names_nobody() -> None:
    own = {k: v for k, v in statement(Action=["s3:*", "iam:GetUser"]).items() if k != "Principal"}
    policy = parse_policy(raw(own))
    assert policy.verdict(Request(ALICE, "s3:PutObject", "arn:aws:s3:::b/k", lambda _: None)) is Verdict.ALLOW
    with pytest.raises(InvalidPolicy):
        parse_policy(raw(statement()))


@pytest.mark.parametrize(
    ("fields", "public"),
    [
        ({}, True),
        ({"Effect": "Deny"}, False),
        ({"Principal": {"AWS": ARN}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}}, False),
        ({"Condition": {"StringEqualsIfExists": {"aws:PrincipalAccount": ACCOUNT}}}, True),
        ({"Condition": {"StringLike": {"aws:userid": "*"}}}, True),
        ({"Condition": {"StringEquals": {"s3:prefix": "x"}}}, True),
    ],
)
def test_what_is_public(fields: dict[str, Any], public: bool) -> None:
    assert is_public_policy(parse_policy(raw(statement(**fields)), bucket="b")) is public
