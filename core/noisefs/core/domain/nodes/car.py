"""CARv1 (IPLD specification): a header that names the roots, then blocks, each behind its length and name.

::

    varint(header bytes) ‖ dag-cbor {"roots": [link], "version": 1}
    then for each block: varint(36 + block bytes) ‖ name ‖ block

Streams of ours have one root, and it comes last: a stream that breaks off has no root, so nothing of it is pinned.
Reading takes bytes from anywhere, so it is strict.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.dag_cbor import Link, decode_dag, encode_dag
from noisefs.core.errors import InvalidArgument

VERSION: Final = 1
NAME_BYTES: Final = 36
"""A CIDv1 with a codec of one byte and sha2-256: block or root."""
_NAME_KINDS: Final = (bytes.fromhex("01551220"), bytes.fromhex("01711220"))
_VARINT_BYTES: Final = 9
"""The multiformats varint has at most 63 bits."""
MAX_SECTION_BYTES: Final = 2 << 20
"""Kubo refuses larger blocks."""


def encode_varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; every byte but the last has its top bit set."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def car_header(root: RootId) -> bytes:
    """What a stream of this root begins with."""
    header = encode_dag({"roots": [Link(root)], "version": VERSION})
    return encode_varint(len(header)) + header


def section_head(name: BlockId | RootId, size_bytes: int) -> bytes:
    """What stands in front of a block of this many bytes."""
    return encode_varint(NAME_BYTES + size_bytes) + name


def section_bytes(size_bytes: int) -> int:
    """What a block of this many bytes takes in a stream."""
    return len(encode_varint(NAME_BYTES + size_bytes)) + NAME_BYTES + size_bytes


def car_bytes(blocks: int, block_bytes: int, root: bytes) -> int:
    """Length of a stream of equally long blocks and their root. Depends on the root's length alone."""
    header = len(car_header(RootId(bytes(NAME_BYTES))))
    return header + blocks * section_bytes(block_bytes) + section_bytes(len(root))


def frame_blocks(names: Sequence[BlockId], block_bytes: int, into: memoryview) -> list[memoryview]:
    """Write the heads of neighbouring sections; returns where each block's bytes belong.

    So that blocks are read from a file straight into their places and leave as one piece.

    Args:
        names: Of the blocks, in order.
        block_bytes: What each of them has.
        into: Room for ``len(names) * section_bytes(block_bytes)`` bytes at least.
    """
    length = encode_varint(NAME_BYTES + block_bytes)
    head_bytes = len(length) + NAME_BYTES
    places, at = [], 0
    for name in names:
        into[at : at + head_bytes] = length + name
        places.append(into[at + head_bytes : at + head_bytes + block_bytes])
        at += head_bytes + block_bytes
    return places


def car_of(root: RootId, blocks: Sequence[tuple[BlockId | RootId, bytes]]) -> bytes:
    """A whole stream of few and small blocks, the root's own among them (last)."""
    pieces = [car_header(root)]
    for name, block in blocks:
        pieces += (section_head(name, len(block)), block)
    return b"".join(pieces)


def read_car(raw: bytes | memoryview) -> tuple[list[RootId], Iterator[tuple[BlockId | RootId, memoryview]]]:
    """The roots of a stream, and its blocks as views in their order; digests are **not** verified.

    Raises:
        InvalidArgument: It is no CARv1 stream of names like ours, at once or at that block.
    """
    view = memoryview(raw)
    length, at = _read_varint(view, 0)
    if length > len(view) - at:
        raise InvalidArgument("CAR header", f"{length} bytes", f"at most the {len(view) - at} that follow")
    header = decode_dag(bytes(view[at : at + length]))
    if not isinstance(header, dict) or set(header) != {"roots", "version"} or header["version"] != VERSION:
        raise InvalidArgument("CAR header", repr(header)[:80], "roots and version 1")
    roots = header["roots"]
    if not isinstance(roots, list) or not all(isinstance(root, Link) for root in roots):
        raise InvalidArgument("CAR roots", repr(roots)[:80], "a list of links")
    return [RootId(root.cid) for root in roots if isinstance(root, Link)], _sections(view, at + length)


def _sections(view: memoryview, at: int) -> Iterator[tuple[BlockId | RootId, memoryview]]:
    while at < len(view):
        length, at = _read_varint(view, at)
        name = bytes(view[at : at + NAME_BYTES])
        if not NAME_BYTES <= length <= NAME_BYTES + MAX_SECTION_BYTES or length > len(view) - at:
            raise InvalidArgument("CAR section", f"{length} bytes", "a name and a block, whole")
        if not name.startswith(_NAME_KINDS):
            raise InvalidArgument("CAR section", name.hex(), "the name of a raw or dag-cbor block with sha2-256")
        yield (RootId if name[1] == _NAME_KINDS[1][1] else BlockId)(name), view[at + NAME_BYTES : at + length]
        at += length


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for count, byte in enumerate(view[at : at + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count:
                break
            return number, at + count + 1
    raise InvalidArgument("varint", view[at : at + _VARINT_BYTES].hex(), "one of at most 9 bytes in its shortest form")
