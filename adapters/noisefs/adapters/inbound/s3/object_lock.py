"""Object lock in headers and XML: what a client wishes for a version, and what it is told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.reading import name_of, texts_of
from noisefs.adapters.inbound.s3.xml.text import iso_millis
from noisefs.core.domain.buckets.object_lock import MODES, NO_WISH, OFF, ON, Wish
from noisefs.core.domain.records import LockRule, Version

_MODE: Final = "x-amz-object-lock-mode"
_UNTIL: Final = "x-amz-object-lock-retain-until-date"
_HOLD: Final = "x-amz-object-lock-legal-hold"
_HEADERS: Final = frozenset({_MODE, _UNTIL, _HOLD})
_DIGITS_MOST: Final = 9


def wish_of(headers: Mapping[str, str]) -> Wish:
    """The lock that a new version shall have.

    Raises:
        S3Error: ``InvalidArgument``: a mode without a date or the other way round, or a value that is none.
    """
    if _HEADERS.isdisjoint(headers):
        return NO_WISH
    mode, until, hold = headers.get(_MODE, ""), headers.get(_UNTIL, ""), headers.get(_HOLD, "")
    if bool(mode) != bool(until):
        raise invalid_argument(
            _MODE if until else _UNTIL,
            mode or until,
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        )
    if mode and mode not in MODES:
        raise invalid_argument(_MODE, mode, "Unknown wormMode directive.")
    if hold not in ("", ON, OFF):
        raise invalid_argument(_HOLD, hold, "Legal Hold must be either of 'ON' or 'OFF'")
    if not until:
        return Wish(legal_hold=hold) if hold else NO_WISH
    until_us = parse_iso(until)
    if until_us is None:
        raise invalid_argument(_UNTIL, until, "The retain until date must be provided in ISO 8601 format")
    return Wish(mode, until_us, hold)


def lock_headers(version: Version) -> dict[str, str]:
    """What is told about a version's lock."""
    found: dict[str, str] = {}
    if version.retention:
        found[_MODE] = version.retention
        found[_UNTIL] = iso_millis(version.retain_until_us)
    if version.legal_hold:
        found[_HOLD] = version.legal_hold
    return found


def bypasses(headers: Mapping[str, str]) -> bool:
    """Whether the client sets a governance retention aside."""
    return headers.get("x-amz-bypass-governance-retention", "").lower() == "true"


def parse_iso(text: str) -> int | None:
    """Microseconds of an ISO 8601 date, UTC unless it says otherwise; ``None``: it is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        whole = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


# ---------------------------------------------------------------- documents


def retention_of(root: etree._Element) -> tuple[str, int]:
    """Mode and end of a ``Retention``; none of both: it shall end.

    Raises:
        S3Error: ``MalformedXML``.
    """
    fields = texts_of(root)
    mode, until = fields.pop("Mode", None), fields.pop("RetainUntilDate", None)
    if fields or (mode is None) != (until is None):
        raise S3Error("MalformedXML")
    if mode is None or until is None:
        return "", 0
    until_us = parse_iso(until)
    if mode not in MODES or until_us is None or until_us <= 0:
        raise S3Error("MalformedXML")
    return mode, until_us


def hold_of(root: etree._Element) -> str:
    """The status of a ``LegalHold``. Raises ``S3Error``: ``MalformedXML``."""
    status = texts_of(root).get("Status", "")
    if status not in (ON, OFF):
        raise S3Error("MalformedXML")
    return status


def rule_of(root: etree._Element) -> LockRule:
    """The rule of an ``ObjectLockConfiguration``.

    Raises:
        S3Error: ``MalformedXML``; ``InvalidRetentionPeriod``: days or years below 1.
    """
    if _text(root, "ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    rules = [child for child in root if name_of(child) == "Rule"]
    if not rules:
        return LockRule()
    defaults = [child for child in rules[0] if name_of(child) == "DefaultRetention"]
    if len(rules) > 1 or len(defaults) != 1:
        raise S3Error("MalformedXML")
    fields = texts_of(defaults[0])
    mode, days, years = fields.get("Mode", ""), fields.get("Days"), fields.get("Years")
    if mode not in MODES or (days is None) == (years is None):
        raise S3Error("MalformedXML")
    period = _period(days if days is not None else years or "")
    return LockRule(mode, days=period) if days is not None else LockRule(mode, years=period)


def rule_text(rule: LockRule) -> str:
    """The content of an ``ObjectLockConfiguration``."""
    enabled = element("ObjectLockEnabled", "Enabled")
    if not rule.mode:
        return enabled
    period = element("Days", str(rule.days)) if rule.days else element("Years", str(rule.years))
    return f"{enabled}<Rule><DefaultRetention>{element('Mode', rule.mode)}{period}</DefaultRetention></Rule>"


def _period(text: str) -> int:
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MOST):
        raise S3Error("MalformedXML")
    period = int(text)
    if period < 1:
        raise S3Error("InvalidRetentionPeriod")
    return period


def _text(root: etree._Element, name: str) -> str:
    found = [child for child in root if name_of(child) == name]
    return (found[0].text or "").strip() if len(found) == 1 else ""
