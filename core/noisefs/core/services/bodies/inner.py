"""Inner streams of objects sealed twice (:mod:`~noisefs.core.domain.sealing.inner`), on their way in and out.

Promise: nothing but whole, verified segments comes out; memory is two windows a stream. Cost: one more AES-GCM pass,
0.1 CPU seconds per GiB, in worker threads, eight segments a hop.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection
from contextlib import aclosing
from typing import Final, cast

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.requests import Digested
from noisefs.core.domain.sealing.inner import Span, plain_bytes
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.errors import SegmentDamaged
from noisefs.core.ports.workers import Lane, Workers

WINDOW_SEGMENTS: Final = 8
"""Inner segments sealed or opened in one hop."""


class InnerStream:
    """A request's body, sealed as it comes in. Belongs to one request."""

    def __init__(
        self,
        source: AsyncIterable[bytes | memoryview],
        cipher: BodyCipher,
        *,
        segment_bytes: int,
        workers: Workers,
        digests: Collection[str],
    ) -> None:
        """``digests``: what is computed over the plaintext."""
        self._source = source
        self._cipher = cipher
        self._segment_bytes = segment_bytes
        self._plain_bytes = plain_bytes(segment_bytes)
        self._workers = workers
        self._digests = Digests(digests)
        self._size = 0
        self._segment = 0

    @property
    def digested(self) -> Digested:
        """Size and digests of the plaintext; complete when :meth:`pieces` has ended."""
        return Digested(self._size, self._digests.results())

    async def pieces(self) -> AsyncIterator[memoryview]:
        """The sealed bytes. One byte at least is held back, so that the last segment says that it is the last."""
        window = WINDOW_SEGMENTS * self._plain_bytes
        held = bytearray()
        async for piece in self._source:
            held += piece
            while len(held) > window:
                plain = bytes(memoryview(held)[:window])
                del held[:window]
                yield await self._workers.run(Lane.CPU, self._seal, plain)
        if held:
            yield await self._workers.run(Lane.CPU, self._seal_last, bytes(held))

    def _seal(self, plain: bytes) -> memoryview:
        count = len(plain) // self._plain_bytes
        into = memoryview(bytearray(count * self._segment_bytes))
        self._cipher.seal_segments(memoryview(plain), self._segment, 0, self._plain_bytes, into, final=False)
        self._took(plain, count)
        return into

    def _seal_last(self, plain: bytes) -> memoryview:
        count, rest = divmod(len(plain), self._plain_bytes)
        whole = count * self._plain_bytes
        into = memoryview(bytearray(count * self._segment_bytes + (rest + TAG_BYTES if rest else 0)))
        cells = into[: count * self._segment_bytes]
        view = memoryview(plain)
        self._cipher.seal_segments(view[:whole], self._segment, 0, self._plain_bytes, cells, final=not rest)
        if rest:
            into[len(cells) :] = self._cipher.seal_slice(view[whole:], self._segment + count, 0)
        self._took(plain, count + bool(rest))
        return into

    def _took(self, plain: bytes, segments: int) -> None:
        self._digests.update(plain)
        self._size += len(plain)
        self._segment += segments


async def opened(
    sealed: AsyncIterator[memoryview], span: Span, cipher: BodyCipher, *, segment_bytes: int, workers: Workers
) -> AsyncIterator[memoryview]:
    """The plaintext of a span, from its sealed bytes.

    Raises:
        SegmentDamaged: A segment does not verify, or the bytes end early.
    """
    plain = plain_bytes(segment_bytes)
    segment, skip, left = span.first, span.skip, span.length
    behind = span.first + -(-(span.end - span.start) // segment_bytes)
    held = bytearray()
    rest = span.end - span.start

    def open_(raw: bytes, segment: int) -> memoryview:
        count, tail = divmod(len(raw), segment_bytes)
        into = memoryview(bytearray(count * plain + max(0, tail - TAG_BYTES)))
        cells = memoryview(raw)[: count * segment_bytes]
        last = segment + count == behind and span.final and not tail
        cipher.open_segments(cells, segment, 0, plain, into[: count * plain], final=last)
        if tail:
            into[count * plain :] = cipher.open_slice(raw[count * segment_bytes :], segment + count, 0)
        return into

    async with aclosing(cast(AsyncGenerator[memoryview, None], sealed)):
        async for piece in sealed:
            held += piece
            rest -= len(piece)
            while held and (len(held) >= WINDOW_SEGMENTS * segment_bytes or not rest):
                raw = bytes(memoryview(held)[: WINDOW_SEGMENTS * segment_bytes])
                del held[: len(raw)]
                found = await workers.run(Lane.CPU, open_, raw, segment)
                segment += -(-len(raw) // segment_bytes)
                wanted = found[skip : skip + left]
                skip = 0
                left -= len(wanted)
                if len(wanted):
                    yield wanted
    if left:
        raise SegmentDamaged(cipher.body_id, segment)
