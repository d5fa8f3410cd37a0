"""Whom policies name: only those that exist, and nobody goes while a policy names them.

Else whoever got the name later would get the rights.
"""

from collections.abc import Iterator
from typing import Final

from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Bucket, User, decode
from noisefs.core.domain.rights import role as roles
from noisefs.core.domain.rights.policy import TRUST, Policy, parse_policy
from noisefs.core.domain.rights.principals import Named, named_by
from noisefs.core.domain.rights.role import Role
from noisefs.core.errors import InvalidPolicy
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.namespace.rights.evaluating import POLICY, compiled

_ROWS_MOST: Final = 1 << 20
_END: Final = b"\xff"


def check_principals(tx: Reading, account: str, policy: Policy) -> None:
    """Refuse users and roles that do not exist.

    Raises:
        InvalidPolicy: Which one.
    """
    try:
        named = _all_named(policy, account)
    except ValueError as exc:
        raise InvalidPolicy(
            "Principal", str(exc), "Invalid principal in policy: users and roles of this store"
        ) from exc
    for one in named:
        if not _exists(tx, one):
            kind = "role" if one.role else "user"
            raise InvalidPolicy("Principal", one.text, f"Invalid principal in policy: there is no such {kind}")


def _exists(tx: Reading, one: Named) -> bool:
    """Whether there is such a user or role, of exactly this name and path."""
    if one.role:
        raw = tx.get(Table.META, roles.role_key(one.role))
        role = None if raw is None else decode(Role, raw)
        return role is not None and role.name == one.role and one.path in ("", role.path)
    if one.user_id:
        return tx.get(Table.USERS, one.user_id.encode("utf-8", "replace")) is not None
    user_id = tx.get(Table.USER_NAMES, one.user.encode("utf-8", "replace"))
    raw = None if user_id is None else tx.get(Table.USERS, user_id)
    return raw is not None and decode(User, raw).path == one.path


def who_names(tx: Reading, account: str, *, user_id: str = "", user: str = "", role: str = "") -> str:
    """What names a user or a role in its policy, in words; empty: nothing. Cost: a look at all buckets and roles."""
    for where, policy in _policies(tx):
        for one in _all_named(policy, account):
            if user_id and (one.user_id == user_id or one.user == user):
                return where
            if role and one.role == role:
                return where
    return ""


def _policies(tx: Reading) -> Iterator[tuple[str, Policy]]:
    for raw_name, raw in tx.scan(Table.BUCKETS, b"", _END, _ROWS_MOST):
        kept = decode(Bucket, raw).config.get(POLICY)
        if kept:
            yield f"the policy of bucket {raw_name.decode()!r}", compiled(kept, raw_name.decode()).policy
    for _, raw in tx.scan(Table.META, roles.PREFIX, prefix_end(roles.PREFIX), _ROWS_MOST):
        found = decode(Role, raw)
        yield f"the trust policy of role {found.name!r}", parse_policy(found.trust, bucket=TRUST)


def _all_named(policy: Policy, account: str) -> list[Named]:
    found = []
    for statement in policy.statements:
        if statement.principals is not None:
            found += named_by(statement.principals, account)
    return found
