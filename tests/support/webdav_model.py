"""A share as RFC 4918 describes it, in a dictionary: files, folders, properties and locks.

Every operation returns the statuses with which it may be refused: of several reasons a server may tell any. Where there
is none it happens, and ``done`` is the status that tells so.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

LOCKED, MISSING, NO_PARENT, EXISTS, FORBIDDEN, FAILED = 423, 404, 409, 405, 403, 412
MEMBER_LOCKED = 207
"""Of a deep lock that something is in the way of, deeper than where it is asked for."""


@dataclass(frozen=True)
class HeldLock:
    """A lock that was granted."""

    token: str
    path: str
    exclusive: bool
    deep: bool
    expires_s: float

    def covers(self, path: str) -> bool:
        """Whether the path is in its scope."""
        return path == self.path or (self.deep and is_below(path, self.path))


def is_below(path: str, above: str) -> bool:
    """Whether ``path`` lies below ``above``; the empty path is above all others."""
    return path != above and (not above or path.startswith(f"{above}/"))


def parent_of(path: str) -> str:
    """The folder that a path is in."""
    return path.rpartition("/")[0]


@dataclass
class ShareModel:
    """Files (bytes) and folders (``None``) by path; the empty path is the share itself."""

    tree: dict[str, bytes | None] = field(default_factory=lambda: {"": None})
    noted: dict[str, dict[str, str]] = field(default_factory=dict)
    locks: dict[str, HeldLock] = field(default_factory=dict)
    done: int = 0

    def put(self, path: str, data: bytes, tokens: Collection[str]) -> set[int]:
        """PUT."""
        if self._is_folder(path):
            return {EXISTS}
        refused = self._cannot_be_made(path) | self._blocked(path, tokens, membership=path not in self.tree)
        if not refused:
            self.done = 204 if path in self.tree else 201
            self.tree[path] = data
        return refused

    def mkcol(self, path: str, tokens: Collection[str]) -> set[int]:
        """MKCOL."""
        if path in self.tree:
            return {EXISTS}
        refused = self._cannot_be_made(path) | self._blocked(path, tokens, membership=True)
        if not refused:
            self.done = 201
            self.tree[path] = None
        return refused

    def delete(self, path: str, tokens: Collection[str]) -> set[int]:
        """DELETE."""
        if path not in self.tree:
            return {MISSING}
        refused = self._blocked(path, tokens, membership=True, tree=True)
        if not refused:
            self.done = 204
            self._remove(path, with_lock=True)
        return refused

    def relocate(
        self, path: str, target: str, tokens: Collection[str], *, move: bool, overwrite: bool, deep: bool
    ) -> set[int]:
        """MOVE and COPY."""
        if path not in self.tree:
            return {MISSING}
        refused = self._cannot_be_made(target) | self._blocked(
            target, tokens, membership=target not in self.tree, tree=True
        )
        if move:
            refused |= self._blocked(path, tokens, membership=True, tree=True)
        if target == path or is_below(target, path):
            refused.add(FORBIDDEN)
        if target in self.tree and not overwrite:
            refused.add(FAILED)
        if refused:
            return refused
        self.done = 204 if target in self.tree else 201
        taken = self._at_and_below(path) if deep else [path]
        files = {target + one[len(path) :]: self.tree[one] for one in taken}
        noted = {target + one[len(path) :]: dict(self.noted.get(one, {})) for one in taken}
        if move:
            self._remove(path, with_lock=True)
        self._remove(target, with_lock=False)
        self.tree.update(files)
        self.noted.update(noted)
        return refused

    def note(self, path: str, changes: dict[str, str | None], tokens: Collection[str]) -> set[int]:
        """PROPPATCH: set, or (``None``) remove."""
        if path not in self.tree:
            return {MISSING}
        refused = self._blocked(path, tokens, membership=False)
        if not refused:
            self.done = 207
            mine = self.noted.setdefault(path, {})
            for name, value in changes.items():
                if value is None:
                    mine.pop(name, None)
                else:
                    mine[name] = value
        return refused

    def lock(self, path: str, tokens: Collection[str], *, exclusive: bool, deep: bool) -> set[int]:
        """LOCK: the caller adds the lock where it is granted, once it knows its token."""
        refused: set[int] = set()
        if path not in self.tree:
            refused |= self._cannot_be_made(path) | self._blocked(path, tokens, membership=True)
        for other in self.locks.values():
            if other.exclusive or exclusive:
                if other.covers(path):
                    refused.add(LOCKED)
                elif deep and is_below(other.path, path):
                    refused.add(MEMBER_LOCKED)
        if not refused:
            self.done = 200 if path in self.tree else 201
            self.tree.setdefault(path, b"")
        return refused

    def pass_time(self, now_s: float) -> None:
        """Locks whose time is over are gone."""
        self.locks = {token: lock for token, lock in self.locks.items() if lock.expires_s > now_s}

    def covering(self, path: str) -> set[str]:
        """Tokens of the locks whose scope has the path in it."""
        return {lock.token for lock in self.locks.values() if lock.covers(path)}

    def _is_folder(self, path: str) -> bool:
        return self.tree.get(path, b"") is None

    def _cannot_be_made(self, path: str) -> set[int]:
        return set() if self._is_folder(parent_of(path)) else {NO_PARENT}

    def _at_and_below(self, path: str) -> list[str]:
        return [one for one in self.tree if one == path or is_below(one, path)]

    def _remove(self, path: str, *, with_lock: bool) -> None:
        for one in self._at_and_below(path):
            del self.tree[one]
            self.noted.pop(one, None)
        self.locks = {
            token: lock
            for token, lock in self.locks.items()
            if not is_below(lock.path, path) and (lock.path != path or not with_lock)
        }

    def _blocked(self, path: str, tokens: Collection[str], *, membership: bool, tree: bool = False) -> set[int]:
        """Refused by a lock whose token was not submitted: on the path, its folder, or anything below it."""
        places = {path}
        if membership:
            places.add(parent_of(path))
        if tree:
            places |= {lock.path for lock in self.locks.values() if is_below(lock.path, path)}
        return {LOCKED} if any(self._holds(place, tokens) for place in places) else set()

    def _holds(self, path: str, tokens: Collection[str]) -> bool:
        there = [lock for lock in self.locks.values() if lock.covers(path)]
        exclusive = any(lock.exclusive and lock.token not in tokens for lock in there)
        shared = [lock.token for lock in there if not lock.exclusive]
        return exclusive or (bool(shared) and not any(token in tokens for token in shared))
