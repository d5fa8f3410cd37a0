"""Rows of open uploads and their parts: looked up, and discarded together."""

from noisefs.core.domain import keyspace
from noisefs.core.domain.ids import ID_BYTES, UploadId
from noisefs.core.domain.records import Part, Upload, decode
from noisefs.core.errors import UploadNotFound
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.bodies import references

_ROWS_MOST = 1 << 30


def upload_id_of(text: str) -> UploadId:
    """The id in the hex form that clients see.

    Raises:
        UploadNotFound: It is malformed, so no upload has it.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError as exc:
        raise UploadNotFound(text) from exc
    if len(raw) != ID_BYTES or raw.hex() != text:
        raise UploadNotFound(text)
    return UploadId(raw)


def reach_upload(tx: Reading, bucket_id: int, key: str, upload_id: UploadId) -> Upload:
    """The upload's row. Cost: one get. Raises ``UploadNotFound``."""
    raw = tx.get(Table.UPLOADS, keyspace.upload_key(bucket_id, key, upload_id))
    if raw is None:
        raise UploadNotFound(upload_id.hex())
    return decode(Upload, raw)


def part_rows(tx: Reading, upload_id: UploadId, limit: int, after: int = 0) -> list[tuple[bytes, bytes]]:
    """Up to ``limit`` rows of parts with numbers above ``after``, ascending."""
    start = keyspace.part_key(upload_id, after + 1)
    return tx.scan(Table.PARTS, start, keyspace.prefix_end(upload_id), limit)


def number_of(row_key: bytes) -> int:
    """The part number in a part's row key."""
    return int.from_bytes(row_key[ID_BYTES:], "big")


def discard(tx: Writing, upload_row_key: bytes, now_us: int) -> None:
    """Forget an upload and release its parts. Cost: a release and a delete a part."""
    upload_id = UploadId(upload_row_key[-ID_BYTES:])
    for key, raw in part_rows(tx, upload_id, _ROWS_MOST):
        references.release(tx, decode(Part, raw).extents, now_us)
        tx.delete(Table.PARTS, key)
    tx.delete(Table.UPLOADS, upload_row_key)


def discard_all(tx: Writing, bucket_id: int, now_us: int) -> None:
    """Forget all uploads of a bucket."""
    start, end = keyspace.bucket_range(bucket_id)
    for key, _ in tx.scan(Table.UPLOADS, start, end, _ROWS_MOST):
        discard(tx, key, now_us)
