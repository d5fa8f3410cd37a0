"""Who may use a bucket: its owner and administrators. Rights in detail would be decided here."""

from noisefs.core.domain.records import Bucket, decode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import AccessDenied, BucketNotFound
from noisefs.core.ports.index import Reading, Table


def reach_bucket(tx: Reading, who: Principal, name: str) -> Bucket:
    """The row of a bucket that ``who`` may use. Cost: one get.

    Raises:
        BucketNotFound: There is none of this name.
        AccessDenied: It belongs to somebody else.
    """
    raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
    if raw is None:
        raise BucketNotFound(name)
    bucket = decode(Bucket, raw)
    if bucket.owner != who.user_id and not who.admin:
        raise AccessDenied(f"bucket {name!r} belongs to another user")
    return bucket
