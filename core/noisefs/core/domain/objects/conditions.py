"""Whether the conditions of a request hold for the present object (RFC 9110 section 13, and S3's choices in it).

Times are compared by whole seconds, which is all that an HTTP date can say.
"""

from typing import Final

from noisefs.core.domain.records import Listed, Version
from noisefs.core.domain.requests import ReadCondition, WriteCondition
from noisefs.core.errors import NotModified, ObjectNotFound, PreconditionFailed

_SECOND_US: Final = 1_000_000


def _matches(etags: tuple[str, ...], etag: str) -> bool:
    return etag in etags or "*" in etags


def _later(modified_us: int, than_us: int) -> bool:
    return modified_us // _SECOND_US > than_us // _SECOND_US


def check_read(condition: ReadCondition, version: Version | Listed) -> None:
    """Let a read of ``version`` pass or refuse it, in RFC 9110's order: If-Match before If-Unmodified-Since,
    then If-None-Match before If-Modified-Since.

    Raises:
        PreconditionFailed: If-Match or If-Unmodified-Since does not hold.
        NotModified: If-None-Match or If-Modified-Since says that the caller has the bytes.
    """
    if condition.if_match:
        if not _matches(condition.if_match, version.etag):
            raise PreconditionFailed("If-Match")
    elif condition.if_unmodified_since_us is not None and _later(version.modified_us, condition.if_unmodified_since_us):
        raise PreconditionFailed("If-Unmodified-Since")
    if condition.if_none_match:
        if _matches(condition.if_none_match, version.etag):
            raise NotModified(version.etag, version.modified_us)
    elif condition.if_modified_since_us is not None and not _later(version.modified_us, condition.if_modified_since_us):
        raise NotModified(version.etag, version.modified_us)


def check_source(condition: ReadCondition, version: Version | Listed) -> None:
    """Like :func:`check_read` for the source of a copy: every failure is ``PreconditionFailed``."""
    try:
        check_read(condition, version)
    except NotModified as exc:
        name = "If-None-Match" if condition.if_none_match else "If-Modified-Since"
        raise PreconditionFailed(f"x-amz-copy-source-{name.lower()}") from exc


def check_write(condition: WriteCondition, present: Version | Listed | None, bucket: str, key: str) -> None:
    """Let a write or delete pass or refuse it. ``present``: what the key names now, ``None`` for nothing.

    Raises:
        PreconditionFailed: A condition does not hold.
        ObjectNotFound: If-Match, and there is no object (S3 answers 404 there, also to a delete).
    """
    if present is None:
        if condition.if_match:
            raise ObjectNotFound(bucket, key)
        return
    if condition.if_match and not _matches(condition.if_match, present.etag):
        raise PreconditionFailed("If-Match")
    if condition.if_none_match and _matches(condition.if_none_match, present.etag):
        raise PreconditionFailed("If-None-Match")
    since_us = condition.if_unmodified_since_us
    if since_us is not None and _later(present.modified_us, since_us):
        raise PreconditionFailed("If-Unmodified-Since")
    modified_us = condition.if_modified_us
    if modified_us is not None and present.modified_us // _SECOND_US != modified_us // _SECOND_US:
        raise PreconditionFailed("x-amz-if-match-last-modified-time")
    if condition.if_size is not None and present.size != condition.if_size:
        raise PreconditionFailed("x-amz-if-match-size")
