"""Dead properties: what WebDAV clients note about a resource (RFC 4918 section 4). Opaque here, kept by name.

They belong to a bucket and a key (a collection's key ends in ``/``; the bucket itself is the empty key), stay when the
object is overwritten, and go, move and are copied with objects and trees.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import naming
from noisefs.core.domain.records import Bucket, encode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import EntityTooLarge, InvalidArgument, TooMany
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.trees.times import Times, set_times

_ROWS_MAX = 1 << 20
_AHEAD = 256
"""Rows read at a time where properties of many resources are asked for."""


class Properties:
    """Dead properties by bucket and key. Task-safe."""

    def __init__(self, *, index: Index, commits: CommitQueue, workers: Workers, limits: NamespaceLimits) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._limits = limits

    async def get_all(self, who: Principal, bucket: str, key: str) -> dict[str, bytes]:
        """Every property of a resource, by name in Clark notation (``{namespace}local``). Cost: one get and one seek.

        Raises:
            BucketNotFound, AccessDenied, InvalidKey, KeyTooLong.
        """
        raw_key = naming.key_bytes(key) if key else b""

        def look(tx: Reading) -> dict[str, bytes]:
            row = reach_bucket(tx, who, bucket)
            if not row.properties:
                return {}
            start, end = _range(keyspace.u64(row.bucket_id) + raw_key)
            return {
                found[len(start) :].decode(): value
                for found, value in tx.scan(Table.PROPERTIES, start, end, self._limits.max_properties)
            }

        return self._index.read(look)

    async def get_many(self, who: Principal, bucket: str, keys: Iterable[str]) -> dict[str, dict[str, bytes]]:
        """Properties of several resources of one bucket, by key; those without any are left out.

        One read transaction. Cost: a scan over the rows between the first and the last key, and a seek over each
        stretch of rows that belong to none of them.

        Raises:
            BucketNotFound, AccessDenied, InvalidKey, KeyTooLong.
        """
        wanted = sorted((naming.key_bytes(key) if key else b"", key) for key in keys)

        def look(tx: Reading) -> dict[str, dict[str, bytes]]:
            row = reach_bucket(tx, who, bucket)
            return _found(tx, keyspace.u64(row.bucket_id), wanted) if row.properties else {}

        if len(wanted) <= self._limits.inline_page:
            return self._index.read(look)
        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def update(
        self,
        who: Principal,
        bucket: str,
        key: str,
        changes: Mapping[str, bytes | None],
        *,
        first: Callable[[Writing], None] | None = None,
        times: Times | None = None,
    ) -> None:
        """Set (``None``: remove) several properties, all or none. Removing one that is not there does nothing.

        ``first`` runs at the beginning of the commit, and may refuse it. ``times``: give the file these, too.

        Raises:
            TooMany: The resource would have more than ``max_properties``.
            EntityTooLarge: A property is larger than ``max_property_bytes``.
            InvalidArgument: A name is empty, has NUL or is not UTF-8.
            ObjectNotFound, ObjectLocked: As :func:`.times.set_times`.
            BucketNotFound, AccessDenied, InvalidKey, KeyTooLong.
        """
        raw_key = naming.key_bytes(key) if key else b""
        named = {self._checked(name, value): value for name, value in changes.items()}

        def change(tx: Writing) -> None:
            if first is not None:
                first(tx)
            row = reach_bucket(tx, who, bucket)
            if times is not None:
                set_times(tx, bucket, key, keyspace.u64(row.bucket_id) + raw_key, times)
            start, end = _range(keyspace.u64(row.bucket_id) + raw_key)
            for name, value in named.items():
                if value is None:
                    tx.delete(Table.PROPERTIES, start + name)
                else:
                    tx.put(Table.PROPERTIES, start + name, value)
            limit = self._limits.max_properties
            if len(tx.scan(Table.PROPERTIES, start, end, limit + 1)) > limit:
                raise TooMany(f"a resource has at most {limit} properties")
            if any(value is not None for value in named.values()):
                mark(tx, bucket, row)

        await self._commits.run(change)

    def _checked(self, name: str, value: bytes | None) -> bytes:
        raw = naming.text_bytes("property name", name)
        if not raw or b"\0" in raw:
            raise InvalidArgument("property name", name, "at least one character and no NUL")
        size = len(raw) + len(value or b"")
        if size > self._limits.max_property_bytes:
            raise EntityTooLarge(size, self._limits.max_property_bytes)
        return raw


def mark(tx: Writing, name: str, bucket: Bucket) -> Bucket:
    """Note in the bucket's row that it has properties, so that deletions look for them."""
    if bucket.properties:
        return bucket
    marked = msgspec.structs.replace(bucket, properties=True)
    tx.put(Table.BUCKETS, name.encode(), encode(marked))
    return marked


def of_resource(tx: Reading, row_key: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of one resource's properties; ``row_key`` as in ``OBJECTS``."""
    start, end = _range(row_key)
    return [(key[len(start) :], value) for key, value in tx.scan(Table.PROPERTIES, start, end, _ROWS_MAX)]


def give(tx: Writing, row_key: bytes, found: list[tuple[bytes, bytes]]) -> None:
    """Add properties, as :func:`of_resource` returned them, to a resource."""
    for name, value in found:
        tx.put(Table.PROPERTIES, row_key + b"\0" + name, value)


def forget(tx: Writing, row_key: bytes) -> None:
    """Remove all properties of one resource."""
    start, end = _range(row_key)
    for key, _ in tx.scan(Table.PROPERTIES, start, end, _ROWS_MAX):
        tx.delete(Table.PROPERTIES, key)


def below(tx: Reading, row_prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Rows of all properties of the resources under a prefix (and of the collection itself)."""
    return tx.scan(Table.PROPERTIES, row_prefix, keyspace.prefix_end(row_prefix), _ROWS_MAX)


def _found(tx: Reading, base: bytes, wanted: list[tuple[bytes, str]]) -> dict[str, dict[str, bytes]]:
    """Properties of resources that are wanted in the order of their keys."""
    found: dict[str, dict[str, bytes]] = {}
    if not wanted:
        return found
    _, end = _range(base + wanted[-1][0])
    rows: list[tuple[bytes, bytes]] = []
    seen = b""  # every row before this key was read
    for raw_key, key in wanted:
        at, behind = _range(base + raw_key)
        while True:
            if at >= seen:
                rows = tx.scan(Table.PROPERTIES, at, end, _AHEAD)
                seen = rows[-1][0] + b"\0" if len(rows) == _AHEAD else end
            for row_key, value in islice(rows, bisect_left(rows, (at,)), None):
                if row_key >= behind:
                    break
                found.setdefault(key, {})[row_key[len(base) + len(raw_key) + 1 :].decode()] = value
            if seen >= behind:
                break
            at = seen
    return found


def _range(row_key: bytes) -> tuple[bytes, bytes]:
    return row_key + b"\0", row_key + b"\1"
