"""Access control lists: canned ones, explicit grants, what they permit.

A list is kept as pairs of grantee and permission; a grantee is a user id or one of S3's groups. ``None`` is the private
list: the owner everything, others nothing. Source: S3 user guide, *Access control list (ACL) overview*.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.rights.ownership import Ownership, is_strict, ownership_of
from noisefs.core.domain.rights.principals import Caller
from noisefs.core.errors import AclNotSupported, InvalidArgument

Acl = tuple[tuple[str, str], ...]
"""Grantee and permission, in the order of the answers: groups first."""

KIND: Final = "acl"
"""Where a bucket's configurations hold its list; none there: private."""
EVERYBODY: Final = "@AllUsers"
AUTHENTICATED: Final = "@AuthenticatedUsers"
LOGS: Final = "@LogDelivery"
GROUPS: Final = {
    EVERYBODY: "http://acs.amazonaws.com/groups/global/AllUsers",
    AUTHENTICATED: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    LOGS: "http://acs.amazonaws.com/groups/s3/LogDelivery",
}
PUBLIC: Final = frozenset({EVERYBODY, AUTHENTICATED})
"""Groups that make a list public."""
PERMISSIONS: Final = ("READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL")
GRANTS_MOST: Final = 100
"""Entries of a list (S3 user guide, as above)."""
BUCKET_OWNER_FULL: Final = "bucket-owner-full-control"
_CANNED: Final = {
    "private": (),
    "public-read": ((EVERYBODY, "READ"),),
    "public-read-write": ((EVERYBODY, "READ"), (EVERYBODY, "WRITE")),
    "authenticated-read": ((AUTHENTICATED, "READ"),),
    "log-delivery-write": ((LOGS, "READ_ACP"), (LOGS, "WRITE")),
    "aws-exec-read": (),
    "bucket-owner-read": (),
    BUCKET_OWNER_FULL: (),
}
CANNED: Final = frozenset(_CANNED)
"""Names of canned lists. ``aws-exec-read`` grants to a service of AWS's, which never comes here."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Acl)


@dataclass(frozen=True, slots=True)
class AclWish:
    """The list that a request asks for: a canned one by name, or grants."""

    canned: str = ""
    grants: Acl | None = None

    def resolved(self, owner: UserId, bucket_owner: UserId) -> Acl | None:
        """The list, for something that belongs to ``owner``."""
        if self.grants is not None:
            return None if self.grants == private(owner) else self.grants
        groups = _CANNED[self.canned or "private"]
        more: Acl = ()
        if bucket_owner != owner and self.canned in ("bucket-owner-read", BUCKET_OWNER_FULL):
            more = ((bucket_owner, "READ" if self.canned == "bucket-owner-read" else "FULL_CONTROL"),)
        return (*groups, *private(owner), *more) if groups or more else None

    @property
    def is_harmless(self) -> bool:
        """Whether it changes nothing where everything belongs to the bucket's owner."""
        return self.grants is None and self.canned in ("", "private", BUCKET_OWNER_FULL)


NO_ACL: Final = AclWish()


def private(owner: UserId) -> Acl:
    """The list that ``None`` stands for."""
    return ((owner, "FULL_CONTROL"),)


def check_grants(grants: Iterable[tuple[str, str]], exists: Callable[[UserId], bool]) -> Acl:
    """Grants as they are kept: groups first, none twice.

    Raises:
        InvalidArgument: A permission or grantee is not one, or there are too many.
    """
    found = dict.fromkeys(grants)
    if len(found) > GRANTS_MOST:
        raise InvalidArgument("grants", len(found), f"at most {GRANTS_MOST}")
    for grantee, permission in found:
        if permission not in PERMISSIONS:
            raise InvalidArgument("Permission", permission, f"one of {', '.join(PERMISSIONS)}")
        if grantee not in GROUPS and not exists(UserId(grantee)):
            raise InvalidArgument("CanonicalUser/ID", grantee, "Invalid id")
    return tuple(sorted(found, key=lambda grant: grant[0] not in GROUPS))


def check_supported(bucket: Bucket, wish: AclWish) -> None:
    """Refuse a list with what is written, in a bucket where lists do not count.

    Raises:
        AclNotSupported: It would say something.
    """
    if ownership_of(bucket) is not Ownership.ENFORCED or wish == NO_ACL:
        return
    if not wish.is_harmless or (wish.canned == "private" and is_strict(bucket)):
        raise AclNotSupported


def owner_of_new(bucket: Bucket, writer: UserId, wish: AclWish) -> UserId:
    """To whom an object belongs that ``writer`` writes. Cost: a lookup."""
    ownership = ownership_of(bucket)
    if ownership is Ownership.ENFORCED:
        return bucket.owner
    if ownership is Ownership.PREFERRED and wish.canned == BUCKET_OWNER_FULL:
        return bucket.owner
    return writer


def acl_of_bucket(bucket: Bucket) -> Acl:
    """The bucket's list."""
    kept = bucket.config.get(KIND)
    return private(bucket.owner) if kept is None else _decoder.decode(kept)


def encode_acl(acl: Acl) -> bytes:
    """A list as a bucket's configuration holds it."""
    return _encoder.encode(acl)


def permits(acl: Acl, caller: Caller, permission: str, *, ignore_public: bool) -> bool:
    """Whether a list lets the caller do it. ``ignore_public``: grants to everybody do not count."""
    for grantee, granted in acl:
        if granted not in (permission, "FULL_CONTROL"):
            continue
        if grantee == EVERYBODY:
            named = not ignore_public
        elif grantee == AUTHENTICATED:
            named = not ignore_public and not caller.anonymous
        else:
            named = not caller.anonymous and not caller.role and grantee == caller.user_id
        if named:
            return True
    return False


def is_public(acl: Iterable[tuple[str, str]]) -> bool:
    """Whether a list grants anything to everybody."""
    return any(grantee in PUBLIC for grantee, _ in acl)
