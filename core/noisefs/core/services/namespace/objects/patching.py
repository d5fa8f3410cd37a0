"""Part of an object replaced by other bytes: the rest is named again, not written again.

The new version's extents are those of the old one around the new body's. It costs what the new bytes cost, however
large the object is, and is one commit: nobody ever sees some of it. Nobody reads the whole, so its MD5 is not known:
the ETag is one that no MD5 looks like, checksums go, and so does the table of parts.
"""

import hashlib
from collections.abc import AsyncIterable, Callable
from typing import Final

import msgspec

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.ids import ID_BYTES, LayoutId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.conditions import check_write
from noisefs.core.domain.records import BodyState, Bucket, Extent, Version
from noisefs.core.domain.requests import ALWAYS, Attributes, Cause, Principal, WriteCondition
from noisefs.core.errors import EntityTooLarge, InvalidArgument, ObjectNotFound, RangeNotSatisfiable, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Writing
from noisefs.core.services.bodies import references
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.usage import Tally

Admit = Callable[[Reading, Bucket, Version | None], Attributes]
"""As for a write of the whole: asked inside the commit. Of its answer the times count."""

Start = Callable[[int, int], int]
"""Where the new bytes go: given the object's size and how many they are. Whatever it raises refuses them."""

_ETAG_SUFFIX: Final = "-1"
"""As multipart uploads have it: clients do not take such an ETag for an MD5."""


class Patches:
    """Replaces parts of objects. Task-safe."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        clock: Clock,
        entropy: Entropy,
        body_writer: BodyWriter,
        limits: NamespaceLimits,
    ) -> None:
        self._index = index
        self._commits = commits
        self._clock = clock
        self._entropy = entropy
        self._mint = versions.minter(entropy)
        self._writer = body_writer
        self._limits = limits

    async def put(
        self,
        who: Principal,
        bucket: str,
        key: str,
        source: AsyncIterable[bytes | memoryview],
        start: Start,
        admit: Admit,
        *,
        condition: WriteCondition = ALWAYS,
    ) -> Version:
        """Write the bytes of ``source`` over those of the object, from ``start`` on, also beyond its end. All or
        nothing: on any error the old version stays.

        It is the present object at the commit that changes. Content type, headers, metadata and tags stay.

        Raises:
            ObjectNotFound: There is no object.
            RangeNotSatisfiable: They would begin behind its end.
            InvalidArgument: It is sealed twice: its bytes are not to be had in pieces.
            TooMany: It would have too many extents: it has to be written whole, once.
            EntityTooLarge, PreconditionFailed, QuotaExceeded, BucketNotFound, AccessDenied: As ``Objects.put``.
        """
        raw_key = naming.key_bytes(key)

        def look(tx: Reading) -> Bucket:
            row = reach_bucket(tx, who, bucket)
            old = publishing.present(tx, u64(row.bucket_id) + raw_key)
            check_write(condition, old, bucket, key)
            self._check(bucket, key, old)
            return row

        durability = self._index.read(look).durability
        staged = await self._writer.ingest(source, digests=("MD5",), durability=durability)
        async with staged:
            await staged.settle()

            def publish(tx: Writing) -> Version:
                row = reach_bucket(tx, who, bucket)
                row_key = u64(row.bucket_id) + raw_key
                old = publishing.present(tx, row_key)
                wanted = admit(tx, row, old)
                check_write(condition, old, bucket, key)
                old = self._check(bucket, key, old)
                now_us = self._clock.now_us()
                new = self._spliced(tx, old, row, staged, start, now_us)
                new = publishing.owned(new, row, who.user_id)
                new = msgspec.structs.replace(
                    new,
                    modified_us=now_us if wanted.modified_us is None else wanted.modified_us,
                    created_us=old.created_us or old.modified_us,
                )
                tally = Tally()
                new = publishing.replace(tx, row, row_key, old, new, now_us, self._mint, tally, Cause(who))
                tally.apply(tx, row)
                return new

            return await self._commits.run(publish)

    def _check(self, bucket: str, key: str, old: Version | None) -> Version:
        if old is None:
            raise ObjectNotFound(bucket, key)
        if old.inner is not None:
            raise InvalidArgument("object", key, "one that is not sealed twice; such a one is written whole")
        return old

    def _spliced(
        self, tx: Writing, old: Version, row: Bucket, staged: StagedBody, start: Start, now_us: int
    ) -> Version:
        """The version with the new bytes in it, its references held."""
        added = staged.digested.size
        begin = start(old.size, added)
        if not 0 <= begin <= old.size:
            raise RangeNotSatisfiable(old.size)
        end = begin + added
        size = max(old.size, end)
        if size > self._limits.max_object_bytes:
            raise EntityTooLarge(size, self._limits.max_object_bytes)
        fresh = staged.enlist(tx, BodyState.LIVE, durability=row.durability)
        before, behind = _within(tx, old, 0, begin), _within(tx, old, end, old.size)
        extents = layouts.joined([*before, *fresh, *behind]).extents
        if len(extents) > self._limits.max_extents:
            raise TooMany(f"an object has at most {self._limits.max_extents} extents: write it whole")
        references.acquire(tx, [extent for extent in extents if extent not in fresh])
        layout = None
        if layouts.is_long(extents, ()):
            layout = LayoutId(self._entropy.secret(ID_BYTES))
            layouts.write(tx, layout, extents, ())
        digest = hashlib.md5(
            f"{old.etag}/{begin}/{staged.digested.digests['MD5'].hex()}/{size}/{now_us}".encode(),
            usedforsecurity=False,
        )
        return msgspec.structs.replace(
            publishing.new_version(old, row),
            size=size,
            etag=digest.hexdigest() + _ETAG_SUFFIX,
            extents=() if layout is not None else tuple(extents),
            layout=layout,
            parts=(),
            parts_count=0,
            checksums={},
            checksum_type="",
        )


def _within(tx: Reading, version: Version, start: int, end: int) -> list[Extent]:
    """The extents of exactly these bytes."""
    if end <= start:
        return []
    found, offset = layouts.extents_within(tx, version, start, end)
    return layouts.cut(found, offset, start, end)
