"""WsgiDAV's lock manager, over the index.

WsgiDAV's own keeps locks in a dictionary behind a storage class and checks for conflicts before it writes; here the
rule holds in the commit that makes the lock, so it holds between processes and survives a restart.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from wsgidav.dav_error import DAVError

from noisefs.adapters.inbound.webdav.engine.errand import Errand, dav_error, place_of_wsgi, wsgi_path
from noisefs.adapters.inbound.webdav.files.replacing import Replacement
from noisefs.adapters.inbound.webdav.files.writing import no_pieces
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.rules.guard import place_of_path
from noisefs.adapters.inbound.webdav.rules.locking import TOKEN_SCHEME, LockNote, covering, is_below, note_bytes
from noisefs.adapters.inbound.webdav.xml_input import parse_xml, xml_bytes
from noisefs.core.domain.records import Lock
from noisefs.core.domain.requests import WriteCondition
from noisefs.core.errors import NoisefsError, PreconditionFailed, ResourceLocked

MAX_OWNER_BYTES: Final = 8192
"""Longest ``DAV:owner`` that is kept: names and addresses are far shorter."""
_SECOND_US: Final = 1_000_000


class LockedBelow(Exception):
    """A member of a collection is locked, so a lock of all of it cannot be granted."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TokenBook:
    """The locks as one request's thread uses them. What WsgiDAV calls, and nothing else, is here."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._roots: set[str] = set()
        self.make_file = False
        """Make an empty file at the Request-URI as soon as the lock is granted."""

    def knows(self, place: Place) -> bool:
        """Whether a lock that this request deals with is on the place, where perhaps nothing else is any more."""
        return place.path in self._roots

    def acquire(
        self,
        *,
        url: str,
        lock_scope: str,
        lock_depth: str,
        lock_owner: bytes,
        timeout: float | None,
        **_same: Any,  # Any: what WsgiDAV passes besides follows from the request
    ) -> Mapping[str, str]:
        """Make a lock; 423 where another one is in the way.

        Raises:
            LockedBelow: That is on a member of the collection.
        """
        errand = self._errand
        now_us = errand.services.clock.now_us()
        lock = Lock(
            token=f"{TOKEN_SCHEME}{uuid.uuid4()}",
            path=place_of_wsgi(url).path,
            owner=errand.who.user_id,
            created_us=now_us,
            expires_us=now_us + self._granted_us(timeout),
            exclusive=lock_scope == "exclusive",
            deep=lock_depth == "infinity",
            data=note_bytes(LockNote(_owner_xml(lock_owner))),
        )
        try:
            errand.run(errand.services.locks.create(lock))
        except ResourceLocked as exc:
            if is_below(exc.path, lock.path):
                raise LockedBelow(exc.path) from exc
            raise dav_error(exc) from exc
        except NoisefsError as exc:
            raise dav_error(exc) from exc
        if self.make_file:
            try:
                self._make_file(lock.token)
            except BaseException:
                errand.call(errand.services.locks.delete(lock.token))
                raise
        return {"token": lock.token, "root": url}

    def _make_file(self, token: str) -> None:
        errand, place = self._errand, self._errand.place
        replacement = Replacement(errand.services.locks, errand.who, place, {}, frozenset((token,)))

        async def make() -> None:
            try:
                await errand.services.objects.put(
                    errand.who,
                    place.bucket,
                    place.key,
                    no_pieces(),
                    replacement.admit,
                    condition=WriteCondition(if_none_match=("*",)),
                )
            except PreconditionFailed:
                return  # somebody else made it meanwhile: it is locked now, which is what was asked for

        errand.call(make())

    def refresh(self, token: str, *, timeout: float | None) -> Mapping[str, str]:
        """Let a lock live longer."""
        errand = self._errand
        if not self.is_token_locked_by_user(token, errand.who.user_id):
            raise DAVError(403, "the lock belongs to another user")
        expires_us = errand.services.clock.now_us() + self._granted_us(timeout)
        lock = errand.call(errand.services.locks.refresh(token, expires_us))
        if lock is None:
            raise DAVError(412, "the lock has expired")
        self._roots.add(lock.path)
        return {"token": lock.token, "root": wsgi_path(place_of_path(lock.path))}

    def release(self, token: str) -> None:
        """Remove a lock."""
        self._errand.call(self._errand.services.locks.delete(token))

    def is_url_locked_by_token(self, url: str, token: str) -> bool:
        """Whether this token's lock covers the place."""
        lock = self._lock(token)
        return lock is not None and bool(covering([lock], place_of_wsgi(url).path))

    def is_token_locked_by_user(self, token: str, principal: str) -> bool:
        """Whether this token's lock is the user's."""
        lock = self._lock(token)
        return lock is not None and lock.owner == principal

    def check_write_permission(self, **_same: Any) -> None:  # Any: as above
        """WsgiDAV wants a lock manager to have this. Locks in the way were looked for on the loop before."""

    @contextmanager
    def write_transaction(self, **_same: Any) -> Iterator[None]:  # Any: as above
        """Bodies are in before locks are looked at, so there is nothing to hold."""
        yield

    def _lock(self, token: str) -> Lock | None:
        return self._errand.call(self._errand.services.locks.get(token)) if token else None

    def _granted_us(self, timeout: float | None) -> int:
        settings = self._errand.services.settings
        wanted = settings.default_lock_s if timeout is None else timeout
        granted = settings.max_lock_s if wanted < 0 else min(wanted, settings.max_lock_s)
        return int(granted * _SECOND_US)


def _owner_xml(document: bytes) -> bytes:
    if not document:
        return b""
    if len(document) > MAX_OWNER_BYTES:
        raise DAVError(413, f"the owner element has more than {MAX_OWNER_BYTES} bytes")
    return xml_bytes(parse_xml(document))
