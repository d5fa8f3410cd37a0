"""What locks mean to a request (RFC 4918 sections 6, 7 and 10.4): pure rules over the locks that were found.

The native methods and WsgiDAV's both go through these rules, so a lock holds the same way for all of them.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Lock
from noisefs.core.errors import IndexDamaged

TOKEN_SCHEME: Final = "urn:uuid:"  # noqa: S105  # a lock's name, no secret


class LockNote(msgspec.Struct, frozen=True, array_like=True):
    """What the protocol remembers about a lock: the bytes of ``Lock.data``. Fields are only ever appended."""

    owner_xml: bytes = b""
    """The client's ``DAV:owner`` element, or nothing."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(LockNote)


def note_bytes(note: LockNote) -> bytes:
    """The note as it is kept."""
    return _encoder.encode(note)


def note_of(lock: Lock) -> LockNote:
    """The note of a lock; an empty one where there is none."""
    if not lock.data:
        return LockNote()
    try:
        return _decoder.decode(lock.data)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IndexDamaged(f"the note of a lock on {lock.path!r} cannot be decoded") from exc


def is_below(path: str, above: str) -> bool:
    """Whether ``path`` lies below ``above`` (and is not it)."""
    return path != above and (above == "/" or path.startswith(f"{above}/"))


class LockMap:
    """Locks by where they are. Never changes: any thread may use it."""

    def __init__(self, locks: Iterable[Lock] = ()) -> None:
        self._at: dict[str, list[Lock]] = {}
        for lock in locks:
            self._at.setdefault(lock.path, []).append(lock)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._at)

    def covering(self, path: str) -> list[Lock]:
        """The locks whose scope has ``path`` in it: deep ones above, and its own. Cost: a look for each level."""
        if not self._at:
            return []
        found = [] if path == "/" else [lock for lock in self._at.get("/", ()) if lock.deep]
        slash = path.find("/", 1)
        while slash > 0:
            found += [lock for lock in self._at.get(path[:slash], ()) if lock.deep]
            slash = path.find("/", slash + 1)
        return [*found, *self._at.get(path, ())]


def covering(locks: Iterable[Lock], path: str) -> list[Lock]:
    """The locks among these whose scope has ``path`` in it."""
    return LockMap(locks).covering(path)


def missing(locks: Sequence[Lock], user: UserId, tokens: frozenset[str]) -> list[Lock]:
    """Of the locks that cover one resource, those that forbid this request to change it.

    An exclusive lock asks for its token, shared ones for that of any one of them; a token counts only from the user
    who holds it (section 6.4).
    """
    held = [lock for lock in locks if lock.token in tokens and lock.owner == user]
    exclusive = [lock for lock in locks if lock.exclusive and lock not in held]
    shared = [lock for lock in locks if not lock.exclusive]
    if any(lock in held for lock in shared):
        return exclusive
    return exclusive + shared


def in_the_way(
    locks: Sequence[Lock],
    place: Place,
    user: UserId,
    tokens: frozenset[str],
    *,
    membership: bool,
    tree: bool,
) -> list[Lock]:
    """The locks that forbid a change of ``place``.

    Args:
        locks: Those on, above and (for a tree) below the place.
        place: What is changed.
        user: Who asks.
        tokens: The submitted tokens.
        membership: The place comes into being or goes away, so its collection changes too (section 7.4).
        tree: Everything below the place is changed with it.
    """
    if not locks:
        return []
    path = place.path
    paths = [path]
    if membership:
        paths.append(place.parent.path)
    if tree:
        paths.extend({lock.path for lock in locks if is_below(lock.path, path)})
    blocking: dict[str, Lock] = {}
    found = LockMap(locks)
    for one in paths:
        blocking.update((lock.token, lock) for lock in missing(found.covering(one), user, tokens))
    return list(blocking.values())
