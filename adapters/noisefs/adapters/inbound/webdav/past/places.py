"""Places in the past of a bucket: what their paths say, and which rights reading them takes."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.core.domain.requests import Need, Principal


class Kind(Enum):
    """The two collections."""

    VERSIONS = "versions"
    TRASH = "trash"


class PastPlace(NamedTuple):
    """A place below one of the collections.

    Attributes:
        kind: Which one.
        place: As its URL names it.
        key: What the path behind the collection's name is: a key, a prefix without its last slash, or for one version a
            key and the version's id.
        top: The key of the collection itself.
        above: What all keys in it begin with: a user's root that is no whole bucket, with a slash; else empty.
    """

    kind: Kind
    place: Place
    key: str
    top: str
    above: str = ""

    @property
    def is_top(self) -> bool:
        """Whether it is the collection itself."""
        return self.place.key == self.top

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.place.bucket

    @property
    def prefix(self) -> str:
        """What keys below begin with; empty for the collection itself."""
        return f"{self.key}/" if self.key else ""

    @property
    def split(self) -> tuple[str, str]:
        """Key and version id, if the last segment is one."""
        key, _, version_id = self.key.rpartition("/")
        return (key, version_id) if key.startswith(self.above) else ("", version_id)


def to_do(who: Principal, needs: Sequence[Need], prefix: str = "") -> Principal:
    """The same, to do exactly this; ``prefix``: of the keys that are listed."""
    asking = who.asking
    if asking is None:
        return who
    lookup = asking.lookup
    asked = asking._replace(needs=tuple(needs), lookup=lambda key: (prefix,) if key == "s3:prefix" else lookup(key))
    return who.who_asks(asked)


def to_list(who: Principal, bucket: str, prefix: str) -> Principal:
    """The same, to list versions of keys below a prefix."""
    return to_do(who, [Need("s3:ListBucketVersions", bucket)], prefix)


def to_read(who: Principal, bucket: str, key: str, version_id: str) -> Principal:
    """The same, to read one version."""
    return to_do(who, [Need("s3:GetObjectVersion", bucket, key, version_id)])
