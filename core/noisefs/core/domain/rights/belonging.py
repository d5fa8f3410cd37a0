"""To whom an object belongs that is written, and with which list."""

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.rights.acl import NO_ACL, Acl, AclWish, check_supported, is_public, owner_of_new
from noisefs.core.domain.rights.ownership import Ownership, ownership_of
from noisefs.core.domain.rights.public_access import block_of
from noisefs.core.errors import AccessDenied


def belonging_of(bucket: Bucket, writer: UserId, wish: AclWish) -> tuple[UserId, Acl | None]:
    """Owner and list of what ``writer`` writes into a bucket. Cost: nothing in a bucket without rules of its own.

    Raises:
        AclNotSupported: Lists do not count there, and this one would say something.
        AccessDenied: It is public, and the bucket refuses that.
    """
    if wish is NO_ACL and ownership_of(bucket) is Ownership.ENFORCED:
        return bucket.owner, None
    check_supported(bucket, wish)
    if ownership_of(bucket) is Ownership.ENFORCED:
        return bucket.owner, None
    owner = owner_of_new(bucket, writer, wish)
    acl = wish.resolved(owner, bucket.owner)
    check_block(bucket, acl)
    return owner, acl


def check_block(bucket: Bucket, acl: Acl | None) -> None:
    """Refuse a public list where the bucket's public access block wants that.

    Raises:
        AccessDenied: It is public.
    """
    if acl is not None and is_public(acl) and block_of(bucket).block_acls:
        raise AccessDenied("the bucket's public access block refuses public access control lists")
