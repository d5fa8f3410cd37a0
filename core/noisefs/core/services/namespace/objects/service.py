"""Objects: the only place where a write becomes visible."""

import asyncio
from collections.abc import AsyncIterable, Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from types import MappingProxyType

import msgspec

from noisefs.core.domain.buckets import naming, object_lock
from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.buckets.notification import COPY, PUT
from noisefs.core.domain.buckets.object_lock import NO_WISH, Wish
from noisefs.core.domain.caching.asker import Protocol
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.composition import FULL_OBJECT
from noisefs.core.domain.objects.conditions import check_source, check_write
from noisefs.core.domain.records import BodyState, Bucket, Version
from noisefs.core.domain.requests import (
    ALWAYS,
    ANY,
    Attributes,
    Cause,
    Doomed,
    Principal,
    ReadCondition,
    Removed,
    Verify,
    WriteCondition,
    keep_none,
)
from noisefs.core.domain.rights.acl import NO_ACL, AclWish
from noisefs.core.domain.rights.belonging import belonging_of
from noisefs.core.domain.sealing.inner import OuterKey
from noisefs.core.errors import (
    CommitConflict,
    EntityTooLarge,
    InvalidArgument,
    NoisefsError,
    ObjectNotFound,
    Overtaken,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Writing
from noisefs.core.ports.workers import Workers
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.reading import BodyReader
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.bodies.twice import InnerSealer, Sealing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.objects.opening import Opener, OpenObject, Wanted
from noisefs.core.services.namespace.objects.patching import Patches
from noisefs.core.services.namespace.objects.quick import QuickReads
from noisefs.core.services.namespace.objects.raising import Ready, check_class, run_raising
from noisefs.core.services.namespace.objects.reads import Reads
from noisefs.core.services.namespace.rights.access import is_usual, reach_bucket
from noisefs.core.services.namespace.rows import usage, versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.versions import lookup

__all__ = ["Objects", "OpenObject", "Wanted"]

_WORTH_ASKING_BYTES = 1 << 20
"""A body from this size on is not begun where a quota has no room for it; a smaller one is refused in its commit."""

Admit = Callable[[Reading, Bucket, Version | None], Attributes]
"""Asked inside the commit, given what the key names there: the new version's attributes. Whatever it raises refuses the
write, of which nothing is left then. :meth:`Objects.put` asks before it takes bytes in, too; a commit that is retried
asks again."""


First = Callable[[Writing], None]
"""Looks, refuses by raising, writes what goes with a change."""


def _nothing(_tx: Writing) -> None:
    pass


class Objects(Reads):
    """Object operations. Task-safe. Every method raises ``BucketNotFound`` and ``AccessDenied`` as ``Buckets.get``."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        body_writer: BodyWriter,
        body_reader: BodyReader,
        sealer: InnerSealer,
        limits: NamespaceLimits,
    ) -> None:
        protocol = Protocol.BACKGROUND
        opener = Opener(index=index, workers=workers, body_reader=body_reader, sealer=sealer, protocol=protocol)
        super().__init__(index=index, workers=workers, limits=limits, opener=opener, sealer=sealer)
        self._commits = commits
        self._clock = clock
        self._mint = versions.minter(entropy)
        self._writer = body_writer
        self.quick = QuickReads(index=index, body_reader=body_reader, protocol=protocol)
        """Reads that wait for nothing."""
        self.patches = Patches(
            index=index, commits=commits, clock=clock, entropy=entropy, body_writer=body_writer, limits=limits
        )
        """Writes of parts."""

    def asked_by(self, protocol: Protocol) -> "Objects":
        """The same operations for requests of one protocol: what decides about the tiers looks at it."""
        asked = copy(self)
        asked._opener = self._opener.asked_by(protocol)
        asked.quick = self.quick.asked_by(protocol)
        return asked

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
        lock: Wish = NO_WISH,
        outer: OuterKey | None = None,
        declared_bytes: int = 0,
        made: str = PUT,
    ) -> Version:
        """Store the bytes of ``source`` under ``key``. All or nothing: on any error the old version stays.

        The condition is checked, and an :data:`Admit` asked, early (before bytes are taken in) and again, atomically,
        in the commit. Without one, the later commit wins. The ETag is the hex MD5. In a bucket with versions the old
        one stays as such; the new one has its id, unless versioning is suspended. ``outer``: seal it twice, inside with
        this key; the ETag is then the MD5 of what is sealed. ``declared_bytes``: how many will come, if known, so that
        too many for a quota are refused before. ``made``: the event that it is.

        Raises:
            InvalidKey, KeyTooLong: The key is not legal.
            InvalidArgument, LockNotConfigured: No version, or none of this bucket, can be locked like ``lock``.
            ObjectLocked: The null version is locked, and the new one would replace it.
            AclNotSupported: The bucket takes no access control lists, and ``attributes`` bring one.
            EntityTooLarge: There are more than ``max_object_bytes`` bytes.
            QuotaExceeded: The bucket or its owner may not hold so much, or so many.
            PreconditionFailed: The condition does not hold; ``ObjectNotFound`` where ``if_match`` meets no object.
            Overtaken: It held, and the object that it is about was deleted while the bytes came.
            DiskFull, SlowDown: No space, or a backlog is full.
        """
        raw_key = naming.key_bytes(key)

        def admit(tx: Reading) -> Bucket:
            row = reach_bucket(tx, who, bucket)
            asks_room = declared_bytes >= _WORTH_ASKING_BYTES
            old = None
            if condition is not ALWAYS or asks_room or not isinstance(attributes, Attributes):
                old = publishing.present(tx, u64(row.bucket_id) + raw_key)
            wanted = attributes if isinstance(attributes, Attributes) else attributes(tx, row, old)
            if condition is not ALWAYS:
                check_write(condition, old, bucket, key)
            if lock is not NO_WISH:
                lookup.check_wish(row, lock, self._clock.now_us())
            belonging_of(row, who.user_id, wanted.acl)
            if asks_room:
                usage.check_room(tx, row, declared_bytes - (0 if old is None or row.versioning else old.size))
            return row

        durability = self._index.read(admit).durability
        wanted = digests if "MD5" in digests else (*digests, "MD5")
        sealing = None if outer is None else self._sealer.sealing(source, self._sealer.begin(outer), digests)
        if sealing is not None:
            source, wanted = sealing.pieces(), ("MD5",)
        staged = await self._writer.ingest(source, digests=wanted, durability=durability)
        async with staged:
            digested = staged.digested if sealing is None else sealing.digested
            if digested.size > self._limits.max_object_bytes:
                raise EntityTooLarge(digested.size, self._limits.max_object_bytes)
            checksums = dict(verify(digested))
            await staged.settle()
            publish = self._publishing(
                who, bucket, key, raw_key, staged, attributes, condition, checksums, lock, sealing=sealing, made=made
            )
            try:
                return await self._commits.run(publish)
            except ObjectNotFound as exc:
                if not condition.if_match:
                    raise
                raise Overtaken(f"object {key!r} was deleted while it was to be replaced") from exc

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
        lock: Wish = NO_WISH,
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
            self._publishing(who, bucket, key, raw_key, staged, attributes, condition, checksums, lock, quick=True)
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
        lock: Wish,
        *,
        quick: bool = False,
        sealing: Sealing | None = None,
        made: str = PUT,
    ) -> Callable[[Writing], Version]:
        """What lets a key name a staged body, in a commit. ``quick``: nobody will wait for nodes."""
        size = staged.digested.size if sealing is None else sealing.digested.size

        def publish(tx: Writing) -> Version:
            row = reach_bucket(tx, who, bucket)
            if quick:
                _check_quick(row, bucket)
            row_key = u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            wanted = attributes if isinstance(attributes, Attributes) else attributes(tx, row, old)
            if condition is not ALWAYS:
                check_write(condition, old, bucket, key)
            now_us = self._clock.now_us()
            if lock is not NO_WISH:
                object_lock.check_wish(lock, now_us)
            new = publishing.version_of(
                wanted,
                row,
                now_us,
                size=size,
                etag=staged.digested.digests["MD5"].hex(),
                extents=staged.enlist(tx, BodyState.LIVE, durability=row.durability),
                checksums=checksums,
                checksum_type=FULL_OBJECT if checksums else "",
                lock=lock,
            )
            new = publishing.owned(new, row, who.user_id, wanted.acl)
            if sealing is not None:
                new = msgspec.structs.replace(new, inner=sealing.inner)
            tally = Tally()
            new = publishing.replace(tx, row, row_key, old, new, now_us, self._mint, tally, Cause(who, made))
            tally.apply(tx, row)
            return new

        return publish

    async def delete(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: WriteCondition = ALWAYS,
        version_id: str | None = None,
        bypass: bool = False,
        first: First = _nothing,
    ) -> Removed:
        """Remove the object. Its bytes become unreadable at once; in a bucket with versions a delete marker covers it.

        ``version_id``: remove this version for good; one that is not there is removed already. ``bypass``: set a
        governance retention aside. ``first`` runs at the beginning of the commit.

        Raises:
            PreconditionFailed: The condition does not hold; ``ObjectNotFound`` where ``if_match`` meets no object.
            ObjectLocked: The version is locked.
            InvalidArgument: No version can have such an id.
        """
        raw_key = naming.key_bytes(key)
        doomed = Doomed(key, version_id, condition)

        def remove(tx: Writing) -> Removed:
            first(tx)
            return self._remove_one(who, bucket, raw_key, doomed, tx, bypass=bypass)

        return await self._commits.run(remove)

    def begin_delete(
        self, who: Principal, bucket: str, key: str, *, condition: WriteCondition = ALWAYS
    ) -> asyncio.Future[Removed]:
        """Like :meth:`delete`, without a task: the future has what :meth:`delete` returns or raises; or, nothing being
        written, ``CommitConflict`` as :meth:`put_small`.
        """
        raw_key = naming.key_bytes(key)
        return self._commits.begin(
            partial(self._remove_one, who, bucket, raw_key, Doomed(key, None, condition), quick=True)
        )

    def _remove_one(
        self,
        who: Principal,
        bucket: str,
        raw_key: bytes,
        doomed: Doomed,
        tx: Writing,
        *,
        bypass: bool = False,
        quick: bool = False,
    ) -> Removed:
        row = reach_bucket(tx, who, bucket)
        if quick:
            _check_quick(row, bucket)
        tally = Tally()
        removed = self._removed(tx, row, bucket, raw_key, doomed, self._clock.now_us(), tally, who, bypass=bypass)
        tally.apply(tx, row)
        return removed

    async def delete_many(
        self, who: Principal, bucket: str, doomed: Sequence[Doomed], *, bypass: bool = False
    ) -> list[Removed | NoisefsError]:
        """Remove up to 1000 objects or versions in few commits; one outcome each, in order. See :meth:`delete`."""
        outcomes: list[Removed | NoisefsError] = []
        for begin in range(0, len(doomed), self._limits.delete_batch):
            some = doomed[begin : begin + self._limits.delete_batch]
            outcomes += await self._commits.run(partial(self._remove_some, who, bucket, some, bypass=bypass))
        return outcomes

    def _remove_some(
        self, who: Principal, bucket: str, doomed: Iterable[Doomed], tx: Writing, *, bypass: bool
    ) -> list[Removed | NoisefsError]:
        row = reach_bucket(tx, who, bucket)
        now_us = self._clock.now_us()
        outcomes, tally = list[Removed | NoisefsError](), Tally()
        for one in doomed:
            try:
                raw_key = naming.key_bytes(one.key)
                outcomes.append(self._removed(tx, row, bucket, raw_key, one, now_us, tally, who, bypass=bypass))
            except NoisefsError as exc:
                outcomes.append(exc)
        tally.apply(tx, row)
        return outcomes

    def _removed(
        self,
        tx: Writing,
        row: Bucket,
        bucket: str,
        raw_key: bytes,
        doomed: Doomed,
        now_us: int,
        tally: Tally,
        who: Principal,
        *,
        bypass: bool,
    ) -> Removed:
        """One removal. What is refused was refused before anything was written: in a batch the others go on."""
        row_key = u64(row.bucket_id) + raw_key
        if doomed.version_id is None:
            old = publishing.present(tx, row_key)
            if doomed.condition is not ALWAYS:
                check_write(doomed.condition, old, bucket, doomed.key)
            return publishing.remove(tx, row, row_key, old, now_us, self._mint, tally, Cause(who))
        if not versions.is_possible(doomed.version_id):
            raise InvalidArgument("versionId", doomed.version_id, "Invalid version id specified")
        found = versions.find(tx, row_key, doomed.version_id)
        if doomed.condition is not ALWAYS:
            check_write(doomed.condition, None if found is None else found.version, bucket, doomed.key)
        if found is None:
            return Removed(existed=False, version_id=doomed.version_id)
        return publishing.remove_version(tx, row, row_key, found, now_us, tally, Cause(who), bypass=bypass)

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
        source_version: str | None = None,
        lock: Wish = NO_WISH,
        acl: AclWish = NO_ACL,
        tags: Mapping[str, str] | None = None,
        sse: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        digested: tuple[str, Mapping[str, str]] | None = None,
        first: First = _nothing,
    ) -> tuple[Version, str]:
        """Let ``key`` name the same bytes: no data moves, ETag, checksums and parts stay. ``attributes``, ``tags``,
        ``sse``: replace them; ``headers``: these of them, an empty one goes. ``digested``: the source's ETag and
        checksums of its bytes, to be kept for its own. ``first`` runs at the beginning of the commit.

        Returns the new version, and the id of the one that was copied (empty: its bucket never had versions). A source
        condition that fails raises ``PreconditionFailed``, never ``NotModified``.

        Raises:
            DeleteMarkerNamed: ``source_version`` is that of a delete marker.
            CommitConflict: The source is not what was ``digested`` any more.
            InvalidArgument, LockNotConfigured, ObjectLocked, AclNotSupported: As :meth:`put`.
            NodeUnavailable: The bucket has a higher class than the source's, and too few nodes take the bytes.
        """
        raw_source, raw_key = naming.key_bytes(source_key), naming.key_bytes(key)

        def publish(tx: Writing, ready: Ready) -> tuple[Version, str]:
            first(tx)
            source = reach_bucket(tx, who, source_bucket)
            version = lookup.find(tx, source, source_bucket, source_key, raw_source, source_version).version
            check_source(source_condition, version)
            if digested is not None:
                if version.etag != digested[0]:
                    raise CommitConflict(f"object {source_key!r} changed while it was read")
                version = msgspec.structs.replace(version, checksums=dict(digested[1]), checksum_type=FULL_OBJECT)
            row = reach_bucket(tx, who, bucket)
            row_key = u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            check_write(condition, old, bucket, key)
            check_class(tx, layouts.extents_of(tx, version), source, row, ready)
            now_us = self._clock.now_us()
            if lock is not NO_WISH:
                object_lock.check_wish(lock, now_us)
            new = publishing.with_attributes(version, attributes, row, now_us, lock, tags)
            new = publishing.owned(new, row, who.user_id, acl)
            new = publishing.with_fields(new, sse, headers)
            layouts.share(tx, new)
            tally = Tally()
            new = publishing.replace(tx, row, row_key, old, new, now_us, self._mint, tally, Cause(who, COPY))
            tally.apply(tx, row)
            return new, versions.shown(source, version).version_id

        return await run_raising(self._commits, publish)


def _check_quick(row: Bucket, bucket: str) -> None:
    """Refuse what nobody waits for with a task where there is something to wait for, or more to do."""
    if not is_usual(row):
        raise CommitConflict(f"writes to bucket {bucket!r} have more to do")
    if row.durability != LOCAL:
        raise CommitConflict(f"writes to bucket {bucket!r} wait for nodes")
