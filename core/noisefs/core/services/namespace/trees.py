"""Collections as WebDAV sees them: whole key prefixes, changed in one index transaction without moving data."""

from noisefs.core.domain.requests import Principal


class Trees:
    """Operations on all keys below a prefix that ends in ``/``. Task-safe.

    An empty collection is a marker: an empty object whose key ends in ``/``. ``delete`` and ``move`` leave a marker in
    the parent when they take its last member.
    """

    async def make(self, who: Principal, bucket: str, prefix: str) -> None:
        """Create an empty collection (its marker)."""
        raise NotImplementedError

    async def delete(self, who: Principal, bucket: str, prefix: str) -> int:
        """Remove everything below ``prefix`` (also dead properties) in one commit; returns how many objects."""
        raise NotImplementedError

    async def delete_object(self, who: Principal, bucket: str, key: str) -> bool:
        """Remove one object and its dead properties; leaves a marker where it was its collection's last member."""
        raise NotImplementedError

    async def move(
        self, who: Principal, bucket: str, source: str, target_bucket: str, target: str, *, overwrite: bool
    ) -> bool:
        """Rename an object or (``source`` and ``target`` end in ``/``) a tree, in one commit, dead properties included.

        Returns whether something was replaced.

        Raises:
            ObjectNotFound: Nothing is there.
            PreconditionFailed: The target exists and ``overwrite`` is false.
            InvalidArgument: The target lies inside the source.
            KeyTooLong: A resulting key would be too long.
        """
        raise NotImplementedError

    async def copy(
        self,
        who: Principal,
        bucket: str,
        source: str,
        target_bucket: str,
        target: str,
        *,
        overwrite: bool,
        recursive: bool = True,
    ) -> bool:
        """Copy an object or a tree (``recursive`` false: only the collection and its properties). Like :meth:`move`."""
        raise NotImplementedError
