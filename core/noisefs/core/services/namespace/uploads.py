"""Multipart uploads. Every step checks the upload's row in its own commit; the loser gets ``UploadNotFound``."""

from collections.abc import AsyncIterable, Collection, Sequence

from noisefs.core.domain.records import Part, Upload, Version
from noisefs.core.domain.requests import (
    ALWAYS,
    ANY,
    Attributes,
    CompletedPart,
    Principal,
    ReadCondition,
    Verify,
    WriteCondition,
    keep_none,
)


class Uploads:
    """Multipart operations. Task-safe. ``upload_id`` is the 32-digit hex form clients see; a malformed one is unknown."""

    async def create(
        self,
        who: Principal,
        bucket: str,
        key: str,
        attributes: Attributes,
        *,
        checksum_algorithm: str = "",
        checksum_type: str = "",
    ) -> str:
        """Begin an upload; returns its id."""
        raise NotImplementedError

    async def get(self, who: Principal, bucket: str, key: str, upload_id: str) -> Upload:
        """The upload's row."""
        raise NotImplementedError

    async def put_part(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source: AsyncIterable[bytes | memoryview],
        *,
        digests: Collection[str] = ("MD5",),
        verify: Verify = keep_none,
    ) -> Part:
        """Store one part (1 to 10,000), replacing an earlier one of that number."""
        raise NotImplementedError

    async def copy_part(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source_bucket: str,
        source_key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        source_condition: ReadCondition = ANY,
    ) -> Part:
        """Make a part from an object's bytes (``byte_range``: first and last byte, inclusive): shares the extents, moves
        no data. A range that is exactly one part of the source, or all of it, reuses its MD5; any other range is read
        once to hash it.
        """
        raise NotImplementedError

    async def list_parts(
        self, who: Principal, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[Upload, list[tuple[int, Part]], bool]:
        """The upload, its parts with higher numbers, and whether more follow."""
        raise NotImplementedError

    async def list(
        self,
        who: Principal,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str = "",
        upload_id_marker: str = "",
        limit: int = 1000,
    ) -> tuple[list[tuple[str, str, Upload]], list[str], tuple[str, str] | None]:
        """Open uploads as (key, upload id, row), common prefixes, and the markers of the next page or ``None``."""
        raise NotImplementedError

    async def complete(
        self,
        who: Principal,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        *,
        condition: WriteCondition = ALWAYS,
        expected_size: int | None = None,
        checksums: dict[str, str] | None = None,
    ) -> Version:
        """Publish the named parts as the object; parts not named are released. ETag: ``<md5 of part md5s>-N``.

        Object checksums are computed from those of the parts (COMPOSITE, or FULL_OBJECT by combining CRCs) and compared
        with ``checksums`` if the client declared some. Repeated within 24 h it answers the first result.

        Raises:
            InvalidPart, InvalidPartOrder, PartTooSmall, PreconditionFailed, DigestMismatch, InvalidArgument.
        """
        raise NotImplementedError

    async def abort(self, who: Principal, bucket: str, key: str, upload_id: str) -> None:
        """Forget the upload and release its parts."""
        raise NotImplementedError

    async def expire(self) -> int:
        """Abort uploads older than the configured age and forget old Complete answers; returns how many uploads."""
        raise NotImplementedError
