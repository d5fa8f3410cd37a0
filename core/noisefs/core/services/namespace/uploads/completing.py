"""One Complete request: planned in a read, published in a commit, answered again for a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets.notification import COMPLETE
from noisefs.core.domain.ids import LayoutId, UploadId
from noisefs.core.domain.objects.conditions import check_write
from noisefs.core.domain.records import Bucket, Completed, Upload, Version, decode, encode
from noisefs.core.domain.requests import ALWAYS, Cause, CompletedPart, Principal, WriteCondition
from noisefs.core.domain.rights.ownership import Ownership, ownership_of
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.bodies import references
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import uploads as upload_rows
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Mint
from noisefs.core.services.namespace.uploads.assembling import Assembly, Rows, assemble

_PARTS_MOST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Completing:
    """The request's fields; see :meth:`.service.Uploads.complete`. ``layout_id``: for an object of many parts."""

    who: Principal
    bucket: str
    key: str
    raw_key: bytes
    upload_id: UploadId
    layout_id: LayoutId
    parts: Sequence[CompletedPart]
    condition: WriteCondition
    expected_size: int | None
    checksums: Mapping[str, str]
    limits: NamespaceLimits
    mint: Mint

    def plan(self, tx: Reading) -> Assembly | Version:
        """Everything that can be worked out before the commit; or the first answer, if there was one."""
        row, first = self._answered(tx)
        if first is not None:
            return first
        upload = upload_rows.reach_upload(tx, row.bucket_id, self.key, self.upload_id)
        return self._assemble(upload_rows.part_rows(tx, self.upload_id, _PARTS_MOST), upload)

    def publish(self, tx: Writing, planned: Assembly, now_us: int) -> Version:
        """The commit: hand the references of the named parts over to the version, let go of the others.

        Worked out again only where a part was uploaded or replaced since ``planned``.
        """
        row, first = self._answered(tx)
        if first is not None:
            return first
        upload = upload_rows.reach_upload(tx, row.bucket_id, self.key, self.upload_id)
        rows = upload_rows.part_rows(tx, self.upload_id, _PARTS_MOST)
        assembly = planned if rows == planned.rows else self._assemble(rows, upload)
        row_key = keyspace.u64(row.bucket_id) + self.raw_key
        old = publishing.present(tx, row_key)
        if self.condition is not ALWAYS:
            check_write(self.condition, old, self.bucket, self.key)
        new = self._version_of(upload, assembly, row, now_us)
        if new.layout is not None:
            layouts.write(tx, new.layout, assembly.extents, assembly.parts)
        tally = Tally()
        new = publishing.replace(tx, row, row_key, old, new, now_us, self.mint, tally, Cause(self.who, COMPLETE))
        tally.apply(tx, row)
        references.acquire(tx, assembly.gained)
        references.release(tx, assembly.unused, now_us)
        for part_row, _ in rows:
            tx.delete(Table.PARTS, part_row)
        tx.delete(Table.UPLOADS, keyspace.upload_key(row.bucket_id, self.key, self.upload_id))
        answer = Completed(
            row.bucket_id, self.key, new.etag, new.version_id, now_us, new.checksums, new.checksum_type, new.size
        )
        tx.put(Table.COMPLETED, self.upload_id, encode(answer))
        return new

    def _answered(self, tx: Reading) -> tuple[Bucket, Version | None]:
        """The bucket, and what the first Complete of this upload answered."""
        row = reach_bucket(tx, self.who, self.bucket)
        raw = tx.get(Table.COMPLETED, self.upload_id)
        answer = None if raw is None else decode(Completed, raw)
        if answer is None or (answer.bucket_id, answer.key) != (row.bucket_id, self.key):
            return row, None
        return row, Version(
            size=answer.size,
            etag=answer.etag,
            modified_us=answer.completed_us,
            owner=row.owner,
            version_id=answer.version_id,
            checksums=answer.checksums,
            checksum_type=answer.checksum_type,
            parts_count=int(answer.etag.rpartition("-")[2]),
        )

    def _assemble(self, rows: Rows, upload: Upload) -> Assembly:
        return assemble(
            rows, upload, self.parts, self.limits, expected_size=self.expected_size, declared=self.checksums
        )

    def _version_of(self, upload: Upload, assembly: Assembly, row: Bucket, now_us: int) -> Version:
        long = layouts.is_long(assembly.extents, assembly.parts)
        lists = ownership_of(row) is not Ownership.ENFORCED
        return msgspec.structs.replace(
            upload.template,
            size=assembly.size,
            etag=assembly.etag,
            modified_us=upload.template.modified_us or now_us,
            owner=upload.template.owner if lists else row.owner,
            acl=upload.template.acl if lists else None,
            checksums=dict(assembly.checksums),
            checksum_type=assembly.checksum_type,
            extents=() if long else tuple(assembly.extents),
            parts=() if long else tuple(assembly.parts),
            layout=self.layout_id if long else None,
            parts_count=len(assembly.parts),
        )
