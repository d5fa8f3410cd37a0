"""Users and keys as IAM's calls manage them: by name or id, with what only they need."""

from collections.abc import Callable

import msgspec

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import bucket_owner_key
from noisefs.core.domain.records import AccessKey, User, decode, encode
from noisefs.core.domain.rights.identity import user_of_canonical
from noisefs.core.errors import AccessKeyNotFound, Conflict, UserExists, UserNotFound
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services import app_passwords
from noisefs.core.services.accounts import check_user
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.rights.named import who_names
from noisefs.core.services.user_policies import named

_ROWS_MOST = 1 << 20
_END = b"\xff"


class Identities:
    """Operations on users and keys. Task-safe. All raise ``UserNotFound``."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        changed: Callable[[], None],
        account: str,
    ) -> None:
        """``changed`` is called after every change, so that logins here follow at once; ``account``: the store's."""
        self._changed = changed
        self._account = account
        self._index = index
        self._commits = commits
        self._workers = workers

    def find(self, user: str) -> tuple[UserId, User]:
        """The user of a name, an id or a canonical id."""
        return self._index.read(lambda tx: _found(tx, user))

    async def update_user(self, user: str, *, name: str, path: str) -> None:
        """Give a user another name and path. Their logins over WebDAV follow at once.

        Raises:
            UserExists: The name is taken.
            InvalidArgument: The name or the path is not allowed.
            Conflict: It would have another name, and a bucket's or role's policy names it.
        """
        check_user(name, path)
        if self.find(user)[1].name != name:
            naming = await self._workers.run(Lane.DISK, self._index.read, lambda tx: self._naming(tx, user))
            if naming:
                raise Conflict(f"{naming} names user {user!r}: change it first")

        def change(tx: Writing) -> None:
            user_id, row = _found(tx, user)
            if name != row.name:
                if tx.get(Table.USER_NAMES, name.encode()) is not None:
                    raise UserExists(name)
                tx.delete(Table.USER_NAMES, row.name.encode())
                tx.put(Table.USER_NAMES, name.encode(), user_id.encode())
            tx.demand(HIGHEST)
            new = msgspec.structs.replace(row, name=name, path=path, revision=row.revision + 1)
            tx.put(Table.USERS, user_id.encode(), encode(new))

        await self._commits.run(change)
        self._changed()

    async def delete_user(self, user: str) -> None:
        """Remove a user for good: its name is free again.

        Raises:
            Conflict: It still owns a bucket, has a key or a policy, or a bucket's or role's policy names it.
        """
        naming = await self._workers.run(Lane.DISK, self._index.read, lambda tx: self._naming(tx, user))
        if naming:
            raise Conflict(f"{naming} names user {user!r}: change it first")

        def remove(tx: Writing) -> None:
            user_id, row = _found(tx, user)
            start = bucket_owner_key(user_id, "")
            if tx.scan(Table.BUCKET_OWNERS, start, start[:-1] + b"\1", 1):
                raise Conflict(f"user {row.name!r} still owns buckets")
            if row.policies or any(key.user_id == user_id for _, key in _keys(tx)):
                raise Conflict(f"user {row.name!r} still has access keys or policies: delete them first")
            tx.demand(HIGHEST)
            app_passwords.forget(tx, user_id)
            tx.delete(Table.USER_NAMES, row.name.encode())
            tx.delete(Table.USERS, user_id.encode())

        await self._commits.run(remove)
        self._changed()

    def _naming(self, tx: Reading, user: str) -> str:
        user_id, row = _found(tx, user)
        return who_names(tx, self._account, user_id=user_id, user=row.name)

    async def keys(self, user: str) -> list[tuple[str, AccessKey]]:
        """The user's keys that were not revoked, by id."""

        def look(tx: Reading) -> list[tuple[str, AccessKey]]:
            user_id, _ = _found(tx, user)
            return [(key_id, key) for key_id, key in _keys(tx) if key.user_id == user_id and not key.revoked]

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def delete_key(self, user: str, access_key_id: str) -> None:
        """Remove a key for good. Raises ``AccessKeyNotFound``."""

        def remove(tx: Writing) -> None:
            row_key, _ = _key_of(tx, user, access_key_id)
            tx.demand(HIGHEST)
            tx.delete(Table.ACCESS_KEYS, row_key)

        await self._commits.run(remove)
        self._changed()

    async def set_active(self, user: str, access_key_id: str, *, active: bool) -> None:
        """Accept a key, or refuse it until then, within a second. Raises ``AccessKeyNotFound``."""

        def change(tx: Writing) -> None:
            row_key, key = _key_of(tx, user, access_key_id)
            tx.demand(HIGHEST)
            tx.put(Table.ACCESS_KEYS, row_key, encode(msgspec.structs.replace(key, inactive=not active)))

        await self._commits.run(change)
        self._changed()


def _found(tx: Reading, user: str) -> tuple[UserId, User]:
    try:
        return named(tx, user)
    except UserNotFound:
        user_id = user_of_canonical(user)
        raw = None if user_id is None else tx.get(Table.USERS, user_id.encode())
        if user_id is None or raw is None:
            raise
        return user_id, decode(User, raw)


def _keys(tx: Reading) -> list[tuple[str, AccessKey]]:
    rows = tx.scan(Table.ACCESS_KEYS, b"", _END, _ROWS_MOST)
    return [(key_id.decode(), decode(AccessKey, raw)) for key_id, raw in rows]


def _key_of(tx: Reading, user: str, access_key_id: str) -> tuple[bytes, AccessKey]:
    user_id, _ = _found(tx, user)
    row_key = access_key_id.encode("utf-8", "replace")
    raw = tx.get(Table.ACCESS_KEYS, row_key)
    key = None if raw is None else decode(AccessKey, raw)
    if key is None or key.user_id != user_id or key.revoked:
        raise AccessKeyNotFound(access_key_id)
    return row_key, key
