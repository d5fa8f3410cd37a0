"""Versioning and object lock of buckets, and the locks of single versions."""

from collections.abc import Callable

import msgspec

from noisefs.core.domain.buckets import naming, object_lock
from noisefs.core.domain.buckets.object_lock import OFF, ON
from noisefs.core.domain.records import LockRule, Version, Versioning, encode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import BucketStateConflict, InvalidArgument, LockNotConfigured
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.versions import lookup


class Versions:
    """What is said about versions and their locks. Task-safe. Every method raises ``BucketNotFound`` and
    ``AccessDenied`` as ``Buckets.get``. A bucket's state is read from its row.
    """

    def __init__(self, *, commits: CommitQueue, clock: Clock) -> None:
        self._commits = commits
        self._clock = clock

    async def configure(self, who: Principal, bucket: str, *, enabled: bool) -> None:
        """Let the bucket keep versions, or (not ``enabled``) suspend that. What it has of them stays.

        Raises:
            BucketStateConflict: It has object lock, with which versioning cannot be suspended.
        """

        def change(tx: Writing) -> None:
            row = reach_bucket(tx, who, bucket)
            if not enabled and row.lock is not None:
                raise BucketStateConflict(
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                )
            state = Versioning.ENABLED if enabled else Versioning.SUSPENDED
            tx.put(Table.BUCKETS, bucket.encode(), encode(msgspec.structs.replace(row, versioning=state)))

        await self._commits.run(change)

    async def set_lock(self, who: Principal, bucket: str, rule: LockRule) -> None:
        """Give the bucket object lock, if it has none yet, and this rule for new versions.

        Raises:
            InvalidArgument: The rule has no meaning.
            BucketStateConflict: Its versioning is not enabled.
        """
        object_lock.check_rule(rule)

        def change(tx: Writing) -> None:
            row = reach_bucket(tx, who, bucket)
            if row.versioning != Versioning.ENABLED:
                raise BucketStateConflict(
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
                )
            tx.put(Table.BUCKETS, bucket.encode(), encode(msgspec.structs.replace(row, lock=rule)))

        await self._commits.run(change)

    async def retain(
        self,
        who: Principal,
        bucket: str,
        key: str,
        mode: str,
        until_us: int,
        *,
        version_id: str | None = None,
        bypass: bool = False,
    ) -> None:
        """Retain a version until a time (no ``mode``: no longer). ``bypass``: set a governance retention aside.

        Raises:
            ObjectLocked: It would weaken a retention that is not over.
            LockNotConfigured: The bucket has no object lock.
            InvalidArgument: The mode is unknown, or the time is past.
            ObjectNotFound, VersionNotFound, DeleteMarkerNamed.
        """

        def changed(version: Version, now_us: int) -> Version:
            object_lock.check_wish(object_lock.Wish(mode, until_us), now_us)
            object_lock.check_retention(version, mode, until_us, now_us, bypass=bypass)
            return msgspec.structs.replace(version, retention=mode, retain_until_us=until_us)

        await self._change(who, bucket, key, version_id, changed)

    async def hold(self, who: Principal, bucket: str, key: str, status: str, *, version_id: str | None = None) -> None:
        """Set the legal hold of a version ``ON`` or ``OFF``.

        Raises:
            LockNotConfigured: The bucket has no object lock.
            InvalidArgument: Another status.
            ObjectNotFound, VersionNotFound, DeleteMarkerNamed.
        """
        if status not in (ON, OFF):
            raise InvalidArgument("legal hold", status, f"{ON} or {OFF}")
        await self._change(
            who, bucket, key, version_id, lambda version, _: msgspec.structs.replace(version, legal_hold=status)
        )

    async def _change(
        self,
        who: Principal,
        bucket: str,
        key: str,
        version_id: str | None,
        changed: Callable[[Version, int], Version],
    ) -> None:
        raw_key = naming.key_bytes(key)

        def change(tx: Writing) -> None:
            row = reach_bucket(tx, who, bucket)
            if row.lock is None:
                raise LockNotConfigured
            found = lookup.find(tx, row, bucket, key, raw_key, version_id)
            tx.put(found.table, found.row_key, encode(changed(found.version, self._clock.now_us())))

        await self._commits.run(change)
