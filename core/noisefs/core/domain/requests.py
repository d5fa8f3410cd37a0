"""Values that cross from a protocol into the services: who asks, under which conditions, with which attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Listed, Version


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user."""

    user_id: UserId
    name: str
    admin: bool


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold of the present object in the commit that replaces or deletes it.

    Attributes:
        if_match: ETags without quotes (or ``*``), any of which the present object must have; empty: no condition.
        if_none_match: ETags (or ``*``) none of which the present object may have.
        if_unmodified_since_us: The present object, if any, must not be younger (compared by whole seconds).
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_unmodified_since_us: int | None = None


@dataclass(frozen=True, slots=True)
class ReadCondition:
    """RFC 9110 section 13 on a read; evaluated in that order of precedence. ETags without quotes, or ``*``."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since_us: int | None = None
    if_unmodified_since_us: int | None = None


ALWAYS = WriteCondition()
ANY = ReadCondition()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a client says about an object besides its bytes. Field meanings: :class:`~.records.Version`."""

    content_type: str = "binary/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    sse: str = ""
    modified_us: int | None = None
    """``None``: the time of the commit."""
    created_us: int | None = None


@dataclass(frozen=True, slots=True)
class Digested:
    """What came out of hashing a body while it was taken in."""

    size: int
    digests: Mapping[str, bytes]
    """By algorithm: ``MD5`` and whichever of ``CRC32 CRC32C CRC64NVME SHA1 SHA256`` were asked for; raw bytes."""


Verify = Callable[[Digested], Mapping[str, str]]
"""Called after the last byte, before anything becomes visible. Returns the checksums to keep (algorithm to base64);
raises (:class:`~noisefs.core.errors.DigestMismatch`, ...) to refuse the body, which then leaves no trace."""


def keep_none(_digested: Digested) -> Mapping[str, str]:
    """Accept the body and keep no checksum."""
    return {}


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as a Complete request names it. ``etag`` without quotes; ``checksums`` by algorithm, base64."""

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        entries: Keys with their rows, ascending by UTF-8 bytes. Delete markers are left out.
        prefixes: Common prefixes, ascending.
        next_after: Pass as ``after`` for the next page; ``None`` when the listing is complete. It is the last key
            or the last common prefix returned, whichever is greater.
    """

    entries: list[tuple[str, Listed]]
    prefixes: list[str]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class FullPage:
    """Like :class:`Page`, with whole versions (WebDAV needs content types)."""

    entries: list[tuple[str, Version]]
    prefixes: list[str]
    next_after: str | None
