"""A snapshot's frames: what opens, and everything that must not."""

import struct

import pytest

from noisefs.core.domain.files.snapshot_file import (
    HEADER_BYTES,
    LENGTH_BYTES,
    Closing,
    Frame,
    Opening,
    Rows,
    SnapshotOpener,
    SnapshotSealer,
    parse_header,
)
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import InvalidArgument, NewerFormat, SnapshotDamaged

STORE = StoreId(b"s" * 16)
KEY = SnapshotKey(b"k" * 16, bytes(range(32)), 5)
FILE = b"f" * 16
FRAMES: list[Frame] = [
    Opening(7, 123),
    Rows("objects", [(b"a", b"value " * 100), (b"b", None)]),
    Rows("inline", [(b"c", bytes(range(256)))]),
    Closing(9, 3),
]


def sealed_frames() -> tuple[bytes, list[bytes]]:
    """Header and frames."""
    sealer = SnapshotSealer(STORE, KEY, FILE)
    return sealer.header, [sealer.seal(frame) for frame in FRAMES]


def opened(opener: SnapshotOpener, raw: bytes) -> Frame:
    """The frame in these bytes of a file."""
    size, _ = opener.length(raw[:LENGTH_BYTES])
    return opener.open(raw[LENGTH_BYTES : LENGTH_BYTES + size])


def test_frames_come_back_in_order() -> None:
    """With header and ids."""
    header, sealed = sealed_frames()
    assert len(header) == HEADER_BYTES
    assert parse_header("x", header) == (KEY.key_id, FILE)
    opener = SnapshotOpener("x", STORE, header, KEY)
    assert [opened(opener, raw) for raw in sealed] == FRAMES


def test_rows_are_compressed_where_that_pays() -> None:
    """And only where it is wanted."""
    sealer = SnapshotSealer(STORE, KEY, FILE)
    rows = Rows("objects", [(b"key", b"the same " * 1000)])
    assert len(sealer.seal(rows)) < 500
    assert len(sealer.seal(rows, compress=False)) > 9000


@pytest.mark.parametrize(
    ("store", "key"),
    [(StoreId(b"t" * 16), KEY), (STORE, SnapshotKey(KEY.key_id, bytes(32), 5))],
    ids=["another store", "another key"],
)
def test_only_its_store_and_key_open_it(store: StoreId, key: SnapshotKey) -> None:
    """By the tag."""
    header, sealed = sealed_frames()
    with pytest.raises(SnapshotDamaged, match="frame 0 does not verify"):
        opened(SnapshotOpener("x", store, header, key), sealed[0])


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 1, 1], [0, 3], [0, 1, 2, 2]])
def test_frames_out_of_order_do_not_open(order: list[int]) -> None:
    """Left out, repeated or moved."""
    header, sealed = sealed_frames()
    opener = SnapshotOpener("x", STORE, header, KEY)
    for number in order[:-1]:
        opened(opener, sealed[number])
    with pytest.raises(SnapshotDamaged):
        opened(opener, sealed[order[-1]])


@pytest.mark.parametrize("position", [0, 3, 4, 20, -1])
def test_a_changed_byte_is_found(position: int) -> None:
    """In the length, the flag, the ciphertext or the tag."""
    header, sealed = sealed_frames()
    raw = bytearray(sealed[0])
    raw[position] ^= 0x80
    with pytest.raises(SnapshotDamaged):
        opened(SnapshotOpener("x", STORE, header, KEY), bytes(raw))


def test_a_last_frame_cannot_be_made_of_another() -> None:
    """The flag is part of the nonce: a snapshot cannot be cut short and look whole."""
    header, sealed = sealed_frames()
    opener = SnapshotOpener("x", STORE, header, KEY)
    opened(opener, sealed[0])
    (field,) = struct.unpack(">I", sealed[1][:4])
    with pytest.raises(SnapshotDamaged):
        opened(opener, struct.pack(">I", field | 1 << 31) + sealed[1][4:])


def test_headers_of_other_files_are_refused() -> None:
    """Cut off, of another kind, of a newer format."""
    header, _ = sealed_frames()
    for raw in (b"", header[:-1], b"XXXX" + header[4:]):
        with pytest.raises(SnapshotDamaged):
            parse_header("x", raw)
    with pytest.raises(NewerFormat, match="format 2"):
        parse_header("x", header[:4] + b"\0\2" + header[6:])


def test_a_file_id_has_16_bytes() -> None:
    """The file's key follows from it."""
    with pytest.raises(InvalidArgument):
        SnapshotSealer(STORE, KEY, b"short")


@pytest.mark.parametrize("raw", [b"", b"\0\0\0", b"\0\0\0\0", b"\0\0\0\x10", b"\x7f\xff\xff\xff"])
def test_impossible_lengths_are_damage(raw: bytes) -> None:
    """Before memory is asked for them."""
    header, _ = sealed_frames()
    with pytest.raises(SnapshotDamaged):
        SnapshotOpener("x", STORE, header, KEY).length(raw)
