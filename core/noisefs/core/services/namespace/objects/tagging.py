"""Tags of versions: changed in their rows, without a new body and without a new version."""

from collections.abc import Mapping

import msgspec

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.notification import TAGGED, UNTAGGED
from noisefs.core.domain.buckets.tags import OBJECT_MOST, checked_tags
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import Version, encode
from noisefs.core.domain.requests import Principal
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.versions import lookup


class Tagging:
    """Sets the tags of versions; they are read from their rows. Task-safe."""

    def __init__(self, *, commits: CommitQueue, clock: Clock) -> None:
        self._commits = commits
        self._clock = clock

    async def set(
        self, who: Principal, bucket: str, key: str, tags: Mapping[str, str], *, version_id: str | None = None
    ) -> Version:
        """Give a version these tags and no others; returns it. A lock does not forbid it.

        Raises:
            InvalidArgument: They are no tags of an object.
            ObjectNotFound, VersionNotFound, DeleteMarkerNamed, BucketNotFound, AccessDenied.
        """
        raw_key = naming.key_bytes(key)
        wanted = checked_tags(tags.items(), OBJECT_MOST)

        def change(tx: Writing) -> Version:
            row = reach_bucket(tx, who, bucket)
            found = lookup.find(tx, row, bucket, key, raw_key, version_id)
            version = msgspec.structs.replace(found.version, tags=wanted)
            tx.put(found.table, found.row_key, encode(version))
            row_key = u64(row.bucket_id) + raw_key
            event = TAGGED if wanted else UNTAGGED
            notifying.tell_changed(tx, row, row_key, event, version, self._clock.now_us(), who)
            return versions.shown(row, version)

        return await self._commits.run(change)
