"""Condition operators, by the table of the IAM user guide."""

from collections.abc import Sequence

import pytest

from noisefs.core.domain.rights.conditions import compile_condition

CONTEXT: dict[str, Sequence[str]] = {
    "aws:username": ("alice",),
    "aws:sourceip": ("10.1.2.3",),
    "aws:securetransport": ("false",),
    "aws:currenttime": ("2026-03-04T05:06:07Z",),
    "aws:epochtime": ("1772600767",),
    "aws:principalarn": ("arn:aws:iam::123456789012:user/alice",),
    "s3:max-keys": ("10",),
    "s3:requestobjecttagkeys": ("a", "b"),
    "s3:requestobjecttag/Team": ("blue",),
}


@pytest.mark.parametrize(
    ("operator", "key", "values", "expected"),
    [
        ("StringEquals", "aws:username", ["bob", "alice"], True),
        ("StringEquals", "AWS:UserName", ["Alice"], False),
        ("stringequalsignorecase", "aws:username", ["ALICE"], True),
        ("StringNotEquals", "aws:username", ["bob", "alice"], False),
        ("StringNotEquals", "aws:username", ["bob"], True),
        ("StringNotEqualsIgnoreCase", "aws:username", ["ALICE"], False),
        ("StringLike", "aws:username", ["al*"], True),
        ("StringNotLike", "aws:username", ["al*"], False),
        ("StringEquals", "aws:username", ["${aws:username}"], True),
        ("StringEquals", "s3:RequestObjectTag/Team", ["blue"], True),
        ("StringEquals", "s3:RequestObjectTag/team", ["blue"], False),
        # missing keys
        ("StringEquals", "s3:prefix", ["x"], False),
        ("StringNotEquals", "s3:prefix", ["x"], True),
        ("StringEqualsIfExists", "s3:prefix", ["x"], True),
        ("StringEqualsIfExists", "aws:username", ["x"], False),
        ("Null", "s3:prefix", ["true"], True),
        ("Null", "s3:prefix", ["false"], False),
        ("Null", "aws:username", ["false"], True),
        # numbers, times, flags
        ("NumericLessThanEquals", "s3:max-keys", ["10"], True),
        ("NumericLessThan", "s3:max-keys", ["10"], False),
        ("NumericNotEquals", "s3:max-keys", ["10.0"], False),
        ("NumericGreaterThan", "s3:max-keys", ["9", "99"], True),
        ("DateGreaterThan", "aws:CurrentTime", ["2026-03-04T05:06:06Z"], True),
        ("DateLessThan", "aws:CurrentTime", ["2026-03-04"], False),
        ("DateEquals", "aws:CurrentTime", ["2026-03-04T06:06:07+01:00"], True),
        ("DateGreaterThanEquals", "aws:EpochTime", ["2026-03-04T05:06:07Z"], True),
        ("Bool", "aws:SecureTransport", ["false"], True),
        ("Bool", "aws:SecureTransport", ["True"], False),
        # addresses and ARNs
        ("IpAddress", "aws:SourceIp", ["192.168.0.0/16", "10.0.0.0/8"], True),
        ("IpAddress", "aws:SourceIp", ["10.1.2.4"], False),
        ("IpAddress", "aws:SourceIp", ["2001:db8::/32"], False),
        ("NotIpAddress", "aws:SourceIp", ["10.1.2.3"], False),
        ("ArnLike", "aws:PrincipalArn", ["arn:aws:iam::*:user/*"], True),
        ("ArnEquals", "aws:PrincipalArn", ["arn:aws:iam::*:role/alice"], False),
        ("ArnNotLike", "aws:PrincipalArn", ["arn:aws:iam::*:role/*"], True),
        # sets
        ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["b", "c"], True),
        ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["b", "c"], False),
        ("ForAllValues:StringLike", "s3:RequestObjectTagKeys", ["*"], True),
        ("ForAllValues:StringEquals", "s3:prefix", ["x"], True),
        ("ForAnyValue:StringEquals", "s3:prefix", ["x"], False),
        ("ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", ["b"], True),
        ("ForAllValues:StringNotEquals", "s3:RequestObjectTagKeys", ["b"], False),
    ],
)
def test_a_condition_holds(operator: str, key: str, values: list[str], expected: bool) -> None:
    assert compile_condition(operator, key, values, variables=True).holds(CONTEXT.get) is expected


def test_an_ipv4_address_of_a_dual_stack_socket_is_itself() -> None:
    condition = compile_condition("IpAddress", "aws:SourceIp", ["10.0.0.0/8"], variables=True)
    assert condition.holds({"aws:sourceip": ("::ffff:10.1.2.3",)}.get)
    assert not condition.holds({"aws:sourceip": ("no address",)}.get)


@pytest.mark.parametrize(
    ("operator", "key", "values", "told"),
    [
        ("StringAlmost", "aws:username", ["x"], "operator"),
        ("StringEquals", "aws:SourceVpce", ["x"], "not known"),
        ("StringEquals", "s3:ExistingObjectTag/", ["x"], "not known"),
        ("IpAddress", "aws:username", ["10.0.0.0/8"], "cannot compare"),
        ("IpAddress", "aws:SourceIp", ["10.0.0.0/33"], "allowed"),
        ("NumericEquals", "s3:max-keys", ["many"], "allowed"),
        ("DateEquals", "aws:CurrentTime", ["today"], "allowed"),
        ("Bool", "aws:SecureTransport", ["yes"], "allowed"),
        ("Null", "s3:prefix", ["true", "false"], "Null"),
        ("NullIfExists", "s3:prefix", ["true"], "Null"),
        ("StringEquals", "s3:RequestObjectTagKeys", ["a"], "ForAnyValue"),
        ("StringLike", "aws:username", ["${aws:nonsense}"], "variable"),
        ("ArnLike", "aws:PrincipalArn", ["user/alice"], "ARN"),
    ],
)
def test_what_cannot_be_honoured_is_refused(operator: str, key: str, values: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compile_condition(operator, key, values, variables=True)
