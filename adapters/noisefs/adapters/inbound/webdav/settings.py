"""What can be set about the WebDAV protocol."""

from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

_NAME_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class WebdavSettings:
    """Limits and names of the WebDAV adapter.

    Attributes:
        realm: What a client shows when it asks for a password.
        public_hosts: Names (with port, where it is not the scheme's own) under which clients reach the server through a
            proxy that rewrites ``Host``: a ``Destination`` on one of them is ours.
        public_url: The URL under which clients reach the server, without a path; empty: what they themselves say.
        max_xml_bytes: The largest XML request body that is read; a larger one is answered 413.
        body_timeout_s: A client that neither sends nor takes a byte for so long is cut off.
        threads: Worker threads for WsgiDAV and for rendering listings. None of them ever waits for a client.
        infinity_members: ``PROPFIND`` with ``Depth: infinity`` is answered for trees of up to this many members,
            refused with ``propfind-finite-depth`` above; 0 refuses it always.
        max_lock_s: The longest time a lock is granted for before it must be refreshed.
        default_lock_s: The time a lock is granted for when the client names none.
        wrong_logins_a_minute: Wrong logins of one address after which further ones have to wait; 0: they never do.
        versions_name, trash_name: Of collections that show older versions and deleted files, in no listing, of buckets
            that keep versions (:mod:`.past`); empty: none.
        digest: Take Digest authentication with access keys too (:mod:`.auth.digest`).
        cors_origins: Origins whose scripts may use the share; ``*`` in one stands for anything. Buckets' own rules
            count besides.
        list_page: Members that a collection's listing takes from the index first; then it takes more at a time.
    """

    realm: str = "NoiseFS"
    public_hosts: tuple[str, ...] = ()
    public_url: str = ""
    max_xml_bytes: int = 1 << 20
    body_timeout_s: float = 60.0
    threads: int = 8
    infinity_members: int = 1000
    max_lock_s: int = 86_400
    default_lock_s: int = 3600
    list_page: int = 250
    wrong_logins_a_minute: int = 30
    digest: bool = False
    versions_name: str = ".versions"
    trash_name: str = ".trash"
    cors_origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that would make no server."""
        for name in ("max_xml_bytes", "body_timeout_s", "threads", "max_lock_s", "default_lock_s", "list_page"):
            if getattr(self, name) <= 0:
                raise InvalidArgument(f"webdav.{name}", getattr(self, name), "more than 0")
        for name in (self.versions_name, self.trash_name):
            if "/" in name or name in (".", "..") or not (name.isprintable() and len(name) <= _NAME_MOST):
                raise InvalidArgument("webdav name of a collection", name, f"up to {_NAME_MOST} characters, no slash")
        if self.versions_name and self.versions_name == self.trash_name:
            raise InvalidArgument("webdav.trash_name", self.trash_name, "another one than webdav.versions_name")
        if self.wrong_logins_a_minute < 0:
            raise InvalidArgument("webdav.wrong_logins_a_minute", self.wrong_logins_a_minute, "0 or more")
        if self.infinity_members < 0:
            raise InvalidArgument("webdav.infinity_members", self.infinity_members, "0 or more")
        if '"' in self.realm or "\\" in self.realm or not self.realm.isprintable() or not self.realm.isascii():
            raise InvalidArgument("webdav.realm", self.realm, "printable ASCII without quotes and backslashes")
