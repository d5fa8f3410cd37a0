"""Rows of a tree: the objects and dead properties below a prefix, gone over inside one commit."""

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Bucket, Version, decode
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace import layouts, properties, publishing, usage

_ROWS_MOST = 1 << 30


def rows_below(tx: Reading, row_prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Object rows whose keys begin with ``row_prefix``, ascending: all at once, because a scan among many pending
    writes looks at each of them.
    """
    return tx.scan(Table.OBJECTS, row_prefix, keyspace.prefix_end(row_prefix), _ROWS_MOST)


def exists_below(tx: Reading, row_prefix: bytes) -> bool:
    """Whether any object's key begins with ``row_prefix``. Cost: one seek."""
    return bool(tx.scan(Table.OBJECTS, row_prefix, keyspace.prefix_end(row_prefix), 1))


def remove_tree(tx: Writing, bucket: Bucket, raw_prefix: bytes, now_us: int) -> int:
    """Remove every object below a prefix, and all dead properties there; returns how many objects.

    The dead properties of the bucket itself (under the empty key) stay.
    """
    row_prefix = keyspace.u64(bucket.bucket_id) + raw_prefix
    size = count = 0
    for row_key, raw in rows_below(tx, row_prefix):
        version = decode(Version, raw)
        tx.delete(Table.OBJECTS, row_key)
        layouts.drop(tx, version, now_us, deleted=True)
        size += version.size
        count += 1
    if bucket.properties:
        of_bucket = row_prefix + b"\0"
        for row_key, _ in properties.below(tx, row_prefix):
            if raw_prefix or not row_key.startswith(of_bucket):
                tx.delete(Table.PROPERTIES, row_key)
    usage.adjust(tx, bucket, -size, -count)
    return count


def keep_collection(tx: Writing, bucket: Bucket, raw_key: bytes, now_us: int) -> None:
    """Leave a marker in the collection that held ``raw_key`` (an object or a tree) if that has no member left."""
    parent = raw_key[: raw_key.rfind(b"/", 0, len(raw_key) - 1) + 1]
    if not parent:
        return
    row_key = keyspace.u64(bucket.bucket_id) + parent
    if not exists_below(tx, row_key):
        publishing.replace(tx, bucket, row_key, None, publishing.marker_of(bucket, now_us), now_us)
