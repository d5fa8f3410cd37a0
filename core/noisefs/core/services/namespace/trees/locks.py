"""WebDAV locks: where they are, kept in the index so that they survive a restart (RFC 4918 sections 6 and 7).

What a lock means to the protocol is opaque here (``Lock.data``); the rule that two of them do not go together is
not, because it has to hold in the commit that makes one. Paths begin with ``/`` and have no ``/`` at the end; ``/``
itself is the root of all.
"""

from collections.abc import Iterable
from functools import partial

import msgspec

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.records import Bucket, Lock, decode, encode
from noisefs.core.errors import InvalidArgument, ResourceLocked, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits

_COUNT_KEY = b"n"
"""How many locks there are."""
_PATHS = b"p"
"""``p``, the path, NUL, the token: the lock. NUL sorts below ``/``, so a path stands before what is below it."""
_TOKENS = b"t"
"""``t``, the token: the path."""
_EXPIRY_SLICE = 1000
_FEW = 100
"""Of so many locks those below a path are looked for on the event loop."""
_ROWS_MAX = 1 << 20


class Locks:
    """Locks by path and by token. Task-safe. A lock past its time is never returned and never in the way."""

    def __init__(
        self, *, index: Index, commits: CommitQueue, workers: Workers, clock: Clock, limits: NamespaceLimits
    ) -> None:
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._limits = limits

    async def create(self, lock: Lock) -> Lock:
        """Keep a lock, unless another one is in the way: on its path, above it (a deep one), or, when it is deep
        itself, below it; two shared ones go together.

        Raises:
            ResourceLocked: ``path`` is the other lock's path.
            TooMany: There are ``max_locks`` locks already, expired ones not counted.
            InvalidArgument: The path is no path, the token is empty, has NUL or is taken.
        """
        _path_bytes(lock.path)
        token = _token_bytes(lock.token)

        def make(tx: Writing) -> Lock:
            _demand(tx, lock.path)
            now_us = self._clock.now_us()
            for other in self._around(tx, lock.path, now_us, below=lock.deep):
                covers = other.path == lock.path or other.deep or len(other.path) > len(lock.path)
                if covers and (other.exclusive or lock.exclusive):
                    raise ResourceLocked(other.path)
            if tx.get(Table.LOCKS, _TOKENS + token) is not None:
                raise InvalidArgument("lock token", lock.token, "a token that no lock has")
            if _count(tx) >= self._limits.max_locks:
                after: bytes | None = b""
                while after is not None:
                    _, after = _drop_expired(tx, now_us, after)
                if _count(tx) >= self._limits.max_locks:
                    raise TooMany(f"there are at most {self._limits.max_locks} locks")
            tx.put(Table.LOCKS, _row_key(lock.path, token), encode(lock))
            tx.put(Table.LOCKS, _TOKENS + token, lock.path.encode())
            _add(tx, 1)
            return lock

        return await self._commits.run(make)

    async def get(self, token: str) -> Lock | None:
        """The lock of this token. Cost: two gets."""
        raw_token = _token_bytes(token)
        now_us = self._clock.now_us()
        return self._index.read(lambda tx: _live(_by_token(tx, raw_token), now_us))

    async def find(self, path: str, *, above: bool = True, below: bool = False) -> list[Lock]:
        """Locks on ``path``, on the paths ``above`` it (deep or not: the caller judges) and ``below`` it, by path.

        Cost: a seek for each level above, one for the path, one for all below; one get where there are no locks.
        """
        _path_bytes(path)
        now_us = self._clock.now_us()

        def look(tx: Reading) -> list[Lock]:
            return self._around(tx, path, now_us, above=above, below=below) if _count(tx) else []

        if below and self._index.read(_count) > _FEW:
            return await self._workers.run(Lane.DISK, self._index.read, look)
        return self._index.read(look)

    def around(self, tx: Reading, path: str, *, below: bool = False) -> list[Lock]:
        """Locks on ``path``, above and ``below`` it, as :meth:`find`, inside a commit: none comes between it and what
        follows.

        Cost: one get where there are no locks at all.
        """
        return self._around(tx, path, self._clock.now_us(), below=below) if _count(tx) else []

    @staticmethod
    def drop(tx: Writing, locks: Iterable[Lock]) -> None:
        """Remove locks, inside the commit that removes what they were on."""
        for lock in locks:
            _drop(tx, lock)

    async def refresh(self, token: str, expires_us: int, data: bytes | None = None) -> Lock | None:
        """Let the lock live until ``expires_us`` (0: for ever), with other ``data`` if given. ``None``: it is gone."""
        raw_token = _token_bytes(token)

        def renew(tx: Writing) -> Lock | None:
            lock = _live(_by_token(tx, raw_token), self._clock.now_us())
            if lock is None:
                return None
            _demand(tx, lock.path)
            renewed = msgspec.structs.replace(lock, expires_us=expires_us, data=lock.data if data is None else data)
            tx.put(Table.LOCKS, _row_key(lock.path, raw_token), encode(renewed))
            return renewed

        return await self._commits.run(renew)

    async def delete(self, token: str) -> bool:
        """Remove a lock; tells whether it was there (and not expired)."""
        raw_token = _token_bytes(token)

        def remove(tx: Writing) -> bool:
            lock = _by_token(tx, raw_token)
            if lock is None:
                return False
            _demand(tx, lock.path)
            _drop(tx, lock)
            return _live(lock, self._clock.now_us()) is not None

        return await self._commits.run(remove)

    async def expire(self) -> int:
        """Forget locks past their time, some per commit; returns how many."""
        dropped = 0
        after: bytes | None = b""
        while after is not None:
            now_us = self._clock.now_us()
            count, after = await self._commits.run(partial(_drop_expired, now_us=now_us, after=after))
            dropped += count
        return dropped

    def _around(self, tx: Reading, path: str, now_us: int, *, above: bool = True, below: bool = False) -> list[Lock]:
        """Live locks on, above and below ``path``. ``now_us`` 0: expired ones too."""
        found: list[Lock] = []
        for at in (*_ancestors(path), path) if above else (path,):
            found.extend(_on(tx, at))
        if below:
            start = _PATHS + (path.encode() if path != "/" else b"") + b"/"
            rows = tx.scan(Table.LOCKS, start, start[:-1] + b"0", _ROWS_MAX)
            found.extend(lock for lock in (decode(Lock, raw) for _, raw in rows) if lock.path != path)
        return [lock for lock in found if now_us == 0 or _live(lock, now_us) is not None]


def _ancestors(path: str) -> list[str]:
    if path == "/":
        return []
    names = path.split("/")
    return ["/", *("/".join(names[:depth]) for depth in range(2, len(names)))]


def _on(tx: Reading, path: str) -> list[Lock]:
    start = _row_key(path, b"")
    return [decode(Lock, raw) for _, raw in tx.scan(Table.LOCKS, start, start[:-1] + b"\1", _ROWS_MAX)]


def _by_token(tx: Reading, token: bytes) -> Lock | None:
    path = tx.get(Table.LOCKS, _TOKENS + token)
    raw = None if path is None else tx.get(Table.LOCKS, _row_key(path.decode(), token))
    return None if raw is None else decode(Lock, raw)


def _live(lock: Lock | None, now_us: int) -> Lock | None:
    return lock if lock is not None and (lock.expires_us == 0 or lock.expires_us > now_us) else None


def _drop(tx: Writing, lock: Lock) -> None:
    token = lock.token.encode()
    tx.delete(Table.LOCKS, _row_key(lock.path, token))
    tx.delete(Table.LOCKS, _TOKENS + token)
    _add(tx, -1)


def _count(tx: Reading) -> int:
    return int.from_bytes(tx.get(Table.LOCKS, _COUNT_KEY) or b"", "big")


def _add(tx: Writing, locks: int) -> None:
    tx.put(Table.LOCKS, _COUNT_KEY, (_count(tx) + locks).to_bytes(8, "big"))


def _row_key(path: str, token: bytes) -> bytes:
    return _PATHS + path.encode() + b"\0" + token


def _path_bytes(path: str) -> bytes:
    try:
        raw = path.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument("lock path", ascii(path), "valid UTF-8") from exc
    if not path.startswith("/") or (path.endswith("/") and path != "/") or b"\0" in raw:
        raise InvalidArgument("lock path", path, "it begins with '/', does not end in '/' and has no NUL")
    return raw


def _token_bytes(token: str) -> bytes:
    raw = token.encode("utf-8", "replace")
    if not raw or b"\0" in raw:
        raise InvalidArgument("lock token", token, "at least one character and no NUL")
    return raw


def _drop_expired(tx: Writing, now_us: int, after: bytes) -> tuple[int, bytes | None]:
    """Drop the expired ones among the next rows; returns how many, and where to go on."""
    rows = tx.scan(Table.LOCKS, max(_PATHS, after), _TOKENS, _EXPIRY_SLICE)
    gone = [lock for lock in (decode(Lock, raw) for _, raw in rows) if _live(lock, now_us) is None]
    for lock in gone:
        _drop(tx, lock)
    return len(gone), rows[-1][0] + b"\0" if len(rows) == _EXPIRY_SLICE else None


def _demand(tx: Writing, path: str) -> None:
    """Let whoever waits wait for the class of the bucket that the path leads into."""
    raw = tx.get(Table.BUCKETS, path.split("/", 2)[1].encode())
    durability = LOCAL if raw is None else decode(Bucket, raw).durability
    if durability != LOCAL:
        tx.demand(durability)
