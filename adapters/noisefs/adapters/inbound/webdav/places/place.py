"""Which thing a URL names: the root, a bucket, or a key in it. The only module that decodes or encodes paths.

A WebDAV path is segments between slashes. So a key that has an empty segment (``a//b``, a leading ``/``) or a segment
``.`` or ``..`` has no URL, and no URL names such a key.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from noisefs.core.errors import InvalidArgument

_HREF_SAFE: Final = "/!$'()*,"
"""Left as they are in an href besides the unreserved characters: some clients choke on an encoded ``(``, and all of
them on an unencoded ``&`` or ``;``."""

_UNRESERVED: Final = re.compile(f"[A-Za-z0-9_.~{re.escape(_HREF_SAFE)}-]*").fullmatch
"""Tells a path that stays as it is; looking costs a fifth of encoding."""

_DOTS: Final = frozenset((".", ".."))
INEXPRESSIBLE: Final = _DOTS | {""}
"""Names below a collection that have no URL of their own."""


class Place(NamedTuple):
    """What a path names, whether it exists or not.

    Attributes:
        bucket: Name of the bucket; empty for the root.
        key: Object key, or a collection's prefix without its last slash; empty for the root and for a bucket.
        slash: The path ended in a slash, so only a collection can be meant.
    """

    bucket: str
    key: str
    slash: bool = False

    @property
    def is_root(self) -> bool:
        """The list of buckets."""
        return not self.bucket

    @property
    def is_bucket(self) -> bool:
        """A bucket itself."""
        return bool(self.bucket) and not self.key

    @property
    def prefix(self) -> str:
        """What all keys below this place begin with; empty for the whole bucket."""
        return f"{self.key}/" if self.key else ""

    @property
    def name(self) -> str:
        """The last segment; empty for the root."""
        return self.key.rpartition("/")[2] if self.key else self.bucket

    @property
    def parent(self) -> "Place":
        """The collection this place is a member of; the root is its own."""
        if not self.key:
            return ROOT
        return Place(self.bucket, self.key.rpartition("/")[0], slash=True)

    @property
    def path(self) -> str:
        """Decoded path without a last slash: the identity of this place, and what locks are kept under."""
        if not self.bucket:
            return "/"
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"

    def child(self, name: str) -> "Place":
        """The member of this name."""
        return Place(self.bucket, f"{self.prefix}{name}") if self.bucket else Place(name, "")

    def href(self, *, collection: bool) -> str:
        """The path as clients see it in answers; collections end in a slash."""
        path = quoted(self.path)
        return f"{path}/" if collection and path != "/" else path


ROOT: Final = Place("", "", slash=True)


def quoted(path: str) -> str:
    """A decoded path as hrefs have it."""
    return path if _UNRESERVED(path) else quote(path, safe=_HREF_SAFE)


def quoted_all(names: Sequence[str]) -> Sequence[str]:
    """The same of many names. Cost: a look at all of them together, as a rule."""
    return names if _UNRESERVED("".join(names)) else [quoted(name) for name in names]


def place_of(target: str) -> Place:
    """The place a request target or an href names.

    ``target`` is percent-encoded: an absolute path or a whole ``http`` URL, whose host is not looked at here. A query
    is ignored. Repeated slashes count as one: a client that joins its base URL and a path sloppily means one.

    Raises:
        InvalidArgument: It is no path, has a fragment, a bad escape, NUL, or a segment ``.`` or ``..``, or its escapes
            are not UTF-8.
    """
    path, separator, _fragment = target.partition("#")
    if separator:
        raise InvalidArgument("path", target, "a fragment is not sent to a server")
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        path = f"/{rest.partition('/')[2]}"
    path = path.partition("?")[0]
    if not path.startswith("/"):
        raise InvalidArgument("path", target, "an absolute path")
    return _decoded(target, path)


def _decoded(target: str, path: str) -> Place:
    text = path
    if "%" in path or not path.isascii():
        raw = path.encode("utf-8", "surrogateescape")
        _check_escapes(target, raw)
        try:
            text = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError as exc:
            raise InvalidArgument("path", target, "percent-encoded UTF-8") from exc
    if "\0" in text:
        raise InvalidArgument("path", target, "no NUL character")
    segments = [segment for segment in text.split("/") if segment]
    if not _DOTS.isdisjoint(segments):
        raise InvalidArgument("path", target, "no segment '.' or '..'")
    if not segments:
        return ROOT
    return Place(segments[0], "/".join(segments[1:]), slash=text.endswith("/"))


def _check_escapes(target: str, raw: bytes) -> None:
    for escape in raw.split(b"%")[1:]:
        if len(escape) < 2 or not escape[:2].isalnum() or not _is_hex(escape[:2]):
            raise InvalidArgument("path", target, "two hexadecimal digits behind every '%'")


def _is_hex(digits: bytes) -> bool:
    return all(digit in b"0123456789abcdefABCDEF" for digit in digits)


def host_of(url: str) -> str | None:
    """Host and port of a whole ``http`` URL, as :func:`plain_host` has them; ``None`` for a path."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return None
    return plain_host(rest.partition("/")[0].rpartition("@")[2])


def plain_host(host: str) -> str:
    """Host and port in a form that can be compared: lower-case, and without the schemes' own ports.

    A proxy that ends TLS changes the scheme and with it the port that goes without saying.
    """
    return host.strip().lower().removesuffix(":80").removesuffix(":443")


def is_expressible(name: str) -> bool:
    """Whether a name below a collection has a URL of its own."""
    return name not in INEXPRESSIBLE
