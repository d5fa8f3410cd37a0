"""Wildcards and policy variables."""

import pytest

from noisefs.core.domain.rights.patterns import Pattern, Text


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*a", "bca", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("?", "", False),
        ("?", "é", True),
        ("a?c*?", "abcd", True),
        ("a?c*?", "abc", False),
        ("*b?d*", "xabcd", True),
        ("*.?", "a.bc", False),
        ("a.c", "abc", False),
        ("[a]*", "[a]b", True),
    ],
)
def test_wildcards(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).matches(text) is expected


def test_many_stars_cost_little() -> None:
    assert not Pattern("*a" * 500 + "b").matches("a" * 1024)


VALUES = {"aws:username": "al*ce", "s3:prefix": "home/"}


@pytest.mark.parametrize(
    ("raw", "text", "expected"),
    [
        ("home/${aws:username}/*", "home/al*ce/x", True),
        ("home/${aws:username}/*", "home/alice/x", False),
        ("${*}", "*", True),
        ("${*}", "a", False),
        ("${?}${$}", "?$", True),
        ("${aws:userid}", "", False),
        ("${aws:userid, 'nobody'}*", "nobody1", True),
        ("${s3:prefix}*", "home/x", True),
    ],
)
def test_variables_are_filled_in_literally(raw: str, text: str, expected: bool) -> None:
    assert Text(raw, wild=True, variables=True).matches(text, VALUES.get) is expected


def test_old_policies_have_no_variables() -> None:
    assert Text("${aws:username}", wild=True, variables=False).matches("${aws:username}", VALUES.get)


@pytest.mark.parametrize("raw", ["${aws:username", "a\ud800"])
def test_what_is_no_text_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"closed|encode"):
        Text(raw, wild=True, variables=True)
