"""Lifecycle rules from XML (S3 API Reference, *PutBucketLifecycleConfiguration*).

A transition needs storage classes, of which there is one: it is refused, not ignored.
"""

import re
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of, texts_of
from noisefs.core.domain.buckets.lifecycle import Filter, Rule, check_rules
from noisefs.core.errors import InvalidArgument

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_SECOND_US: Final = 1_000_000
_RULE: Final = frozenset(
    {
        "ID",
        "Status",
        "Prefix",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    }
)
_UNKNOWN_CLASSES: Final = frozenset({"Transition", "NoncurrentVersionTransition"})


def rules_of(root: etree._Element) -> list[Rule]:
    """The rules of a ``LifecycleConfiguration``. One without an ID gets one, in the document too.

    Raises:
        S3Error: ``MalformedXML``, ``InvalidArgument``, ``NotImplemented``.
    """
    if any(name_of(child) != "Rule" for child in root):
        raise S3Error("MalformedXML")
    rules = [_rule_of(child) for child in root]
    try:
        check_rules(rules)
    except InvalidArgument as exc:
        raise _refused(exc) from exc
    return rules


def _refused(exc: InvalidArgument) -> S3Error:
    if exc.field in ("Expiration", "rule", "number of rules", "AbortIncompleteMultipartUpload", "ID"):
        code = "InvalidRequest" if exc.field in ("rule", "AbortIncompleteMultipartUpload") else "MalformedXML"
        return S3Error("InvalidArgument" if exc.field == "ID" else code, str(exc))
    return invalid_argument(exc.field, str(exc.value), str(exc))


def _rule_of(element: etree._Element) -> Rule:
    names = [name_of(child) for child in element]
    unknown = next((name for name in names if name not in _RULE), None)
    if unknown in _UNKNOWN_CLASSES:
        raise not_implemented(f"{unknown}: there is one storage class, STANDARD; it")
    if unknown is not None or len(set(names)) != len(names):
        raise S3Error("MalformedXML")
    status = text_of(element, "Status")
    if status not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    found = {name_of(child): child for child in element}
    if "Filter" in found and "Prefix" in found:
        raise S3Error("MalformedXML", "A rule has either a Filter or a Prefix.")
    if "Filter" not in found and "Prefix" not in found:
        raise S3Error("MalformedXML", "A rule needs a Filter; an empty one is about all objects.")
    rule_id = text_of(element, "ID")
    if not rule_id:
        rule_id = token_hex(16)
        if "ID" in found:
            element.remove(found["ID"])
        etree.SubElement(element, "ID").text = rule_id
    days, at_us, markers = _expiration(found.get("Expiration"))
    noncurrent, newer = _noncurrent(found.get("NoncurrentVersionExpiration"))
    return Rule(
        rule_id,
        status == "Enabled",
        _filter(found["Filter"]) if "Filter" in found else Filter(text_of(element, "Prefix") or ""),
        expire_days=days,
        expire_at_us=at_us,
        expire_markers=markers,
        noncurrent_days=noncurrent,
        newer_noncurrent=newer,
        abort_days=_days(found.get("AbortIncompleteMultipartUpload"), "DaysAfterInitiation"),
    )


def _filter(element: etree._Element) -> Filter:
    if len(element) > 1:
        raise S3Error("MalformedXML", "A Filter has one condition; And holds several.")
    if not len(element):
        return Filter()
    child = element[0]
    if name_of(child) != "And":
        return _conditions(element)
    if len(child) < 2:
        raise S3Error("MalformedXML", "And holds at least two conditions.")
    return _conditions(child)


def _conditions(element: etree._Element) -> Filter:
    tags: dict[str, str] = {}
    texts: dict[str, str] = {}
    for child in element:
        name = name_of(child)
        if name == "Tag":
            pair = texts_of(child)
            if pair.keys() != {"Key", "Value"} or pair["Key"] in tags or not pair["Key"]:
                raise S3Error("MalformedXML")
            tags[pair["Key"]] = pair["Value"]
        elif name in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan") and name not in texts and not len(child):
            texts[name] = child.text or ""
        else:
            raise S3Error("MalformedXML")
    return Filter(
        texts.get("Prefix", ""),
        tags,
        _number("ObjectSizeGreaterThan", texts["ObjectSizeGreaterThan"]) if "ObjectSizeGreaterThan" in texts else -1,
        _number("ObjectSizeLessThan", texts["ObjectSizeLessThan"]) if "ObjectSizeLessThan" in texts else -1,
    )


def _expiration(element: etree._Element | None) -> tuple[int, int, bool]:
    """Days, date in microseconds, and whether delete markers go."""
    if element is None:
        return 0, 0, False
    texts = texts_of(element)
    if len(texts) != 1 or not texts.keys() <= {"Days", "Date", "ExpiredObjectDeleteMarker"}:
        raise S3Error("MalformedXML")
    if "Days" in texts:
        return _positive("Days", texts["Days"]), 0, False
    if "Date" in texts:
        return 0, _date_us(texts["Date"].strip()), False
    marker = texts["ExpiredObjectDeleteMarker"].strip()
    if marker not in ("true", "false"):
        raise S3Error("MalformedXML")
    return 0, 0, marker == "true"


def _noncurrent(element: etree._Element | None) -> tuple[int, int]:
    """Days, and how many newer ones stay."""
    if element is None:
        return 0, 0
    texts = texts_of(element)
    if not texts.keys() <= {"NoncurrentDays", "NewerNoncurrentVersions"} or "NoncurrentDays" not in texts:
        raise S3Error("MalformedXML")
    newer = texts.get("NewerNoncurrentVersions")
    return (
        _positive("NoncurrentDays", texts["NoncurrentDays"]),
        0 if newer is None else _positive("NewerNoncurrentVersions", newer),
    )


def _days(element: etree._Element | None, name: str) -> int:
    if element is None:
        return 0
    texts = texts_of(element)
    if texts.keys() != {name}:
        raise S3Error("MalformedXML")
    return _positive(name, texts[name])


def _positive(name: str, text: str) -> int:
    found = _number(name, text)
    if not found:
        raise invalid_argument(name, text, f"'{name}' must be a positive integer")
    return found


def _number(name: str, text: str) -> int:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped) is None:
        raise invalid_argument(name, text[:40], f"'{name}' must be a positive integer")
    return int(stripped)


def _date_us(text: str) -> int:
    try:
        date = datetime.fromisoformat(text)
    except ValueError as exc:
        raise S3Error("MalformedXML") from exc
    at = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return int(at.timestamp()) * _SECOND_US
