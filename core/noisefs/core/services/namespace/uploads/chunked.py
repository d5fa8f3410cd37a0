"""Uploads in chunks that a client names, and that get their key with the last request: Nextcloud's.

They are multipart uploads of no bucket (bucket id 0, under the user and the name that the client chose), so chunks are
parts: held, expired and counted like these. No byte is moved when they become an object.

A chunk that comes once more does not replace the first one: it gets the next number, and of chunks with one name the
latest counts. So nothing is searched for when one comes in; the others are let go of at the end.
"""

import base64
import re
from collections.abc import AsyncIterable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.buckets.notification import COMPLETE
from noisefs.core.domain.ids import ID_BYTES, LayoutId, UploadId
from noisefs.core.domain.objects.composition import FULL_OBJECT
from noisefs.core.domain.objects.conditions import check_write
from noisefs.core.domain.records import BodyState, Bucket, Part, Upload, Version, decode, encode
from noisefs.core.domain.requests import (
    ALWAYS,
    Attributes,
    Cause,
    CompletedPart,
    Digested,
    Principal,
    Verify,
    WriteCondition,
    keep_none,
)
from noisefs.core.errors import CommitConflict, EntityTooLarge, TooMany, UploadNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies import references
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.reading import BodyReader
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.objects.raising import Ready, check_class, run_raising
from noisefs.core.services.namespace.objects.service import Admit
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import uploads as upload_rows
from noisefs.core.services.namespace.rows import usage, versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.uploads import part_copy
from noisefs.core.services.namespace.uploads.assembling import Assembly, Rows, assemble

OPEN_MOST: Final = 1000
"""Uploads that one user may have open."""
CHUNKS_MOST: Final = (1 << 16) - 2
"""Chunks of an upload, those that came twice included: what part numbers can count."""
_ATTEMPTS: Final = 4
"""How often an upload is looked at again whose chunks change while it ends."""
_NO_BUCKET: Final = 0
_DIGITS: Final = re.compile(r"(\d+)")


class Chunk(NamedTuple):
    """A chunk that is there."""

    name: str
    size: int
    modified_us: int
    etag: str


class _Plan(NamedTuple):
    """What an upload would become. ``rows``: as the index has them."""

    rows: Rows
    assembly: Assembly


class ChunkedUploads:
    """Uploads by user and name. Task-safe. Every method raises ``UploadNotFound`` where the user has none such."""

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
        limits: NamespaceLimits,
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._mint = versions.minter(entropy)
        self._writer = body_writer
        self._reader = body_reader
        self._limits = limits
        self._joining = replace(limits, min_part_bytes=0, max_parts=CHUNKS_MOST)

    async def begin(self, who: Principal, name: str) -> bool:
        """Begin an upload; false: the user has one of this name.

        Raises:
            TooMany: The user has too many.
            KeyTooLong: The name is too long.
        """
        naming.key_bytes(_key(who, name))
        upload_id = UploadId(self._entropy.secret(ID_BYTES))

        def change(tx: Writing) -> bool:
            if _find(tx, who, name) is not None:
                return False
            start = keyspace.u64(_NO_BUCKET) + _key(who, "").encode()
            if len(tx.scan(Table.UPLOADS, start, keyspace.prefix_end(start), OPEN_MOST)) >= OPEN_MOST:
                raise TooMany(f"a user has at most {OPEN_MOST} unfinished uploads in chunks")
            template = Version(size=0, etag="", modified_us=0, owner=who.user_id)
            upload = Upload(who.user_id, self._clock.now_us(), template)
            tx.put(Table.UPLOADS, keyspace.upload_key(_NO_BUCKET, _key(who, name), upload_id), encode(upload))
            return True

        return await self._commits.run(change)

    async def put_chunk(
        self,
        who: Principal,
        name: str,
        chunk: str,
        source: AsyncIterable[bytes | memoryview],
        *,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
        bucket: str = "",
        declared_bytes: int = 0,
    ) -> Part:
        """Store one chunk, in place of an earlier one of that name. All or nothing.

        ``bucket``: where it will belong, if that is known.

        Raises:
            DigestMismatch: Whatever ``verify`` raises.
            EntityTooLarge: It has more than ``max_put_bytes`` bytes.
            QuotaExceeded: That bucket has no room for it. Chunks count when they become an object.
            TooMany: The upload has too many.
        """

        def admit(tx: Reading) -> UploadId:
            raw = tx.get(Table.BUCKETS, bucket.encode("utf-8", "replace")) if bucket else None
            if raw is not None:
                usage.check_room(tx, decode(Bucket, raw), declared_bytes)
            return _reach(tx, who, name)[0]

        upload_id = self._index.read(admit)
        staged = await self._writer.ingest(source, digests=digests, group=upload_id, durability=LOCAL)
        async with staged:
            digested = staged.digested
            if digested.size > self._limits.max_put_bytes:
                raise EntityTooLarge(digested.size, self._limits.max_put_bytes)
            verify(digested)
            await staged.settle()

            def publish(tx: Writing) -> Part:
                if _reach(tx, who, name)[0] != upload_id:
                    raise UploadNotFound(name)
                start = keyspace.part_key(upload_id, 0)
                last = tx.scan(Table.PARTS, start, keyspace.prefix_end(upload_id), 1, reverse=True)
                number = upload_rows.number_of(last[0][0]) + 1 if last else 1
                if number > CHUNKS_MOST:
                    raise TooMany(f"an upload has at most {CHUNKS_MOST} chunks")
                extents = staged.enlist(tx, BodyState.HELD, durability=LOCAL)
                part = Part(digested.size, digested.digests["MD5"], self._clock.now_us(), extents, name=chunk)
                tx.put(Table.PARTS, keyspace.part_key(upload_id, number), encode(part))
                return part

            return await self._commits.run(publish)

    async def chunks(self, who: Principal, name: str) -> list[Chunk]:
        """The upload's chunks, in the order in which they would be joined."""

        def look(tx: Reading) -> list[Chunk]:
            upload_id, _ = _reach(tx, who, name)
            named, _ = _latest(upload_rows.part_rows(tx, upload_id, CHUNKS_MOST))
            return [Chunk(one, part.size, part.modified_us, part.md5.hex()) for one, part in named]

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def drop_chunk(self, who: Principal, name: str, chunk: str) -> bool:
        """Let go of one chunk; tells whether there was one. Cost: a look at all of them."""

        def change(tx: Writing) -> bool:
            upload_id, _ = _reach(tx, who, name)
            gone = False
            for row_key, raw in upload_rows.part_rows(tx, upload_id, CHUNKS_MOST):
                part = decode(Part, raw)
                if part.name == chunk:
                    references.release(tx, part.extents, self._clock.now_us())
                    tx.delete(Table.PARTS, row_key)
                    gone = True
            return gone

        return await self._commits.run(change)

    async def abort(self, who: Principal, name: str) -> None:
        """Forget the upload and let go of its chunks."""

        def change(tx: Writing) -> None:
            upload_id, _ = _reach(tx, who, name)
            row_key = keyspace.upload_key(_NO_BUCKET, _key(who, name), upload_id)
            upload_rows.discard(tx, row_key, self._clock.now_us())

        await self._commits.run(change)

    async def publish(
        self,
        who: Principal,
        name: str,
        bucket: str,
        key: str,
        attributes: Attributes | Admit,
        *,
        condition: WriteCondition = ALWAYS,
        expected_size: int | None = None,
        digests: Collection[str] = (),
        verify: Verify = keep_none,
    ) -> Version:
        """Let ``key`` name the chunks, joined in the order of their names, in one commit; the upload is over then. On
        any error the old version and the upload stay.

        ``digests``: what ``verify`` gets to see of the whole; the chunks are read once for it, which without them they
        are not.

        Raises:
            InvalidArgument: There is no chunk, or they have not ``expected_size`` bytes together.
            CommitConflict: Chunks changed again and again meanwhile.
            NoisefsError: As :meth:`.objects.service.Objects.put`.
        """
        raw_key = naming.key_bytes(key)
        for _ in range(_ATTEMPTS):
            plan = await self._workers.run(
                Lane.DISK, self._index.read, lambda tx: self._planned(tx, who, name, expected_size)
            )
            checksums = await self._verified(plan.assembly, digests, verify)
            work = partial(self._publish, who, name, bucket, key, raw_key, plan, attributes, condition, checksums)
            version = await run_raising(self._commits, work)
            if version is not None:
                return version
        raise CommitConflict(f"chunks of upload {name!r} changed {_ATTEMPTS} times while it ended")

    def _planned(self, tx: Reading, who: Principal, name: str, expected_size: int | None) -> _Plan:
        upload_id, upload = _reach(tx, who, name)
        rows = upload_rows.part_rows(tx, upload_id, CHUNKS_MOST)
        named, superseded = _latest(rows)
        numbered = [(keyspace.part_key(upload_id, at), encode(part)) for at, (_, part) in enumerate(named, 1)]
        wanted = [CompletedPart(at, part.md5.hex()) for at, (_, part) in enumerate(named, 1)]
        assembly = assemble(numbered, upload, wanted, self._joining, expected_size=expected_size, declared={})
        unused = [*assembly.unused, *(extent for part in superseded for extent in part.extents)]
        return _Plan(rows, replace(assembly, unused=unused))

    async def _verified(self, assembly: Assembly, digests: Collection[str], verify: Verify) -> Mapping[str, str]:
        found: dict[str, bytes] = {}
        if digests:
            async with self._index.read(lambda tx: self._reader.open(tx, assembly.extents)) as bodies:
                known = await part_copy.compute_digests(bodies, 0, assembly.size, digests, self._workers)
            found = {algorithm: base64.b64decode(checksum) for algorithm, checksum in known.checksums.items()}
            found["MD5"] = known.md5
        return verify(Digested(assembly.size, found))

    def _publish(
        self,
        who: Principal,
        name: str,
        bucket: str,
        key: str,
        raw_key: bytes,
        plan: _Plan,
        attributes: Attributes | Admit,
        condition: WriteCondition,
        checksums: Mapping[str, str],
        tx: Writing,
        ready: Ready,
    ) -> Version | None:
        """The commit; ``None``: the chunks are others than those planned with, and nothing was changed."""
        upload_id, _ = _reach(tx, who, name)
        if upload_rows.part_rows(tx, upload_id, CHUNKS_MOST) != plan.rows:
            return None
        row = reach_bucket(tx, who, bucket)
        row_key = keyspace.u64(row.bucket_id) + raw_key
        old = publishing.present(tx, row_key)
        wanted = attributes if isinstance(attributes, Attributes) else attributes(tx, row, old)
        if condition is not ALWAYS:
            check_write(condition, old, bucket, key)
        assembly = plan.assembly
        check_class(tx, assembly.extents, msgspec.structs.replace(row, durability=LOCAL), row, ready)
        long = layouts.is_long(assembly.extents, assembly.parts)
        now_us = self._clock.now_us()
        new = publishing.version_of(
            wanted,
            row,
            now_us,
            size=assembly.size,
            etag=assembly.etag,
            extents=() if long else tuple(assembly.extents),
            checksums=dict(checksums),
            checksum_type=FULL_OBJECT if checksums else "",
        )
        new = publishing.owned(new, row, who.user_id, wanted.acl)
        new = msgspec.structs.replace(
            new,
            parts=() if long else tuple(assembly.parts),
            layout=LayoutId(self._entropy.secret(ID_BYTES)) if long else None,
            parts_count=len(assembly.parts),
        )
        if new.layout is not None:
            layouts.write(tx, new.layout, assembly.extents, assembly.parts)
        tally = Tally()
        new = publishing.replace(tx, row, row_key, old, new, now_us, self._mint, tally, Cause(who, COMPLETE))
        tally.apply(tx, row)
        references.acquire(tx, assembly.gained)
        references.release(tx, assembly.unused, now_us)
        for part_row, _ in plan.rows:
            tx.delete(Table.PARTS, part_row)
        tx.delete(Table.UPLOADS, keyspace.upload_key(_NO_BUCKET, _key(who, name), upload_id))
        return new


def _key(who: Principal, name: str) -> str:
    return f"{who.user_id}/{name}"


def _find(tx: Reading, who: Principal, name: str) -> tuple[bytes, bytes] | None:
    start = keyspace.u64(_NO_BUCKET) + _key(who, name).encode("utf-8", "replace") + b"\0"
    found = tx.scan(Table.UPLOADS, start, keyspace.prefix_end(start), 1)
    return found[0] if found else None


def _reach(tx: Reading, who: Principal, name: str) -> tuple[UploadId, Upload]:
    found = _find(tx, who, name)
    if found is None:
        raise UploadNotFound(name)
    return UploadId(found[0][-ID_BYTES:]), decode(Upload, found[1])


def _latest(rows: Rows) -> tuple[list[tuple[str, Part]], list[Part]]:
    """The latest chunk of each name, in order, and those that others took the place of."""
    named: dict[str, Part] = {}
    superseded: list[Part] = []
    for _, raw in rows:
        part = decode(Part, raw)
        if part.name in named:
            superseded.append(named[part.name])
        named[part.name] = part
    return sorted(named.items(), key=lambda one: _place_of(one[0])), superseded


def _place_of(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """Where a chunk comes: numbers count as such, so that ``10`` is behind ``9`` (Nextcloud's ``strnatcmp``)."""
    pieces = _DIGITS.split(name)
    return tuple(
        (int(piece), "") if piece.isdigit() and piece.isascii() else (-1, piece) for piece in pieces if piece
    ), name
