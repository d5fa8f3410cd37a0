"""Policies of users: put by administrators, compiled when a login looks at them.

A change is in force within a second, as every change of a user is (:mod:`.accounts`).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import user_policy_key
from noisefs.core.domain.records import User, decode, encode
from noisefs.core.domain.rights.managed import MANAGED
from noisefs.core.domain.rights.policy import Policy, parse_policy
from noisefs.core.errors import InvalidArgument, TooMany, UserNotFound, UserPolicyNotFound
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue

POLICIES_MOST: Final = 16
"""Policies of one user."""
_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)


class UserPolicies:
    """Operations on users' policies. Task-safe. All raise ``UserNotFound``."""

    def __init__(self, *, index: Index, commits: CommitQueue, workers: Workers, changed: Callable[[], None]) -> None:
        """``changed`` is called after every change, so that logins here follow at once."""
        self._workers = workers
        self._index = index
        self._commits = commits
        self._changed = changed

    async def put(self, user: str, name: str, raw: bytes) -> None:
        """Set a policy, or replace the one of this name.

        Raises:
            InvalidPolicy: It says something that cannot be honoured exactly.
            InvalidArgument: The name is not allowed.
            TooMany: The user has the maximum number of policies.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidArgument("PolicyName", name[:200], "1 to 128 characters of A-Z a-z 0-9 _ + = , . @ -")
        await self._workers.run(Lane.CPU, parse_policy, raw)
        await self._put(user, name, raw)

    async def attach(self, user: str, arn: str) -> None:
        """Give a managed policy to a user. Raises ``UserPolicyNotFound``: there is none; ``TooMany``."""
        if arn not in MANAGED:
            raise UserPolicyNotFound(user, arn)
        await self._put(user, arn, MANAGED[arn])

    async def _put(self, user: str, name: str, raw: bytes) -> None:
        def put(tx: Writing) -> None:
            user_id, row = named(tx, user)
            key = user_policy_key(user_id, name)
            grows = tx.get(Table.POLICIES, key) is None
            if grows and row.policies >= POLICIES_MOST:
                raise TooMany(f"user {user!r} has {POLICIES_MOST} policies, which is the maximum")
            tx.put(Table.POLICIES, key, raw)
            _count(tx, user_id, row, 1 if grows else 0)

        await self._commits.run(put)
        self._changed()

    async def get(self, user: str, name: str) -> bytes:
        """A policy exactly as it was put. Raises ``UserPolicyNotFound``."""

        def look(tx: Reading) -> bytes | None:
            return tx.get(Table.POLICIES, user_policy_key(named(tx, user)[0], name))

        found = self._index.read(look)
        if found is None:
            raise UserPolicyNotFound(user, name)
        return found

    async def names(self, user: str) -> list[str]:
        """Names of the policies that were put, ascending."""
        return [name for name in self._all_names(user) if ":" not in name]

    async def attached(self, user: str) -> list[str]:
        """ARNs of the managed policies that the user was given, ascending; they are kept under these as names."""
        return [name for name in self._all_names(user) if ":" in name]

    def _all_names(self, user: str) -> list[str]:

        def look(tx: Reading) -> list[str]:
            start, end = _range(named(tx, user)[0])
            return [key[len(start) :].decode() for key, _ in tx.scan(Table.POLICIES, start, end, POLICIES_MOST)]

        return self._index.read(look)

    async def delete(self, user: str, name: str) -> None:
        """Remove a policy. Raises ``UserPolicyNotFound``."""

        def remove(tx: Writing) -> None:
            user_id, row = named(tx, user)
            key = user_policy_key(user_id, name)
            if tx.get(Table.POLICIES, key) is None:
                raise UserPolicyNotFound(user, name)
            tx.delete(Table.POLICIES, key)
            _count(tx, user_id, row, -1)

        await self._commits.run(remove)
        self._changed()


@lru_cache(maxsize=1024)
def _compiled(raw: bytes) -> Policy:
    return parse_policy(raw)


def policies_of(tx: Reading, user_id: UserId) -> tuple[Policy, ...]:
    """A user's policies, compiled."""
    return tuple(_compiled(raw) for _, raw in tx.scan(Table.POLICIES, *_range(user_id), POLICIES_MOST))


def named(tx: Reading, name: str) -> tuple[UserId, User]:
    """The user of a name. Raises ``UserNotFound``."""
    user_id = tx.get(Table.USER_NAMES, name.encode("utf-8", "replace"))
    raw = None if user_id is None else tx.get(Table.USERS, user_id)
    if user_id is None or raw is None:
        raise UserNotFound(name)
    return UserId(user_id.decode()), decode(User, raw)


def _range(user_id: UserId) -> tuple[bytes, bytes]:
    start = user_policy_key(user_id, "")
    return start, start[:-1] + b"\1"


def _count(tx: Writing, user_id: UserId, row: User, change: int) -> None:
    """Note that the user's policies changed: whoever remembers them looks again."""
    new = msgspec.structs.replace(row, policies=row.policies + change, revision=row.revision + 1)
    tx.demand(HIGHEST)
    tx.put(Table.USERS, user_id.encode(), encode(new))
