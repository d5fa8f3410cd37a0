"""Conditions and ranges, as headers say them."""

import pytest

from noisefs.adapters.inbound.s3.conditions import (
    byte_range,
    copy_range,
    delete_condition,
    etags_of,
    read_condition,
    write_condition,
)
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.headers import parse_time
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ALWAYS, ANY, ReadCondition, WriteCondition
from noisefs.core.errors import RangeNotSatisfiable


def version(size: int) -> Version:
    return Version(size, "e" * 32, 1_000_000_000_000_000, UserId("u"))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (None, ()),
        ("", ()),
        ("*", ("*",)),
        ('"abc"', ("abc",)),
        ("abc", ("abc",)),
        ('W/"abc"', ("abc",)),
        ('"a", "b,c" , d', ("a", "b,c", "d")),
    ],
)
def test_etags_lose_their_quotes(text: str | None, tags: tuple[str, ...]) -> None:
    assert etags_of(text) == tags


@pytest.mark.parametrize(
    ("text", "size", "span"),
    [
        ("bytes=0-4", 10, (0, 5)),
        ("bytes=4-", 10, (4, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=5-100", 10, (5, 10)),
        ("bytes=9-9", 10, (9, 10)),
        ("Bytes=0-0", 10, (0, 1)),
        ("bytes=5-2", 10, None),
        ("bytes=-", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("items=0-1", 10, None),
        ("bytes=a-b", 10, None),
        ("", 10, None),
    ],
)
def test_a_range_is_cut_to_the_object(text: str, size: int, span: tuple[int, int] | None) -> None:
    assert byte_range({"range": text}, version(size)) == span


@pytest.mark.parametrize(
    ("text", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_a_range_outside_the_object_is_refused(text: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range({"range": text}, version(size))


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (f'"{"e" * 32}"', True),
        ('"other"', False),
        ("Sun, 09 Sep 2001 01:46:40 GMT", True),
        ("Sun, 09 Sep 2001 01:46:41 GMT", False),
        ("garbage", False),
    ],
)
def test_a_range_counts_only_if_if_range_holds(value: str, holds: bool) -> None:
    span = byte_range({"range": "bytes=0-0", "if-range": value}, version(10))
    assert span == ((0, 1) if holds else None)


def test_no_conditions_are_the_constants() -> None:
    assert read_condition({"host": "h"}) is ANY
    assert read_condition({"if-modified-since": "garbage"}) is ANY
    assert write_condition({}) is ALWAYS
    assert delete_condition({}) is ALWAYS


def test_conditions_are_read() -> None:
    headers = {
        "if-match": '"a"',
        "if-none-match": "*",
        "if-modified-since": "Thu, 01 Jan 1970 00:00:10 GMT",
        "if-unmodified-since": "Thu, 01 Jan 1970 00:00:20 GMT",
    }
    assert read_condition(headers) == ReadCondition(("a",), ("*",), 10_000_000, 20_000_000)
    assert write_condition(headers) == WriteCondition(if_match=("a",), if_none_match=("*",))
    assert delete_condition(headers) == WriteCondition(if_match=("a",))
    source = {f"x-amz-copy-source-{name}": value for name, value in headers.items()}
    assert read_condition(source, "x-amz-copy-source-") == read_condition(headers)


@pytest.mark.parametrize("when", ["Thu, 01 Jan 1970 00:00:10 GMT", "1970-01-01T00:00:10Z"])
def test_a_delete_may_say_what_the_object_must_be_like(when: str) -> None:
    found = delete_condition({"x-amz-if-match-size": "3", "x-amz-if-match-last-modified-time": when})
    assert found == WriteCondition(if_size=3, if_modified_us=10_000_000)
    assert delete_condition({"if-none-match": "*"}) == WriteCondition()


@pytest.mark.parametrize("headers", [{"x-amz-if-match-size": "-1"}, {"x-amz-if-match-last-modified-time": "yesterday"}])
def test_what_a_delete_cannot_compare_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error) as refused:
        delete_condition(headers)
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize("text", ["bytes=0-", "bytes=-5", "0-5", "bytes=5-4", "bytes=0-1,2-3", ""])
def test_a_copy_range_must_be_whole(text: str) -> None:
    with pytest.raises(S3Error) as refused:
        copy_range(text)
    assert refused.value.code == "InvalidArgument"


def test_a_copy_range_is_read() -> None:
    assert copy_range("bytes=3-9") == (3, 9)
    assert copy_range(None) is None


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("Thu, 01 Jan 1970 00:00:01 GMT", 1_000_000),
        ("Thursday, 01-Jan-70 00:00:01 GMT", 1_000_000),
        ("Thu, 01 Jan 1970 01:00:01 +0100", 1_000_000),
        ("Thu, 01 Jan 1970 00:00:01 -0000", 1_000_000),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_http_dates_are_read_and_others_ignored(text: str | None, micros: int | None) -> None:
    assert parse_time(text) == micros
