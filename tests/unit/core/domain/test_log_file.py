"""Log frames: what opens, and everything that must not."""

import pytest

from noisefs.core.domain.files.log_file import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    PAGE_BYTES,
    LogOpener,
    LogSealer,
    Record,
    parse_frame_head,
    parse_header,
)
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import InvalidArgument, NewerFormat

STORE = StoreId(b"s" * 16)
KEY = SnapshotKey(b"k" * 16, bytes(range(32)), 5)
FILE = b"f" * 16
RECORDS = [Record(n, [("objects", [(b"a", b"v%d" % n), (b"b", None)]), ("runs", [])]) for n in range(3, 6)]


def sealed() -> tuple[LogSealer, bytes]:
    """A sealer, and the frame of ``RECORDS``."""
    sealer = LogSealer(STORE, KEY, FILE)
    for record in RECORDS:
        sealer.add(record)
    return sealer, bytes(sealer.seal())


def test_records_come_back() -> None:
    """With header and ids."""
    sealer, frame = sealed()
    assert len(sealer.header) == HEADER_BYTES
    assert parse_header(sealer.header) == (KEY.key_id, FILE)
    head = parse_frame_head(frame[:FRAME_HEAD_BYTES])
    assert head is not None
    assert (head.first, head.last, head.size_bytes) == (3, 5, len(frame) - FRAME_HEAD_BYTES)
    opener = LogOpener(STORE, bytes(sealer.header), KEY)
    assert opener.open(frame[:FRAME_HEAD_BYTES], frame[FRAME_HEAD_BYTES:]) == RECORDS


def test_frames_fill_whole_pages_and_follow_each_other() -> None:
    """Of any size; buffers are used again, and none is left with what was in it."""
    sealer = LogSealer(STORE, KEY, FILE)
    opener = LogOpener(STORE, bytes(sealer.header), KEY)
    for number, size in enumerate((0, 1, 3900, 4096, 70_000, 5_000_000, 10, 4_000_000, 0)):
        record = Record(number, [("inline", [(b"k", bytes([number]) * size)])])
        assert sealer.waiting_bytes == 0
        sealer.add(record)
        assert sealer.waiting_bytes > size
        frame = bytes(sealer.seal())
        assert len(frame) % PAGE_BYTES == 0
        assert opener.open(frame[:FRAME_HEAD_BYTES], frame[FRAME_HEAD_BYTES:]) == [record]


def test_numbers_of_a_file_only_ascend() -> None:
    """They are its nonces."""
    sealer, _ = sealed()
    for number in (5, 3, 0):
        with pytest.raises(InvalidArgument):
            sealer.add(Record(number, []))
    sealer.add(Record(6, []))


@pytest.mark.parametrize("position", [0, 5, 12, 19, 20, -1])
def test_a_changed_byte_is_not_believed(position: int) -> None:
    """In the head, the ciphertext or the tag."""
    sealer, frame = sealed()
    raw = bytearray(frame)
    raw[position] ^= 1
    opener = LogOpener(STORE, bytes(sealer.header), KEY)
    assert opener.open(bytes(raw[:FRAME_HEAD_BYTES]), bytes(raw[FRAME_HEAD_BYTES:])) is None


def test_only_its_store_and_key_open_it() -> None:
    """By the tag."""
    sealer, frame = sealed()
    for store, key in ((StoreId(b"t" * 16), KEY), (STORE, SnapshotKey(KEY.key_id, bytes(32), 5))):
        opener = LogOpener(store, bytes(sealer.header), key)
        assert opener.open(frame[:FRAME_HEAD_BYTES], frame[FRAME_HEAD_BYTES:]) is None


def test_what_a_crash_cut_off_is_no_header_and_no_frame() -> None:
    """Not an error."""
    sealer, frame = sealed()
    for raw in (b"", bytes(sealer.header)[:-1], b"XXXX" + bytes(sealer.header)[4:]):
        assert parse_header(raw) is None
    for raw in (b"", frame[: FRAME_HEAD_BYTES - 1], bytes(FRAME_HEAD_BYTES), b"\xff" * FRAME_HEAD_BYTES):
        assert parse_frame_head(raw) is None
    opener = LogOpener(STORE, bytes(sealer.header), KEY)
    assert opener.open(frame[:FRAME_HEAD_BYTES], frame[FRAME_HEAD_BYTES:-1]) is None
    assert opener.open(b"short", b"") is None


def test_newer_formats_and_short_ids_are_refused() -> None:
    """Naming the numbers."""
    sealer, _ = sealed()
    with pytest.raises(NewerFormat, match="format 2"):
        parse_header(bytes(sealer.header)[:4] + b"\0\2" + bytes(sealer.header)[6:])
    with pytest.raises(InvalidArgument):
        LogSealer(STORE, KEY, b"short")
