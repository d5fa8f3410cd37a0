"""Objects' access control lists, read and replaced."""

import msgspec

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.notification import ACL
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import Bucket, Version, encode
from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.acl import Acl, AclWish, private
from noisefs.core.domain.rights.belonging import check_block
from noisefs.core.domain.rights.ownership import Ownership, ownership_of
from noisefs.core.errors import AccessDenied
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rights.wishes import check_unchanged, checked_wish, names_of
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.versions import lookup


class ObjectAcls:
    """Operations on lists of objects. Task-safe. Raise as :meth:`.service.Objects.head`."""

    def __init__(self, *, index: Index, commits: CommitQueue, clock: Clock) -> None:
        self._index = index
        self._commits = commits
        self._clock = clock

    async def get(
        self, who: Principal, bucket: str, key: str, version_id: str | None
    ) -> tuple[Version, Acl, dict[str, str]]:
        """The version, its list, and names of the users in it."""
        raw_key = naming.key_bytes(key)

        def look(tx: Reading) -> tuple[Version, Acl, dict[str, str]]:
            row = reach_bucket(tx, who, bucket)
            version = versions.shown(row, lookup.find(tx, row, bucket, key, raw_key, version_id).version)
            owner, acl = _in_force(row, version)
            version = msgspec.structs.replace(version, owner=owner)
            return version, acl, names_of(tx, (owner, *(grantee for grantee, _ in acl)))

        return self._index.read(look)

    async def put(
        self, who: Principal, bucket: str, key: str, version_id: str | None, wish: AclWish, owner: UserId | None = None
    ) -> Version:
        """Replace the list of the current version, or of the one named. ``owner``: as the request names it.

        Raises:
            AclNotSupported: Lists do not count in this bucket.
            InvalidArgument: A grantee does not exist.
            AccessDenied: Another owner is named, or the list is public and the bucket refuses that.
        """
        raw_key = naming.key_bytes(key)

        def change(tx: Writing) -> Version:
            row = reach_bucket(tx, who, bucket)
            found = lookup.find(tx, row, bucket, key, raw_key, version_id)
            version = found.version
            if owner is not None and owner != _in_force(row, version)[0]:
                raise AccessDenied("an access control list does not change whose the object is")
            if ownership_of(row) is Ownership.ENFORCED:
                check_unchanged(row, wish)
            else:
                checked = checked_wish(tx, wish)
                acl = checked.resolved(version.owner, row.owner)
                check_block(row, acl)
                tx.put(found.table, found.row_key, encode(msgspec.structs.replace(version, acl=acl)))
                row_key = u64(row.bucket_id) + raw_key
                notifying.tell_changed(tx, row, row_key, ACL, version, self._clock.now_us(), who)
            return versions.shown(row, version)

        return await self._commits.run(change)


def _in_force(bucket: Bucket, version: Version) -> tuple[UserId, Acl]:
    """Owner and list of a version under the bucket's present rule."""
    if ownership_of(bucket) is Ownership.ENFORCED:
        return bucket.owner, private(bucket.owner)
    return version.owner, private(version.owner) if version.acl is None else version.acl
