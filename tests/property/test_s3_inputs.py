"""Whatever clients write into policies, rules, tags and headers: it is understood or refused, and nothing else."""

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.forms.policy import policy_of
from noisefs.adapters.inbound.s3.forms.signed import form_claim_of
from noisefs.adapters.inbound.s3.xml.cors import rules_of
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.reading import parse
from noisefs.adapters.inbound.s3.xml.tagging import header_tags, tags_of

T = TypeVar("T")

_BRACKETS = base64.b64encode(b"[" * 15_000).decode()
_BRACES = base64.b64encode(b'{"a":' * 3000).decode()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_CONDITIONS = st.lists(
    st.tuples(
        st.sampled_from(["eq", "starts-with", "content-length-range", "x", 1]),
        st.sampled_from(["$key", "$bucket", "key", 0, "7", -1, None]),
        st.sampled_from(["", "a", 10, "9" * 30, True, None]),
    ).map(list)
    | _JSON,
    max_size=4,
)
_POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "expiration": st.sampled_from(["2999-01-01T00:00:00Z", "2999-01-01T00:00:00.000Z", "2999-13-01T00:00:00Z"])
        | _JSON,
        "conditions": _CONDITIONS | _JSON,
    },
)
_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "policy",
            "signature",
            "awsaccesskeyid",
            "x-amz-algorithm",
            "x-amz-credential",
            "x-amz-date",
            "x-amz-signature",
        ]
    ),
    st.sampled_from(["", "AWS4-HMAC-SHA256", "a/20260101/us-east-1/s3/aws4_request", "20260101T000000Z", "ü/\0"]),
)
_NAMES = [
    "CORSRule",
    "AllowedMethod",
    "AllowedOrigin",
    "AllowedHeader",
    "MaxAgeSeconds",
    "ID",
    "TagSet",
    "Tag",
    "Key",
    "Value",
]
_XML = st.recursive(
    st.sampled_from(["", "GET", "*", "a*b*c", "-1", "&lt;", "x" * 300, "\n"]),
    lambda inner: st.lists(
        st.tuples(st.sampled_from(_NAMES), inner).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>"), max_size=4
    ).map("".join),
    max_leaves=15,
)


def attempt(act: Callable[[], T]) -> tuple[T | None, S3Error | None]:
    """What comes of it, or the refusal."""
    try:
        return act(), None
    except S3Error as exc:
        return None, exc


@settings(max_examples=300, deadline=None)
@given(_POLICIES | _JSON)
def test_a_policy_is_understood_or_refused(document: object) -> None:
    text = base64.b64encode(json.dumps(document).encode()).decode()
    policy, refusal = attempt(lambda: policy_of(text))
    if policy is None:
        assert refusal is not None
        assert refusal.code == "InvalidPolicyDocument"
        return
    _, refusal = attempt(lambda: policy.check({"key": "k", "bucket": "b"}, 0))
    assert refusal is None or refusal.code == "AccessDenied"


@given(st.text(max_size=60) | st.sampled_from([_BRACKETS, _BRACES]))
def test_a_text_that_is_no_policy_is_refused(text: str) -> None:
    policy, refusal = attempt(lambda: policy_of(text))
    assert policy is None
    assert refusal is not None
    assert refusal.code == "InvalidPolicyDocument"


@given(_FIELDS)
def test_a_claim_is_understood_or_refused(fields: dict[str, str]) -> None:
    claim, refusal = attempt(lambda: form_claim_of(fields, "us-east-1"))
    assert refusal is None or refusal.status == 400
    assert claim is None or not claim.is_by("secret")


@settings(max_examples=300, deadline=None)
@given(_XML)
def test_rules_and_tags_are_understood_or_refused_and_read_back_the_same(content: str) -> None:
    readers: list[tuple[str, Callable[[etree._Element], object]]] = [
        ("CORSConfiguration", rules_of),
        ("Tagging", lambda found: tags_of(found, 50)),
    ]
    for root, take in readers:
        document = parse(f"<{root}>{content}</{root}>".encode(), root)
        taken, refusal = attempt(partial(take, document))
        if refusal is not None:
            assert refusal.status == 400
            continue
        assert take(parse(f"<{root}>{content_of(document)}</{root}>".encode(), root)) == taken


@given(st.text(st.sampled_from("ab=&%+é\0"), max_size=30))
def test_a_header_of_tags_is_understood_or_refused(text: str) -> None:
    _, refusal = attempt(lambda: header_tags(text))
    assert refusal is None or refusal.status == 400
