"""Objects sealed twice: inside under a key that a customer brings (SSE-C) or that has a name here (SSE-KMS), outside as
every body is.

An object, or an upload, has a random data key, wrapped by the customer's or the named key. What is stored as a body is
its **inner stream**: segments of S - 16 bytes of plaintext, each sealed with the data key, so that one fills a segment
of the body. Each request attempt has an inner stream of its own: 16 random bytes, of which its key is derived, so that
no nonce ever meets two plaintexts. Background jobs move bodies, and touch the outer layer only.

Format 1 of the envelope: u8 algorithm (1: AES-256-GCM-SIV), 12 bytes of nonce, the wrapped data key. Wrapping key:
HKDF(outer key, "sse", store id); associated data: store id, u8 kind, the key's name. Key of a stream: HKDF(data key,
"sse-stream", stream id); its segments are sealed as those of a body (:mod:`.segment`) whose id is the stream's and
whose format is :data:`STREAM_FORMAT`.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import BodyId, StoreId
from noisefs.core.domain.records import Inner, PartInfo, Version
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.errors import IndexDamaged, NewerFormat, WrongCustomerKey

CUSTOMER: Final = 1
"""The key comes with each request."""
NAMED: Final = 2
"""The key has a name, and is kept here."""
STREAM_BYTES: Final = 16
NONCE_BYTES: Final = 12
STREAM_FORMAT: Final = 0x8001
"""In the associated data of inner segments: no body has this format."""

_SIV: Final = 1


class OuterKey(NamedTuple):
    """What wraps data keys: ``key`` of 32 bytes, from a customer or under a ``name``."""

    kind: int
    key: bytes
    name: str = ""

    def __repr__(self) -> str:
        """Never the key."""
        return f"OuterKey({self.kind}, {self.name!r})"


class Stream(NamedTuple):
    """One inner stream of an object: where its plaintext and its sealed bytes lie in the object's."""

    stream_id: bytes
    offset: int
    length: int
    sealed_offset: int


class Span(NamedTuple):
    """What is read of one stream: sealed bytes ``start`` to ``end`` of the object, of which ``length`` plaintext bytes
    behind the first ``skip`` are wanted. ``first``: number of the first segment; ``final``: the stream ends with them.
    """

    stream_id: bytes
    first: int
    start: int
    end: int
    skip: int
    length: int
    final: bool


def plain_bytes(segment_bytes: int) -> int:
    """Plaintext bytes of a whole inner segment, where S is ``segment_bytes``."""
    return segment_bytes - TAG_BYTES


def sealed_bytes(size: int, segment_bytes: int) -> int:
    """Bytes of an inner stream of ``size`` plaintext bytes."""
    return size + -(-size // plain_bytes(segment_bytes)) * TAG_BYTES


def wrap(data_key: bytes, outer: OuterKey, store_id: StoreId, nonce: bytes) -> bytes:
    """The data key's envelope. ``nonce``: :data:`NONCE_BYTES` random bytes."""
    return bytes([_SIV]) + nonce + _aead(outer, store_id).encrypt(nonce, data_key, _bound(outer, store_id))


def unwrap(inner: Inner, outer: OuterKey, store_id: StoreId) -> bytes:
    """The data key.

    Raises:
        WrongCustomerKey: It was wrapped with another one.
        IndexDamaged: The same of a key that is kept here.
        NewerFormat: Its algorithm is unknown here.
    """
    envelope = inner.envelope
    if envelope[:1] != bytes([_SIV]):
        raise NewerFormat(f"an object's key envelope names algorithm {envelope[:1].hex()}: this version knows {_SIV}")
    nonce, sealed = envelope[1 : 1 + NONCE_BYTES], envelope[1 + NONCE_BYTES :]
    try:
        return _aead(outer, store_id).decrypt(nonce, sealed, _bound(outer, store_id))
    except InvalidTag as exc:
        if outer.kind == CUSTOMER:
            raise WrongCustomerKey(
                "The provided encryption parameters did not match the ones used originally."
            ) from exc
        raise IndexDamaged(f"the data key of an object does not open with the key {outer.name!r}") from exc


def stream_cipher(data_key: bytes, stream_id: bytes, store_id: StoreId) -> BodyCipher:
    """Seals and opens one inner stream."""
    key = derive(data_key, Label.SSE_STREAM, stream_id)
    return BodyCipher(key, store_id, BodyId(stream_id), STREAM_FORMAT)


def streams_of(inner: Inner, version: Version, parts: Sequence[PartInfo], segment_bytes: int) -> list[Stream]:
    """The inner streams of a version, in order. ``parts``: its part table, empty where it was not uploaded in parts.

    Raises:
        IndexDamaged: A part does not say which stream it is.
    """
    if not parts:
        return [Stream(inner.stream, 0, version.size, 0)] if version.size else []
    found: list[Stream] = []
    sealed = 0
    for part in parts:
        if len(part.stream) != STREAM_BYTES:
            raise IndexDamaged(f"part {part.number} of an object sealed twice names no stream")
        if part.length:
            found.append(Stream(part.stream, part.offset, part.length, sealed))
        sealed += sealed_bytes(part.length, segment_bytes)
    return found


def spans_of(streams: Sequence[Stream], start: int, end: int, segment_bytes: int) -> Iterator[Span]:
    """What has to be read for plaintext bytes ``start`` to ``end`` (exclusive)."""
    plain = plain_bytes(segment_bytes)
    for stream in streams:
        begin = max(start, stream.offset) - stream.offset
        stop = min(end, stream.offset + stream.length) - stream.offset
        if begin >= stop:
            continue
        first, behind = begin // plain, -(-stop // plain)
        whole = sealed_bytes(stream.length, segment_bytes)
        yield Span(
            stream.stream_id,
            first,
            stream.sealed_offset + first * segment_bytes,
            stream.sealed_offset + min(behind * segment_bytes, whole),
            begin - first * plain,
            stop - begin,
            behind * segment_bytes >= whole,
        )


def _aead(outer: OuterKey, store_id: StoreId) -> AESGCMSIV:
    return AESGCMSIV(derive(outer.key, Label.SSE, store_id))


def _bound(outer: OuterKey, store_id: StoreId) -> bytes:
    return store_id + bytes([outer.kind]) + outer.name.encode()
