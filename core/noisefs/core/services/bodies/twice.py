"""Objects sealed twice: whose key it takes, and the streams behind it (:mod:`~noisefs.core.domain.sealing.inner`)."""

import hmac
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.records import Inner, PartInfo, Version
from noisefs.core.domain.requests import Digested
from noisefs.core.domain.sealing.inner import (
    CUSTOMER,
    NAMED,
    NONCE_BYTES,
    STREAM_BYTES,
    OuterKey,
    Stream,
    spans_of,
    stream_cipher,
    streams_of,
    unwrap,
    wrap,
)
from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.errors import CustomerKeyNeeded, CustomerKeyUnwanted
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.workers import Workers
from noisefs.core.services.bodies.inner import InnerStream, opened

_ETAGS: Final = b"noisefs part etags"
"""What the key of parts' ETags is derived with."""
_MD5_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class NewInner:
    """What an object, or an upload, that is sealed twice begins with."""

    inner: Inner
    data_key: bytes


@dataclass(frozen=True, slots=True)
class Sealing:
    """One request's body that is being sealed twice. ``inner``: what an object of this body alone keeps."""

    inner: Inner
    stream: InnerStream
    etag_key: bytes

    def pieces(self) -> AsyncIterator[memoryview]:
        """The sealed bytes."""
        return self.stream.pieces()

    @property
    def digested(self) -> Digested:
        """Size and digests of the plaintext, when all pieces were taken."""
        return self.stream.digested

    def part_digest(self) -> bytes:
        """What stands for the plaintext's MD5 in a part's ETag, when all pieces were taken and it was computed.

        A part that is sent again, as clients do that got no answer, has the same one; it tells nothing to whoever lacks
        the key.
        """
        return hmac.digest(self.etag_key, self.digested.digests["MD5"], "sha256")[:_MD5_BYTES]


class InnerSealer:
    """Begins inner streams, and finds the keys of those that are there. Thread-safe."""

    def __init__(
        self,
        *,
        store_id: StoreId,
        segment_bytes: int,
        entropy: Entropy,
        workers: Workers,
        named: Callable[[str], bytes],
    ) -> None:
        """``named``: gives a named key; see :meth:`.named_keys.NamedKeys.get`."""
        self._store_id = store_id
        self._segment_bytes = segment_bytes
        self._entropy = entropy
        self._workers = workers
        self._named = named

    def begin(self, outer: OuterKey) -> NewInner:
        """A new data key, wrapped with ``outer``."""
        random = self._entropy.secret(KEY_BYTES + NONCE_BYTES)
        data_key = random[:KEY_BYTES]
        envelope = wrap(data_key, outer, self._store_id, random[KEY_BYTES:])
        return NewInner(Inner(outer.kind, envelope, key_name=outer.name), data_key)

    def named_key(self, name: str) -> OuterKey:
        """The key of this name. Raises ``NamedKeyNotFound``."""
        return OuterKey(NAMED, self._named(name), name)

    def data_key(self, inner: Inner | None, customer_key: bytes | None) -> bytes | None:
        """The data key of what is sealed like this; ``None`` where it is not sealed twice.

        Raises:
            CustomerKeyNeeded, CustomerKeyUnwanted, WrongCustomerKey: The customer's key is missing, too much, or wrong.
            NamedKeyNotFound, IndexDamaged: The named key is gone, or the envelope is damaged.
        """
        if (inner is not None and inner.kind == CUSTOMER) != (customer_key is not None):
            if customer_key is None:
                raise CustomerKeyNeeded(
                    "The object was stored using a form of Server Side Encryption. The correct parameters must be "
                    "provided to retrieve the object."
                )
            raise CustomerKeyUnwanted("The encryption parameters are not applicable to this object.")
        if inner is None:
            return None
        outer = self.named_key(inner.key_name) if customer_key is None else OuterKey(CUSTOMER, customer_key)
        return unwrap(inner, outer, self._store_id)

    def sealing(self, source: AsyncIterable[bytes | memoryview], new: NewInner, digests: Collection[str]) -> "Sealing":
        """One request's body, in a stream of its own. ``digests``: what is computed over the plaintext."""
        stream_id = self._entropy.secret(STREAM_BYTES)
        cipher = stream_cipher(new.data_key, stream_id, self._store_id)
        stream = InnerStream(source, cipher, segment_bytes=self._segment_bytes, workers=self._workers, digests=digests)
        etag_key = hmac.digest(new.data_key, _ETAGS, "sha256")
        return Sealing(msgspec.structs.replace(new.inner, stream=stream_id), stream, etag_key)

    def reading(
        self, version: Version, parts: Sequence[PartInfo], data_key: bytes, start: int, end: int
    ) -> "InnerReading":
        """How plaintext bytes ``start`` to ``end`` (exclusive) of a version are read."""
        assert version.inner is not None
        streams = streams_of(version.inner, version, parts, self._segment_bytes)
        return InnerReading(streams, data_key, self._store_id, self._segment_bytes, self._workers, start, end)


class InnerReading:
    """A range of an object that is sealed twice: bytes ``sealed_start`` to ``sealed_end`` of it are needed."""

    def __init__(
        self,
        streams: Sequence[Stream],
        data_key: bytes,
        store_id: StoreId,
        segment_bytes: int,
        workers: Workers,
        start: int,
        end: int,
    ) -> None:
        self._streams = streams
        self._data_key = data_key
        self._store_id = store_id
        self._segment_bytes = segment_bytes
        self._workers = workers
        spans = list(spans_of(streams, start, end, segment_bytes))
        self.sealed_start = spans[0].start if spans else 0
        self.sealed_end = spans[-1].end if spans else 0

    async def chunks(
        self, start: int, end: int, sealed: Callable[[int, int], AsyncIterator[memoryview]]
    ) -> AsyncIterator[memoryview]:
        """Plaintext bytes ``start`` to ``end``, which lie within the range. ``sealed`` gives sealed bytes.

        Raises:
            SegmentDamaged: An inner segment does not verify.
        """
        for span in spans_of(self._streams, start, end, self._segment_bytes):
            cipher = stream_cipher(self._data_key, span.stream_id, self._store_id)
            pieces = opened(
                sealed(span.start, span.end), span, cipher, segment_bytes=self._segment_bytes, workers=self._workers
            )
            async with aclosing(cast(AsyncGenerator[memoryview, None], pieces)):
                async for piece in pieces:
                    yield piece
