"""Giving bytes out: from extents to verified plaintext, a bounded window ahead of the reader."""

from collections.abc import AsyncIterator, Sequence

from noisefs.core.domain.records import Extent
from noisefs.core.ports.index import Reading


class OpenBodies:
    """Bodies with their keys, pinned for one reader. Close it (``async with``) to let go of them."""

    def chunks(self, start: int, end: int) -> AsyncIterator[memoryview]:
        """Plaintext bytes ``start`` to ``end`` (exclusive) of the concatenated extents, in verified pieces of up to 1 MiB.

        Each piece is valid until the next one is asked for.

        Raises:
            IntegrityError: A tag does not verify, also after a second look. Nothing of that segment was given out.
            Unavailable: A block cannot be had.
        """
        raise NotImplementedError

    async def __aenter__(self) -> "OpenBodies":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        raise NotImplementedError


class BodyReader:
    """Opens bodies for reading. Task-safe."""

    def open(self, tx: Reading, extents: Sequence[Extent]) -> OpenBodies:
        """Pin the bodies of ``extents``, and look up keys, inside the transaction that looked up the version."""
        raise NotImplementedError
