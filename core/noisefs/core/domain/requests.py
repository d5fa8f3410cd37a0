"""Values that cross from a protocol into the services: who asks, under which conditions, with which attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from noisefs.core.domain.buckets.notification import PUT
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Listed, Version
from noisefs.core.domain.rights.acl import NO_ACL, AclWish
from noisefs.core.domain.rights.conditions import Lookup
from noisefs.core.domain.rights.policy import Policy
from noisefs.core.domain.rights.role import RoleSession


class Need(NamedTuple):
    """One thing that a request is going to do, as policies name it. Without a ``key`` it is about the bucket.

    ``optional``: nobody needs leave for it, but a ``Deny`` forbids it: what goes along with a write. ``either``: leave
    for the collection of that name (the key and a slash) is as good; whoever does it looks at every key again.
    """

    action: str
    bucket: str
    key: str = ""
    version_id: str | None = None
    optional: bool = False
    either: bool = False


class Asking(NamedTuple):
    """All that a request is going to do, and what policies can ask about it.

    Attributes:
        needs: In the buckets they name; in any other bucket nothing is allowed.
        lookup: Values of condition keys.
        cleared: Ids of buckets where leave was given before, in the same request.
        request_id: Of the request, as its answer tells it.
    """

    needs: tuple[Need, ...]
    lookup: Lookup
    cleared: frozenset[int] = frozenset()
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a user, or with an empty ``user_id`` somebody without a name.

    Attributes:
        user_id: The user.
        name: The user's.
        admin: Whether every bucket is as good as their own.
        account: Of the store, as ARNs name it.
        policies: The user's own.
        session: Policies of temporary credentials.
        token_us: When these were made; 0: they are not temporary.
        asking: What for. Without it only what needs no policy or list to be looked at is allowed: the owner's plain use
            of a bucket.
        trusted: Administration by whoever runs the server: owners and administrators, whatever policies say.
        root: Where WebDAV paths begin for this user: a bucket, perhaps with a key behind a slash; empty: above all.
        role: The role that the user took on. Its rights are those of its policies; what it makes belongs to the user,
            whose own rights it does not have.
        path: What stands before the name in the user's ARN.
    """

    user_id: UserId
    name: str
    admin: bool
    account: str = ""
    policies: tuple[Policy, ...] = ()
    session: tuple[Policy, ...] = ()
    token_us: int = 0
    asking: Asking | None = None
    trusted: bool = False
    root: str = ""
    role: RoleSession | None = None
    path: str = "/"

    def owns(self, owner: str) -> bool:
        """Whether what belongs to ``owner`` is theirs to use."""
        return self.user_id == owner and bool(owner) and self.role is None

    def who_asks(self, asking: Asking) -> "Principal":
        """The same, saying what for. Cost: a microsecond; ``dataclasses.replace`` takes five."""
        return Principal(
            self.user_id,
            self.name,
            self.admin,
            self.account,
            self.policies,
            self.session,
            self.token_us,
            asking,
            self.trusted,
            self.root,
            self.role,
            self.path,
        )


ANONYMOUS: Final = Principal(UserId(""), "", admin=False)
"""Who did not say."""


class Cause(NamedTuple):
    """Why an object changes, for whoever is told of it (:mod:`.buckets.notification`).

    Attributes:
        who: Who wants it; ``None``: its bucket's lifecycle.
        made: The event that a new version is.
    """

    who: Principal | None
    made: str = PUT


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold of the present object in the commit that replaces or deletes it.

    Attributes:
        if_match: ETags without quotes (or ``*``), any of which the present object must have; empty: no condition.
        if_none_match: ETags (or ``*``) none of which the present object may have.
        if_unmodified_since_us: The present object, if any, must not be younger (compared by whole seconds).
        if_modified_us: The present object, if any, must be exactly so old (compared by whole seconds).
        if_size: The present object, if any, must have so many bytes.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_unmodified_since_us: int | None = None
    if_modified_us: int | None = None
    if_size: int | None = None


@dataclass(frozen=True, slots=True)
class ReadCondition:
    """RFC 9110 section 13 on a read; evaluated in that order of precedence. ETags without quotes, or ``*``."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since_us: int | None = None
    if_unmodified_since_us: int | None = None


ALWAYS = WriteCondition()
ANY = ReadCondition()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a client says about an object besides its bytes. Field meanings: :class:`~.records.Version`."""

    content_type: str = "binary/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = "STANDARD"
    sse: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    modified_us: int | None = None
    """``None``: the time of the commit."""
    created_us: int | None = None
    acl: AclWish = NO_ACL


@dataclass(frozen=True, slots=True)
class Digested:
    """What came out of hashing a body while it was taken in."""

    size: int
    digests: Mapping[str, bytes]
    """By algorithm: ``MD5`` and whichever of ``CRC32 CRC32C CRC64NVME SHA1 SHA256`` were asked for; raw bytes."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a delete did.

    Attributes:
        existed: There was an object, or such a version.
        version_id: Of the version that was removed or of the delete marker that was added; empty where the bucket never
            had versions and none was named.
        marker: That is a delete marker.
    """

    existed: bool
    version_id: str = ""
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object to delete among many. ``version_id``: this version for good; ``None``: the object."""

    key: str
    version_id: str | None = None
    condition: WriteCondition = ALWAYS


Verify = Callable[[Digested], Mapping[str, str]]
"""Called after the last byte, before anything becomes visible. Returns the checksums to keep (algorithm to base64);
raises (:class:`~noisefs.core.errors.DigestMismatch`, ...) to refuse the body, which then leaves no trace."""


def keep_none(_digested: Digested) -> Mapping[str, str]:
    """Accept the body and keep no checksum."""
    return {}


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part as a Complete request names it. ``etag`` without quotes; ``checksums`` by algorithm, base64."""

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    Attributes:
        entries: Keys with their rows, ascending by UTF-8 bytes. Delete markers are left out.
        prefixes: Common prefixes, ascending.
        next_after: Pass as ``after`` for the next page; ``None`` when the listing is complete. It is the last key
            or the last common prefix returned, whichever is greater.
    """

    entries: list[tuple[str, Listed]]
    prefixes: list[str]
    next_after: str | None


class VersionEntry(NamedTuple):
    """A version or delete marker in a listing. ``version_id``: ``null`` for the null version."""

    key: str
    version: Listed
    version_id: str
    latest: bool


@dataclass(frozen=True, slots=True)
class VersionPage:
    """One page of a listing of versions.

    Attributes:
        entries: Ascending by key, the newest version of a key first.
        prefixes: Common prefixes, ascending.
        next_after: Key (or common prefix) and version id (none for a prefix) to begin the next page behind; ``None``
            when the listing is complete.
    """

    entries: list[VersionEntry]
    prefixes: list[str]
    next_after: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class FullPage:
    """Like :class:`Page`, with whole versions (WebDAV needs content types)."""

    entries: list[tuple[str, Version]]
    prefixes: list[str]
    next_after: str | None
