"""Objects: the only place where a write becomes visible."""

from collections.abc import AsyncIterable, AsyncIterator, Collection, Sequence

from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import (
    ALWAYS,
    ANY,
    Attributes,
    FullPage,
    Page,
    Principal,
    ReadCondition,
    Verify,
    WriteCondition,
    keep_none,
)
from noisefs.core.errors import NoisefsError


class OpenObject:
    """A version that is being read; its bytes stay readable until it is closed. Use with ``async with``."""

    version: Version

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[memoryview]:
        """Bytes ``start`` to ``end`` (exclusive; ``None``: the size); see :meth:`.reading.OpenBodies.chunks`."""
        raise NotImplementedError

    async def __aenter__(self) -> "OpenObject":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        raise NotImplementedError


class Objects:
    """Object operations. Task-safe. Every method raises ``BucketNotFound`` and ``AccessDenied`` as ``Buckets.get``."""

    async def put(
        self,
        who: Principal,
        bucket: str,
        key: str,
        source: AsyncIterable[bytes | memoryview],
        attributes: Attributes,
        *,
        condition: WriteCondition = ALWAYS,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
    ) -> Version:
        """Store the bytes of ``source`` under ``key``. All or nothing: on any error the old version stays.

        The condition is checked early (before bytes are taken in) and again, atomically, in the commit. Without one,
        the later commit wins. The ETag is the hex MD5.

        Raises:
            InvalidKey, KeyTooLong: The key is not legal.
            PreconditionFailed: The condition does not hold; ``ObjectNotFound`` where ``if_match`` meets no object.
            DiskFull, SlowDown: No space, or a backlog is full.
        """
        raise NotImplementedError

    async def head(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
    ) -> Version:
        """The current version's row, parts and layout resolved on demand by :meth:`parts`.

        Raises:
            ObjectNotFound, NotModified, PreconditionFailed.
        """
        raise NotImplementedError

    async def parts(self, who: Principal, bucket: str, key: str) -> tuple[Version, Sequence[tuple[int, int, int]]]:
        """The version and its part table as (number, offset, length); empty for an object not uploaded in parts."""
        raise NotImplementedError

    async def open(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
    ) -> OpenObject:
        """Open the current version for reading. Raises like :meth:`head`. One index transaction."""
        raise NotImplementedError

    async def delete(self, who: Principal, bucket: str, key: str, *, condition: WriteCondition = ALWAYS) -> bool:
        """Remove the object; tells whether there was one. The bytes become unreadable at once."""
        raise NotImplementedError

    async def delete_many(self, who: Principal, bucket: str, keys: Sequence[str]) -> list[NoisefsError | None]:
        """Remove up to 1000 objects in few commits; one outcome a key, in order (``None``: gone)."""
        raise NotImplementedError

    async def copy(
        self,
        who: Principal,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        attributes: Attributes | None = None,
        source_condition: ReadCondition = ANY,
        condition: WriteCondition = ALWAYS,
    ) -> Version:
        """Let ``key`` name the same bytes: no data moves, ETag, checksums and parts stay. ``attributes``: replace them.

        A source condition that fails raises ``PreconditionFailed``, never ``NotModified``.
        """
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError
