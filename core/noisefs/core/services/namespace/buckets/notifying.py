"""Telling of changes: each is put into the queue of the target that its bucket's rules name, in its own commit.

Every function costs one look into a dictionary where a bucket has no rules.
"""

import msgspec

from noisefs.core.domain.buckets.event_rows import WaitingEvent
from noisefs.core.domain.buckets.notification import DELETE, EXPIRED, KIND, MARKER, REMOVED, TEST, Compiled, compiled
from noisefs.core.domain.records import Bucket, Version
from noisefs.core.domain.requests import Cause, Principal
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Writing
from noisefs.core.services.events import queue

_BASE_BYTES = 8
"""What stands before an object's key in a row key: the bucket's id."""
_LIFECYCLE = "s3.amazonaws.com"
"""Who does what lifecycle rules say, as S3 names it."""


def tell_made(tx: Writing, bucket: Bucket, row_key: bytes, new: Version, now_us: int, cause: Cause) -> None:
    """The key names a new version."""
    raw = bucket.config.get(KIND)
    if raw is not None:
        _tell(tx, bucket, raw, row_key, cause.made, new, now_us, cause.who)


def tell_removed(
    tx: Writing, bucket: Bucket, row_key: bytes, version_id: str, now_us: int, cause: Cause, *, marker: bool = False
) -> None:
    """The key names nothing any more, or a version is gone; ``marker``: that is a delete marker's doing."""
    raw = bucket.config.get(KIND)
    if raw is not None:
        event = (REMOVED if cause.who is not None else EXPIRED) + (MARKER if marker else DELETE)
        _tell(tx, bucket, raw, row_key, event, None, now_us, cause.who, version_id)


def tell_changed(
    tx: Writing, bucket: Bucket, row_key: bytes, event: str, version: Version, now_us: int, who: Principal
) -> None:
    """Something about a version changed, and not its bytes."""
    raw = bucket.config.get(KIND)
    if raw is not None:
        _tell(tx, bucket, raw, row_key, event, version, now_us, who)


def tell_tested(tx: Writing, bucket: Bucket, name: str, target: str, now_us: int, who: Principal) -> None:
    """A target is named by the bucket's rules from now on."""
    queue.add(tx, target, _event(tx, bucket, name, "", TEST, "", now_us, who))


def _tell(
    tx: Writing,
    bucket: Bucket,
    raw: bytes,
    row_key: bytes,
    event: str,
    version: Version | None,
    now_us: int,
    who: Principal | None,
    version_id: str = "",
) -> None:
    rules = _compiled(raw)
    found = rules.by_event.get(event)
    if found is None:
        return
    key = row_key[_BASE_BYTES:].decode()
    for rule in found:
        if rule.takes(key):
            row = _event(tx, bucket, rules.bucket, key, event, rule.rule_id, now_us, who)
            if version is not None:
                version_id = version.version_id or ("null" if bucket.versioning else "")
                row = msgspec.structs.replace(row, size=version.size, etag=version.etag)
            queue.add(tx, rule.target, msgspec.structs.replace(row, version_id=version_id))


def _compiled(raw: bytes) -> Compiled:
    try:
        return compiled(raw)
    except msgspec.MsgspecError as exc:
        raise IndexDamaged(f"a bucket's notification rules cannot be decoded: {exc}") from exc


def _event(
    tx: Writing, bucket: Bucket, name: str, key: str, event: str, rule_id: str, now_us: int, who: Principal | None
) -> WaitingEvent:
    asking = None if who is None else who.asking
    source = None if asking is None else asking.lookup("aws:sourceip")
    return WaitingEvent(
        event=event,
        at_us=now_us,
        bucket=name,
        owner=bucket.owner,
        key=key,
        rule_id=rule_id,
        sequence=tx.sequence,
        requester=_LIFECYCLE if who is None else who.name,
        source_ip=source[0] if source else "",
        request_id="" if asking is None else asking.request_id,
    )
