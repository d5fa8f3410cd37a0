"""Reads of current versions in one look at the index: what the most frequent requests need, and nothing that waits.

A bucket's row hardly ever changes, so it is remembered, and read again together with the object's row: both in one
statement, which is one consistent view. Only if it is not the remembered one, or the object's bytes are not in memory,
a transaction looks everything up.
"""

from typing import Final, NamedTuple

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.caching.asker import Asker, Protocol, class_number
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects import conditions
from noisefs.core.domain.records import Bucket, Version, decode
from noisefs.core.domain.requests import ALWAYS, Principal, WriteCondition
from noisefs.core.errors import CustomerKeyNeeded, ObjectNotFound
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.services.bodies.reading import BodyReader
from noisefs.core.services.namespace.objects.opening import Wanted
from noisefs.core.services.namespace.objects.publishing import present
from noisefs.core.services.namespace.rights.access import check_reach, reach_bucket
from noisefs.core.services.namespace.rows.versions import shown

BUCKETS_MOST: Final = 1024
"""Buckets that are remembered."""


class ReadAtHand(NamedTuple):
    """A version, and its bytes from ``start`` to ``end``."""

    version: Version
    start: int
    end: int
    data: bytes | memoryview


class _Seen(NamedTuple):
    raw_name: bytes
    raw: bytes
    row: Bucket
    prefix: bytes
    asker: Asker


class QuickReads:
    """Reads on the event loop. Task-safe."""

    def __init__(self, *, index: Index, body_reader: BodyReader, protocol: Protocol) -> None:
        """``protocol``: whose requests these are."""
        self._index = index
        self._reader = body_reader
        self._protocol = protocol
        self._seen: dict[str, _Seen] = {}

    def asked_by(self, protocol: Protocol) -> "QuickReads":
        """The same for another protocol's requests."""
        return QuickReads(index=self._index, body_reader=self._reader, protocol=protocol)

    def look(self, who: Principal, bucket: str, key: str) -> Version:
        """The current version's row.

        Raises:
            BucketNotFound, AccessDenied, ObjectNotFound, InvalidKey, KeyTooLong.
        """
        raw_key = naming.key_bytes(key)
        version = self._look_again(who, bucket, key, raw_key)
        return version or self._index.read(lambda tx: self._look(tx, who, bucket, key, raw_key))

    def read(self, who: Principal, bucket: str, key: str, wanted: Wanted | None, most_bytes: int) -> ReadAtHand | None:
        """The current version and its bytes, or those that ``wanted`` wants, if they are at most ``most_bytes`` and at
        hand (:meth:`.reading.BodyReader.read_at_hand`); ``None``: they are not.

        Raises:
            NoisefsError: As :meth:`look`, and what ``wanted`` raises.
        """
        raw_key = naming.key_bytes(key)
        version = self._look_again(who, bucket, key, raw_key)
        if version is not None and version.layout is None:
            start, end = (0, version.size) if wanted is None else wanted(version)
            if end - start > most_bytes:
                return None
            data = (
                b"" if start == end else self._reader.read_in_memory(version.extents, start, end, self._asker(bucket))
            )
            if data is not None:
                return ReadAtHand(version, start, end, data)

        def read(tx: Reading) -> ReadAtHand | None:
            version = self._look(tx, who, bucket, key, raw_key)
            start, end = (0, version.size) if wanted is None else wanted(version)
            if start == end:
                return ReadAtHand(version, start, end, b"")
            if version.layout is not None or end - start > most_bytes:
                return None
            data = self._reader.read_at_hand(tx, version.extents, start, end, self._asker(bucket))
            return None if data is None else ReadAtHand(version, start, end, data)

        return self._index.read(read)

    def check_write(self, who: Principal, bucket: str, key: str, condition: WriteCondition) -> Bucket:
        """Check what a write checks before it takes bytes in; returns the bucket's row. Raises as :meth:`look`, and
        where the condition does not hold.
        """
        raw_key = naming.key_bytes(key)

        def check(tx: Reading) -> Bucket:
            row = reach_bucket(tx, who, bucket)
            check_reach(row, who, bucket)
            if condition is not ALWAYS:
                conditions.check_write(condition, present(tx, u64(row.bucket_id) + raw_key), bucket, key)
            return row

        return self._index.read(check)

    def _asker(self, bucket: str) -> Asker:
        seen = self._seen.get(bucket)
        return Asker(self._protocol) if seen is None else seen.asker

    def _look_again(self, who: Principal, bucket: str, key: str, raw_key: bytes) -> Version | None:
        """The row of an object in a remembered bucket; ``None`` where that is not so, or not so any more."""
        seen = self._seen.get(bucket)
        if seen is None:
            return None
        raw_bucket, raw = self._index.read_pair(Table.BUCKETS, seen.raw_name, Table.OBJECTS, seen.prefix + raw_key)
        if raw_bucket != seen.raw:
            del self._seen[bucket]
            return None
        check_reach(seen.row, who, bucket)
        if raw is None:
            raise ObjectNotFound(bucket, key)
        return shown(seen.row, _plain(decode(Version, raw)))

    def _look(self, tx: Reading, who: Principal, bucket: str, key: str, raw_key: bytes) -> Version:
        row = reach_bucket(tx, who, bucket)
        check_reach(row, who, bucket)
        prefix = u64(row.bucket_id)
        raw_name = bucket.encode()
        raw_bucket = tx.get(Table.BUCKETS, raw_name)
        if raw_bucket is not None:
            if len(self._seen) >= BUCKETS_MOST:
                self._seen.clear()
            asker = Asker(self._protocol, class_number(row.durability))
            self._seen[bucket] = _Seen(raw_name, raw_bucket, row, prefix, asker)
        raw = tx.get(Table.OBJECTS, prefix + raw_key)
        if raw is None:
            raise ObjectNotFound(bucket, key)
        return shown(row, _plain(decode(Version, raw)))


def _plain(version: Version) -> Version:
    """The version, unless it takes a key to read it."""
    if version.inner is not None:
        raise CustomerKeyNeeded("what is sealed twice takes a longer look")
    return version
