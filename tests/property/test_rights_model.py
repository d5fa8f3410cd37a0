"""Policies are decided as a small, independent reading of the documents decides them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.evaluation import Sources, by_policies
from noisefs.core.domain.rights.policy import Request, parse_policy
from noisefs.core.domain.rights.principals import Caller

ACCOUNT = "123456789012"
USERS = {name: Caller(UserId(name[0] * 32), name, ACCOUNT, admin=False) for name in ("alice", "bob")}
SESSIONS = tuple(
    Caller(UserId("a" * 32), "", ACCOUNT, admin=False, role=role, session=name)
    for role, name in (("reader", "one"), ("reader", "two"), ("writer", "one"))
)
NOBODY = Caller(UserId(""), "", ACCOUNT, admin=False)
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:GetObjectAcl", "s3:ListBucket", "s3:DeleteObject")
RESOURCES = ("arn:aws:s3:::b", "arn:aws:s3:::b/k", "arn:aws:s3:::b/a/k", "arn:aws:s3:::b/alice/k")
CONTEXTS: dict[str, tuple[str, ...]] = {
    "aws:SourceIp": ("10.0.0.1", "192.168.1.1"),
    "aws:SecureTransport": ("true", "false"),
    "s3:prefix": ("", "a/", "alice/"),
    "s3:max-keys": ("5", "1000"),
    "s3:ExistingObjectTag/Kind": ("public", "secret"),
}
CONDITIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("IpAddress", "aws:SourceIp", ("10.0.0.0/8", "192.168.1.1/32")),
    ("NotIpAddress", "aws:SourceIp", ("10.0.0.0/8", "172.16.0.0/12")),
    ("Bool", "aws:SecureTransport", ("true", "false")),
    ("StringEquals", "s3:prefix", ("a/", "${aws:username}/")),
    ("StringLike", "s3:prefix", ("a*", "*", "${aws:username}/*")),
    ("StringNotLike", "s3:prefix", ("a*", "x")),
    ("NumericLessThan", "s3:max-keys", ("10", "2000")),
    ("StringEquals", "s3:ExistingObjectTag/Kind", ("public", "secret")),
    ("StringNotEquals", "s3:ExistingObjectTag/Kind", ("secret",)),
    ("Null", "s3:ExistingObjectTag/Kind", ("true",)),
)


ARNS = (
    *(f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in USERS),
    *(f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("reader", "writer")),
    f"arn:aws:iam::{ACCOUNT}:role/some/path/reader",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one",
)


def some(items: Sequence[str], most: int = 3) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(items), min_size=1, max_size=most, unique=True)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for operator, key, values in draw(st.lists(st.sampled_from(CONDITIONS), max_size=2)):
        suffix = "IfExists" if operator != "Null" and draw(st.booleans()) else ""
        found.setdefault(operator + suffix, {})[key] = draw(some(values, 2))
    return found


@st.composite
def statements(draw: st.DrawFn, *, principal: bool) -> dict[str, Any]:
    effect = draw(st.sampled_from(("Allow", "Deny")))
    one: dict[str, Any] = {"Effect": effect, "Condition": draw(conditions())}
    name = draw(st.sampled_from(("Action", "NotAction")))
    one[name] = draw(some((*ACTIONS, "s3:Get*", "s3:*Object", "*")))
    name = draw(st.sampled_from(("Resource", "NotResource")))
    one[name] = draw(some((*RESOURCES, "arn:aws:s3:::b/*", "arn:aws:s3:::b*", "arn:aws:s3:::b/${aws:username}/*", "*")))
    if principal:
        everybody = st.just("*")
        users = st.builds(lambda arns: {"AWS": arns}, some(ARNS))
        name = draw(st.sampled_from(("Principal", "NotPrincipal"))) if effect == "Deny" else "Principal"
        one[name] = draw(everybody | users)
    return one


# ---------------------------------------------------------------- the model


def glob(pattern: str, text: str, username: str | None) -> bool:
    if "${aws:username}" in pattern:
        if username is None:
            return False
        pattern = pattern.replace("${aws:username}", username)
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def within(address: str, network: str) -> bool:
    base, _, length = network.partition("/")

    def number(text: str) -> int:
        return sum(int(part) << shift for part, shift in zip(text.split("."), (24, 16, 8, 0), strict=True))

    return number(address) >> (32 - int(length)) == number(base) >> (32 - int(length))


def is_one_of(caller: Caller, arns: Sequence[str]) -> bool:
    for arn in arns:
        kind, _, rest = arn.rpartition(":")[2].partition("/")
        name = rest.rpartition("/")[2]
        if kind == "user" and not caller.role and caller.name == name:
            return True
        if kind == "role" and caller.role == name:
            return True
        if kind == "assumed-role" and rest == f"{caller.role}/{caller.session}":
            return True
    return False


def holds(operator: str, values: list[str], found: str | None, username: str | None) -> bool:
    optional = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    if operator == "Null":
        return (found is None) == (values == ["true"])
    if found is None:
        return optional or "Not" in operator
    if operator in ("IpAddress", "NotIpAddress"):
        matches = any(within(found, value) for value in values)
    elif operator == "Bool":
        matches = found in values
    elif operator == "NumericLessThan":
        matches = any(int(found) < int(value) for value in values)
    elif "Like" in operator:
        matches = any(glob(value, found, username) for value in values)
    else:
        filled = [value.replace("${aws:username}", username or "\0") for value in values]
        matches = found in filled
    return matches != ("Not" in operator)


def said(
    document: Mapping[str, Any], caller: Caller, action: str, resource: str, context: Mapping[str, str]
) -> set[str]:
    """Effects of the statements that cover the request."""
    effects = set()
    username = caller.name or None
    for one in document["Statement"]:
        actions = one.get("Action") or one.get("NotAction")
        if any(glob(pattern, action, None) for pattern in actions) != ("Action" in one):
            continue
        resources = one.get("Resource") or one.get("NotResource")
        if any(glob(pattern, resource, username) for pattern in resources) != ("Resource" in one):
            continue
        named = one.get("Principal", one.get("NotPrincipal"))
        if named is not None:
            is_named = named == "*" or is_one_of(caller, named["AWS"])
            if is_named != ("Principal" in one):
                continue
        if all(
            holds(operator, values, context.get(key), username)
            for operator, keys in one["Condition"].items()
            for key, values in keys.items()
        ):
            effects.add(one["Effect"])
    return effects


def document_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": found}


@settings(max_examples=400, deadline=None)
@given(
    resource_policy=st.none() | st.lists(statements(principal=True), min_size=1, max_size=4),
    identity=st.lists(st.lists(statements(principal=False), min_size=1, max_size=3), max_size=2),
    session=st.lists(st.lists(statements(principal=False), min_size=1, max_size=3), max_size=1),
    caller=st.sampled_from((*USERS.values(), *SESSIONS, NOBODY)),
    action=st.sampled_from(ACTIONS),
    resource=st.sampled_from(RESOURCES),
    context=st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in CONTEXTS.items()}),
)
def test_policies_decide_as_the_model_does(
    resource_policy: list[dict[str, Any]] | None,
    identity: list[list[dict[str, Any]]],
    session: list[list[dict[str, Any]]],
    caller: Caller,
    action: str,
    resource: str,
    context: dict[str, str],
) -> None:
    documents = [document_of(found) for found in identity]
    sessions = [document_of(found) for found in session]
    own = document_of(resource_policy) if resource_policy is not None else None
    effects = [said(one, caller, action, resource, context) for one in documents]
    if own is not None:
        effects.append(said(own, caller, action, resource, context))
    bounds = [said(one, caller, action, resource, context) for one in sessions]
    free = False
    if own is not None and caller.role:
        this = f"arn:aws:sts::{ACCOUNT}:assumed-role/{caller.role}/{caller.session}"
        naming = [
            one for one in own["Statement"] if one.get("Principal", "*") != "*" and this in one["Principal"]["AWS"]
        ]
        free = "Allow" in said(document_of(naming), caller, action, resource, context)
    bound = any("Allow" not in found for found in bounds) and not free
    if any("Deny" in found for found in (*effects, *bounds)) or bound:
        expected = "deny"
    else:
        expected = "allow" if any("Allow" in found for found in effects) else "silent"

    lower = {key if "Tag/" in key else key.lower(): (value,) for key, value in context.items()}
    lower = {key.replace("s3:ExistingObjectTag/", "s3:existingobjecttag/"): value for key, value in lower.items()}
    if caller.name:
        lower["aws:username"] = (caller.name,)
    request = Request(caller, action, resource, lower.get)
    sources = Sources(
        [parse_policy(json.dumps(one).encode()) for one in documents],
        [parse_policy(json.dumps(one).encode()) for one in sessions],
        None if own is None else parse_policy(json.dumps(own).encode(), bucket="b"),
    )
    assert by_policies(request, sources).value == expected
