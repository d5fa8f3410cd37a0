"""Buckets: each has one owner; a user sees and uses only their own, an administrator all."""

from collections.abc import Callable
from typing import Final

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.durability import LOCAL, parse_durability
from noisefs.core.domain.records import Bucket, LockRule, Usage, Versioning, decode, encode
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.errors import BucketExists, BucketNotEmpty, BucketNotFound, EntityTooLarge, InvalidArgument, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.rights.access import is_plain, may_list, reach_bucket
from noisefs.core.services.namespace.rights.evaluating import allows, permit_service
from noisefs.core.services.namespace.rows import uploads as upload_rows
from noisefs.core.services.namespace.rows import usage
from noisefs.core.services.namespace.trees import properties

_LAST_ID: Final = b"last_bucket_id"
"""Row in ``META``: the highest bucket id ever given. Ids are never reused."""


class Buckets:
    """Bucket operations. Task-safe."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        limits: NamespaceLimits,
        durability: str = LOCAL,
    ) -> None:
        """``durability``: the class of new buckets."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._limits = limits
        self._durability = durability

    async def create(
        self,
        who: Principal,
        name: str,
        *,
        config: dict[str, bytes] | None = None,
        durability: str | None = None,
        lock: bool = False,
    ) -> Bucket:
        """Make a bucket owned by ``who``. ``durability``: its class; by default that of new buckets. ``lock``: with
        versions, and object lock for them.

        Raises:
            InvalidArgument: There is no such class, or it needs nodes and none is configured.
            InvalidBucketName: S3's rules; see :func:`~noisefs.core.domain.buckets.naming.check_bucket_name`.
            AccessDenied: A policy of the user's forbids it, or nobody knows who asks.
            BucketExists: The name is taken; ``owned`` tells by whom.
            TooMany: The user has the maximum number of buckets.
            EntityTooLarge: A configuration is too large.
        """
        permit_service(who, "s3:CreateBucket", name)
        naming.check_bucket_name(name)
        for value in (config or {}).values():
            self._check_config(value)
        wanted = self._durability if durability is None else durability
        self._check_class(wanted)

        def make(tx: Writing) -> Bucket:
            raw = tx.get(Table.BUCKETS, name.encode())
            if raw is not None:
                raise BucketExists(name, owned=decode(Bucket, raw).owner == who.user_id)
            start, end = _owned(who)
            limit = self._limits.max_buckets
            if len(tx.scan(Table.BUCKET_OWNERS, start, end, limit)) >= limit:
                raise TooMany(f"user {who.name!r} has {limit} buckets, which is the maximum")
            bucket_id = int.from_bytes(tx.get(Table.META, _LAST_ID) or b"", "big") + 1
            bucket = Bucket(bucket_id, who.user_id, self._clock.now_us(), wanted, config or {})
            if lock:
                bucket = msgspec.structs.replace(bucket, versioning=Versioning.ENABLED, lock=LockRule())
            if wanted != LOCAL:
                tx.demand(wanted)
            tx.put(Table.META, _LAST_ID, keyspace.u64(bucket_id))
            tx.put(Table.BUCKETS, name.encode(), encode(bucket))
            tx.put(Table.BUCKET_OWNERS, keyspace.bucket_owner_key(who.user_id, name), b"")
            return bucket

        return await self._commits.run(make)

    async def get(self, who: Principal, name: str) -> Bucket:
        """The bucket's row.

        Raises:
            BucketNotFound: There is none.
            AccessDenied: It belongs to somebody else.
        """
        return self._index.read(lambda tx: reach_bucket(tx, who, name))

    def peek(self, name: str, kind: str) -> bytes | None:
        """A bucket's configuration of that kind, whoever asks; ``None``: there is none, or no such bucket.

        For what is told without credentials (a browser's preflight). Cost: one get.
        """

        def look(tx: Reading) -> bytes | None:
            raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
            return None if raw is None else decode(Bucket, raw).config.get(kind)

        return self._index.read(look)

    async def may(self, who: Principal, need: Need) -> bool:
        """Whether somebody may do one more thing in a bucket. Cost: a get; where there are policies, 30 us."""

        def look(tx: Reading) -> bool:
            raw = tx.get(Table.BUCKETS, need.bucket.encode("utf-8", "replace"))
            if raw is None:
                raise BucketNotFound(need.bucket)
            row = decode(Bucket, raw)
            if is_plain(row, who):
                return True
            return who.asking is not None and allows(tx, row, who, need, who.asking)

        return self._index.read(look)

    def state(self) -> int:
        """A number that grows with every change of anything in the store."""
        return self._index.sequence()

    async def usage(self, who: Principal, name: str) -> Usage:
        """Bytes and objects of the bucket, exact; parts of open uploads are not counted. Raises as :meth:`get`."""
        return self._index.read(lambda tx: usage.of_bucket(tx, reach_bucket(tx, who, name).bucket_id))

    async def usage_of_owner(self, who: Principal) -> Usage:
        """Bytes and objects of all buckets that ``who`` owns, and how many they may be. Cost: a get."""
        return self._index.read(lambda tx: usage.of_user(tx, who.user_id))

    async def room(self, who: Principal, name: str) -> int | None:
        """Bytes that quotas of the bucket and of its owner leave; ``None``: there is none. Raises as :meth:`get`."""
        return self._index.read(lambda tx: usage.room(tx, reach_bucket(tx, who, name)))

    async def delete(self, who: Principal, name: str) -> None:
        """Remove an empty bucket. Uploads that are still open in it are aborted in the same commit, as S3 does:
        parts are no objects, and their uploader finds ``UploadNotFound``.

        Raises:
            BucketNotEmpty: It holds an object, an older version or a delete marker.
            BucketNotFound, AccessDenied: As :meth:`get`.
        """

        def remove(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            start, end = keyspace.bucket_range(bucket.bucket_id)
            if tx.scan(Table.OBJECTS, start, end, 1) or tx.scan(Table.VERSIONS, start, end, 1):
                raise BucketNotEmpty(name)
            upload_rows.discard_all(tx, bucket.bucket_id, self._clock.now_us())
            if bucket.properties:
                for key, _ in properties.below(tx, start):
                    tx.delete(Table.PROPERTIES, key)
            tx.delete(Table.USAGE, keyspace.bucket_usage_key(bucket.bucket_id))
            tx.delete(Table.BUCKET_OWNERS, keyspace.bucket_owner_key(bucket.owner, name))
            tx.delete(Table.BUCKETS, name.encode())

        await self._commits.run(remove)

    async def listable(
        self, who: Principal, *, after: str = "", limit: int = 1000
    ) -> tuple[list[tuple[str, Bucket]], str | None]:
        """A page of the buckets whose objects the user may list, whoever owns them, by name, and where the next page
        begins (``None``: there is none). ``limit`` buckets are looked at: there may be fewer that they may list.

        Cost: two microseconds a bucket, some 30 where a policy has to be looked at.

        Raises:
            AccessDenied: A policy of the user's forbids to list buckets, or nobody knows who asks.
        """
        permit_service(who, "s3:ListAllMyBuckets")
        raw_after = naming.text_bytes("after", after)

        def look(tx: Reading) -> tuple[list[tuple[str, Bucket]], str | None]:
            rows = tx.scan(Table.BUCKETS, raw_after + b"\0" if raw_after else b"", b"\xff", limit)
            buckets = [(name.decode(), decode(Bucket, raw)) for name, raw in rows]
            found = [(name, bucket) for name, bucket in buckets if may_list(tx, bucket, who, name)]
            return found, buckets[-1][0] if len(rows) == limit else None

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def list(
        self, who: Principal, *, prefix: str = "", after: str = "", limit: int = 10000
    ) -> list[tuple[str, Bucket]]:
        """The user's own buckets by name (an administrator: everybody's), ascending.

        Raises:
            AccessDenied: A policy of the user's forbids it, or nobody knows who asks.
        """
        permit_service(who, "s3:ListAllMyBuckets")
        raw_prefix = naming.text_bytes("prefix", prefix)
        raw_after = naming.text_bytes("after", after)

        def look(tx: Reading) -> list[tuple[str, Bucket]]:
            table, (base, end) = (Table.BUCKETS, (b"", b"\xff")) if who.admin else (Table.BUCKET_OWNERS, _owned(who))
            start = base + max(raw_prefix, raw_after + b"\0" if raw_after else b"")
            if raw_prefix:
                end = keyspace.prefix_end(base + raw_prefix)
            found = []
            for key, value in tx.scan(table, start, end, limit) if start < end else ():
                name = key[len(base) :]
                raw = value if who.admin else tx.get(Table.BUCKETS, name)
                if raw is not None:
                    found.append((name.decode(), decode(Bucket, raw)))
            return found

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def configure(self, who: Principal, name: str, kind: str, value: bytes | None) -> None:
        """Keep (``None``: remove) one bucket configuration exactly as it was put.

        Raises:
            EntityTooLarge: It has more than ``max_config_bytes``.
            BucketNotFound, AccessDenied: As :meth:`get`.
        """
        await self.reconfigure(who, name, kind, lambda _: value)

    async def reconfigure(
        self, who: Principal, name: str, kind: str, changed: Callable[[bytes | None], bytes | None]
    ) -> None:
        """Change one bucket configuration in a commit: what there is (``None``: nothing) for what ``changed`` returns.

        Raises:
            EntityTooLarge, BucketNotFound, AccessDenied: As :meth:`configure`, and what ``changed`` raises.
        """

        def change(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            value = changed(bucket.config.get(kind))
            if value is not None:
                self._check_config(value)
            config = {known: kept for known, kept in bucket.config.items() if known != kind}
            if value is not None:
                config[kind] = value
            tx.put(Table.BUCKETS, name.encode(), encode(msgspec.structs.replace(bucket, config=config)))

        await self._commits.run(change)

    async def set_durability(self, who: Principal, name: str, durability: str) -> None:
        """Change the bucket's class. New writes have it at once; what is there already gets it in the background.

        Raises:
            InvalidArgument: There is no such class, or it needs nodes and none is configured.
            BucketNotFound, AccessDenied: As :meth:`get`.
        """
        self._check_class(durability)

        def change(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            tx.put(Table.BUCKETS, name.encode(), encode(msgspec.structs.replace(bucket, durability=durability)))
            if durability != LOCAL:
                tx.demand(durability)

        await self._commits.run(change)

    def _check_class(self, durability: str) -> None:
        if parse_durability(durability).waits and self._commits.classes is None:
            raise InvalidArgument("durability", durability, f"only {LOCAL} is possible without nodes")

    def _check_config(self, value: bytes) -> None:
        if len(value) > self._limits.max_config_bytes:
            raise EntityTooLarge(len(value), self._limits.max_config_bytes)


def _owned(who: Principal) -> tuple[bytes, bytes]:
    start = keyspace.bucket_owner_key(who.user_id, "")
    return start, start[:-1] + b"\1"
