"""Which version a request is about, and whether it may read it."""

from noisefs.core.domain.buckets import object_lock
from noisefs.core.domain.buckets.object_lock import Wish
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.conditions import check_read
from noisefs.core.domain.records import Bucket, Versioning
from noisefs.core.domain.requests import ANY, Principal, ReadCondition
from noisefs.core.errors import (
    DeleteMarkerNamed,
    LockNotConfigured,
    ObjectDeleted,
    ObjectNotFound,
    VersionNotFound,
)
from noisefs.core.ports.index import Reading
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.versions import NULL, Found


def find(tx: Reading, row: Bucket, bucket: str, key: str, raw_key: bytes, version_id: str | None) -> Found:
    """The current version, or the one of this id: one that has bytes.

    Raises:
        ObjectNotFound: There is no object.
        ObjectDeleted: Its newest version is a delete marker.
        VersionNotFound: It has no version of this id.
        DeleteMarkerNamed: The version of this id is a delete marker.
    """
    row_key = u64(row.bucket_id) + raw_key
    if version_id is None or (version_id == NULL and row.versioning == Versioning.NEVER):
        found = versions.current(tx, row_key)
        if found is not None:
            return found
        marker = versions.newest_below(tx, row_key) if row.versioning else None
        if marker is None:
            raise ObjectNotFound(bucket, key)
        raise ObjectDeleted(bucket, key, versions.told_id(marker.version))
    found = versions.find(tx, row_key, version_id)
    if found is None:
        raise VersionNotFound(bucket, key, version_id)
    if found.version.delete_marker:
        raise DeleteMarkerNamed(bucket, key, version_id, found.version.modified_us)
    return found


def look(
    tx: Reading,
    who: Principal,
    bucket: str,
    key: str,
    raw_key: bytes,
    condition: ReadCondition,
    version_id: str | None,
) -> Found:
    """The version that may be read under the condition, as it is told to clients. Raises as :func:`find`, and what
    :func:`.conditions.check_read` raises.
    """
    row = reach_bucket(tx, who, bucket)
    found = find(tx, row, bucket, key, raw_key, version_id)
    if condition is not ANY:
        check_read(condition, found.version)
    return Found(found.table, found.row_key, found.raw, versions.shown(row, found.version), row.durability)


def check_wish(row: Bucket, wish: Wish, now_us: int) -> None:
    """Refuse a lock that a new version of this bucket cannot get.

    Raises:
        LockNotConfigured: The bucket has no object lock.
        InvalidArgument: No version can.
    """
    if row.lock is None:
        raise LockNotConfigured
    object_lock.check_wish(wish, now_us)
