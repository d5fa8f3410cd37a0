"""What a PUT has to know of its place, looked up in the commit that changes it: so nothing comes between.

The collection above, locks, and what the file replaces are asked for in one transaction, in whichever process; a lock
that is granted before the commit holds for it, and one that is granted after it was made for the new state.
"""

import mimetypes
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from noisefs.adapters.inbound.webdav.answers import COMMON
from noisefs.adapters.inbound.webdav.files.claims import claims_of
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import locked
from noisefs.adapters.inbound.webdav.rules.locking import in_the_way
from noisefs.adapters.inbound.webdav.rules.preconditions import http_date
from noisefs.core.domain.records import Bucket, Version
from noisefs.core.domain.requests import Attributes, Principal
from noisefs.core.ports.index import Reading
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.trees.service import Trees

_SECOND_US: Final = 1_000_000
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999: no HTTP date goes further."""
_KEPT: Final = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
_BINARY: Final = "application/octet-stream"
_SUFFIX_MOST: Final = 16
"""Characters of the longest suffix that could say what a file is."""
_CREATED: Final = b"Created\n"


class Replacement:
    """One PUT's say in its commit. Belongs to one request; :meth:`admit` may run in another thread."""

    def __init__(
        self,
        locks: Locks,
        who: Principal,
        place: Place,
        headers: Mapping[str, str],
        tokens: frozenset[str],
        check: Callable[[Reading], None] | None = None,
    ) -> None:
        """``tokens``: the lock tokens that were submitted. ``check``: refuses, by raising, what may not go ahead.

        Raises:
            Refused: 400; a header is malformed.
        """
        self._locks = locks
        self._who = who
        self._place = place
        self._headers = headers
        self._tokens = tokens
        self._check = check
        self._modified_us = modified_us_of(headers)
        self.claims = claims_of(headers)
        """What the body has to be."""
        self._creates = False

    def admit(self, tx: Reading, bucket: Bucket, old: Version | None) -> Attributes:
        """The attributes of the new version.

        Raises:
            Refused: 405 where a collection is there, 409 where none is above, 423 where a lock forbids it; what
                ``check`` raises.
        """
        place = self._place
        if Trees.has_members(tx, bucket, place.prefix):
            raise Refused(405, "a collection is there: it has no content")
        parent = place.parent
        if old is None and parent.key and not Trees.has_members(tx, bucket, parent.prefix):
            raise no_parent(place)
        if self._check is not None:
            self._check(tx)
        blocking = in_the_way(
            self._locks.around(tx, place.path),
            place,
            self._who.user_id,
            self._tokens,
            membership=old is None,
            tree=False,
        )
        if blocking:
            raise locked(blocking)
        self._creates = old is None
        created_us = None if old is None else old.created_us or old.modified_us
        return attributes(self._headers, place, created_us=created_us, modified_us=self._modified_us)

    def answer(self, version: Version) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body that tell about the commit."""
        fields = {**COMMON, "ETag": f'"{version.etag}"', "Last-Modified": http_date(version.modified_us)}
        if self._modified_us is not None:
            fields["X-OC-MTime"] = "accepted"
        if not self._creates:
            return 204, fields, b""
        fields["Content-Type"] = "text/plain; charset=utf-8"
        return 201, fields, _CREATED


def no_parent(place: Place) -> Refused:
    """The refusal of a file in a collection that is not there."""
    return Refused(409, f"the collection {place.parent.path!r} does not exist")


def attributes(
    headers: Mapping[str, str], place: Place, *, created_us: int | None = None, modified_us: int | None = None
) -> Attributes:
    """What a client says about a file, and what its name does."""
    return Attributes(
        content_type=headers.get("Content-Type") or _guessed_type(place.name),
        headers={name: headers[name] for name in _KEPT if name in headers},
        modified_us=modified_us,
        created_us=created_us,
    )


def _guessed_type(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    if not stem or len(suffix) > _SUFFIX_MOST:
        return _BINARY
    if f".{suffix}" in mimetypes.encodings_map:  # what is packed says more: a.tar.gz
        return mimetypes.guess_type(name)[0] or _BINARY
    return _type_of(suffix)


@lru_cache(maxsize=1024)
def _type_of(suffix: str) -> str:
    return mimetypes.guess_type(f"file.{suffix}")[0] or _BINARY


def modified_us_of(headers: Mapping[str, str]) -> int | None:
    """Time of the last change that the client names (ownCloud's ``X-OC-Mtime``: seconds, perhaps with a fraction)."""
    text = headers.get("X-OC-Mtime")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LAST_SECOND:
        raise Refused(400, f"X-OC-Mtime is {text[:40]!r}: seconds since 1970")
    return int(seconds * _SECOND_US)
