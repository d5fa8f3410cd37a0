"""Quotas: how much a bucket, or all buckets of a user, may hold. Hard and exact; see :mod:`..rows.usage`.

Counted is what is visible: objects (every version of them) and their bytes, not parts of open uploads, which count in
the commit that completes them, and which only have to fit by themselves before. A server-side copy counts in full.
"""

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket, Usage, User, decode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import AccessDenied, BucketNotFound, InvalidArgument, UserNotFound
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.rows import usage

_MOST = 1 << 62


class Quotas:
    """Sets and tells quotas, which only administrators may. Task-safe."""

    def __init__(self, *, index: Index, commits: CommitQueue) -> None:
        self._index = index
        self._commits = commits

    async def set_bucket(
        self, who: Principal, name: str, *, max_bytes: int | None = None, max_objects: int | None = None
    ) -> Usage:
        """Limit a bucket; 0 removes a limit, ``None`` leaves it as it is. What is there already stays.

        Raises:
            AccessDenied: ``who`` is no administrator.
            BucketNotFound: There is no such bucket.
            InvalidArgument: A limit is negative, or absurd.
        """
        _check(who, max_bytes, max_objects)

        def change(tx: Writing) -> Usage:
            tx.demand(HIGHEST)
            return usage.limit(tx, _bucket_key(tx, name), max_bytes=max_bytes, max_objects=max_objects)

        return await self._commits.run(change)

    async def set_user(
        self, who: Principal, name: str, *, max_bytes: int | None = None, max_objects: int | None = None
    ) -> Usage:
        """Limit all buckets of a user together; raises like :meth:`set_bucket`, and ``UserNotFound``."""
        _check(who, max_bytes, max_objects)

        def change(tx: Writing) -> Usage:
            tx.demand(HIGHEST)
            return usage.limit(tx, _user_key(tx, name), max_bytes=max_bytes, max_objects=max_objects)

        return await self._commits.run(change)

    def of_bucket(self, who: Principal, name: str) -> Usage:
        """What a bucket holds and may hold. Raises ``AccessDenied``, ``BucketNotFound``."""
        _check(who, None, None)
        return self._index.read(lambda tx: usage.of(tx, _bucket_key(tx, name)))

    def of_user(self, who: Principal, name: str) -> Usage:
        """What all buckets of a user hold and may hold. Raises ``AccessDenied``, ``UserNotFound``."""
        _check(who, None, None)
        return self._index.read(lambda tx: usage.of(tx, _user_key(tx, name)))


def _check(who: Principal, max_bytes: int | None, max_objects: int | None) -> None:
    if not who.admin:
        raise AccessDenied("only administrators set quotas")
    for field, value in (("quota bytes", max_bytes), ("quota objects", max_objects)):
        if value is not None and not 0 <= value <= _MOST:
            raise InvalidArgument(field, value, f"0 (none) to {_MOST}")


def _bucket_key(tx: Reading, name: str) -> bytes:
    raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
    if raw is None:
        raise BucketNotFound(name)
    return keyspace.bucket_usage_key(decode(Bucket, raw).bucket_id)


def _user_key(tx: Reading, name: str) -> bytes:
    for key, raw in tx.scan(Table.USERS, b"", b"\xff", 1 << 30):
        if decode(User, raw).name == name:
            return keyspace.user_usage_key(UserId(key.decode()))
    raise UserNotFound(name)
