"""CARv1 streams: the bytes of the specification, and strict reading."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import (
    car_bytes,
    car_header,
    car_of,
    encode_varint,
    frame_blocks,
    read_car,
    section_bytes,
    section_head,
)
from noisefs.core.domain.nodes.root import ROOT_PREFIX, root_id
from noisefs.core.errors import InvalidArgument

ROOT = b"\xa0"
ROOT_ID = root_id(ROOT)


@pytest.mark.parametrize(("number", "raw"), [(0, "00"), (127, "7f"), (128, "8001"), (131124, "b48008")])
def test_a_varint_has_seven_bits_a_byte(number: int, raw: str) -> None:
    assert encode_varint(number).hex() == raw


def test_the_header_is_that_of_the_specification() -> None:
    root = RootId(ROOT_PREFIX + bytes(32))
    expected = "3a" + "a2" + "65" + b"roots".hex() + "81d82a5825" + "00" + root.hex() + "67" + b"version".hex() + "01"
    assert car_header(root).hex() == expected


def test_a_stream_has_the_length_told_and_reads_back() -> None:
    blocks = [bytes([n]) * 300 for n in range(3)]
    names = [compute_block_id(block) for block in blocks]
    stream = car_of(ROOT_ID, [*zip(names, blocks, strict=True), (ROOT_ID, ROOT)])
    assert len(stream) == car_bytes(3, 300, ROOT)
    roots, sections = read_car(stream)
    assert roots == [ROOT_ID]
    assert [(name, bytes(data)) for name, data in sections] == [*zip(names, blocks, strict=True), (ROOT_ID, ROOT)]


@pytest.mark.parametrize("block_bytes", [90, 91, 92, 128 * 1024 + 16])
def test_framing_leaves_each_block_its_place(block_bytes: int) -> None:
    blocks = [hashlib.shake_128(bytes([n])).digest(block_bytes) for n in range(4)]
    names = [compute_block_id(block) for block in blocks]
    room = memoryview(bytearray(4 * section_bytes(block_bytes) + 5))
    for place, block in zip(frame_blocks(names, block_bytes, room), blocks, strict=True):
        place[:] = block
    expected = b"".join(section_head(name, block_bytes) + block for name, block in zip(names, blocks, strict=True))
    assert bytes(room) == expected + bytes(5)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: car_header(ROOT_ID) + tail))
def test_other_bytes_are_refused_or_read_back_equal(raw: bytes) -> None:
    try:
        roots, sections = read_car(raw)
        blocks = [(name, bytes(data)) for name, data in sections]
    except InvalidArgument:
        return
    if len(roots) == 1:
        assert car_of(roots[0], blocks) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80",
        b"\xb8\x00" + car_header(ROOT_ID)[1:],
        car_header(ROOT_ID)[:-1],
        car_header(ROOT_ID)[:-1] + b"\x02",
        b"\x01\xa0",
        car_header(ROOT_ID) + section_head(ROOT_ID, 5) + b"four",
        car_header(ROOT_ID) + section_head(BlockId(b"\x01\x70\x12\x20" + bytes(32)), 1) + b"x",
        car_header(ROOT_ID) + b"\x05hello",
        car_header(ROOT_ID) + encode_varint(1 << 40),
    ],
)
def test_what_is_no_stream_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument):
        list(read_car(raw)[1])
