"""Rows of a tree: the objects and dead properties below a prefix, gone over inside one commit."""

from collections.abc import Container

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Bucket, Version, decode
from noisefs.core.domain.requests import Cause, Principal
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace.objects import publishing
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Mint
from noisefs.core.services.namespace.trees import properties

_ROWS_MOST = 1 << 30


def rows_below(tx: Reading, row_prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Object rows whose keys begin with ``row_prefix``, ascending: all at once, because a scan among many pending
    writes looks at each of them.
    """
    return tx.scan(Table.OBJECTS, row_prefix, keyspace.prefix_end(row_prefix), _ROWS_MOST)


def exists_below(tx: Reading, row_prefix: bytes) -> bool:
    """Whether any object's key begins with ``row_prefix``. Cost: one seek."""
    return tx.exists(Table.OBJECTS, row_prefix, keyspace.prefix_end(row_prefix))


def remove_tree(
    tx: Writing,
    bucket: Bucket,
    raw_prefix: bytes,
    now_us: int,
    mint: Mint,
    who: Principal,
    keep: Container[bytes] = (),
) -> int:
    """Remove every object below a prefix, and all dead properties there; returns how many objects.

    The dead properties of the bucket itself (under the empty key) stay, and so do objects with a row key in ``keep``.
    """
    row_prefix = keyspace.u64(bucket.bucket_id) + raw_prefix
    if bucket.properties:
        of_bucket = row_prefix + b"\0"
        for row_key, _ in properties.below(tx, row_prefix):
            if raw_prefix or not row_key.startswith(of_bucket):
                tx.delete(Table.PROPERTIES, row_key)
    bare = msgspec.structs.replace(bucket, properties=False)
    tally, cause = Tally(), Cause(who)
    count = 0
    for row_key, raw in rows_below(tx, row_prefix):
        if row_key not in keep:
            publishing.remove(tx, bare, row_key, decode(Version, raw), now_us, mint, tally, cause)
            count += 1
    tally.apply(tx, bucket)
    return count


def keep_collection(tx: Writing, bucket: Bucket, raw_key: bytes, now_us: int, mint: Mint, who: Principal) -> None:
    """Leave a marker in the collection that held ``raw_key`` (an object or a tree) if that has no member left."""
    parent = raw_key[: raw_key.rfind(b"/", 0, len(raw_key) - 1) + 1]
    if not parent:
        return
    row_key = keyspace.u64(bucket.bucket_id) + parent
    if not exists_below(tx, row_key):
        tally, marker = Tally(), publishing.marker_of(bucket, now_us)
        publishing.replace(tx, bucket, row_key, None, marker, now_us, mint, tally, Cause(who))
        tally.apply(tx, bucket)
