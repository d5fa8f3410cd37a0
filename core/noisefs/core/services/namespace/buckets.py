"""Buckets: each has one owner; a user sees and uses only their own, an administrator all."""

from noisefs.core.domain.records import Bucket
from noisefs.core.domain.requests import Principal


class Buckets:
    """Bucket operations. Task-safe."""

    async def create(self, who: Principal, name: str, *, config: dict[str, bytes] | None = None) -> Bucket:
        """Make a bucket owned by ``who``.

        Raises:
            InvalidBucketName: S3's rules (3-63 characters, lower-case letters, digits, dots, hyphens, not an IP address...).
            BucketExists: The name is taken; ``owned`` tells by whom.
            TooMany: The user has the maximum number of buckets.
        """
        raise NotImplementedError

    async def get(self, who: Principal, name: str) -> Bucket:
        """The bucket's row.

        Raises:
            BucketNotFound: There is none.
            AccessDenied: It belongs to somebody else.
        """
        raise NotImplementedError

    async def delete(self, who: Principal, name: str) -> None:
        """Remove an empty bucket.

        Raises:
            BucketNotEmpty: It holds an object or an open upload.
        """
        raise NotImplementedError

    async def list(
        self, who: Principal, *, prefix: str = "", after: str = "", limit: int = 10000
    ) -> list[tuple[str, Bucket]]:
        """The user's own buckets by name (an administrator: everybody's), ascending."""
        raise NotImplementedError

    async def configure(self, who: Principal, name: str, kind: str, value: bytes | None) -> None:
        """Keep (``None``: remove) one bucket configuration exactly as it was put."""
        raise NotImplementedError
