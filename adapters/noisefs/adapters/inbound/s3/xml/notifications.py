"""``NotificationConfiguration`` from XML (S3 API Reference, *PutBucketNotificationConfiguration*).

A target is named by an ARN of its own, in whichever of the three kinds of configuration a client has.
"""

from secrets import token_hex
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of, texts_of
from noisefs.core.domain.buckets.notification import Rule, target_of

_KINDS: Final = {
    "QueueConfiguration": "Queue",
    "TopicConfiguration": "Topic",
    "CloudFunctionConfiguration": "CloudFunction",
}
"""Kinds of configuration, and where each has its ARN."""
_NAMES: Final = frozenset({"prefix", "suffix"})


def rules_of(root: etree._Element, allowed: str) -> list[Rule]:
    """The rules of a ``NotificationConfiguration``. One without an Id gets one, in the document too.

    ``allowed``: which ARNs there are, for the refusal of what is none.

    Raises:
        S3Error: ``MalformedXML``, ``InvalidArgument``, ``NotImplemented``.
    """
    rules = []
    for child in root:
        kind = name_of(child)
        if kind == "EventBridgeConfiguration":
            raise not_implemented("EventBridgeConfiguration")
        if kind not in _KINDS:
            raise S3Error("MalformedXML")
        rules.append(_rule_of(child, _KINDS[kind], allowed))
    return rules


def _rule_of(element: etree._Element, where: str, allowed: str) -> Rule:
    if any(name_of(child) not in ("Id", "Event", "Filter", where) for child in element):
        raise S3Error("MalformedXML")
    arn = (text_of(element, where) or "").strip()
    target = target_of(arn)
    if target is None:
        raise invalid_argument("ARN", arn[:200], f"The ARN is not one of this server's targets; allowed is {allowed}")
    events = [child for child in element if name_of(child) == "Event"]
    if not events or any(len(event) for event in events):
        raise S3Error("MalformedXML")
    rule_id = text_of(element, "Id")
    if not rule_id:
        rule_id = token_hex(16)
        for child in [child for child in element if name_of(child) == "Id"]:
            element.remove(child)
        added = etree.Element("Id")
        added.text = rule_id
        element.insert(0, added)
    prefix, suffix = _filter(element)
    return Rule(rule_id, target, tuple((event.text or "").strip() for event in events), prefix, suffix)


def _filter(element: etree._Element) -> tuple[str, str]:
    """Prefix and suffix."""
    found: dict[str, str] = {}
    filters = [child for child in element if name_of(child) == "Filter"]
    if len(filters) > 1 or any(len(one) > 1 or any(name_of(key) != "S3Key" for key in one) for one in filters):
        raise S3Error("MalformedXML")
    for rule in (rule for one in filters for key in one for rule in key):
        texts = texts_of(rule) if name_of(rule) == "FilterRule" else {}
        if texts.keys() != {"Name", "Value"}:
            raise S3Error("MalformedXML")
        name = texts["Name"].strip().lower()
        if name not in _NAMES:
            raise invalid_argument("FilterRule.Name", name[:40], "filter rule name must be either prefix or suffix")
        if name in found:
            raise invalid_argument("FilterRule.Name", name, f"Cannot specify more than one {name} rule in a filter.")
        found[name] = texts["Value"]
    return found.get("prefix", ""), found.get("suffix", "")
