"""``BucketLoggingStatus``, in and out (S3 API Reference, *PutBucketLogging*)."""

from collections.abc import Mapping
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.acls import grant_of, grants_content
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.core.domain.buckets.access_log import DELIVERY_TIME, EVENT_TIME, SIMPLE, Rule

_FIELDS: Final = frozenset({"TargetBucket", "TargetPrefix", "TargetObjectKeyFormat", "TargetGrants"})
_PERMISSIONS: Final = frozenset({"FULL_CONTROL", "READ", "WRITE"})
_PREFIX_MOST_BYTES: Final = 800
"""What an object's name adds has to fit in a key."""


def rule_of(root: etree._Element) -> Rule | None:
    """The rule in a ``BucketLoggingStatus``; ``None``: nothing is to be logged.

    Raises:
        S3Error: ``MalformedXML``, or what is wrong with a grant.
    """
    if not len(root):
        return None
    if len(root) != 1 or name_of(root[0]) != "LoggingEnabled":
        raise S3Error("MalformedXML")
    enabled = root[0]
    names = [name_of(child) for child in enabled]
    if len(set(names)) != len(names) or not _FIELDS.issuperset(names):
        raise S3Error("MalformedXML")
    target, prefix = text_of(enabled, "TargetBucket"), text_of(enabled, "TargetPrefix")
    if not target or prefix is None:
        raise S3Error("MalformedXML")
    if len(prefix.encode()) > _PREFIX_MOST_BYTES:
        raise S3Error("InvalidArgument", f"A TargetPrefix has at most {_PREFIX_MOST_BYTES} bytes.")
    found = {name_of(child): child for child in enabled}
    grants = tuple(grant_of(grant) for grant in found.get("TargetGrants", ()))
    if any(permission not in _PERMISSIONS for _, permission in grants):
        raise S3Error("MalformedXML")
    named = found.get("TargetObjectKeyFormat")
    return Rule(target.strip(), prefix, "" if named is None else _format_of(named), grants)


def _format_of(named: etree._Element) -> str:
    if len(named) != 1:
        raise S3Error("MalformedXML")
    kind = named[0]
    if name_of(kind) == SIMPLE and not len(kind):
        return SIMPLE
    if name_of(kind) != "PartitionedPrefix" or any(name_of(child) != "PartitionDateSource" for child in kind):
        raise S3Error("MalformedXML")
    source = (text_of(kind, "PartitionDateSource") or "").strip()
    if source not in (EVENT_TIME, DELIVERY_TIME):
        raise S3Error("MalformedXML")
    return source


def status_content(rule: Rule | None, names: Mapping[str, str]) -> str:
    """What is inside of a ``BucketLoggingStatus``. ``names``: of users in grants."""
    if rule is None:
        return ""
    content = element("TargetBucket", rule.target)
    if rule.grants:
        content += f"<TargetGrants>{grants_content(rule.grants, names)}</TargetGrants>"
    content += element("TargetPrefix", rule.prefix)
    if rule.key_format == SIMPLE:
        content += "<TargetObjectKeyFormat><SimplePrefix/></TargetObjectKeyFormat>"
    elif rule.key_format:
        source = element("PartitionDateSource", rule.key_format)
        content += f"<TargetObjectKeyFormat><PartitionedPrefix>{source}</PartitionedPrefix></TargetObjectKeyFormat>"
    return f"<LoggingEnabled>{content}</LoggingEnabled>"
