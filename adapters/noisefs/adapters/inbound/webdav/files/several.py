"""Several ranges of a file in one answer: ``multipart/byteranges`` (RFC 9110 section 14.6)."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from secrets import token_hex
from typing import cast

from noisefs.core.domain.records import Version
from noisefs.core.services.namespace.objects.opening import OpenObject


def content_range(span: tuple[int, int], version: Version) -> str:
    """What a ``Content-Range`` says of a range: first byte, and the one after the last."""
    return f"bytes {span[0]}-{span[1] - 1}/{version.size}"


class SeveralRanges:
    """The body of one such answer. Each range is read when its turn comes, all of them from one version."""

    def __init__(self, version: Version, content_type: str, spans: Sequence[tuple[int, int]]) -> None:
        """``spans``: two or more, in the order in which they are sent."""
        boundary = token_hex(16)
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        self._parts = [
            (_head(boundary, content_type, content_range(span, version), first=number == 0), span)
            for number, span in enumerate(spans)
        ]
        self._end = f"\r\n--{boundary}--\r\n".encode()

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole body."""
        return sum(len(head) + end - start for head, (start, end) in self._parts) + len(self._end)

    async def pieces(self, opened: OpenObject) -> AsyncIterator[memoryview]:
        """The body, as it is read."""
        for head, (start, end) in self._parts:
            yield memoryview(head)
            chunks = cast("AsyncGenerator[memoryview, None]", opened.chunks(start, end))
            async with aclosing(chunks):
                async for piece in chunks:
                    yield piece
        yield memoryview(self._end)


def _head(boundary: str, content_type: str, span: str, *, first: bool) -> bytes:
    start = "" if first else "\r\n"
    return f"{start}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {span}\r\n\r\n".encode()
