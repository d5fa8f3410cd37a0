"""Who may use a bucket: its owner and administrators. Rights in detail would be decided here."""

from noisefs.core.domain.durability import LOCAL
from noisefs.core.domain.records import Bucket, decode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import AccessDenied, BucketNotFound
from noisefs.core.ports.index import Reading, Table, Writing


def reach_bucket(tx: Reading, who: Principal, name: str) -> Bucket:
    """The row of a bucket that ``who`` may use. Cost: one get.

    In a commit, whoever waits for it waits for the bucket's durability class too.

    Raises:
        BucketNotFound: There is none of this name.
        AccessDenied: It belongs to somebody else.
    """
    raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
    if raw is None:
        raise BucketNotFound(name)
    bucket = decode(Bucket, raw)
    check_reach(bucket, who, name)
    if bucket.durability != LOCAL and isinstance(tx, Writing):
        tx.demand(bucket.durability)
    return bucket


def check_reach(bucket: Bucket, who: Principal, name: str) -> None:
    """Refuse whoever may not use a bucket.

    Raises:
        AccessDenied: It belongs to somebody else.
    """
    if bucket.owner != who.user_id and not who.admin:
        raise AccessDenied(f"bucket {name!r} belongs to another user")
