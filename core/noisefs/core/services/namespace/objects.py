"""Objects: the only place where a write becomes visible."""

import asyncio
from collections.abc import AsyncIterable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from noisefs.core.domain import naming
from noisefs.core.domain.composition import FULL_OBJECT
from noisefs.core.domain.conditions import check_read, check_source, check_write
from noisefs.core.domain.durability import LOCAL
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import BodyState, Bucket, PartInfo, Version, decode
from noisefs.core.domain.requests import (
    ALWAYS,
    ANY,
    Attributes,
    FullPage,
    Page,
    Principal,
    ReadCondition,
    Verify,
    WriteCondition,
    keep_none,
)
from noisefs.core.errors import CommitConflict, EntityTooLarge, NoisefsError, ObjectNotFound, VersionNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.reading import BodyReader
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace import layouts, listing, publishing, usage
from noisefs.core.services.namespace.access import reach_bucket
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.opening import Opener, OpenObject, Wanted
from noisefs.core.services.namespace.quick import QuickReads
from noisefs.core.services.namespace.raising import Ready, check_class, run_raising

__all__ = ["Objects", "OpenObject", "Wanted"]

T = TypeVar("T")

Admit = Callable[[Reading, Bucket, Version | None], Attributes]
"""Asked inside the commit, given what the key names there: the new version's attributes. Whatever it raises refuses the
write, of which nothing is left then. It may be asked again where a commit is retried."""


class Objects:
    """Object operations. Task-safe. Every method raises ``BucketNotFound`` and ``AccessDenied`` as ``Buckets.get``."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        body_writer: BodyWriter,
        body_reader: BodyReader,
        limits: NamespaceLimits,
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._writer = body_writer
        self.quick = QuickReads(index=index, body_reader=body_reader)
        """Reads that wait for nothing."""
        self._opener = Opener(index=index, workers=workers, body_reader=body_reader)
        self._limits = limits

    async def put(
        self,
        who: Principal,
        bucket: str,
        key: str,
        source: AsyncIterable[bytes | memoryview],
        attributes: Attributes | Admit,
        *,
        condition: WriteCondition = ALWAYS,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
    ) -> Version:
        """Store the bytes of ``source`` under ``key``. All or nothing: on any error the old version stays.

        The condition is checked early (before bytes are taken in) and again, atomically, in the commit. Without one,
        the later commit wins. The ETag is the hex MD5.

        Raises:
            InvalidKey, KeyTooLong: The key is not legal.
            EntityTooLarge: There are more than ``max_object_bytes`` bytes.
            PreconditionFailed: The condition does not hold; ``ObjectNotFound`` where ``if_match`` meets no object.
            DiskFull, SlowDown: No space, or a backlog is full.
        """
        raw_key = naming.key_bytes(key)

        def admit(tx: Reading) -> Bucket:
            row = reach_bucket(tx, who, bucket)
            if condition is not ALWAYS:
                present = publishing.present(tx, u64(row.bucket_id) + raw_key)
                check_write(condition, present, bucket, key)
            return row

        durability = self._index.read(admit).durability
        wanted = digests if "MD5" in digests else (*digests, "MD5")
        staged = await self._writer.ingest(source, digests=wanted, durability=durability)
        async with staged:
            digested = staged.digested
            if digested.size > self._limits.max_object_bytes:
                raise EntityTooLarge(digested.size, self._limits.max_object_bytes)
            checksums = dict(verify(digested))
            await staged.settle()
            return await self._commits.run(
                self._publishing(who, bucket, key, raw_key, staged, attributes, condition, checksums)
            )

    def put_small(
        self,
        who: Principal,
        bucket: str,
        key: str,
        data: bytes,
        attributes: Attributes | Admit,
        *,
        condition: WriteCondition = ALWAYS,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
    ) -> asyncio.Future[Version] | None:
        """Begin to store a small body that is at hand, without a task: the future has what :meth:`put` returns or
        raises. ``None``: something has to be waited for, :meth:`put` does. Raises what needs no commit to be found.

        ``CommitConflict``, nothing being written: the bucket's class takes nodes, and :meth:`put` waits for them.
        """
        raw_key = naming.key_bytes(key)
        if len(data) > self._limits.max_object_bytes:
            raise EntityTooLarge(len(data), self._limits.max_object_bytes)
        staged = self._writer.take_small(data, digests=digests if "MD5" in digests else (*digests, "MD5"))
        if staged is None:
            return None
        checksums = dict(verify(staged.digested))
        done = self._commits.begin(
            self._publishing(who, bucket, key, raw_key, staged, attributes, condition, checksums, quick=True)
        )
        done.add_done_callback(lambda done: None if done.cancelled() or done.exception() else staged.named())
        return done

    def _publishing(
        self,
        who: Principal,
        bucket: str,
        key: str,
        raw_key: bytes,
        staged: StagedBody,
        attributes: Attributes | Admit,
        condition: WriteCondition,
        checksums: dict[str, str],
        *,
        quick: bool = False,
    ) -> Callable[[Writing], Version]:
        """What lets a key name a staged body, in a commit. ``quick``: nobody will wait for nodes."""
        digested = staged.digested

        def publish(tx: Writing) -> Version:
            row = reach_bucket(tx, who, bucket)
            if quick:
                _check_local(row, bucket)
            row_key = u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            wanted = attributes if isinstance(attributes, Attributes) else attributes(tx, row, old)
            if condition is not ALWAYS:
                check_write(condition, old, bucket, key)
            now_us = self._clock.now_us()
            new = publishing.version_of(
                wanted,
                row,
                now_us,
                size=digested.size,
                etag=digested.digests["MD5"].hex(),
                extents=staged.enlist(tx, BodyState.LIVE, durability=row.durability),
                checksums=checksums,
                checksum_type=FULL_OBJECT if checksums else "",
            )
            publishing.replace(tx, row, row_key, old, new, now_us)
            return new

        return publish

    async def head(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
    ) -> Version:
        """The current version's row, parts and layout resolved on demand by :meth:`parts`.

        Raises:
            ObjectNotFound, VersionNotFound, NotModified, PreconditionFailed.
        """
        raw_key = naming.key_bytes(key)
        return self._index.read(lambda tx: _look(tx, who, bucket, key, raw_key, condition, version_id))[2]

    async def parts(self, who: Principal, bucket: str, key: str) -> tuple[Version, Sequence[tuple[int, int, int]]]:
        """The version and its part table as (number, offset, length); empty for an object not uploaded in parts."""
        version, table = await self.part_table(who, bucket, key)
        return version, [(part.number, part.offset, part.length) for part in table]

    async def part_table(
        self, who: Principal, bucket: str, key: str, *, condition: ReadCondition = ANY, version_id: str | None = None
    ) -> tuple[Version, Sequence[PartInfo]]:
        """The version and its whole part table, MD5s and checksums included. Raises like :meth:`head`."""
        raw_key = naming.key_bytes(key)

        def look(tx: Reading) -> tuple[Version, Sequence[PartInfo]]:
            _, _, version = _look(tx, who, bucket, key, raw_key, condition, version_id)
            return version, layouts.parts_of(tx, version)

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def open(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
        wanted: Wanted | None = None,
    ) -> OpenObject:
        """Open the current version for reading. Raises like :meth:`head`, and what ``wanted`` raises.

        One index transaction, unless many extents have to be opened (:mod:`.opening`). ``wanted`` is asked inside it;
        of an object of many parts only those are opened that hold the wanted bytes, and only these can be read.
        """
        raw_key = naming.key_bytes(key)
        return await self._opener.open(lambda tx: _look(tx, who, bucket, key, raw_key, condition, version_id), wanted)

    async def delete(self, who: Principal, bucket: str, key: str, *, condition: WriteCondition = ALWAYS) -> bool:
        """Remove the object; tells whether there was one. The bytes become unreadable at once.

        Raises:
            PreconditionFailed: The condition does not hold; ``ObjectNotFound`` where ``if_match`` meets no object.
        """
        return await self._commits.run(self._removing(who, bucket, key, condition))

    def begin_delete(
        self, who: Principal, bucket: str, key: str, *, condition: WriteCondition = ALWAYS
    ) -> asyncio.Future[bool]:
        """Like :meth:`delete`, without a task: the future has what :meth:`delete` returns or raises; or, nothing being
        written, ``CommitConflict`` as :meth:`put_small`.
        """
        return self._commits.begin(self._removing(who, bucket, key, condition, quick=True))

    def _removing(
        self, who: Principal, bucket: str, key: str, condition: WriteCondition, *, quick: bool = False
    ) -> Callable[[Writing], bool]:
        raw_key = naming.key_bytes(key)

        def remove(tx: Writing) -> bool:
            row = reach_bucket(tx, who, bucket)
            if quick:
                _check_local(row, bucket)
            row_key = u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            if condition is not ALWAYS:
                check_write(condition, old, bucket, key)
            if old is None:
                return False
            publishing.remove(tx, row, row_key, old, self._clock.now_us())
            usage.adjust(tx, row, -old.size, -1)
            return True

        return remove

    async def delete_many(
        self, who: Principal, bucket: str, keys: Sequence[str], conditions: Sequence[WriteCondition] | None = None
    ) -> list[NoisefsError | None]:
        """Remove up to 1000 objects in few commits; one outcome a key, in order (``None``: gone).

        ``conditions``: one for each key.
        """
        asked = list(zip(keys, conditions or [ALWAYS] * len(keys), strict=True))
        outcomes: list[NoisefsError | None] = []
        for begin in range(0, len(asked), self._limits.delete_batch):
            some = asked[begin : begin + self._limits.delete_batch]
            outcomes += await self._commits.run(partial(self._remove_some, who=who, bucket=bucket, asked=some))
        return outcomes

    def _remove_some(
        self, tx: Writing, *, who: Principal, bucket: str, asked: Sequence[tuple[str, WriteCondition]]
    ) -> list[NoisefsError | None]:
        row = reach_bucket(tx, who, bucket)
        now_us = self._clock.now_us()
        outcomes: list[NoisefsError | None] = []
        size = objects = 0
        for key, condition in asked:
            try:
                row_key = u64(row.bucket_id) + naming.key_bytes(key)
                old = publishing.present(tx, row_key)
                check_write(condition, old, bucket, key)
            except NoisefsError as exc:
                outcomes.append(exc)
                continue
            if old is not None:
                publishing.remove(tx, row, row_key, old, now_us)
                size += old.size
                objects += 1
            outcomes.append(None)
        usage.adjust(tx, row, -size, -objects)
        return outcomes

    async def copy(
        self,
        who: Principal,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        attributes: Attributes | None = None,
        source_condition: ReadCondition = ANY,
        condition: WriteCondition = ALWAYS,
    ) -> Version:
        """Let ``key`` name the same bytes: no data moves, ETag, checksums and parts stay. ``attributes``: replace them.

        A source condition that fails raises ``PreconditionFailed``, never ``NotModified``.

        Raises:
            NodeUnavailable: The bucket has a higher class than the source's, and too few nodes take the bytes.
        """
        raw_source, raw_key = naming.key_bytes(source_key), naming.key_bytes(key)

        def publish(tx: Writing, ready: Ready) -> Version:
            source = reach_bucket(tx, who, source_bucket)
            version = publishing.present(tx, u64(source.bucket_id) + raw_source)
            if version is None:
                raise ObjectNotFound(source_bucket, source_key)
            check_source(source_condition, version)
            row = reach_bucket(tx, who, bucket)
            row_key = u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            check_write(condition, old, bucket, key)
            check_class(tx, layouts.extents_of(tx, version), source, row, ready)
            now_us = self._clock.now_us()
            new = publishing.with_attributes(version, attributes, row, now_us)
            layouts.share(tx, new)
            publishing.replace(tx, row, row_key, old, new, now_us)
            return new

        return await run_raising(self._commits, publish)

    async def list(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        start: str = "",
        limit: int = 1000,
    ) -> Page:
        """One page: at most ``limit`` entries and common prefixes together, behind ``after`` (exclusive) and from
        ``start`` (inclusive). An ``after`` that is a common prefix skips everything under it.
        """
        return await self._page(listing.page_of, who, bucket, prefix, delimiter, after, start, limit)

    async def list_versions(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> FullPage:
        """Like :meth:`list`, with whole rows of the current versions (WebDAV)."""
        return await self._page(listing.full_page_of, who, bucket, prefix, delimiter, after, "", limit)

    async def _page(
        self,
        page_of: Callable[[listing.Gathered], T],
        who: Principal,
        bucket: str,
        prefix: str,
        delimiter: str,
        after: str,
        start: str,
        limit: int,
    ) -> T:
        texts = [naming.text_bytes("listing", text) for text in (prefix, delimiter, after, start)]

        def look(tx: Reading) -> listing.Gathered:
            base = u64(reach_bucket(tx, who, bucket).bucket_id)
            span = listing.span_of(base, prefix=texts[0], delimiter=texts[1], after=texts[2], start=texts[3])
            return listing.gather(tx, Table.OBJECTS, span, limit)

        if limit <= self._limits.inline_page:
            return page_of(self._index.read(look))
        return await self._workers.run(Lane.DISK, lambda: page_of(self._index.read(look)))


def _check_local(row: Bucket, bucket: str) -> None:
    if row.durability != LOCAL:
        raise CommitConflict(f"writes to bucket {bucket!r} wait for nodes")


def _look(
    tx: Reading,
    who: Principal,
    bucket: str,
    key: str,
    raw_key: bytes,
    condition: ReadCondition,
    version_id: str | None,
) -> tuple[bytes, bytes, Version]:
    """The row key, row and version that may be read under the condition."""
    row_key = u64(reach_bucket(tx, who, bucket).bucket_id) + raw_key
    raw = tx.get(Table.OBJECTS, row_key)
    version = None if raw is None else decode(Version, raw)
    if version_id and version_id != "null" and (version is None or version.version_id != version_id):
        raise VersionNotFound(bucket, key, version_id)
    if raw is None or version is None:
        raise ObjectNotFound(bucket, key)
    if condition is not ANY:
        check_read(condition, version)
    return row_key, raw, version
