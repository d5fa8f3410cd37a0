"""Headers of objects: what a client says about one when it writes, and what it is told when it reads."""

import base64
import re
import time
from calendar import timegm
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from noisefs.adapters.inbound.s3.asking.acl_headers import acl_wish
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.object_lock import lock_headers
from noisefs.adapters.inbound.s3.xml.tagging import HEADER as TAGGING
from noisefs.adapters.inbound.s3.xml.tagging import header_tags
from noisefs.core.domain.records import PartInfo, Version
from noisefs.core.domain.requests import Attributes

REDIRECT: Final = "x-amz-website-redirect-location"
"""Where the web site endpoint sends who asks for the object. Kept among its headers."""
_REDIRECT_MOST: Final = 2048
METADATA_MOST: Final = 2048
"""Bytes of all names and values of user metadata (S3 user guide, *Working with object metadata*)."""
META: Final = "x-amz-meta-"
_CONTENT: Final = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-language": "Content-Language",
    "expires": "Expires",
}
OVERRIDES: Final = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
"""Query parameters of a GET that replace headers of the answer."""
_STORAGE_CLASSES: Final = frozenset(
    {
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "GLACIER_IR",
        "SNOW",
        "EXPRESS_ONEZONE",
        "FSX_OPENZFS",
        "FSX_ONTAP",
    }
)
NOT_BUILT: Final = frozenset(
    {
        "x-amz-server-side-encryption-context",
        "x-amz-write-offset-bytes",
    }
)
"""Headers that ask for something that is not there."""
_FIELD_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_built(headers: Mapping[str, str]) -> None:
    """Refuse headers that ask for something that is not there.

    Raises:
        S3Error: ``NotImplemented``.
    """
    if not NOT_BUILT.isdisjoint(headers):
        for name in NOT_BUILT.intersection(headers):
            if headers[name].lower() not in ("", "false"):
                raise not_implemented(name)


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """What the headers of a write say about the object.

    Raises:
        S3Error: ``MetadataTooLarge``, ``InvalidStorageClass``, ``NotImplemented``, ``InvalidArgument``, ``InvalidTag``,
            ``InvalidRedirectLocation``.
    """
    storage_class = headers.get("x-amz-storage-class") or "STANDARD"
    if storage_class != "STANDARD":
        if storage_class in _STORAGE_CLASSES:
            raise not_implemented(f"x-amz-storage-class: {storage_class}")
        raise S3Error("InvalidStorageClass")
    kept = {name: text_of(headers[lower]) for lower, name in _CONTENT.items() if headers.get(lower)}
    encoding = headers.get("content-encoding")
    if encoding:
        stored = _without_framing(encoding)
        if stored:
            kept["Content-Encoding"] = text_of(stored)
    redirect = redirect_of(headers)
    if redirect:
        kept[REDIRECT] = redirect
    return Attributes(
        content_type=text_of(headers.get("content-type") or "binary/octet-stream"),
        headers=kept,
        metadata=_metadata_of(headers),
        storage_class=storage_class,
        sse=headers.get("x-amz-server-side-encryption", ""),
        acl=acl_wish(headers),
        tags=header_tags(headers[TAGGING]) if TAGGING in headers else {},
    )


def redirect_of(headers: Mapping[str, str]) -> str:
    """Where a write says that the object's page has moved to; empty: nowhere.

    Raises:
        S3Error: ``InvalidRedirectLocation``.
    """
    location = text_of(headers.get(REDIRECT, ""))
    if location and not location.startswith(("/", "http://", "https://")):
        raise S3Error("InvalidRedirectLocation")
    if len(location) > _REDIRECT_MOST:
        raise S3Error(
            "InvalidRedirectLocation",
            f"The length of website redirect location cannot exceed {_REDIRECT_MOST:,} characters.",
        )
    return location


def _without_framing(encoding: str) -> str:
    """``Content-Encoding`` without what only describes the request's own framing."""
    if "aws-chunked" not in encoding.lower():
        return encoding
    codings = (coding.strip() for coding in encoding.split(","))
    return ", ".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")


def _metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        if name.startswith(META):
            text = _decoded(text_of(value))
            found[name[len(META) :]] = text
            size += len(name) - len(META) + len(text.encode())
    if size > METADATA_MOST:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(METADATA_MOST))
    return found


def text_of(value: str) -> str:
    """A header's value as text: UTF-8, or ISO 8859-1 from clients that send that."""
    if value.isascii():
        return value
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded(value: str) -> str:
    """User metadata out of its RFC 2047 encoding, which is how S3 gives it to clients and takes it back."""
    if "=?" not in value:
        return value
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in decode_header(value)
        )
    except (HeaderParseError, UnicodeDecodeError, LookupError, ValueError):
        return value


def field_value(text: str) -> str:
    """User metadata as a header can carry it: RFC 2047 where it is not printable ASCII."""
    if _FIELD_VALUE.fullmatch(text):
        return text
    return f"=?UTF-8?B?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="


def object_headers(version: Version) -> dict[str, str]:
    """The headers of an object, without those that depend on what of it is read."""
    found = {
        "Last-Modified": http_time(version.modified_us),
        "ETag": f'"{version.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": _harmless(version.content_type) or "binary/octet-stream",
    }
    for name, value in version.headers.items():
        found[name] = _harmless(value)
    if version.tags:
        found["x-amz-tagging-count"] = str(len(version.tags))
    for name, value in version.metadata.items():
        found[META + name] = field_value(value)
    if version.sse:
        found["x-amz-server-side-encryption"] = version.sse
    if version.storage_class != "STANDARD":
        found["x-amz-storage-class"] = version.storage_class
    if version.version_id:
        found["x-amz-version-id"] = version.version_id
        if version.retention or version.legal_hold:
            found |= lock_headers(version)
    return found


def checksum_headers(checksums: Mapping[str, str], kind: str) -> dict[str, str]:
    """The checksums of an object or part, and their type."""
    found = {f"x-amz-checksum-{algorithm.lower()}": checksum for algorithm, checksum in checksums.items()}
    if found and kind:
        found["x-amz-checksum-type"] = kind
    return found


def described(
    headers: Mapping[str, str], version: Version, span: tuple[int, int] | None, part: PartInfo | None = None
) -> tuple[int, dict[str, str]]:
    """Status and headers of what is read of an object: all of it, bytes ``span``, or a part.

    ``headers``: of the request. A digest of the whole says nothing about a range, so it is left out there.
    """
    found = object_headers(version)
    checks = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if part is not None:
        if version.parts_count:
            found["x-amz-mp-parts-count"] = str(version.parts_count)
        if checks:
            found |= checksum_headers(part.checksums, version.checksum_type)
    elif checks and span is None:
        found |= checksum_headers(version.checksums, version.checksum_type)
    if span is None or span[0] == span[1]:
        return 200, found
    found["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{version.size}"
    return 206, found


def overrides_of(params: Mapping[str, str]) -> dict[str, str]:
    """Headers of the answer that the query replaces. Only signed requests come here, as S3 demands.

    Raises:
        S3Error: ``InvalidArgument``: a value is no header value.
    """
    found: dict[str, str] = {}
    for name, header in OVERRIDES.items():
        value = params.get(name)
        if value is not None:
            if _CONTROL.search(value):
                raise invalid_argument(name, value, f"{name} is not a header value")
            found[header] = value
    return found


def _harmless(text: str) -> str:
    """The text if a header can carry it; another protocol may have put anything there."""
    return "" if _CONTROL.search(text) else text


@lru_cache(maxsize=4096)
def _http_second(seconds: int) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))


def http_time(micros: int) -> str:
    """An HTTP date."""
    return _http_second(micros // 1_000_000)


def parse_time(text: str | None) -> int | None:
    """Microseconds of an HTTP date; ``None`` for none, or one that cannot be read, which RFC 9110 says to ignore."""
    if not text:
        return None
    try:
        return timegm(parsedate_to_datetime(text).utctimetuple()) * 1_000_000
    except (ValueError, OverflowError):
        return None
