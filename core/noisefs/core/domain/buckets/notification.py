"""Notification rules of a bucket: which events go to which target, and what rules may stand beside each other.

Source: S3 user guide, *Amazon S3 Event Notifications*; *Configuring event notifications using object key name
filtering* on rules that overlap.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from noisefs.core.errors import InvalidArgument

KIND: Final = "notification"
"""Under which a bucket keeps its rules."""

PUT: Final = "s3:ObjectCreated:Put"
POST: Final = "s3:ObjectCreated:Post"
COPY: Final = "s3:ObjectCreated:Copy"
COMPLETE: Final = "s3:ObjectCreated:CompleteMultipartUpload"
REMOVED: Final = "s3:ObjectRemoved:"
EXPIRED: Final = "s3:LifecycleExpiration:"
DELETE: Final = "Delete"
MARKER: Final = "DeleteMarkerCreated"
TAGGED: Final = "s3:ObjectTagging:Put"
UNTAGGED: Final = "s3:ObjectTagging:Delete"
ACL: Final = "s3:ObjectAcl:Put"
TEST: Final = "s3:TestEvent"
"""Tells a target that a bucket's rules name it now. Nobody asks for it."""

EVENTS: Final = (
    PUT,
    POST,
    COPY,
    COMPLETE,
    REMOVED + DELETE,
    REMOVED + MARKER,
    EXPIRED + DELETE,
    EXPIRED + MARKER,
    TAGGED,
    UNTAGGED,
    ACL,
)
"""Everything that happens here."""
WILDCARDS: Final = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectTagging:*")
RULES_MOST: Final = 100
ID_MOST: Final = 255
FILTER_MOST_BYTES: Final = 1024
_ARN: Final = "arn:noisefs:sqs::"
_WEBHOOK: Final = "webhook"
REDIS: Final = "redis"
_KINDS: Final = (_WEBHOOK, REDIS)
"""Kinds of targets, with which ARNs end."""


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """Events of objects whose keys begin with ``prefix`` and end with ``suffix`` go to the target."""

    rule_id: str
    target: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def takes(self, key: str) -> bool:
        """Whether the rule is about this key."""
        return key.startswith(self.prefix) and key.endswith(self.suffix)


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What a bucket keeps: its own name, the rules, and the document as it was put."""

    bucket: str
    rules: tuple[Rule, ...]
    content: bytes


class Compiled(NamedTuple):
    """Rules by event, for whoever asks at every change."""

    bucket: str
    by_event: Mapping[str, tuple[Rule, ...]]


_decoder: Final = msgspec.msgpack.Decoder(Kept)


def encode_kept(kept: Kept) -> bytes:
    """Its bytes in the bucket's row."""
    return msgspec.msgpack.encode(kept)


@lru_cache(maxsize=256)
def decode_kept(raw: bytes) -> Kept:
    """What is in these bytes. Raises ``msgspec.MsgspecError`` where it is nothing."""
    return _decoder.decode(raw)


@lru_cache(maxsize=256)
def compiled(raw: bytes) -> Compiled:
    """The same, by event. Raises likewise. Cost: a microsecond once it is known."""
    kept = decode_kept(raw)
    by_event: dict[str, tuple[Rule, ...]] = {}
    for rule in kept.rules:
        for event in sorted(expanded(rule.events)):
            by_event[event] = (*by_event.get(event, ()), rule)
    return Compiled(kept.bucket, by_event)


def redis_target(name: str) -> str:
    """The target of a Redis receiver: no webhook is called so, as names have no colon."""
    return f"{name}:{REDIS}"


def arn_of(target: str) -> str:
    """How bucket owners name a target."""
    return f"{_ARN}{target}" if ":" in target else f"{_ARN}{target}:{_WEBHOOK}"


def target_of(arn: str) -> str | None:
    """The target in an ARN, with a region or without; ``None``: it is no ARN of a target."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[:3] != ["arn", "noisefs", "sqs"] or parts[5] not in _KINDS or not parts[4]:
        return None
    return parts[4] if parts[5] == _WEBHOOK else f"{parts[4]}:{parts[5]}"


def expanded(names: Sequence[str]) -> frozenset[str]:
    """All events that these names stand for."""
    return frozenset(
        event
        for name in names
        for event in EVENTS
        if event == name or (name.endswith(":*") and event.startswith(name[:-1]))
    )


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules of which one is wrong, or two would tell of the same event of the same object.

    Raises:
        InvalidArgument.
    """
    if len(rules) > RULES_MOST:
        raise InvalidArgument("number of rules", len(rules), f"at most {RULES_MOST}")
    for rule in rules:
        for event in rule.events:
            if event not in EVENTS and event not in WILDCARDS:
                raise InvalidArgument("Event", event, f"one of {', '.join((*WILDCARDS, *EVENTS))}")
        if not rule.events:
            raise InvalidArgument("Event", "", "at least one")
        if len(rule.rule_id) > ID_MOST:
            raise InvalidArgument("Id", f"{rule.rule_id[:40]}...", f"at most {ID_MOST} characters")
        for value in (rule.prefix, rule.suffix):
            if len(value.encode("utf-8", "replace")) > FILTER_MOST_BYTES:
                raise InvalidArgument("filter value", f"{value[:40]}...", f"at most {FILTER_MOST_BYTES} bytes")
    ids = [rule.rule_id for rule in rules]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise InvalidArgument("Id", twice, "another id for each configuration")
    for number, rule in enumerate(rules):
        for other in rules[:number]:
            if _overlap(rule, other):
                raise InvalidArgument(
                    "configurations",
                    f"{other.rule_id}, {rule.rule_id}",
                    "that do not overlap: configurations on the same bucket cannot share a common event type for "
                    "prefixes and suffixes that overlap",
                )


def _overlap(one: Rule, other: Rule) -> bool:
    """Whether some key and event would be told by both, as AWS looks at it: prefixes and suffixes by themselves."""
    return (
        not expanded(one.events).isdisjoint(expanded(other.events))
        and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix))
        and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))
    )
