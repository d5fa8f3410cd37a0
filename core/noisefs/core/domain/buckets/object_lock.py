"""Object lock: what may be done to a version while a retention or a legal hold keeps it.

Whoever removes a version, or changes its lock, asks here first, inside the commit that does it. A delete marker is
never locked, and putting one over a locked version removes nothing.

Source: S3 user guide, *Locking objects with Object Lock*.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from noisefs.core.domain.records import LockRule, Version
from noisefs.core.errors import InvalidArgument, ObjectLocked

GOVERNANCE: Final = "GOVERNANCE"
"""Kept, but for whoever may bypass it and says so."""
COMPLIANCE: Final = "COMPLIANCE"
"""Kept, whoever asks."""
MODES: Final = (GOVERNANCE, COMPLIANCE)
ON: Final = "ON"
OFF: Final = "OFF"

_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_MOST_DAYS: Final = 36_500
_MOST_YEARS: Final = 100


class Wish(NamedTuple):
    """The lock that a client wants for a new version. Empty: the bucket's rule decides."""

    mode: str = ""
    retain_until_us: int = 0
    legal_hold: str = ""


NO_WISH: Final = Wish()


def is_retained(version: Version, now_us: int, *, bypass: bool = False) -> bool:
    """Whether a retention keeps the version. ``bypass``: the caller may set governance aside, and does."""
    if not version.retention or version.retain_until_us <= now_us:
        return False
    return version.retention != GOVERNANCE or not bypass


def check_removal(version: Version, now_us: int, *, bypass: bool = False) -> None:
    """Let the version be removed for good, or refuse.

    Raises:
        ObjectLocked: A legal hold is on, or a retention is not over. ``bypass`` sets a governance retention aside.
    """
    if version.legal_hold == ON:
        raise ObjectLocked("a legal hold is on the version")
    if is_retained(version, now_us, bypass=bypass):
        raise ObjectLocked(f"the version is retained until {_date(version.retain_until_us)}")


def check_retention(version: Version, mode: str, until_us: int, now_us: int, *, bypass: bool = False) -> None:
    """Let the version's retention become another one (no ``mode``: none), or refuse. A longer one is always allowed.

    Raises:
        ObjectLocked: It would weaken a retention that is not over; in governance mode ``bypass`` allows it.
    """
    if not is_retained(version, now_us, bypass=bypass):
        return
    if mode != version.retention or until_us < version.retain_until_us:
        raise ObjectLocked(f"the retention until {_date(version.retain_until_us)} can only be made longer")


def check_wish(wish: Wish, now_us: int) -> None:
    """Refuse a lock that no version can get.

    Raises:
        InvalidArgument: An unknown mode or status, a mode without a date or a date without a mode, a date that is past.
    """
    if wish.mode and wish.mode not in MODES:
        raise InvalidArgument("retention mode", wish.mode, f"one of {', '.join(MODES)}")
    if bool(wish.mode) != bool(wish.retain_until_us):
        raise InvalidArgument("retention", wish.mode or wish.retain_until_us, "a mode and a date, or neither")
    if wish.mode and wish.retain_until_us <= now_us:
        raise InvalidArgument("retain until date", _date(wish.retain_until_us), "it must be in the future")
    if wish.legal_hold not in ("", ON, OFF):
        raise InvalidArgument("legal hold", wish.legal_hold, f"{ON} or {OFF}")


def check_rule(rule: LockRule) -> None:
    """Refuse a bucket's rule that has no meaning.

    Raises:
        InvalidArgument: An unknown mode, or not exactly one of days and years, each at least 1 and not above 100 years.
    """
    if not rule.mode:
        if rule.days or rule.years:
            raise InvalidArgument("retention mode", rule.mode, f"one of {', '.join(MODES)}")
        return
    if rule.mode not in MODES:
        raise InvalidArgument("retention mode", rule.mode, f"one of {', '.join(MODES)}")
    if bool(rule.days) == bool(rule.years):
        raise InvalidArgument("default retention", (rule.days, rule.years), "either days or years")
    if not (0 <= rule.days <= _MOST_DAYS and 0 <= rule.years <= _MOST_YEARS):
        raise InvalidArgument(
            "default retention", (rule.days, rule.years), f"1 to {_MOST_DAYS} days or 1 to {_MOST_YEARS} years"
        )


def default_until(rule: LockRule, now_us: int) -> int:
    """When the retention of a version ends that the bucket's rule retains from ``now_us`` on. A year has 365 days."""
    return now_us + (rule.days + 365 * rule.years) * _DAY_US


def _date(micros: int) -> str:
    try:
        return datetime.fromtimestamp(micros / _SECOND_US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # a year that it does not know
        return f"{micros // _SECOND_US} s after 1970"
