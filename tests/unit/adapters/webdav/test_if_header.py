"""The If header: what it says, and when it holds."""

import pytest

from noisefs.adapters.inbound.webdav.rules.if_header import Condition, ConditionList, IfHeader, parse_if
from noisefs.core.errors import InvalidArgument


def test_a_list_without_a_resource_is_about_the_request() -> None:
    """Tokens, tags and negations, in order."""
    header = parse_if('(<urn:a> Not ["e"]) ([W/"w"])')
    assert header == IfHeader(
        (
            ConditionList(
                "", (Condition("urn:a", is_etag=False, negated=False), Condition('"e"', is_etag=True, negated=True))
            ),
            ConditionList("", (Condition('W/"w"', is_etag=True, negated=False),)),
        )
    )


def test_a_resource_stands_for_all_lists_up_to_the_next_one() -> None:
    """Tagged lists (RFC 4918 section 10.4.2)."""
    header = parse_if("<http://h/a> (<urn:a>) (<urn:b>) </c> (<urn:c>)")
    assert [group.resource for group in header.lists] == ["http://h/a", "http://h/a", "/c"]
    assert header.resources == {"http://h/a", "/c"}


def test_every_token_counts_as_submitted() -> None:
    """Also one in a list that does not hold, also a negated one."""
    assert parse_if('(<urn:a> ["x"]) (Not <DAV:no-lock>)').tokens == {"urn:a", "DAV:no-lock"}


@pytest.mark.parametrize(
    "header", ["(<a>)", " (<a>) ", "(<a>)(<b>)", '( <a> [ "b" ] )', "(not<a>)", '(NOT ["a b"])', "</x>(<a>)"]
)
def test_white_space_and_case_do_not_matter(header: str) -> None:
    """As clients differ."""
    assert parse_if(header).lists


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "()",
        "(",
        ")",
        "(<a>",
        "<a>",
        "<a> <b> (<c>)",
        "(<a>) <b> (<c>)",
        "(Not)",
        "(Not Not <a>)",
        "([a])",
        "(<a>) x",
        "(<a b>)",
        "<> (<a>)",
        "(<a>)" * 201,
        "(<a>)" * 5000,
    ],
)
def test_what_breaks_the_grammar_is_refused(header: str) -> None:
    """Never read as something else."""
    with pytest.raises(InvalidArgument):
        parse_if(header)


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ("(<t>)", True),
        ("(<u>)", False),
        ("(Not <u>)", True),
        ('(<t> ["e"])', True),
        ('(<t> ["f"])', False),
        ('(<u>) (["e"])', True),
        ('(<t> Not ["e"]) (<u>)', False),
        ("</other> (<t>)", False),
        ("</other> (<t>) </other> (Not <t>)", True),
    ],
)
def test_any_list_that_holds_is_enough(header: str, holds: bool) -> None:
    """And all of a list's tests must."""

    def has(resource: str, test: Condition) -> bool:
        return resource == "" and test.value in ("t", '"e"')

    assert parse_if(header).holds(has) is holds
