"""Byte and object counters of buckets and users, changed in the commits that change what they count.

Their rows hold the quotas too, so a quota is exact however many write at once, and costs nothing where there is none.
What shrinks is never refused, also above a quota that was set later.
"""

from dataclasses import dataclass
from typing import Final

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Bucket, Usage, decode, encode
from noisefs.core.errors import QuotaExceeded
from noisefs.core.ports.index import Reading, Table, Writing

_WHOSE: Final = ("bucket", "bucket's owner")


@dataclass(slots=True)
class Tally:
    """What one commit adds to a bucket, gathered so that its counters change once.

    Every version with bytes counts, the current one and older ones; a delete marker does not.
    """

    size_bytes: int = 0
    objects: int = 0

    def add(self, size_bytes: int, objects: int = 1) -> None:
        """There are so many more."""
        self.size_bytes += size_bytes
        self.objects += objects

    def apply(self, tx: Writing, bucket: Bucket) -> None:
        """Change the counters."""
        adjust(tx, bucket, self.size_bytes, self.objects)


def adjust(tx: Writing, bucket: Bucket, size_bytes: int, objects: int) -> None:
    """Add to the counters of a bucket and of its owner. Cost: two gets and two puts, none when nothing changes.

    Raises:
        QuotaExceeded: There would be more than allowed.
    """
    if not size_bytes and not objects:
        return
    for whose, key in zip(_WHOSE, _keys(bucket), strict=True):
        raw = tx.get(Table.USAGE, key)
        if raw is None:
            usage = Usage(size_bytes, objects)
        else:
            before = decode(Usage, raw)
            _check(before, size_bytes, objects, whose)
            usage = Usage(before.bytes + size_bytes, before.objects + objects, before.max_bytes, before.max_objects)
        tx.put(Table.USAGE, key, encode(usage))


def check_room(tx: Reading, bucket: Bucket, size_bytes: int) -> None:
    """Refuse bytes that do not fit now, before they are counted: of an upload's part. Cost: two gets.

    Raises:
        QuotaExceeded: A quota leaves no room for so many.
    """
    for whose, key in zip(_WHOSE, _keys(bucket), strict=True):
        _check(of(tx, key), size_bytes, 0, whose)


def room(tx: Reading, bucket: Bucket) -> int | None:
    """Bytes that quotas leave; ``None``: there is none. Cost: two gets."""
    rows = [of(tx, key) for key in _keys(bucket)]
    return min((max(0, row.max_bytes - row.bytes) for row in rows if row.max_bytes), default=None)


def limit(tx: Writing, key: bytes, *, max_bytes: int | None, max_objects: int | None) -> Usage:
    """Set (0: remove; ``None``: leave) the quotas of a counter."""
    before = of(tx, key)
    usage = Usage(
        before.bytes,
        before.objects,
        before.max_bytes if max_bytes is None else max_bytes,
        before.max_objects if max_objects is None else max_objects,
    )
    tx.put(Table.USAGE, key, encode(usage))
    return usage


def of_bucket(tx: Reading, bucket_id: int) -> Usage:
    """A bucket's counters."""
    return of(tx, keyspace.bucket_usage_key(bucket_id))


def of_user(tx: Reading, user_id: str) -> Usage:
    """Counters over all buckets of a user."""
    return of(tx, keyspace.user_usage_key(user_id))


def _keys(bucket: Bucket) -> tuple[bytes, bytes]:
    return keyspace.bucket_usage_key(bucket.bucket_id), keyspace.user_usage_key(bucket.owner)


def _check(usage: Usage, size_bytes: int, objects: int, whose: str) -> None:
    if size_bytes > 0 and 0 < usage.max_bytes < usage.bytes + size_bytes:
        raise QuotaExceeded(whose, f"{usage.max_bytes} bytes")
    if objects > 0 and 0 < usage.max_objects < usage.objects + objects:
        raise QuotaExceeded(whose, f"{usage.max_objects} objects")


def of(tx: Reading, key: bytes) -> Usage:
    """The counters in one row."""
    raw = tx.get(Table.USAGE, key)
    return Usage(0, 0) if raw is None else decode(Usage, raw)
