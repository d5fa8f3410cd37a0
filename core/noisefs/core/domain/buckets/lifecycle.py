"""Lifecycle rules of a bucket: what they say about a version or an upload, and when.

Promise: a rule that cannot be honoured exactly is refused when it is put. Nothing is due before its time: an age counts
from the moment at which the server took something, never from a date that a client named.

Source: S3 user guide, *Managing the lifecycle of objects*: an action that is due N days after something is due at the
first midnight (UTC) after that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from noisefs.core.domain.records import Version
from noisefs.core.errors import InvalidArgument

KIND: Final = "lifecycle"
"""Of the configuration in a bucket's row: see :class:`Kept`."""
RULES_MOST: Final = 1000
_ID_MOST: Final = 255
_PREFIX_MOST: Final = 1024
_DAYS_MOST: Final = 36_500
_NEWER_MOST: Final = 100
_SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * _SECOND_US


class Filter(msgspec.Struct, frozen=True, array_like=True):
    """Which objects a rule is about: those to which all of it applies."""

    prefix: str = ""
    tags: dict[str, str] = {}
    above_bytes: int = -1
    """Larger than so many; -1: any."""
    below_bytes: int = -1
    """Smaller than so many; -1: any."""

    def fits(self, key: str, version: Version) -> bool:
        """Whether the rule is about this version."""
        return (
            key.startswith(self.prefix)
            and (self.above_bytes < 0 or version.size > self.above_bytes)
            and (self.below_bytes < 0 or version.size < self.below_bytes)
            and all(version.tags.get(name) == value for name, value in self.tags.items())
        )


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """One rule. 0 days: it does not ask for that. Format rule as for :mod:`..records`."""

    rule_id: str
    enabled: bool
    filter: Filter = Filter()
    expire_days: int = 0
    expire_at_us: int = 0
    expire_markers: bool = False
    """Remove delete markers below which nothing is left."""
    noncurrent_days: int = 0
    newer_noncurrent: int = 0
    """So many noncurrent versions stay, however old."""
    abort_days: int = 0


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A bucket's configuration of kind :data:`KIND`: as it was put, and what it says."""

    content: bytes
    rules: tuple[Rule, ...]


_decoder: Final = msgspec.msgpack.Decoder(Kept)


def encode_rules(content: bytes, rules: Sequence[Rule]) -> bytes:
    """The configuration's bytes."""
    return msgspec.msgpack.encode(Kept(content, tuple(rules)))


def decode_rules(raw: bytes) -> Kept:
    """The configuration in these bytes. Raises ``msgspec.MsgspecError`` where there is none."""
    return _decoder.decode(raw)


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules that have no meaning, or more than one.

    Raises:
        InvalidArgument: With the field, the value and what is allowed.
    """
    if not 1 <= len(rules) <= RULES_MOST:
        raise InvalidArgument("number of rules", len(rules), f"1 to {RULES_MOST}")
    names = [rule.rule_id for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument("ID", name, "each rule has an ID of its own")
    for rule in rules:
        _check_rule(rule)


def _check_rule(rule: Rule) -> None:
    if len(rule.rule_id) > _ID_MOST:
        raise InvalidArgument("ID", f"{rule.rule_id[:20]}...", f"at most {_ID_MOST} characters")
    chosen = rule.filter
    if len(chosen.prefix.encode("utf-8", "replace")) > _PREFIX_MOST:
        raise InvalidArgument("Prefix", f"{chosen.prefix[:20]}...", f"at most {_PREFIX_MOST} bytes")
    if 0 <= chosen.below_bytes <= chosen.above_bytes + 1:
        raise InvalidArgument("ObjectSizeLessThan", chosen.below_bytes, "more than ObjectSizeGreaterThan by 2 or more")
    if sum(map(bool, (rule.expire_days, rule.expire_at_us, rule.expire_markers))) > 1:
        raise InvalidArgument("Expiration", rule.rule_id, "one of Days, Date and ExpiredObjectDeleteMarker")
    if rule.expire_at_us % DAY_US:
        raise InvalidArgument("Date", rule.expire_at_us // _SECOND_US, "midnight UTC")
    for field, days in (
        ("Days", rule.expire_days),
        ("NoncurrentDays", rule.noncurrent_days),
        ("DaysAfterInitiation", rule.abort_days),
    ):
        if not 0 <= days <= _DAYS_MOST:
            raise InvalidArgument(field, days, f"1 to {_DAYS_MOST}")
    if not 0 <= rule.newer_noncurrent <= _NEWER_MOST:
        raise InvalidArgument("NewerNoncurrentVersions", rule.newer_noncurrent, f"1 to {_NEWER_MOST}")
    if rule.newer_noncurrent and not rule.noncurrent_days:
        raise InvalidArgument("NewerNoncurrentVersions", rule.newer_noncurrent, "only with NoncurrentDays")
    sized = chosen.above_bytes >= 0 or chosen.below_bytes >= 0
    if rule.abort_days and (chosen.tags or sized):
        raise InvalidArgument("AbortIncompleteMultipartUpload", rule.abort_days, "only without tags and sizes")
    if rule.expire_markers and chosen.tags:
        raise InvalidArgument("ExpiredObjectDeleteMarker", "true", "only without tags")
    if not (rule.expire_days or rule.expire_at_us or rule.expire_markers or rule.noncurrent_days or rule.abort_days):
        raise InvalidArgument("rule", rule.rule_id, "at least one action")


class Expiry(NamedTuple):
    """When something goes, and by which rule."""

    at_us: int
    rule_id: str


def due_us(since_us: int, days: int, day_us: int = DAY_US) -> int:
    """When an action is due, so many days of ``day_us`` after something; only whole days have midnights."""
    at_us = since_us + days * day_us
    return -(-at_us // DAY_US) * DAY_US if day_us == DAY_US else at_us


def expiry_of(rules: Iterable[Rule], key: str, version: Version, since_us: int, day_us: int = DAY_US) -> Expiry | None:
    """When the current version of an object expires: what comes first counts; ``None``: never.

    ``since_us``: when the server took it (:func:`taken_us`).
    """
    found: Expiry | None = None
    for rule in rules:
        if not rule.enabled or not (rule.expire_days or rule.expire_at_us) or not rule.filter.fits(key, version):
            continue
        at_us = rule.expire_at_us or due_us(since_us, rule.expire_days, day_us)
        if found is None or at_us < found.at_us:
            found = Expiry(at_us, rule.rule_id)
    return found


def marker_goes(rules: Iterable[Rule], key: str, since_us: int, now_us: int, day_us: int = DAY_US) -> bool:
    """Whether a delete marker goes below which nothing is left. Rules with days ask for it at that age too."""
    for rule in rules:
        if not rule.enabled or rule.filter.tags or not key.startswith(rule.filter.prefix):
            continue
        if rule.expire_markers or (rule.expire_days and due_us(since_us, rule.expire_days, day_us) <= now_us):
            return True
    return False


def noncurrent_goes(
    rules: Iterable[Rule], key: str, version: Version, since_us: int, newer: int, now_us: int, day_us: int = DAY_US
) -> bool:
    """Whether a version goes that is not the current one.

    Args:
        rules: The bucket's.
        key: The object's.
        version: The version.
        since_us: When it ceased to be the current one.
        newer: How many noncurrent versions of the object are newer.
        now_us: The time.
        day_us: Length of a day.
    """
    return any(
        rule.enabled
        and rule.noncurrent_days
        and newer >= rule.newer_noncurrent
        and rule.filter.fits(key, version)
        and due_us(since_us, rule.noncurrent_days, day_us) <= now_us
        for rule in rules
    )


def upload_goes(rules: Iterable[Rule], key: str, begun_us: int, now_us: int, day_us: int = DAY_US) -> bool:
    """Whether an open upload is aborted."""
    return any(
        rule.enabled
        and rule.abort_days
        and key.startswith(rule.filter.prefix)
        and due_us(begun_us, rule.abort_days, day_us) <= now_us
        for rule in rules
    )


_MILLIS_BYTES: Final = 6
"""Body ids begin with the millisecond in which they were made."""


def taken_us(version: Version) -> int:
    """When the server took this version: never earlier, whatever modification time a client named for it."""
    extents = version.extents
    body_us = max((int.from_bytes(one.body_id[:_MILLIS_BYTES], "big") * 1000 for one in extents), default=0)
    return max(version.order, version.modified_us, body_us)


def grouped(rules: Iterable[Rule]) -> Mapping[str, bool]:
    """Which kinds of things any enabled rule is about: ``current``, ``older`` versions and markers, ``uploads``."""
    enabled = [rule for rule in rules if rule.enabled]
    return {
        "current": any(rule.expire_days or rule.expire_at_us for rule in enabled),
        "older": any(rule.noncurrent_days or rule.expire_markers or rule.expire_days for rule in enabled),
        "uploads": any(rule.abort_days for rule in enabled),
    }
