"""Who may use a bucket: its owner and administrators at once; others as far as a policy or a list lets them."""

from typing import Final

from noisefs.core.domain.buckets import access_log, lifecycle, notification
from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.records import Bucket, decode
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.domain.rights.ownership import ENFORCED
from noisefs.core.errors import AccessDenied, BucketNotFound
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace.rights import evaluating as rights

_UNUSUAL: Final = frozenset({lifecycle.KIND, access_log.KIND, notification.KIND, "encryption"})
"""Configurations of a bucket whose answers tell more than an object's row says, whose requests are written down or told
of, or that seals objects in a way of its own."""


def reach_bucket(tx: Reading, who: Principal, name: str) -> Bucket:
    """The row of a bucket in which ``who`` may do what it asks for. Cost: one get; in a bucket with a policy, or of
    somebody else's, some 30 us more.

    In a commit, whoever waits for it waits for the bucket's durability class too.

    Raises:
        BucketNotFound: There is none of this name.
        AccessDenied: It belongs to somebody else, or a policy forbids it.
    """
    raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
    if raw is None:
        raise BucketNotFound(name)
    bucket = decode(Bucket, raw)
    if not is_plain(bucket, who):
        rights.permit(tx, bucket, who, name)
    if bucket.durability != LOCAL and isinstance(tx, Writing):
        tx.demand(bucket.durability)
    return bucket


def is_plain(bucket: Bucket, who: Principal) -> bool:
    """Whether ``who`` may use all of a bucket without another look: it is theirs, or they are an administrator, and
    neither the bucket nor the user has anything in the way. Cost: half a microsecond.
    """
    if (bucket.owner != who.user_id or who.role is not None) and not who.admin:
        return False
    if who.trusted:
        return True
    config = bucket.config
    if config and (rights.POLICY in config or config.get(rights.OWNERSHIP, ENFORCED) != ENFORCED):
        return False
    return not who.policies and not who.session


def may_list(tx: Reading, bucket: Bucket, who: Principal, name: str) -> bool:
    """Whether ``who`` may list the bucket's objects. Cost: as :func:`reach_bucket`."""
    if is_plain(bucket, who):
        return True
    return who.asking is not None and rights.allows(tx, bucket, who, Need("s3:ListBucket", name), who.asking)


def is_usual(bucket: Bucket) -> bool:
    """Whether requests in this bucket may take a short way. Cost: a tenth of a microsecond."""
    return not bucket.config or _UNUSUAL.isdisjoint(bucket.config)


def check_reach(bucket: Bucket, who: Principal, name: str) -> None:
    """Refuse whoever may not use all of a bucket without another look, and in an unusual bucket anybody.

    Raises:
        AccessDenied: It has to be asked with :func:`reach_bucket`.
    """
    if not is_usual(bucket) or not is_plain(bucket, who):
        raise AccessDenied(f"what may be done in bucket {name!r} has to be looked at")
