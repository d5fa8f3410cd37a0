"""The body of a PUT: where its bytes come from, how many they are, and what they must digest to."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from noisefs.adapters.inbound.s3.auth.gatekeeper import Session
from noisefs.adapters.inbound.s3.body.checksums import DEFAULT, Declared, declared_of
from noisefs.adapters.inbound.s3.body.chunks import ChunkDecoder
from noisefs.adapters.inbound.s3.body.incoming import Incoming
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.core.domain.requests import Digested
from noisefs.core.errors import EntityTooLarge

_DIGITS_MOST: Final = 19


class Payload:
    """One body. ``async for`` over :meth:`pieces` once; then :meth:`verify` compares the digests."""

    def __init__(
        self,
        headers: Mapping[str, str],
        session: Session,
        incoming: Incoming,
        limit_bytes: int,
        *,
        of_object: bool = False,
        default: str = DEFAULT,
    ) -> None:
        """Check everything that the headers say. ``of_object``: checksum headers are not about this body; ``default``:
        the checksum that is kept where none is declared.

        Raises:
            S3Error: ``MissingContentLength``; a digest is malformed.
            EntityTooLarge: The body has more than ``limit_bytes`` by its own word.
        """
        self._incoming = incoming
        self._session = session
        self._limit_bytes = limit_bytes
        self._trailers: Mapping[str, str] = {}
        self.size = _size_of(headers, session, incoming)
        """Bytes of the body without any framing; ``None`` where only its end will tell."""
        if self.size is not None and self.size > limit_bytes:
            raise EntityTooLarge(self.size, limit_bytes)
        self.declared: Declared = declared_of(
            headers, session.sha256, trailing=session.trailing, of_object=of_object, default=default
        )

    @property
    def digests(self) -> tuple[str, ...]:
        """What has to be computed on the way."""
        return self.declared.digests

    def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """The bytes.

        Raises:
            IncompleteBody, RequestTimeout: See :meth:`.incoming.Incoming.pieces`.
            EntityTooLarge: There are more than allowed, of a body that did not say how many.
            S3Error: ``SignatureDoesNotMatch``: of a chunk.
        """
        if self._session.streaming:
            return self._unframed()
        return self._incoming.pieces() if self.size is not None else self._bounded()

    async def _unframed(self) -> AsyncIterator[bytes | memoryview]:
        session = self._session
        decoder = ChunkDecoder(self.size or 0, session.chunks, trailing=session.trailing)
        async for data in self._incoming.pieces():
            for piece in decoder.feed(data):
                yield piece
        decoder.finish()
        self._trailers = decoder.trailers

    async def _bounded(self) -> AsyncIterator[bytes | memoryview]:
        async for piece in self._incoming.pieces():
            if self._incoming.received_bytes > self._limit_bytes:
                raise EntityTooLarge(self._incoming.received_bytes, self._limit_bytes)
            yield piece

    def verify(self, digested: Digested) -> dict[str, str]:
        """See :meth:`.checksums.Declared.verify`."""
        return self.declared.verify(digested, self._trailers)


def _size_of(headers: Mapping[str, str], session: Session, incoming: Incoming) -> int | None:
    if session.streaming:
        text = headers.get("x-amz-decoded-content-length", "")
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST):
            raise S3Error("MissingContentLength")
        return int(text)
    if not incoming.framed:
        raise S3Error("MissingContentLength")
    return incoming.declared_bytes
