"""Users and access keys, and who somebody is.

Nothing of a login is kept longer than a second without another look at its rows, so a revoked key or a disabled user is
out within a second. A slow hash is paid once for a pair of login and password: what is remembered of it is a keyed
hash under a key that dies with the process.
"""

import asyncio
import hashlib
import hmac
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.ids import ID_BYTES, UserId
from noisefs.core.domain.records import AccessKey, User, decode, encode
from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.identity import PATH, PATH_ALLOWED
from noisefs.core.domain.sealing.keys import LOGIN_COST, SALT_BYTES, KeyWrap, SlowHash, hash_password, verify_password
from noisefs.core.errors import (
    AccessKeyExists,
    AccessKeyNotFound,
    InvalidArgument,
    SlowDown,
    Unavailable,
    UserExists,
    UserNotFound,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services import app_passwords, user_policies
from noisefs.core.services.app_passwords import AppPasswords
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.login_flows import LoginFlows

K = TypeVar("K")
T = TypeVar("T")

FRESH_S: Final = 1.0
"""How long a login is believed without another look at its rows."""
_PASSWORD_LENGTH: Final = (8, 1024)
_SECRET_LENGTH: Final = (8, 256)
_NAME: Final = re.compile(r"[A-Za-z0-9_.+@-]{1,64}", re.ASCII)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.+@-]{3,128}", re.ASCII)
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ALPHANUMERIC: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_CHARACTERS: Final = 20
"""As long as AWS's."""
_SECRET_CHARACTERS: Final = 40
"""As long as AWS's; letters and digits only, so that it survives URLs, shells and configuration files."""
_ROWS_MOST: Final = 1 << 20
_END: Final = b"\xff"
"""Above every user name and access key id, which are ASCII."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A usable access key: what SigV4 needs to check a signature. Never logged."""

    principal: Principal
    access_key_id: str
    secret: str
    lasting: str = ""
    """Of temporary credentials: the key that they come from in the end."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Credential({self.access_key_id!r})"


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """Bounds of what logins may take.

    Attributes:
        remembered: Entries of each of the two caches.
        waiting: Slow hashes that may wait for their turn: one runs at a time, so that logins cannot starve sealing.
    """

    remembered: int = 10_000
    waiting: int = 256


@dataclass(slots=True)
class _KnownKey:
    """A credential, the rows it came from, and when they were looked at."""

    checked_s: float
    rows: tuple[bytes, bytes]
    credential: Credential | None


@dataclass(slots=True)
class _KnownPassword:
    """Whose password it is, at which revision of the row, and when that was looked at.

    ``app_key``: the row of a device's password; ``used_us``: when its use was last noted.
    """

    checked_s: float
    user_id: UserId
    revision: int
    principal: Principal
    app_key: bytes = b""
    used_us: int = 0


class Accounts:
    """Account operations. Task-safe. ``principal_*`` and ``credential`` are quick: they are asked once a request."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        wrap: KeyWrap,
        cost: SlowHash = LOGIN_COST,
        limits: LoginLimits | None = None,
        account: str = "",
    ) -> None:
        """``wrap``: of the store; ``cost``: of password hashes made from now on; ``account``: id of the store's."""
        self.account = account
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._wrap = wrap
        self._cost = cost
        self._limits = limits or LoginLimits()
        self._keys: OrderedDict[str, _KnownKey] = OrderedDict()
        self._passwords: OrderedDict[bytes, _KnownPassword] = OrderedDict()
        self._pepper = entropy.secret(32)
        self._decoy = b""
        self._hashing = asyncio.Lock()
        self._changed_s = -math.inf
        self._waiting = 0
        self.app_passwords = AppPasswords(
            index=index,
            commits=commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            changed=self.look_again,
            cost=cost,
        )
        """Passwords of devices."""
        self.login_flows = LoginFlows(
            index=index, commits=commits, clock=clock, entropy=entropy, passwords=self.app_passwords
        )
        """How devices get them by a page in a browser."""

    # ------------------------------------------------------------------ users

    async def add_user(self, name: str, *, admin: bool = False, password: str | None = None, path: str = "/") -> UserId:
        """Make a user. ``path``: what stands before the name in the ARN.

        Raises:
            UserExists: The name is taken.
            InvalidArgument: The name, the path or the password is not allowed.
        """
        check_user(name, path)
        envelope = await self._envelope(password)
        user_id = UserId(self._entropy.secret(ID_BYTES).hex())

        def add(tx: Writing) -> UserId:
            if tx.get(Table.USER_NAMES, name.encode()) is not None:
                raise UserExists(name)
            user = User(name, admin, disabled=False, created_us=self._clock.now_us(), password=envelope, path=path)
            tx.demand(HIGHEST)
            tx.put(Table.USER_NAMES, name.encode(), user_id.encode())
            tx.put(Table.USERS, user_id.encode(), encode(user))
            return user_id

        return await self._commits.run(add)

    async def set_password(self, name: str, password: str | None) -> None:
        """Set or remove the WebDAV password. Raises ``UserNotFound``, ``InvalidArgument``."""
        envelope = await self._envelope(password)
        await self._change(name, lambda user: msgspec.structs.replace(user, password=envelope))

    async def disable_user(self, name: str, *, disabled: bool = True) -> None:
        """Refuse (or accept again) every login of this user within a second. Raises ``UserNotFound``."""
        await self._change(name, lambda user: msgspec.structs.replace(user, disabled=disabled))

    async def set_root(self, name: str, bucket: str, prefix: str = "") -> None:
        """Let WebDAV paths of this user begin in a bucket, at a key prefix; no bucket: above all of theirs.

        It gives no rights. Raises ``UserNotFound``.
        """
        root = f"{bucket}/{prefix.rstrip('/')}".rstrip("/")
        await self._change(name, lambda user: msgspec.structs.replace(user, root=root))

    async def list_users(self) -> list[tuple[UserId, User]]:
        """All users by name."""

        def look(tx: Reading) -> list[tuple[UserId, User]]:
            names = tx.scan(Table.USER_NAMES, b"", _END, _ROWS_MOST)
            rows = ((UserId(user_id.decode()), tx.get(Table.USERS, user_id)) for _, user_id in names)
            return [(user_id, decode(User, raw)) for user_id, raw in rows if raw is not None]

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def principal_of_name(self, name: str) -> Principal:
        """The user of this name, for administration on their behalf. Raises ``UserNotFound``."""
        user_id, user = self._index.read(lambda tx: user_policies.named(tx, name))
        return Principal(user_id, user.name, user.admin, self.account, trusted=True)

    def names_of(self, user_ids: Collection[str]) -> dict[str, str]:
        """Names of users by id, of those that exist. Blocks for a point read each."""
        if not user_ids:
            return {}
        rows = self._index.read(lambda tx: {user_id: tx.get(Table.USERS, user_id.encode()) for user_id in user_ids})
        return {user_id: decode(User, raw).name for user_id, raw in rows.items() if raw is not None}

    # ------------------------------------------------------------------ access keys

    async def add_key(self, user: str, *, access_key_id: str | None = None, secret: str | None = None) -> Credential:
        """Make or import a pair. Importing the same pair again changes nothing (a revoked one stays revoked).

        Access key ids: 3 to 128 characters of ``A-Z a-z 0-9 _ . - + @``; secrets: 8 to 256 printable characters.

        Raises:
            AccessKeyExists: The id belongs to another secret or user.
            UserNotFound, InvalidArgument.
        """
        key_id = _random_text(self._entropy, _BASE32, _ID_CHARACTERS) if access_key_id is None else access_key_id
        chosen = _random_text(self._entropy, _ALPHANUMERIC, _SECRET_CHARACTERS) if secret is None else secret
        if _KEY_ID.fullmatch(key_id) is None:
            raise InvalidArgument("access key id", key_id, "3 to 128 characters of A-Z a-z 0-9 _ . - + @")
        _check_text("secret", chosen, _SECRET_LENGTH)

        def add(tx: Writing) -> Credential:
            user_id, row = user_policies.named(tx, user)
            present = tx.get(Table.ACCESS_KEYS, key_id.encode())
            if present is not None:
                known = decode(AccessKey, present)
                same = hmac.compare_digest(
                    self._wrap.unwrap_secret(known.wrapped_secret, key_id).encode(), chosen.encode()
                )
                if known.user_id != user_id or not same:
                    raise AccessKeyExists(key_id)
            else:
                key = AccessKey(user_id, self._wrap.wrap_secret(chosen, key_id), self._clock.now_us())
                tx.demand(HIGHEST)
                tx.put(Table.ACCESS_KEYS, key_id.encode(), encode(key))
            return Credential(self._principal(tx, user_id, row), key_id, chosen)

        return await self._commits.run(add)

    async def list_keys(self, user: str | None = None) -> list[tuple[str, AccessKey]]:
        """Access keys (of one user), by id. Raises ``UserNotFound``."""

        def look(tx: Reading) -> list[tuple[str, AccessKey]]:
            user_id = None if user is None else user_policies.named(tx, user)[0]
            rows = tx.scan(Table.ACCESS_KEYS, b"", _END, _ROWS_MOST)
            keys = [(key_id.decode(), decode(AccessKey, raw)) for key_id, raw in rows]
            return [(key_id, key) for key_id, key in keys if user_id in (None, key.user_id)]

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def revoke_key(self, access_key_id: str) -> None:
        """Refuse this key within a second, for ever. Raises ``AccessKeyNotFound``."""
        row_key = access_key_id.encode("utf-8", "replace")

        def revoke(tx: Writing) -> None:
            raw = tx.get(Table.ACCESS_KEYS, row_key)
            if raw is None:
                raise AccessKeyNotFound(access_key_id)
            tx.demand(HIGHEST)
            tx.put(Table.ACCESS_KEYS, row_key, encode(msgspec.structs.replace(decode(AccessKey, raw), revoked=True)))

        await self._commits.run(revoke)
        self.look_again()

    # ------------------------------------------------------------------ who somebody is

    def credential(self, access_key_id: str) -> Credential | None:
        """The key's secret and user, if both are active. Blocks for two point reads at most; cached up to 1 s."""
        now_s = self._clock.monotonic_s()
        known = self._keys.get(access_key_id)
        if known is not None and self._is_fresh(known.checked_s, now_s):
            return known.credential
        rows = self._index.read(lambda tx: _key_rows(tx, access_key_id))
        if rows is None:
            self._keys.pop(access_key_id, None)
            return None
        if known is not None and known.rows == rows:
            known.checked_s = now_s
            return known.credential
        credential = self._usable(access_key_id, rows)
        _remember(self._keys, access_key_id, _KnownKey(now_s, rows, credential), self._limits.remembered)
        return credential

    async def principal_of_password(self, login: str, password: str) -> Principal | None:
        """Who this is, by access key and secret or by user name and password, or a
        device's password. Verified pairs are remembered (keyed by
        the user row's revision, checked at least once a second), so that the slow hash is paid once.

        An unknown or disabled user costs as much time as a wrong password.

        Raises:
            SlowDown: Too many unverified logins wait.
        """
        if not _may_be_password(password):
            return None
        at_hand = self.principal_at_hand(login, password)
        if at_hand is not None:
            return at_hand
        tag = self._tag(login, password)
        if self._waiting >= self._limits.waiting:
            raise SlowDown(f"{self._waiting} logins are being checked")
        self._waiting += 1
        try:
            async with self._hashing:
                return self._remembered(tag) or await self._verify(tag, login, password)
        finally:
            self._waiting -= 1

    def principal_at_hand(self, login: str, password: str) -> Principal | None:
        """Who this is, where no slow hash is needed to know it; ``None``: ask :meth:`principal_of_password`.

        Blocks for three point reads at most.
        """
        if not _may_be_password(password):
            return None
        credential = self.credential(login)
        if credential is not None and hmac.compare_digest(
            credential.secret.encode(), password.encode("utf-8", "replace")
        ):
            return credential.principal
        return self._remembered(self._tag(login, password))

    def look_again(self) -> None:
        """A row changed here: nothing that is remembered is believed any more without a look."""
        self._changed_s = self._clock.monotonic_s()

    def _is_fresh(self, checked_s: float, now_s: float) -> bool:
        return now_s - checked_s < FRESH_S and checked_s > self._changed_s

    def _tag(self, login: str, password: str) -> bytes:
        """What a verified pair is remembered under."""
        raw_login, raw_password = (text.encode("utf-8", "replace") for text in (login, password))
        return hmac.digest(self._pepper, len(raw_login).to_bytes(4, "big") + raw_login + raw_password, hashlib.sha256)

    def _remembered(self, tag: bytes) -> Principal | None:
        known = self._passwords.get(tag)
        if known is None:
            return None
        now_s = self._clock.monotonic_s()
        if not self._is_fresh(known.checked_s, now_s):
            raw = self._index.read(lambda tx: tx.get(Table.USERS, known.user_id.encode()))
            if raw is None or decode(User, raw).revision != known.revision:
                del self._passwords[tag]
                return None
            known.checked_s = now_s
        if known.app_key:
            self._note_use(known)
        return known.principal

    def _note_use(self, known: _KnownPassword) -> None:
        """Keep, now and then, that a device's password is used. Nobody waits for it, and a failure changes nothing."""
        now_us = self._clock.now_us()
        if known.used_us and now_us - known.used_us < app_passwords.USED_EVERY_US:
            return
        known.used_us = now_us
        try:
            noted = self._commits.begin(lambda tx: app_passwords.note_use(tx, known.app_key, now_us))
        except Unavailable:
            return  # the server is about to end
        noted.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _verify(self, tag: bytes, login: str, password: str) -> Principal | None:
        try:
            user_id, user = self._index.read(lambda tx: user_policies.named(tx, login))
        except UserNotFound:
            user_id, user = UserId(""), None
        app = None
        if user is not None and not user.disabled:
            app = self._index.read(lambda tx: app_passwords.find(tx, user_id, password))
        usable = user is not None and (app is not None or bool(user.password)) and not user.disabled
        if app is not None:
            secret, envelope = app[2], app[1].envelope
        else:
            secret = password
            envelope = user.password if user is not None and usable else await self._decoy_envelope()
        right = await self._workers.run(Lane.CPU, verify_password, secret, envelope)
        if user is None or not usable or not right:
            return None
        principal = self._index.read(lambda tx: self._principal(tx, user_id, user))
        now_s = self._clock.monotonic_s()
        known = _KnownPassword(now_s, user_id, user.revision, principal)
        if app is not None:
            key, row, _ = app
            session = app_passwords.narrowed_by(row)
            known.principal = replace(principal, session=session, root=row.root or principal.root)
            known.app_key, known.used_us = key, row.used_us
            self._note_use(known)
        _remember(self._passwords, tag, known, self._limits.remembered)
        return known.principal

    async def _decoy_envelope(self) -> bytes:
        if not self._decoy:
            self._decoy = await self._envelope(self._entropy.secret(16).hex())
        return self._decoy

    def _usable(self, access_key_id: str, rows: tuple[bytes, bytes]) -> Credential | None:
        key, user = decode(AccessKey, rows[0]), decode(User, rows[1])
        if key.revoked or key.inactive or user.disabled:
            return None
        secret = self._wrap.unwrap_secret(key.wrapped_secret, access_key_id)
        principal = self._index.read(lambda tx: self._principal(tx, key.user_id, user))
        return Credential(principal, access_key_id, secret)

    def _principal(self, tx: Reading, user_id: UserId, user: User) -> Principal:
        """The user with their policies."""
        policies = user_policies.policies_of(tx, user_id) if user.policies else ()
        return Principal(user_id, user.name, user.admin, self.account, policies, root=user.root, path=user.path)

    async def _envelope(self, password: str | None) -> bytes:
        if password is None:
            return b""
        _check_text("password", password, _PASSWORD_LENGTH)
        salt = self._entropy.secret(SALT_BYTES)
        return await self._workers.run(Lane.CPU, hash_password, password, salt, self._cost)

    async def _change(self, name: str, changed: Callable[[User], User]) -> None:
        def change(tx: Writing) -> None:
            user_id, user = user_policies.named(tx, name)
            new = msgspec.structs.replace(changed(user), revision=user.revision + 1)
            tx.demand(HIGHEST)
            tx.put(Table.USERS, user_id.encode(), encode(new))

        await self._commits.run(change)
        self.look_again()


def check_user(name: str, path: str) -> None:
    """Refuse a name or a path that no user may have. Raises ``InvalidArgument``."""
    if _NAME.fullmatch(name) is None:
        raise InvalidArgument("user name", name[:200], "1 to 64 characters of A-Z a-z 0-9 _ . - + @")
    if PATH.fullmatch(path) is None:
        raise InvalidArgument("Path", path[:200], PATH_ALLOWED)


def _may_be_password(password: str) -> bool:
    """Whether a text could be anybody's password; hashing a longer one would cost more."""
    return password.isprintable() and len(password) <= _PASSWORD_LENGTH[1]


def _key_rows(tx: Reading, access_key_id: str) -> tuple[bytes, bytes] | None:
    key = tx.get(Table.ACCESS_KEYS, access_key_id.encode("utf-8", "replace"))
    user = None if key is None else tx.get(Table.USERS, decode(AccessKey, key).user_id.encode())
    return None if key is None or user is None else (key, user)


def _remember(cache: "OrderedDict[K, T]", key: K, value: T, most: int) -> None:
    """Keep an entry; the one that was made first goes when there are too many."""
    cache[key] = value
    if len(cache) > most:
        cache.popitem(last=False)


def _check_text(field: str, text: str, length: tuple[int, int]) -> None:
    least, most = length
    if not least <= len(text) <= most or not text.isprintable():
        raise InvalidArgument(field, "(not shown)", f"{least} to {most} printable characters")


def _random_text(entropy: Entropy, alphabet: str, length: int) -> str:
    """Text with 64 random bits more than it can show, so that no letter is likelier than another."""
    number = int.from_bytes(entropy.secret(length + 8), "big")
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(alphabet))
        letters.append(alphabet[letter])
    return "".join(letters)
