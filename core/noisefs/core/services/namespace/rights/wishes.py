"""Lists that requests bring, held against the users and the rules there are."""

from noisefs.core.domain.records import Bucket, User, decode
from noisefs.core.domain.rights.acl import AclWish, check_grants, check_supported, private
from noisefs.core.errors import AclNotSupported
from noisefs.core.ports.index import Reading, Table


def check_unchanged(bucket: Bucket, wish: AclWish) -> None:
    """Refuse a list where lists do not count, unless it says what is so anyway.

    Raises:
        AclNotSupported: It says something else.
    """
    if wish.grants is None:
        check_supported(bucket, wish)
    elif wish.grants != private(bucket.owner):
        raise AclNotSupported


def checked_wish(tx: Reading, wish: AclWish) -> AclWish:
    """The wish with its grants in order.

    Raises:
        InvalidArgument: A grantee does not exist.
    """
    if wish.grants is None:
        return wish
    return AclWish(grants=check_grants(wish.grants, lambda user_id: tx.get(Table.USERS, user_id.encode()) is not None))


def names_of(tx: Reading, user_ids: tuple[str, ...]) -> dict[str, str]:
    """Names of users by id. Cost: a get for each."""
    rows = {user_id: tx.get(Table.USERS, user_id.encode()) for user_id in set(user_ids) if user_id}
    return {user_id: decode(User, raw).name for user_id, raw in rows.items() if raw is not None}
