"""What is at a place: root, bucket, collection or file, and what a collection's members are.

A collection exists where its marker or any key below it does. Where both ``a`` and ``a/x`` exist, the collection is
shown and the object ``a`` is not.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple, overload

from noisefs.adapters.inbound.webdav.places.place import INEXPRESSIBLE, ROOT, Place, is_expressible
from noisefs.core.domain.records import Bucket, Version
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.errors import BucketNotFound, ObjectNotFound
from noisefs.core.ports.index import Reading
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.service import Trees

LATER_PAGES: Final = 4
"""How much larger the pages behind the first one are."""
FLAT_PAGE: Final = 1000
"""Keys that a deep listing takes from the index at a time."""


def etag_of(version: Version) -> str:
    """The quoted entity tag of a file."""
    return f'"{version.etag}"'


class Node(NamedTuple):
    """Something that exists.

    Attributes:
        place: Where it is.
        version: The object's row, of a file; ``None`` for every collection.
        bucket: The bucket's row; ``None`` for the root.
    """

    place: Place
    version: Version | None = None
    bucket: Bucket | None = None

    @property
    def is_collection(self) -> bool:
        """Root, bucket or folder."""
        return self.version is None

    @property
    def href(self) -> str:
        """Its URL path."""
        return self.place.href(collection=self.is_collection)

    @property
    def etag(self) -> str | None:
        """The quoted entity tag of a file."""
        return None if self.version is None else etag_of(self.version)

    @property
    def key(self) -> str:
        """The object key, or the prefix of a collection: what its dead properties belong to."""
        return self.place.prefix if self.is_collection else self.place.key


class Members(Sequence[Node]):
    """Direct members of a collection, folders first: the list of their nodes, which are made when somebody looks.

    Whoever treats all files alike takes ``names`` and ``versions``, one of each a file, and saves the nodes: most of
    what a listing would cost.
    """

    __slots__ = ("folders", "names", "parent", "versions")

    def __init__(self, parent: Node, folders: list[str], names: list[str], versions: list[Version]) -> None:
        """``folders``, ``names``: below ``parent``."""
        self.parent = parent
        self.folders = folders
        self.names = names
        self.versions = versions

    def __len__(self) -> int:
        """Folders and files."""
        return len(self.folders) + len(self.names)

    def __iter__(self) -> Iterator[Node]:
        """Nodes, made one by one."""
        yield from self.folder_nodes()
        yield from map(self.node_of, self.names, self.versions)

    def node_of(self, name: str, version: Version) -> Node:
        """That of one file."""
        return Node(self.parent.place.child(name), version, self.parent.bucket)

    def folder_nodes(self) -> list[Node]:
        """Those of the folders alone."""
        return [Node(self.parent.place.child(name), bucket=self.parent.bucket) for name in self.folders]

    @overload
    def __getitem__(self, index: int) -> Node: ...
    @overload
    def __getitem__(self, index: slice) -> list[Node]: ...
    def __getitem__(self, index: int | slice) -> Node | list[Node]:
        """Cost: all nodes."""
        return list(self)[index]


class Nodes:
    """Looks places up. Task-safe. Everything raises ``AccessDenied`` where the bucket is somebody else's."""

    def __init__(self, buckets: Buckets, objects: Objects, telemetry: Telemetry, page: int) -> None:
        self._buckets = buckets
        self._objects = objects
        self._telemetry = telemetry
        self._page = page

    async def find(self, who: Principal, place: Place) -> Node | None:
        """What is there, or ``None``. Cost: the bucket's row, a seek, and for a file its row."""
        if place.is_root:
            return Node(ROOT)
        try:
            bucket = await self._buckets.get(who, place.bucket)
        except BucketNotFound:
            return None
        if place.is_bucket or await self._has_members(who, place):
            return Node(place, bucket=bucket)
        if place.slash:
            return None
        try:
            version = await self._objects.head(who, place.bucket, place.key)
        except ObjectNotFound:
            return None
        return Node(place, version, bucket)

    @staticmethod
    def within(tx: Reading, place: Place) -> Node | None:
        """The same inside a commit, whoever asks."""
        if place.is_root:
            return Node(ROOT)
        found = Trees.look(tx, place.bucket, place.key)
        if found is None or (place.slash and found[1] is not None):
            return None
        bucket, version = found
        return Node(place, version, bucket)

    async def has_collection(self, who: Principal, place: Place) -> bool:
        """Whether a collection is there. Cost: the bucket's row and a seek."""
        if place.is_root:
            return True
        try:
            if place.is_bucket:
                await self._buckets.get(who, place.bucket)
                return True
            return await self._has_members(who, place)
        except BucketNotFound:
            return False

    async def _has_members(self, who: Principal, place: Place) -> bool:
        page = await self._objects.list(who, place.bucket, prefix=place.prefix, limit=1)
        return bool(page.entries)

    async def members(self, who: Principal, node: Node) -> AsyncIterator[Sequence[Node]]:
        """The direct members of a collection, page by page, each page from one listing query, in no special order.
        The first page is small, so that an answer begins soon; those behind it cost less when they are larger.

        Names without a URL are left out and counted. Memory: one page, and files that may turn out to be hidden by a
        collection of the same name on a later page: their names are each a prefix of the next one's.
        """
        if node.place.is_root:
            async for page in self._bucket_pages(who):
                yield page
            return
        prefix = node.place.prefix
        held: list[tuple[str, Version]] = []
        after: str | None = ""
        limit = self._page
        while after is not None:
            listing = await self._objects.list_versions(
                who, node.place.bucket, prefix=prefix, delimiter="/", after=after, limit=limit
            )
            limit = self._page * LATER_PAGES
            after = listing.next_after
            files = [*held, *listing.entries] if held else listing.entries
            if listing.prefixes:
                collections = set(listing.prefixes)
                files = [found for found in files if f"{found[0]}/" not in collections]
            held = []
            if after is not None:
                held = [found for found in files if after.startswith(found[0]) and f"{found[0]}/" > after]
                late = {key for key, _ in held}
                files = [found for found in files if found[0] not in late]
            yield self._shown(node, listing.prefixes, files)

    def _shown(self, node: Node, prefixes: Sequence[str], files: Sequence[tuple[str, Version]]) -> Members:
        start = len(node.place.prefix)
        folders = [prefix[start:-1] for prefix in prefixes]
        names = [key[start:] for key, _ in files]
        versions = [version for _, version in files]
        hidden = 0
        if not INEXPRESSIBLE.isdisjoint(folders):
            hidden = sum(name in INEXPRESSIBLE for name in folders)
            folders = [name for name in folders if is_expressible(name)]
        if not INEXPRESSIBLE.isdisjoint(names):
            hidden += sum(not is_expressible(name) for name in names if name)  # an empty one is the collection's marker
            versions = [version for name, version in zip(names, versions, strict=True) if is_expressible(name)]
            names = [name for name in names if is_expressible(name)]
        if hidden:
            self._telemetry.count(Counter.HIDDEN_NAMES, hidden)
        return Members(node, folders, names, versions)

    async def _bucket_pages(self, who: Principal) -> AsyncIterator[list[Node]]:
        after: str | None = ""
        while after is not None:
            found, after = await self._buckets.listable(who, after=after, limit=self._page)
            yield [Node(Place(name, ""), bucket=row) for name, row in found]

    async def descendants(self, who: Principal, node: Node, limit: int) -> list[Node] | None:
        """Everything below a collection, or ``None`` where that is more than ``limit``. Memory: ``limit`` nodes."""
        if not node.place.is_root:
            return await self._below(who, node, limit)
        found: list[Node] = []
        async for page in self._bucket_pages(who):
            for bucket in page:
                below = await self._below(listing_as(who, bucket.place), bucket, limit - len(found) - 1)
                if below is None:
                    return None
                found += [bucket, *below]
        return found

    async def _below(self, who: Principal, node: Node, limit: int) -> list[Node] | None:
        prefix = node.place.prefix
        collections: dict[str, None] = {}
        files: list[tuple[str, Version]] = []
        hidden = 0
        after: str | None = ""
        while after is not None:
            page = await self._objects.list_versions(
                who, node.place.bucket, prefix=prefix, after=after, limit=min(FLAT_PAGE, max(limit, 0) + 1)
            )
            after = page.next_after
            for key, version in page.entries:
                *above, name = key[len(prefix) :].split("/")
                shown = _expressible_part(above)
                for depth in range(len(shown)):
                    collections.setdefault("/".join(shown[: depth + 1]))
                if len(shown) < len(above) or (name and not is_expressible(name)):
                    hidden += 1
                elif name:
                    files.append((key[len(prefix) :], version))
            if len(collections) + len(files) > limit:
                return None
        if hidden:
            self._telemetry.count(Counter.HIDDEN_NAMES, hidden)
        return [
            *(Node(_below_place(node.place, path), bucket=node.bucket) for path in collections),
            *(
                Node(_below_place(node.place, path), version, node.bucket)
                for path, version in files
                if path not in collections
            ),
        ]


def listing_as(who: Principal, bucket: Place) -> Principal:
    """Who asks, to list the objects of a bucket that they were shown."""
    asking = who.asking
    return who if asking is None else who.who_asks(asking._replace(needs=(Need("s3:ListBucket", bucket.bucket),)))


def _expressible_part(names: Sequence[str]) -> list[str]:
    """The names before the first one that has no URL."""
    part: list[str] = []
    for name in names:
        if not is_expressible(name):
            break
        part.append(name)
    return part


def _below_place(place: Place, path: str) -> Place:
    return Place(place.bucket, f"{place.prefix}{path}")
