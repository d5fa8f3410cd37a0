"""Inner streams: what goes in comes out, any range of it, and nothing else."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.records import Inner, PartInfo, Version
from noisefs.core.domain.sealing import inner
from noisefs.core.domain.sealing.inner import CUSTOMER, NAMED, OuterKey, Stream, sealed_bytes, spans_of, streams_of
from noisefs.core.errors import IndexDamaged, NewerFormat, SegmentDamaged, WrongCustomerKey
from noisefs.core.services.bodies.inner import WINDOW_SEGMENTS, InnerStream, opened
from tests.support.namespace import ALICE, stream

S = 131_072
P = S - 16
STORE = StoreId(b"s" * 16)
KEY = b"k" * 32
ID = b"i" * 16
SIZES = (0, 1, P - 1, P, P + 1, WINDOW_SEGMENTS * P, WINDOW_SEGMENTS * P + 1, 11 * P + 7)


def pattern(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"inner").digest(size)


async def sealed(data: bytes, *, stream_id: bytes = ID, piece: int = 100_000) -> bytes:
    """An inner stream's bytes."""
    cipher = inner.stream_cipher(KEY, stream_id, STORE)
    written = InnerStream(
        stream(data, piece), cipher, segment_bytes=S, workers=InlineWorkers(), digests=("MD5", "CRC32C")
    )
    found = b"".join([bytes(one) async for one in written.pieces()])
    assert written.digested.size == len(data)
    assert written.digested.digests["MD5"] == hashlib.md5(data).digest()
    return found


async def read(raw: bytes, streams: list[Stream], start: int, end: int, *, piece: int = 70_000) -> bytes:
    """A range out of the sealed bytes of an object."""
    found = b""
    for span in spans_of(streams, start, end, S):

        async def chunks(begin: int = span.start, stop: int = span.end) -> AsyncIterator[memoryview]:
            for at in range(begin, stop, piece):
                yield memoryview(raw)[at : min(stop, at + piece)]

        cipher = inner.stream_cipher(KEY, span.stream_id, STORE)
        async for one in opened(chunks(), span, cipher, segment_bytes=S, workers=InlineWorkers()):
            found += one
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_what_goes_in_comes_out(size: int) -> None:
    """Whole, and in ranges across every boundary."""
    data = pattern(size)
    raw = await sealed(data)
    assert len(raw) == sealed_bytes(size, S)
    version = Version(size, "", 0, ALICE.user_id)
    streams = streams_of(Inner(CUSTOMER, b"", ID), version, [], S)
    assert await read(raw, streams, 0, size) == data
    edges = sorted({0, 1, P - 1, P, P + 1, size // 2, size - 1, size} & set(range(size + 1)))
    for start in edges:
        for end in edges:
            if start < end:
                assert await read(raw, streams, start, end) == data[start:end]


async def test_parts_have_streams_of_their_own() -> None:
    """Also empty ones; ranges go across."""
    pieces = [pattern(P + 5), b"", pattern(3), pattern(2 * P)]
    raw, table, offset = b"", [], 0
    for number, data in enumerate(pieces, start=1):
        stream_id = bytes([number]) * 16
        raw += await sealed(data, stream_id=stream_id)
        table.append(PartInfo(number, offset, len(data), b"", stream=stream_id))
        offset += len(data)
    whole = b"".join(pieces)
    streams = streams_of(Inner(NAMED, b""), Version(offset, "", 0, ALICE.user_id), table, S)
    for start, end in ((0, offset), (P + 4, P + 9), (P + 5, P + 8), (P + 7, offset - 1), (offset - 1, offset)):
        assert await read(raw, streams, start, end) == whole[start:end]
    with pytest.raises(IndexDamaged):
        streams_of(Inner(NAMED, b""), Version(3, "", 0, ALICE.user_id), [PartInfo(1, 0, 3, b"")], S)


async def test_changed_cut_and_swapped_bytes_are_found() -> None:
    """Every byte belongs to its stream and its place, and the last segment says that it is the last."""
    data = pattern(3 * P)
    raw = await sealed(data)
    one = [Stream(ID, 0, len(data), 0)]
    flipped = bytearray(raw)
    flipped[S + 5] ^= 1
    swapped = raw[S : 2 * S] + raw[:S] + raw[2 * S :]
    for bad in (bytes(flipped), swapped, raw[: 2 * S]):
        with pytest.raises(SegmentDamaged):
            await read(bad, one, 0, len(data))
    with pytest.raises(SegmentDamaged):
        await read(raw[: 2 * S], [Stream(ID, 0, 2 * P, 0)], 0, 2 * P)  # a shorter object it never was
    with pytest.raises(SegmentDamaged):
        await read(raw, [Stream(b"j" * 16, 0, len(data), 0)], 0, len(data))


def test_an_envelope_opens_with_its_key_alone() -> None:
    """And only in its store, as its kind, under its name."""
    outer = OuterKey(CUSTOMER, b"c" * 32)
    envelope = inner.wrap(KEY, outer, STORE, b"n" * 12)
    assert inner.unwrap(Inner(CUSTOMER, envelope), outer, STORE) == KEY
    with pytest.raises(WrongCustomerKey):
        inner.unwrap(Inner(CUSTOMER, envelope), OuterKey(CUSTOMER, b"d" * 32), STORE)
    with pytest.raises(WrongCustomerKey):
        inner.unwrap(Inner(CUSTOMER, envelope), outer, StoreId(b"t" * 16))
    with pytest.raises(IndexDamaged):
        inner.unwrap(Inner(NAMED, envelope), OuterKey(NAMED, b"c" * 32, "n"), STORE)
    with pytest.raises(NewerFormat):
        inner.unwrap(Inner(CUSTOMER, b"\x02" + envelope[1:]), outer, STORE)
    assert "c" * 8 not in repr(outer)
