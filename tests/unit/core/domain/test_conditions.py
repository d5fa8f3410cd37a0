"""Conditional requests: RFC 9110 section 13, and S3's answers where it leaves a choice."""

import pytest

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.objects.conditions import check_read, check_source, check_write
from noisefs.core.domain.records import Listed
from noisefs.core.domain.requests import ReadCondition, WriteCondition
from noisefs.core.errors import NotModified, ObjectNotFound, PreconditionFailed

T = 1_700_000_000_000_000
NOW = Listed(1, "tag", T + 400_000, UserId("u"))
"""Modified in the middle of a second."""


@pytest.mark.parametrize(
    "condition",
    [
        ReadCondition(),
        ReadCondition(if_match=("tag",)),
        ReadCondition(if_match=("x", "tag")),
        ReadCondition(if_match=("*",)),
        ReadCondition(if_none_match=("x",)),
        ReadCondition(if_modified_since_us=T - 1_000_000),
        ReadCondition(if_unmodified_since_us=T),
        ReadCondition(if_unmodified_since_us=T + 900_000),
        ReadCondition(if_match=("tag",), if_unmodified_since_us=T - 1_000_000),
        ReadCondition(if_none_match=("x",), if_modified_since_us=T + 5_000_000),
    ],
)
def test_reads_that_pass(condition: ReadCondition) -> None:
    check_read(condition, NOW)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (ReadCondition(if_match=("x",)), "If-Match"),
        (ReadCondition(if_unmodified_since_us=T - 1_000_000), "If-Unmodified-Since"),
        (ReadCondition(if_match=("x",), if_none_match=("tag",)), "If-Match"),
        (ReadCondition(if_unmodified_since_us=T - 1_000_000, if_none_match=("tag",)), "If-Unmodified-Since"),
    ],
)
def test_reads_that_fail_name_the_condition(condition: ReadCondition, name: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check_read(condition, NOW)
    assert caught.value.condition == name


@pytest.mark.parametrize(
    "condition",
    [
        ReadCondition(if_none_match=("tag",)),
        ReadCondition(if_none_match=("*",)),
        ReadCondition(if_modified_since_us=T),
        ReadCondition(if_modified_since_us=T + 1_000_000),
        ReadCondition(if_none_match=("tag",), if_modified_since_us=T - 1_000_000),
        ReadCondition(if_match=("tag",), if_none_match=("tag",)),
    ],
)
def test_reads_of_what_the_caller_has(condition: ReadCondition) -> None:
    with pytest.raises(NotModified) as caught:
        check_read(condition, NOW)
    assert (caught.value.etag, caught.value.modified_us) == (NOW.etag, NOW.modified_us)


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        (ReadCondition(if_none_match=("tag",)), "x-amz-copy-source-if-none-match"),
        (ReadCondition(if_modified_since_us=T), "x-amz-copy-source-if-modified-since"),
        (ReadCondition(if_match=("x",)), "If-Match"),
    ],
)
def test_a_copy_source_is_never_not_modified(condition: ReadCondition, name: str) -> None:
    with pytest.raises(PreconditionFailed) as caught:
        check_source(condition, NOW)
    assert caught.value.condition == name


@pytest.mark.parametrize(
    ("condition", "present"),
    [
        (WriteCondition(), None),
        (WriteCondition(), NOW),
        (WriteCondition(if_none_match=("*",)), None),
        (WriteCondition(if_none_match=("x",)), NOW),
        (WriteCondition(if_match=("*",)), NOW),
        (WriteCondition(if_match=("tag",)), NOW),
        (WriteCondition(if_unmodified_since_us=T), NOW),
        (WriteCondition(if_unmodified_since_us=T - 1_000_000), None),
    ],
)
def test_writes_that_pass(condition: WriteCondition, present: Listed | None) -> None:
    check_write(condition, present, "b", "k")


@pytest.mark.parametrize(
    "condition",
    [
        WriteCondition(if_none_match=("*",)),
        WriteCondition(if_none_match=("tag",)),
        WriteCondition(if_match=("x",)),
        WriteCondition(if_unmodified_since_us=T - 1_000_000),
    ],
)
def test_writes_that_fail(condition: WriteCondition) -> None:
    with pytest.raises(PreconditionFailed):
        check_write(condition, NOW, "b", "k")


@pytest.mark.parametrize("tags", [("*",), ("tag",)])
def test_if_match_without_an_object_is_not_found(tags: tuple[str, ...]) -> None:
    with pytest.raises(ObjectNotFound):
        check_write(WriteCondition(if_match=tags), None, "b", "k")


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (WriteCondition(if_modified_us=T), True),
        (WriteCondition(if_modified_us=T + 1_000_000), False),
        (WriteCondition(if_modified_us=T - 1_000_000), False),
        (WriteCondition(if_size=1), True),
        (WriteCondition(if_size=0), False),
        (WriteCondition(if_match=("tag",), if_size=2), False),
    ],
)
def test_a_delete_may_be_of_exactly_one_object(condition: WriteCondition, passes: bool) -> None:
    """Where there is none, nothing has to be compared."""
    if passes:
        check_write(condition, NOW, "bucket", "key")
    else:
        with pytest.raises(PreconditionFailed):
            check_write(condition, NOW, "bucket", "key")
    if not condition.if_match:
        check_write(condition, None, "bucket", "key")
