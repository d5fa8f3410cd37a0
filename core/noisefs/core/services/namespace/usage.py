"""Byte and object counters of buckets and users, changed in the commits that change what they count."""

from dataclasses import dataclass

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Bucket, Usage, decode, encode
from noisefs.core.ports.index import Reading, Table, Writing


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
    """Add to the counters of a bucket and of its owner. Cost: two gets and two puts, none when nothing changes."""
    if not size_bytes and not objects:
        return
    for key in (keyspace.bucket_usage_key(bucket.bucket_id), keyspace.user_usage_key(bucket.owner)):
        raw = tx.get(Table.USAGE, key)
        if raw is None:
            usage = Usage(size_bytes, objects)
        else:
            before = decode(Usage, raw)
            usage = Usage(before.bytes + size_bytes, before.objects + objects)
        tx.put(Table.USAGE, key, encode(usage))


def of_bucket(tx: Reading, bucket_id: int) -> Usage:
    """A bucket's counters."""
    return _usage(tx, keyspace.bucket_usage_key(bucket_id))


def of_user(tx: Reading, user_id: str) -> Usage:
    """Counters over all buckets of a user."""
    return _usage(tx, keyspace.user_usage_key(user_id))


def _usage(tx: Reading, key: bytes) -> Usage:
    raw = tx.get(Table.USAGE, key)
    return Usage(0, 0) if raw is None else decode(Usage, raw)
