"""Pages of a bucket's objects and versions."""

from collections.abc import Callable
from typing import TypeVar

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.requests import FullPage, Page, Principal, VersionPage
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import history, listing
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions

T = TypeVar("T")


class Pages:
    """Lists objects. Task-safe. Every method raises ``BucketNotFound`` and ``AccessDenied`` as ``Buckets.get``."""

    def __init__(self, *, index: Index, workers: Workers, limits: NamespaceLimits) -> None:
        self._index = index
        self._workers = workers
        self._limits = limits

    async def list(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        start: str = "",
        limit: int = 1000,
    ) -> Page:
        """One page: at most ``limit`` entries and common prefixes together, behind ``after`` (exclusive) and from
        ``start`` (inclusive). An ``after`` that is a common prefix skips everything under it.
        """
        return await self._page(listing.page_of, who, bucket, prefix, delimiter, after, start, limit)

    async def list_versions(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> FullPage:
        """Like :meth:`list`, with whole rows of the current versions (WebDAV)."""
        return await self._page(listing.full_page_of, who, bucket, prefix, delimiter, after, "", limit)

    async def list_history(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str = "",
        version_marker: str = "",
        limit: int = 1000,
    ) -> VersionPage:
        """One page of all versions and delete markers: at most ``limit`` entries and common prefixes together, behind
        all versions of ``key_marker``, or behind its version ``version_marker``. Cost: two listings at most.

        Raises:
            InvalidArgument: No version can have the id ``version_marker``.
        """
        texts = [naming.text_bytes("listing", text) for text in (prefix, delimiter, key_marker)]
        if version_marker and not versions.is_possible(version_marker):
            raise InvalidArgument("version-id-marker", version_marker, "Invalid version id specified")

        def look(tx: Reading) -> history.Merged:
            row = reach_bucket(tx, who, bucket)
            return history.gather(tx, row, texts[0], texts[1], texts[2], version_marker, limit)

        if limit <= self._limits.inline_page:
            return history.page_of(self._index.read(look))
        return await self._workers.run(Lane.DISK, lambda: history.page_of(self._index.read(look)))

    async def _page(
        self,
        page_of: Callable[[listing.Gathered], T],
        who: Principal,
        bucket: str,
        prefix: str,
        delimiter: str,
        after: str,
        start: str,
        limit: int,
    ) -> T:
        texts = [naming.text_bytes("listing", text) for text in (prefix, delimiter, after, start)]

        def look(tx: Reading) -> listing.Gathered:
            base = u64(reach_bucket(tx, who, bucket).bucket_id)
            span = listing.span_of(base, prefix=texts[0], delimiter=texts[1], after=texts[2], start=texts[3])
            return listing.gather(tx, Table.OBJECTS, span, limit)

        if limit <= self._limits.inline_page:
            return page_of(self._index.read(look))
        return await self._workers.run(Lane.DISK, lambda: page_of(self._index.read(look)))
