"""Passwords of single devices: named, shown once, narrowed if wished, revoked one by one.

A row holds a slow hash (Argon2id), as a user's own password does. Every change gives the user's row a new revision, so
that no login is remembered beyond a second (:mod:`.accounts`).
"""

from collections.abc import Callable
from typing import Final

import msgspec

from noisefs.core.domain import app_password
from noisefs.core.domain.app_password import ID_CHARACTERS, AppPassword, letters_of, narrowing_policy
from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import User, decode, encode
from noisefs.core.domain.rights.policy import Policy, parse_policy
from noisefs.core.domain.sealing.keys import LOGIN_COST, SALT_BYTES, SlowHash, hash_password
from noisefs.core.errors import Conflict, InvalidArgument, NotFound, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services import user_policies
from noisefs.core.services.commits import CommitQueue

PREFIX: Final = b"app-password/"
"""Rows in ``META``; behind it the user's id, a slash and the password's."""
MOST: Final = 100
"""Passwords of one user."""
USED_EVERY_US: Final = 3_600_000_000
"""The time of the last use is kept to the hour: a mounted folder shall not write a commit for each request."""
_NAME_MOST: Final = 64
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"


class AppPasswords:
    """Operations on devices' passwords. Task-safe. All raise ``UserNotFound``."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        changed: Callable[[], None],
        cost: SlowHash = LOGIN_COST,
    ) -> None:
        """``changed`` is called after every change, so that logins here follow at once."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._changed = changed
        self._cost = cost

    async def add(self, user: str, name: str, *, read_only: bool = False, root: str = "") -> str:
        """Make a password for a device; it is never shown again. ``root``: what `/` is with it, and all it reaches.

        Raises:
            InvalidArgument: The name is not allowed.
            Conflict: The user has one of this name.
            TooMany: The user has the maximum number.
        """
        if not 1 <= len(name) <= _NAME_MOST or not name.isprintable() or name != name.strip():
            raise InvalidArgument("name", name[:200], f"1 to {_NAME_MOST} printable characters")
        policy = narrowing_policy(root, read_only=read_only)
        letters = "".join(_ALPHABET[byte % 32] for byte in self._entropy.secret(app_password.CHARACTERS))
        salt = self._entropy.secret(SALT_BYTES)
        secret = letters[ID_CHARACTERS:]
        envelope = await self._workers.run(Lane.CPU, hash_password, secret, salt, self._cost)
        row = AppPassword(name, envelope, self._clock.now_us(), policy=policy, root=root, read_only=read_only)

        def add(tx: Writing) -> None:
            user_id, owner = user_policies.named(tx, user)
            present = rows_of(tx, user_id)
            if any(known.name == name for _, known in present):
                raise Conflict(f"user {user!r} has an app password named {name!r}")
            if len(present) >= MOST:
                raise TooMany(f"user {user!r} has {MOST} app passwords, which is the maximum")
            tx.put(Table.META, _key(user_id, letters[:ID_CHARACTERS]), encode(row))
            _touch(tx, user_id, owner)

        await self._commits.run(add)
        self._changed()
        return app_password.spelled(letters)

    async def list(self, user: str) -> "list[AppPassword]":
        """The user's, by name. Their hashes are in them: show them to nobody."""

        def look(tx: Reading) -> "list[AppPassword]":
            return [row for _, row in rows_of(tx, user_policies.named(tx, user)[0])]

        return sorted(self._index.read(look), key=lambda row: row.name)

    def named(self, user: str, password: str) -> str | None:
        """The name of the device whose password this one can be; ``None``: it is none of a device. For passwords that
        were verified.
        """

        def look(tx: Reading) -> str | None:
            found = find(tx, user_policies.named(tx, user)[0], password)
            return None if found is None else found[1].name

        return self._index.read(look)

    async def revoke(self, user: str, name: str) -> None:
        """Refuse the password of this name within a second, for ever. Raises ``NotFound``."""

        def revoke(tx: Writing) -> None:
            user_id, owner = user_policies.named(tx, user)
            found = [key for key, row in rows_of(tx, user_id) if row.name == name]
            if not found:
                raise NotFound(f"user {user!r} has no app password named {name!r}")
            tx.delete(Table.META, found[0])
            _touch(tx, user_id, owner)

        await self._commits.run(revoke)
        self._changed()


def rows_of(tx: Reading, user_id: UserId) -> list[tuple[bytes, AppPassword]]:
    """The passwords of a user, with their row keys."""
    start = _key(user_id, "")
    return [(key, decode(AppPassword, raw)) for key, raw in tx.scan(Table.META, start, prefix_end(start), MOST)]


def forget(tx: Writing, user_id: UserId) -> None:
    """Remove all passwords of a user who goes."""
    for key, _ in rows_of(tx, user_id):
        tx.delete(Table.META, key)


def find(tx: Reading, user_id: UserId, password: str) -> tuple[bytes, AppPassword, str] | None:
    """The row that a password can be meant for, its key, and the secret that has to be verified. Cost: one get."""
    letters = letters_of(password)
    if letters is None:
        return None
    key = _key(user_id, letters[:ID_CHARACTERS])
    raw = tx.get(Table.META, key)
    return None if raw is None else (key, decode(AppPassword, raw), letters[ID_CHARACTERS:])


def note_use(tx: Writing, key: bytes, now_us: int) -> None:
    """Keep when a password was last used."""
    raw = tx.get(Table.META, key)
    if raw is not None:
        tx.put(Table.META, key, encode(msgspec.structs.replace(decode(AppPassword, raw), used_us=now_us)))


def narrowed_by(row: AppPassword) -> tuple[Policy, ...]:
    """Policies each of which must allow what is done with this password."""
    return (parse_policy(row.policy),) if row.policy else ()


def _key(user_id: UserId, ident: str) -> bytes:
    return PREFIX + f"{user_id}/{ident}".encode()


def _touch(tx: Writing, user_id: UserId, owner: User) -> None:
    """Note that the user's logins changed: whoever remembers them looks again."""
    tx.demand(HIGHEST)
    tx.put(Table.USERS, user_id.encode(), encode(msgspec.structs.replace(owner, revision=owner.revision + 1)))
