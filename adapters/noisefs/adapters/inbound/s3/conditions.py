"""Conditional requests and ranges, as headers say them."""

import re
from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.headers import parse_time
from noisefs.adapters.inbound.s3.object_lock import parse_iso
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ALWAYS, ANY, ReadCondition, WriteCondition
from noisefs.core.errors import RangeNotSatisfiable

_ETAG: Final = re.compile(r'\s*(?:W/)?(?:"([^"]*)"|([^",\s]+))\s*(?:,|\Z)')
_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", re.ASCII | re.IGNORECASE)
_COPY_RANGE: Final = re.compile(r"bytes=(\d{1,19})-(\d{1,19})", re.ASCII)
_SIZE_DIGITS_MOST: Final = 18
_READ_HEADERS: Final = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})


def etags_of(text: str | None) -> tuple[str, ...]:
    """ETags without quotes; ``*`` stays. Clients send them with and without quotes."""
    return tuple(quoted or bare for quoted, bare in _ETAG.findall(text)) if text else ()


def read_condition(headers: Mapping[str, str], prefix: str = "") -> ReadCondition:
    """The conditions of a read; with ``x-amz-copy-source-`` as ``prefix``, those on the source of a copy."""
    if not prefix and _READ_HEADERS.isdisjoint(headers):
        return ANY
    condition = ReadCondition(
        if_match=etags_of(headers.get(f"{prefix}if-match")),
        if_none_match=etags_of(headers.get(f"{prefix}if-none-match")),
        if_modified_since_us=parse_time(headers.get(f"{prefix}if-modified-since")),
        if_unmodified_since_us=parse_time(headers.get(f"{prefix}if-unmodified-since")),
    )
    return ANY if condition == ANY else condition


def write_condition(headers: Mapping[str, str]) -> WriteCondition:
    """The conditions of a write."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return ALWAYS
    return WriteCondition(if_match=etags_of(match), if_none_match=etags_of(none_match))


def delete_condition(headers: Mapping[str, str]) -> WriteCondition:
    """The conditions of a delete.

    Raises:
        S3Error: ``InvalidArgument``: a time or a size is none.
    """
    return exactly(
        headers.get("if-match"), headers.get("x-amz-if-match-last-modified-time"), headers.get("x-amz-if-match-size")
    )


def exactly(etag: str | None, modified: str | None, size: str | None) -> WriteCondition:
    """What an object that is deleted must be like, as far as it is said (``None``: it is not).

    Raises:
        S3Error: ``InvalidArgument``: a time or a size is none.
    """
    if etag is None and modified is None and size is None:
        return ALWAYS
    modified_us = None
    if modified is not None:
        modified_us = parse_time(modified)
        if modified_us is None:
            modified_us = parse_iso(modified)
        if modified_us is None:
            raise invalid_argument("x-amz-if-match-last-modified-time", modified, "It is no time.")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) <= _SIZE_DIGITS_MOST):
        raise invalid_argument("x-amz-if-match-size", size, "It is no number of bytes.")
    return WriteCondition(
        if_match=etags_of(etag), if_modified_us=modified_us, if_size=None if size is None else int(size)
    )


def byte_range(headers: Mapping[str, str], version: Version) -> tuple[int, int] | None:
    """The range of a version that is asked for, as start and end (exclusive). ``None``: all of it; also where the
    header is malformed or has several ranges, which S3 ignores, and where ``If-Range`` does not hold.

    Raises:
        RangeNotSatisfiable: The range begins behind the end.
    """
    text = headers.get("range")
    if text is None or not _if_range(headers.get("if-range"), version):
        return None
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    first, last = found[1], found[2]
    size = version.size
    if not first:
        if not last:
            return None
        if int(last) == 0 or size == 0:
            raise RangeNotSatisfiable(size)
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, min(size, int(last) + 1) if last else size


def _if_range(text: str | None, version: Version) -> bool:
    if text is None:
        return True
    if text.startswith('"'):
        return text == f'"{version.etag}"'
    since_us = parse_time(text)
    return since_us is not None and version.modified_us // 1_000_000 == since_us // 1_000_000


def copy_range(text: str | None) -> tuple[int, int] | None:
    """The range of an UploadPartCopy: first and last byte.

    Raises:
        S3Error: ``InvalidArgument``: it is malformed.
    """
    if text is None:
        return None
    found = _COPY_RANGE.fullmatch(text.strip())
    if found is None or int(found[2]) < int(found[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text[:200],
        )
    return int(found[1]), int(found[2])
