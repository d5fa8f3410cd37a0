"""Conditions and ranges of HTTP (RFC 9110 sections 13 and 14), from header text to values."""

import calendar
import re
import time
from collections.abc import Mapping
from email.utils import parsedate
from functools import lru_cache
from itertools import pairwise
from typing import Final

from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ReadCondition, WriteCondition
from noisefs.core.errors import RangeNotSatisfiable

_ETAG: Final = re.compile(r'\s*(W/)?"([^"]*)"\s*(?:,|$)|\s*(\*)\s*$|\s*([^",\s]+)\s*(?:,|$)')
"""A quoted tag, ``*``, or what sloppy clients send: a bare tag."""
_RANGES: Final = re.compile(r"bytes\s*=(.*)", re.IGNORECASE)
_RANGE: Final = re.compile(r"(\d{1,19})\s*-\s*(\d{0,19})|-\s*(\d{1,19})")
RANGES_MOST: Final = 64
"""Who asks for more gets everything."""
_SECOND_US: Final = 1_000_000
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def etags_of(header: str | None, *, strong: bool = False) -> tuple[str, ...]:
    """Tags of an ``If-None-Match`` or (``strong``: weak ones match nothing) ``If-Match`` header, without quotes.
    A value without any matches nothing.
    """
    if header is None:
        return ()
    found = ("".join(tag) for weak, *tag in _ETAG.findall(header) if not (weak and strong))
    return tuple(filter(None, found)) or ("\0",)


def date_us(header: str | None) -> int | None:
    """Microseconds of an HTTP date; ``None`` where there is none or it is no date, which means: ignore it."""
    parsed = parsedate(header) if header else None
    if parsed is None:
        return None
    try:
        return calendar.timegm(parsed) * _SECOND_US
    except (ValueError, OverflowError):
        return None


def http_date(modified_us: int) -> str:
    """``Last-Modified`` and ``getlastmodified``: whole seconds, GMT."""
    return _date(modified_us // _SECOND_US)


@lru_cache(maxsize=8192)
def _date(second: int) -> str:
    at = time.gmtime(second)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def read_condition(headers: Mapping[str, str]) -> ReadCondition:
    """What a GET or HEAD asks for."""
    return ReadCondition(
        if_match=etags_of(headers.get("If-Match"), strong=True),
        if_none_match=etags_of(headers.get("If-None-Match")),
        if_modified_since_us=date_us(headers.get("If-Modified-Since")),
        if_unmodified_since_us=date_us(headers.get("If-Unmodified-Since")),
    )


def write_condition(headers: Mapping[str, str]) -> WriteCondition:
    """What a request that changes a resource asks for."""
    return WriteCondition(
        if_match=etags_of(headers.get("If-Match"), strong=True),
        if_none_match=etags_of(headers.get("If-None-Match")),
        if_unmodified_since_us=date_us(headers.get("If-Unmodified-Since")),
    )


def byte_ranges(headers: Mapping[str, str], version: Version) -> list[tuple[int, int]]:
    """The ranges that a GET wants, in its order, each as the first byte and the one after the last; none: all of them.

    Another unit and a malformed value are ignored, as RFC 9110 section 14.2 allows; so are ranges whose ``If-Range``
    names another state of the resource, more than :data:`RANGES_MOST`, and such that overlap (section 17.15). Of
    several those are left out that lie behind the end.

    Raises:
        RangeNotSatisfiable: They all lie behind the end, or are empty.
    """
    text = headers.get("Range")
    match = None if text is None else _RANGES.fullmatch(text)
    if match is None or not _range_applies(headers.get("If-Range"), version):
        return []
    wanted = [one for part in match[1].split(",") if (one := part.strip())]
    if not 0 < len(wanted) <= RANGES_MOST:
        return []
    found: list[tuple[int, int]] = []
    for one in wanted:
        ends = _RANGE.fullmatch(one)
        if ends is None or (ends[2] and int(ends[2]) < int(ends[1])):
            return []
        start, end = _span(ends[1], ends[2], ends[3], version.size)
        if start < end:
            found.append((start, end))
    if not found:
        raise RangeNotSatisfiable(version.size)
    ordered = sorted(found)
    if any(end > start for (_, end), (start, _) in pairwise(ordered)):
        return []
    return found


def byte_range(headers: Mapping[str, str], version: Version) -> tuple[int, int] | None:
    """The same of a request that has one range at most; ``None``: all of the bytes are wanted."""
    return next(iter(byte_ranges(headers, version)), None)


def _span(first: str | None, last: str | None, suffix: str | None, size: int) -> tuple[int, int]:
    """What a range has of so many bytes; empty where it has none."""
    if suffix is not None:
        return max(0, size - int(suffix)), size
    return int(first or 0), min(int(last) + 1, size) if last else size


def _range_applies(if_range: str | None, version: Version) -> bool:
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith('"'):
        return value == f'"{version.etag}"'
    since_us = date_us(value)
    return since_us is not None and since_us // _SECOND_US == version.modified_us // _SECOND_US
