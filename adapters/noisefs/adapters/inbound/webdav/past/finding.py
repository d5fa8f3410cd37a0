"""What is in the past of a bucket: versions of keys, and keys that were deleted.

Listings go through all versions below a collection in pages, and past a folder as soon as something is known of it.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.past.places import Kind, PastPlace, to_list, to_read
from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place, is_expressible
from noisefs.core.domain.records import Listed, Version
from noisefs.core.domain.requests import Principal, VersionEntry
from noisefs.core.errors import AccessDenied, BucketNotFound, DeleteMarkerNamed, NotFound
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects

_PAGE: Final = 1000
_LAST: Final = "\U0010ffff"
"""Behind every key in a folder, as far as anybody names files."""


class Deleted(NamedTuple):
    """A key whose newest version is a delete marker, and its newest version that has bytes."""

    key: str
    marker_id: str
    version_id: str
    version: Listed


class PastNodes(Nodes):
    """Looks up places in the past, as :class:`.Nodes` does for what is. Task-safe."""

    def __init__(
        self, buckets: Buckets, objects: Objects, telemetry: Telemetry, page: int, names: dict[str, Kind]
    ) -> None:
        """``names``: of the collections in every bucket that keeps versions."""
        super().__init__(buckets, objects, telemetry, page)
        self._kinds = names
        self.names = frozenset(names)

    async def place_in_past(self, who: Principal, place: Place | None) -> PastPlace | None:
        """The place in the past that a path names; ``None``: it is an ordinary one, or who asks may not know."""
        if place is None or not place.key:
            return None
        above = _root_above(who, place)
        if not place.key.startswith(above):
            return None
        name, _, rest = place.key[len(above) :].partition("/")
        kind = self._kinds.get(name)
        if kind is None:
            return None
        top = f"{above}{name}"
        past = PastPlace(kind, place, f"{above}{rest}".rstrip("/"), top, above)
        reader = to_list(who, place.bucket, past.prefix)
        try:
            if not (await self._buckets.get(reader, place.bucket)).versioning:
                return None
            for prefix in (top, f"{top}/"):
                page = await self._objects.list(reader, place.bucket, prefix=prefix, limit=1)
                if any(key == top or key.startswith(f"{top}/") for key, _ in page.entries):
                    return None  # real files of this name
        except (AccessDenied, BucketNotFound):
            return None
        return past

    async def find(self, who: Principal, place: Place) -> Node | None:
        """What is there, or ``None``."""
        past = await self.place_in_past(who, place)
        if past is None:
            return None
        bucket = await self._buckets.get(to_list(who, place.bucket, past.prefix), place.bucket)
        if past.is_top:
            return Node(place, bucket=bucket)
        if not place.slash:
            version = await self.version_at(who, past)
            if version is not None:
                return Node(place, version, bucket)
        there = self._versions_below(who, past) if past.kind is Kind.VERSIONS else self.deleted(who, past)
        async for _ in there:
            return Node(place, bucket=bucket)
        return None

    async def version_at(self, who: Principal, past: PastPlace) -> Version | None:
        """The version that the path names, of a deleted key the newest one; ``None``: none."""
        named = await self.named(who, past)
        if named is None:
            return None
        try:
            return await self._objects.head(
                to_read(who, past.bucket, *named), past.bucket, named[0], version_id=named[1]
            )
        except (NotFound, DeleteMarkerNamed):
            return None

    async def named(self, who: Principal, past: PastPlace) -> tuple[str, str] | None:
        """Key and id of the version that the path names."""
        if past.kind is Kind.TRASH:
            deleted = await self.deleted_key(who, past)
            return None if deleted is None else (deleted.key, deleted.version_id)
        key, version_id = past.split
        return (key, version_id) if key else None

    async def deleted_key(self, who: Principal, past: PastPlace) -> Deleted | None:
        """The deleted key that a path names."""
        entries = [entry async for entry in self._of_key(who, past.bucket, past.key)]
        return _deleted(entries)

    async def versions_of(self, who: Principal, bucket: str, key: str) -> list[VersionEntry]:
        """All versions and delete markers of a key, the newest first."""
        return [entry async for entry in self._of_key(who, bucket, key)]

    async def deleted(self, who: Principal, past: PastPlace, *, flat: bool = False) -> AsyncIterator[Deleted]:
        """Deleted keys below a place; unless ``flat`` only the first one of each folder."""
        prefix = past.prefix
        entries: list[VersionEntry] = []
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            page = await self._objects.list_history(
                to_list(who, past.bucket, prefix),
                past.bucket,
                prefix=prefix,
                key_marker=marker[0],
                version_marker=marker[1],
                limit=_PAGE,
            )
            marker = page.next_after
            for entry in page.entries:
                if entries and entries[0].key != entry.key:
                    found, entries = _deleted(entries), []
                    if found is not None:
                        yield found
                        folder, slash, _ = found.key[len(prefix) :].partition("/")
                        if slash and not flat and entry.key.startswith(f"{prefix}{folder}/"):
                            marker = (f"{prefix}{folder}/{_LAST}", "")
                            break
                entries.append(entry)
        found = _deleted(entries)
        if found is not None:
            yield found

    async def members(self, who: Principal, node: Node) -> AsyncIterator[list[Node]]:
        """The members of a collection, page by page."""
        past = await self.place_in_past(who, node.place)
        if past is None:
            return
        ready: list[Node] = []
        known: set[str] = set()
        async for name, version in self._named_below(who, past):
            if not is_expressible(name) or (version is None and name in known):
                continue
            if version is None:
                known.add(name)
            ready.append(Node(Place(past.bucket, f"{node.place.key}/{name}"), version, node.bucket))
            if len(ready) == self._page:
                yield ready
                ready = []
        yield ready

    async def descendants(self, who: Principal, node: Node, limit: int) -> list[Node] | None:  # noqa: ARG002
        """Never told: it would be all versions of everything."""
        return None

    async def _named_below(self, who: Principal, past: PastPlace) -> AsyncIterator[tuple[str, Version | None]]:
        """Names of members, and the version of each that is no collection."""
        if past.kind is Kind.TRASH:
            async for found in self.deleted(who, past):
                name, slash, _ = found.key[len(past.prefix) :].partition("/")
                yield name, None if slash else _whole(found.version)
            return
        if not past.is_top:
            async for entry in self._of_key(who, past.bucket, past.key):
                if not entry.version.delete_marker:
                    yield entry.version_id, _whole(entry.version)
        async for name in self._versions_below(who, past):
            yield name, None

    async def _versions_below(self, who: Principal, past: PastPlace) -> AsyncIterator[str]:
        """Names of the keys and folders right below a place, and first of all that of the key itself."""
        if not past.is_top and [entry async for entry in self._of_key(who, past.bucket, past.key, limit=1)]:
            yield ""
        prefix = past.prefix
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            page = await self._objects.list_history(
                to_list(who, past.bucket, prefix),
                past.bucket,
                prefix=prefix,
                delimiter="/",
                key_marker=marker[0],
                version_marker=marker[1],
                limit=_PAGE,
            )
            marker = page.next_after
            for name in dict.fromkeys(
                [
                    *(entry.key[len(prefix) :] for entry in page.entries),
                    *(one[len(prefix) : -1] for one in page.prefixes),
                ]
            ):
                yield name

    async def _of_key(self, who: Principal, bucket: str, key: str, limit: int = _PAGE) -> AsyncIterator[VersionEntry]:
        """Versions of one key, the newest first."""
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            page = await self._objects.list_history(
                to_list(who, bucket, key),
                bucket,
                prefix=key,
                key_marker=marker[0],
                version_marker=marker[1],
                limit=limit,
            )
            for entry in page.entries:
                if entry.key != key:
                    return
                yield entry
            marker = page.next_after


def _root_above(who: Principal, place: Place) -> str:
    """What keys begin with below a user's root, if that is in the place's bucket and not all of it."""
    bucket, _, key = who.root.partition("/")
    return f"{key}/" if key and bucket == place.bucket else ""


def _deleted(entries: Iterable[VersionEntry]) -> Deleted | None:
    """What all versions of a key say: whether it is deleted, and can be restored."""
    marker_id = ""
    for entry in entries:
        if not marker_id:
            if not entry.version.delete_marker:
                return None
            marker_id = entry.version_id
        elif not entry.version.delete_marker:
            return Deleted(entry.key, marker_id, entry.version_id, entry.version)
    return None


def _whole(version: Listed) -> Version:
    """The row as far as a listing tells it."""
    return Version(
        size=version.size,
        etag=version.etag,
        modified_us=version.modified_us,
        owner=version.owner,
        version_id=version.version_id,
        content_type=version.content_type,
        headers=version.headers,
        metadata=version.metadata,
        checksums=version.checksums,
        checksum_type=version.checksum_type,
    )
