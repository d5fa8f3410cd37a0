"""Multipart uploads. Every step checks the upload's row in its own commit; the loser gets ``UploadNotFound``."""

import base64
from collections.abc import AsyncIterable, Collection, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.object_lock import NO_WISH, Wish
from noisefs.core.domain.ids import ID_BYTES, LayoutId, UploadId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.composition import DEFAULT, checksum_type_of
from noisefs.core.domain.objects.conditions import check_source
from noisefs.core.domain.records import BodyState, Bucket, Part, Upload, Version, decode, encode
from noisefs.core.domain.requests import (
    ALWAYS,
    ANY,
    Attributes,
    CompletedPart,
    Principal,
    ReadCondition,
    Verify,
    WriteCondition,
    keep_none,
)
from noisefs.core.domain.sealing.inner import OuterKey
from noisefs.core.errors import (
    CommitConflict,
    EntityTooLarge,
    InvalidArgument,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.telemetry import Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies import references
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.reading import BodyReader, OpenBodies
from noisefs.core.services.bodies.twice import InnerSealer, NewInner
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.background import expiry
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import listing, publishing
from noisefs.core.services.namespace.objects.raising import Ready, check_class, run_raising
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import uploads as upload_rows
from noisefs.core.services.namespace.rows import usage, versions
from noisefs.core.services.namespace.rows.versions import Found
from noisefs.core.services.namespace.uploads import part_copy
from noisefs.core.services.namespace.uploads.completing import Completing
from noisefs.core.services.namespace.versions import lookup

_TAIL_BYTES = 1 + ID_BYTES
"""NUL and upload id behind the object key in an upload's row key."""
_COPY_ATTEMPTS = 4
"""How often a part copy looks again when its source is overwritten meanwhile."""
_PARTS_MOST = 1 << 16
_SLICE = 500


class Uploads:
    """Multipart operations. Task-safe. ``upload_id``: the 32-digit hex form clients see; a malformed one is unknown."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        body_writer: BodyWriter,
        body_reader: BodyReader,
        sealer: InnerSealer,
        limits: NamespaceLimits,
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._mint = versions.minter(entropy)
        self._telemetry = telemetry
        self._writer = body_writer
        self._reader = body_reader
        self._sealer = sealer
        self._limits = limits

    async def create(
        self,
        who: Principal,
        bucket: str,
        key: str,
        attributes: Attributes,
        *,
        checksum_algorithm: str = "",
        checksum_type: str = "",
        lock: Wish = NO_WISH,
        outer: OuterKey | None = None,
    ) -> str:
        """Begin an upload; returns its id. Ids ascend with time, so that a key's uploads are listed in that order.

        ``outer``: its parts are sealed twice, inside with this key.

        Raises:
            InvalidArgument: There is no such algorithm, or it cannot be of that type for an upload in parts; or no
                version can be locked like ``lock``.
            LockNotConfigured: None of this bucket can.
            InvalidKey, KeyTooLong, BucketNotFound, AccessDenied.
        """
        naming.key_bytes(key)
        kind = checksum_type_of(checksum_algorithm, checksum_type)
        now_us = self._clock.now_us()
        upload_id = UploadId((now_us // 1000).to_bytes(6, "big") + self._entropy.secret(ID_BYTES - 6))

        def begin(tx: Writing) -> None:
            row = reach_bucket(tx, who, bucket)
            if lock is not NO_WISH:
                lookup.check_wish(row, lock, now_us)
            template = publishing.version_of(attributes, row, 0, size=0, etag="", lock=lock)
            template = publishing.owned(template, row, who.user_id, attributes.acl)
            if outer is not None:
                template = msgspec.structs.replace(template, inner=self._sealer.begin(outer).inner)
            upload = Upload(who.user_id, now_us, template, checksum_algorithm, kind)
            tx.put(Table.UPLOADS, keyspace.upload_key(row.bucket_id, key, upload_id), encode(upload))

        await self._commits.run(begin)
        return upload_id.hex()

    async def get(self, who: Principal, bucket: str, key: str, upload_id: str) -> Upload:
        """The upload's row. Raises ``UploadNotFound``, ``BucketNotFound``, ``AccessDenied``."""
        return self._index.read(lambda tx: _reach(tx, who, bucket, key, upload_id)[1])

    async def put_part(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source: AsyncIterable[bytes | memoryview],
        *,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
        customer_key: bytes | None = None,
    ) -> Part:
        """Store one part (1 to ``max_parts``), replacing an earlier one of that number.

        The upload's own checksum is computed and kept even if the request does not carry it; of an upload without one,
        that which its object gets then (:data:`~noisefs.core.domain.objects.composition.DEFAULT`).

        Raises:
            InvalidArgument: The number is not allowed.
            EntityTooLarge: The part has more than ``max_put_bytes`` bytes.
            QuotaExceeded: The part alone leaves no room. Parts count when their upload is completed.
            UploadNotFound: There is no such upload, or it ended meanwhile.
            CustomerKeyNeeded, CustomerKeyUnwanted, WrongCustomerKey: ``customer_key`` is not the upload's.
        """
        self._check_number(number)

        def admit(tx: Reading) -> tuple[Bucket, Upload]:
            row, upload = _reach(tx, who, bucket, key, upload_id)
            usage.check_room(tx, row, 1)
            return row, upload

        row, upload = self._index.read(admit)
        algorithm = upload.checksum_algorithm or DEFAULT
        wanted = {"MD5", *digests, algorithm}
        raw_id = upload_rows.upload_id_of(upload_id)
        inner = upload.template.inner
        data_key = self._sealer.data_key(inner, customer_key)
        sealing = None
        if inner is not None and data_key is not None:
            sealing = self._sealer.sealing(source, NewInner(inner, data_key), wanted)
            source, wanted = sealing.pieces(), set()
        staged = await self._writer.ingest(source, digests=wanted, group=raw_id, durability=row.durability)
        async with staged:
            digested = staged.digested if sealing is None else sealing.digested
            if digested.size > self._limits.max_put_bytes:
                raise EntityTooLarge(digested.size, self._limits.max_put_bytes)
            checksums = dict(verify(digested))
            if algorithm not in checksums:
                checksums[algorithm] = base64.b64encode(digested.digests[algorithm]).decode()
            md5 = digested.digests["MD5"] if sealing is None else sealing.part_digest()
            await staged.settle()

            def publish(tx: Writing) -> Part:
                now_row, _upload = _reach(tx, who, bucket, key, upload_id)
                usage.check_room(tx, now_row, digested.size)
                now_us = self._clock.now_us()
                extents = staged.enlist(tx, BodyState.HELD, durability=now_row.durability)
                stream_id = b"" if sealing is None else sealing.inner.stream
                part = Part(digested.size, md5, now_us, extents, checksums, stream_id)
                _replace_part(tx, raw_id, number, part, now_us)
                return part

            return await self._commits.run(publish)

    async def copy_part(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source_bucket: str,
        source_key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        source_condition: ReadCondition = ANY,
        source_version: str | None = None,
    ) -> tuple[Part, str]:
        """Make a part from an object's bytes (``byte_range``: first and last byte, inclusive): shares the extents,
        moves no data. A range that is exactly one part of the source, or all of it, reuses its MD5; any other range is
        read once to hash it. Returns the part, and the id of the version that was copied (empty: its bucket never had
        versions).

        Raises:
            RangeNotSatisfiable: The range is not wholly inside the source.
            ObjectNotFound, VersionNotFound, DeleteMarkerNamed, PreconditionFailed: Of the source.
            CommitConflict: The source was overwritten again and again meanwhile.
            InvalidArgument, EntityTooLarge, UploadNotFound: As :meth:`put_part`.
        """
        self._check_number(number)
        raw_id = upload_rows.upload_id_of(upload_id)
        raw_source = naming.key_bytes(source_key)

        def look(tx: Reading) -> tuple[Bucket, Found, part_copy.Stretch, part_copy.Known | OpenBodies, Upload]:
            _, upload = _reach(tx, who, bucket, key, upload_id)
            source = reach_bucket(tx, who, source_bucket)
            found = lookup.find(tx, source, source_bucket, source_key, raw_source, source_version)
            version = found.version
            check_source(source_condition, version)
            if version.inner is not None or upload.template.inner is not None:
                raise InvalidArgument("source", source_key, "bytes that are sealed twice are read and put again")
            stretch = part_copy.stretch_of(tx, version, byte_range)
            if stretch.size > self._limits.max_put_bytes:
                raise EntityTooLarge(stretch.size, self._limits.max_put_bytes)
            algorithms = (upload.checksum_algorithm,) if upload.checksum_algorithm else ()
            known = part_copy.known_digests(tx, version, stretch, algorithms, welcome=DEFAULT)
            return source, found, stretch, known or self._reader.open(tx, stretch.extents), upload

        for _ in range(_COPY_ATTEMPTS):
            source, found, stretch, known, upload = self._index.read(look)
            if isinstance(known, OpenBodies):
                async with known as bodies:
                    algorithm = upload.checksum_algorithm or DEFAULT
                    known = await part_copy.compute_digests(bodies, 0, stretch.size, (algorithm,), self._workers)
            part = Part(stretch.size, known.md5, self._clock.now_us(), stretch.extents, known.checksums)

            def publish(
                tx: Writing,
                ready: Ready,
                source: Bucket = source,
                found: Found = found,
                part: Part = part,
            ) -> bool:
                row, _upload = _reach(tx, who, bucket, key, upload_id)
                if tx.get(found.table, found.row_key) != found.raw:
                    return False
                check_class(tx, part.extents, source, row, ready)
                references.acquire(tx, part.extents)
                _replace_part(tx, raw_id, number, part, part.modified_us)
                return True

            if await run_raising(self._commits, publish):
                return part, versions.shown(source, found.version).version_id
        raise CommitConflict(f"object {source_key!r} changed {_COPY_ATTEMPTS} times while it was copied")

    async def list_parts(
        self, who: Principal, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[Upload, list[tuple[int, Part]], bool]:
        """The upload, its parts with higher numbers, and whether more follow."""

        def look(tx: Reading) -> tuple[Upload, list[tuple[bytes, bytes]]]:
            _, upload = _reach(tx, who, bucket, key, upload_id)
            raw_id = upload_rows.upload_id_of(upload_id)
            return upload, upload_rows.part_rows(tx, raw_id, limit + 1, min(max(after, 0), _PARTS_MOST - 2))

        def page() -> tuple[Upload, list[tuple[int, Part]], bool]:
            upload, rows = self._index.read(look)
            parts = [(upload_rows.number_of(row_key), decode(Part, raw)) for row_key, raw in rows[:limit]]
            return upload, parts, 0 < limit < len(rows)

        return await self._workers.run(Lane.DISK, page)

    async def list(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str = "",
        upload_id_marker: str = "",
        limit: int = 1000,
    ) -> tuple[list[tuple[str, str, Upload]], list[str], tuple[str, str] | None]:
        """Open uploads as (key, upload id, row), common prefixes, and the markers of the next page or ``None``.

        They are sorted by key, then by time of creation.
        """
        texts = [naming.text_bytes("listing", text) for text in (prefix, delimiter, key_marker)]

        def look(tx: Reading) -> listing.Gathered:
            base = u64(reach_bucket(tx, who, bucket).bucket_id)
            span = listing.span_of(base, prefix=texts[0], delimiter=texts[1], after=texts[2], tail_bytes=_TAIL_BYTES)
            if key_marker and upload_id_marker:
                behind = keyspace.upload_key(0, key_marker, upload_rows.upload_id_of(upload_id_marker))[8:] + b"\0"
                span = replace(span, position=max(base + texts[0], base + behind))
            return listing.gather(tx, Table.UPLOADS, span, limit)

        def page() -> tuple[list[tuple[str, str, Upload]], list[str], tuple[str, str] | None]:
            found = self._index.read(look)
            uploads = [
                (row_key[8:-_TAIL_BYTES].decode(), row_key[-ID_BYTES:].hex(), decode(Upload, raw))
                for row_key, raw in found.rows
            ]
            groups = [group[8:].decode() for group in found.groups]
            if not found.more:
                return uploads, groups, None
            if found.rows and found.last == found.rows[-1][0]:
                return uploads, groups, uploads[-1][:2]
            return uploads, groups, (groups[-1], "")

        return await self._workers.run(Lane.DISK, page)

    async def complete(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        *,
        condition: WriteCondition = ALWAYS,
        expected_size: int | None = None,
        checksums: dict[str, str] | None = None,
    ) -> Version:
        """Publish the named parts as the object; parts not named are released. ETag: ``<md5 of part md5s>-N``.

        Object checksums are computed from those of the parts (COMPOSITE, or FULL_OBJECT by combining CRCs) and
        compared with ``checksums`` if the client declared some. Repeated within 24 h it answers the first result: its
        size, ETag, checksums and time. A failed one leaves the upload open. The checks run in a lane; the commit
        repeats them only if a part was replaced meanwhile.

        Raises:
            InvalidPart, InvalidPartOrder, PartTooSmall, PreconditionFailed, DigestMismatch, InvalidArgument.
            EntityTooLarge, TooMany: The object would be too large.
            UploadNotFound: There is no such upload, or it ended another way.
        """
        request = Completing(
            who=who,
            bucket=bucket,
            key=key,
            raw_key=naming.key_bytes(key),
            upload_id=upload_rows.upload_id_of(upload_id),
            layout_id=LayoutId(self._entropy.secret(ID_BYTES)),
            parts=parts,
            condition=condition,
            expected_size=expected_size,
            checksums=checksums or {},
            limits=self._limits,
            mint=self._mint,
        )
        planned = await self._workers.run(Lane.DISK, self._index.read, request.plan)
        if isinstance(planned, Version):
            return planned
        return await self._commits.run(lambda tx: request.publish(tx, planned, self._clock.now_us()))

    async def abort(self, who: Principal, bucket: str, key: str, upload_id: str) -> None:
        """Forget the upload and release its parts. Raises ``UploadNotFound``."""

        def forget(tx: Writing) -> None:
            row, _ = _reach(tx, who, bucket, key, upload_id)
            row_key = keyspace.upload_key(row.bucket_id, key, upload_rows.upload_id_of(upload_id))
            upload_rows.discard(tx, row_key, self._clock.now_us())

        await self._commits.run(forget)

    async def expire(self) -> int:
        """Abort uploads older than the configured age and forget old Complete answers; returns how many uploads.

        One commit an upload; the gauge of open uploads is set. Cost: a look at every open upload.
        """
        now_us = self._clock.now_us()
        oldest_us = now_us - int(self._limits.upload_expiry_s * 1e6)
        old, still_open = await self._workers.run(Lane.BACKGROUND, expiry.old_uploads, self._index, oldest_us)
        expired = [await self._commits.run(partial(expiry.drop_upload, row_key=key, now_us=now_us)) for key in old]
        self._telemetry.gauge(Gauge.OPEN_UPLOADS, still_open)
        answered_us = now_us - int(self._limits.complete_memory_s * 1e6)
        answers = await self._workers.run(Lane.BACKGROUND, expiry.old_answers, self._index, answered_us)
        for begin in range(0, len(answers), _SLICE):
            await self._commits.run(partial(expiry.drop_answers, row_keys=answers[begin : begin + _SLICE]))
        return sum(expired)

    def _check_number(self, number: int) -> None:
        if not 1 <= number <= self._limits.max_parts:
            raise InvalidArgument("part number", number, f"1 to {self._limits.max_parts}")


def _reach(tx: Reading, who: Principal, bucket: str, key: str, upload_id: str) -> tuple[Bucket, Upload]:
    row = reach_bucket(tx, who, bucket)
    return row, upload_rows.reach_upload(tx, row.bucket_id, key, upload_rows.upload_id_of(upload_id))


def _replace_part(tx: Writing, upload_id: UploadId, number: int, part: Part, now_us: int) -> None:
    """Keep a part whose references are held already, and let go of the one it replaces."""
    row_key = keyspace.part_key(upload_id, number)
    raw = tx.get(Table.PARTS, row_key)
    tx.put(Table.PARTS, row_key, encode(part))
    if raw is not None:
        references.release(tx, decode(Part, raw).extents, now_us)
