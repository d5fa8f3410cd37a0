"""Notification rules: what stands beside what, what a name stands for, and what receivers get."""

import json

import pytest

from noisefs.core.domain.buckets.event_rows import EventQueue, WaitingEvent, message_of, record_of
from noisefs.core.domain.buckets.notification import (
    COMPLETE,
    COPY,
    EVENTS,
    POST,
    PUT,
    TAGGED,
    TEST,
    Kept,
    Rule,
    arn_of,
    check_rules,
    compiled,
    encode_kept,
    expanded,
    redis_target,
    target_of,
)
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.identity import canonical_id
from noisefs.core.errors import InvalidArgument

CREATED = "s3:ObjectCreated:*"
OWNER = UserId("a" * 32)


def rule(name: str = "r", events: tuple[str, ...] = (CREATED,), prefix: str = "", suffix: str = "") -> Rule:
    return Rule(name, "hook", events, prefix, suffix)


def test_a_wildcard_stands_for_its_group() -> None:
    assert expanded([CREATED]) == {PUT, POST, COPY, COMPLETE}
    assert expanded([PUT]) == {PUT}
    assert expanded(["s3:ObjectCreated"]) == set()


def test_every_event_is_in_one_group_and_a_test_in_none() -> None:
    assert TEST not in EVENTS
    assert len(set(EVENTS)) == len(EVENTS)


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (rule("a", prefix="x/"), rule("b", prefix="y/"), True),
        (rule("a", prefix="x/"), rule("b", prefix="x/y"), False),
        (rule("a", prefix="x/", suffix=".jpg"), rule("b", prefix="x/y", suffix=".png"), True),
        (rule("a", suffix="g"), rule("b", suffix=".jpg"), False),
        (rule("a", (PUT,)), rule("b", (COPY,)), True),
        (rule("a", (CREATED,)), rule("b", (COPY,)), False),
        (rule("a"), rule("b"), False),
        (rule("a", (PUT,)), rule("a", (COPY,)), False),
    ],
)
def test_rules_that_overlap_are_refused(one: Rule, other: Rule, fits: bool) -> None:
    if fits:
        check_rules([one, other])
    else:
        with pytest.raises(InvalidArgument):
            check_rules([one, other])


@pytest.mark.parametrize(
    "wrong",
    [
        rule(events=("s3:ReducedRedundancyLostObject",)),
        rule(events=("s3:Replication:*",)),
        rule(events=(TEST,)),
        rule(events=()),
        rule(prefix="x" * 1025),
        rule("i" * 256),
    ],
)
def test_rules_that_cannot_be_honoured_are_refused(wrong: Rule) -> None:
    with pytest.raises(InvalidArgument):
        check_rules([wrong])


def test_a_hundred_rules_and_no_more() -> None:
    rules = [rule(f"r{number}", prefix=f"{number:03}/") for number in range(101)]
    check_rules(rules[:100])
    with pytest.raises(InvalidArgument):
        check_rules(rules)


@pytest.mark.parametrize(
    ("key", "takes"), [("in/a.jpg", True), ("in/.jpg", True), ("in/a.png", False), ("out/a.jpg", False)]
)
def test_a_filter_looks_at_both_ends_of_a_key(key: str, takes: bool) -> None:
    assert rule(prefix="in/", suffix=".jpg").takes(key) is takes


def test_arns_name_targets() -> None:
    assert target_of(arn_of("hook")) == "hook"
    assert target_of(arn_of(redis_target("hook"))) == redis_target("hook")
    assert arn_of(redis_target("hook")) == "arn:noisefs:sqs::hook:redis"
    assert target_of("arn:noisefs:sqs:us-east-1:hook:webhook") == "hook"
    for text in ("", "arn:aws:sqs:us-east-1:1:hook", "arn:noisefs:sqs:::webhook", "arn:noisefs:sqs::hook:nats"):
        assert target_of(text) is None


def test_compiled_rules_are_found_by_event() -> None:
    found = compiled(encode_kept(Kept("bucket", (rule(), rule("t", (TAGGED,))), b"<x/>")))
    assert found.bucket == "bucket"
    assert [one.rule_id for one in found.by_event[COPY]] == ["r"]
    assert [one.rule_id for one in found.by_event[TAGGED]] == ["t"]


def event(**more: object) -> WaitingEvent:
    fields = {
        "event": PUT,
        "at_us": 1_700_000_000_123_456,
        "bucket": "bucket",
        "owner": OWNER,
        "key": "a b/ü+.txt",
        "rule_id": "r",
        "sequence": 7,
        "size": 3,
        "etag": "0123",
        "requester": "alice",
        "source_ip": "127.0.0.1",
        "request_id": "ABC",
    }
    return WaitingEvent(**{**fields, **more})  # type: ignore[arg-type]  # by name


def test_a_record_has_the_shape_that_aws_gives_it() -> None:
    assert record_of(5, event(), "us-east-1") == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2023-11-14T22:13:20.123Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "alice"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "ABC", "x-amz-id-2": "noisefs"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "r",
            "bucket": {
                "name": "bucket",
                "ownerIdentity": {"principalId": canonical_id(OWNER)},
                "arn": "arn:aws:s3:::bucket",
            },
            "object": {
                "key": "a+b/%C3%BC%2B.txt",
                "size": 3,
                "eTag": "0123",
                "sequencer": "0000000000000007" + "0000000000000005",
            },
        },
    }


def test_a_removal_has_no_size_and_an_id_where_there_are_versions() -> None:
    what = record_of(1, event(size=-1, etag="", version_id="v1"), "r")["s3"]["object"]
    assert what.keys() == {"key", "versionId", "sequencer"}


def test_later_kinds_of_events_have_a_later_version() -> None:
    assert record_of(1, event(event=TAGGED), "r")["eventVersion"] == "2.3"


def test_a_test_event_is_a_document_of_its_own() -> None:
    body = json.loads(message_of([(1, event(event=TEST, key=""))], "r"))
    assert (body["Event"], body["Bucket"], body["Service"]) == (TEST, "bucket", "Amazon S3")
    assert "Records" not in body


def test_sequencers_sort_by_commit_and_then_by_place() -> None:
    places = [(9, 1), (10, 0), (10, 1), (255, 0), (4096, 0)]
    found = [record_of(n, event(sequence=s), "r")["s3"]["object"]["sequencer"] for s, n in places]
    assert found == sorted(found)


def test_a_queue_knows_how_many_wait() -> None:
    assert EventQueue(3, 8, 10).waiting == 5
