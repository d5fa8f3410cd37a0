"""Taking a body in: from a stream of bytes to sealed, masked cells and an inline slice."""

from collections.abc import AsyncIterable, Collection

from noisefs.core.services.bodies.staged import StagedBody


class BodyWriter:
    """Turns streams into staged bodies. Task-safe; memory is bounded over all bodies that are being written."""

    async def ingest(
        self, source: AsyncIterable[bytes | memoryview], *, digests: Collection[str] = ("MD5",)
    ) -> StagedBody:
        """Read ``source`` to its end and stage what it gave.

        An exception of ``source`` (cut connection, bad chunk signature) discards everything and propagates.
        """
        raise NotImplementedError
