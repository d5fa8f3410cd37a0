"""Access control lists, ownership and names."""

import pytest

from noisefs.core.domain.ids import StoreId, UserId
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.rights import acl, ownership, public_access
from noisefs.core.domain.rights.acl import AUTHENTICATED, EVERYBODY, NO_ACL, AclWish
from noisefs.core.domain.rights.belonging import belonging_of
from noisefs.core.domain.rights.identity import account_of, canonical_id, user_of_canonical
from noisefs.core.domain.rights.principals import Caller
from noisefs.core.domain.rights.public_access import PublicAccessBlock, encode_block
from noisefs.core.errors import AccessDenied, AclNotSupported, InvalidArgument

OWNER, WRITER = UserId("a" * 32), UserId("b" * 32)
BOB = Caller(WRITER, "bob", "1" * 12, admin=False)
NOBODY = Caller(UserId(""), "", "1" * 12, admin=False)


def bucket(rule: bytes | None = None, **config: bytes) -> Bucket:
    return Bucket(1, OWNER, 0, config={**({ownership.KIND: rule} if rule is not None else {}), **config})


@pytest.mark.parametrize(
    ("rule", "canned", "owner", "grants"),
    [
        (None, "", OWNER, None),
        (None, "private", OWNER, None),
        (None, "bucket-owner-full-control", OWNER, None),
        (b"ObjectWriter", "", WRITER, None),
        (b"", "bucket-owner-read", WRITER, ((WRITER, "FULL_CONTROL"), (OWNER, "READ"))),
        (b"ObjectWriter", "public-read", WRITER, ((EVERYBODY, "READ"), (WRITER, "FULL_CONTROL"))),
        (b"BucketOwnerPreferred", "", WRITER, None),
        (b"BucketOwnerPreferred", "bucket-owner-full-control", OWNER, None),
    ],
)
def test_to_whom_new_objects_belong(rule: bytes | None, canned: str, owner: str, grants: acl.Acl | None) -> None:
    wish = AclWish(canned) if canned else NO_ACL
    assert belonging_of(bucket(rule), WRITER, wish) == (owner, grants)


@pytest.mark.parametrize(
    ("rule", "wish"),
    [
        (None, AclWish("public-read")),
        (None, AclWish(grants=((WRITER, "READ"),))),
        (b"BucketOwnerEnforced", AclWish("private")),
    ],
)
def test_lists_are_refused_where_they_do_not_count(rule: bytes | None, wish: AclWish) -> None:
    with pytest.raises(AclNotSupported):
        belonging_of(bucket(rule), WRITER, wish)


def test_a_public_access_block_refuses_public_lists() -> None:
    blocked = bucket(b"ObjectWriter", **{public_access.KIND: encode_block(PublicAccessBlock(block_acls=True))})
    assert belonging_of(blocked, WRITER, AclWish("private")) == (WRITER, None)
    with pytest.raises(AccessDenied):
        belonging_of(blocked, WRITER, AclWish("authenticated-read"))


def test_what_a_list_permits() -> None:
    public, users = ((EVERYBODY, "READ"),), ((AUTHENTICATED, "FULL_CONTROL"), (WRITER, "WRITE"))
    assert acl.permits(public, NOBODY, "READ", ignore_public=False)
    assert not acl.permits(public, NOBODY, "WRITE", ignore_public=False)
    assert not acl.permits(public, BOB, "READ", ignore_public=True)
    assert acl.permits(users, BOB, "READ_ACP", ignore_public=False)
    assert not acl.permits(users, NOBODY, "READ_ACP", ignore_public=False)
    assert acl.permits(users, BOB, "WRITE", ignore_public=True)


def test_grants_are_checked_and_sorted() -> None:
    grants = [(WRITER, "READ"), (EVERYBODY, "READ"), (WRITER, "READ")]
    assert acl.check_grants(grants, lambda _: True) == ((EVERYBODY, "READ"), (WRITER, "READ"))
    with pytest.raises(InvalidArgument):
        acl.check_grants([(WRITER, "READ")], lambda _: False)
    with pytest.raises(InvalidArgument):
        acl.check_grants([(EVERYBODY, "EAT")], lambda _: True)
    with pytest.raises(InvalidArgument):
        acl.check_grants([(f"{number:032x}", "READ") for number in range(101)], lambda _: True)


def test_names_of_users_and_stores() -> None:
    assert len(canonical_id(OWNER)) == 64
    assert user_of_canonical(canonical_id(OWNER)) == OWNER
    assert user_of_canonical(OWNER) == OWNER
    assert user_of_canonical(canonical_id(OWNER)[:-1] + "g") is None
    account = account_of(StoreId(b"s" * 16))
    assert account == account_of(StoreId(b"s" * 16))
    assert len(account) == 12
    assert account.isdigit()
