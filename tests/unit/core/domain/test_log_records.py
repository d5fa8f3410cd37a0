"""Log records as blocks on nodes."""

import random

import pytest

from noisefs.core.domain.files.log_file import Record
from noisefs.core.domain.files.log_records import in_order, open_records, seal_records
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.nodes.root import RootKind, RootMeta
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import InvalidArgument, RootDamaged

STORE = StoreId(b"s" * 16)
STORE_KEY = b"k" * 32
KEY = SnapshotKey(b"i" * 16, b"j" * 32, 0)
BLOCK = 8192 + 16
RECORDS = [
    Record(5, [("meta", [(b"a", b"1"), (b"b", None)])]),
    Record(9, [("objects", [(b"key", bytes(20_000))]), ("meta", [(b"c", b"")])]),
]


def sealed(records: list[Record] = RECORDS) -> tuple[list[bytes], RootMeta]:
    """Blocks, and what their root says."""
    blocks, size = seal_records(
        records, store_id=STORE, store_key=STORE_KEY, key=KEY, file_id=b"f" * 16, block_bytes=BLOCK
    )
    return blocks, RootMeta(RootKind.LOG, log_first=3, log_number=records[-1].sequence, size_bytes=size)


def opened(blocks: list[bytes], meta: RootMeta, key: SnapshotKey = KEY) -> list[Record]:
    """What is in them."""
    return open_records(blocks, meta, store_id=STORE, store_key=STORE_KEY, keys={key.key_id: key}, block_bytes=BLOCK)


def test_records_come_back_in_order() -> None:
    blocks, meta = sealed()
    assert len(blocks) == 4
    assert all(len(block) == BLOCK for block in blocks)
    assert opened(blocks, meta) == RECORDS


def test_a_block_shows_nothing_of_the_file() -> None:
    """The file's own header has a magic number, and its pages end with zeros."""
    blocks, _ = sealed([Record(1, [("meta", [(b"a", b"1")])])])
    assert b"NFSL" not in blocks[0]
    assert bytes(16) not in blocks[0]


@pytest.mark.parametrize("damage", ["bit", "missing", "swapped", "key", "size", "number"])
def test_what_was_changed_is_refused(damage: str) -> None:
    blocks, meta = sealed()
    key = KEY
    match damage:
        case "bit":
            blocks[1] = blocks[1][:-1] + bytes([blocks[1][-1] ^ 1])
        case "missing":
            blocks.pop()
        case "swapped":
            blocks[1], blocks[2] = blocks[2], blocks[1]
        case "key":
            key = SnapshotKey(b"other id of 16 b", b"j" * 32, 0)
        case "size":
            meta = RootMeta(RootKind.LOG, log_first=3, log_number=9, size_bytes=meta.size_bytes - 1)
        case "number":
            meta = RootMeta(RootKind.LOG, log_first=3, log_number=10, size_bytes=meta.size_bytes)
    with pytest.raises(RootDamaged):
        opened(blocks, meta, key)


def test_no_records_are_no_file() -> None:
    with pytest.raises(InvalidArgument):
        sealed([])


def test_files_are_followed_to_the_first_gap() -> None:
    spans = [(8, 9), (1, 4), (3, 7), (5, 6), (11, 12), (1, 2)]
    found = [RootMeta(RootKind.LOG, log_first=first, log_number=last, epoch=2) for first, last in spans]
    other = RootMeta(RootKind.LOG, log_first=10, log_number=10, epoch=1)
    assert [(m.log_first, m.log_number) for m in in_order([*found, other], 0, 2)] == [(1, 4), (3, 7), (8, 9)]
    assert [(m.log_first, m.log_number) for m in in_order(found, 9, 2)] == []
    assert [(m.log_first, m.log_number) for m in in_order(found, 10, 2)] == [(11, 12)]


def test_whatever_the_files_nothing_behind_a_gap_is_taken() -> None:
    rng = random.Random(7)
    for _ in range(300):
        spans = [(first := rng.randrange(1, 30), first + rng.randrange(6)) for _ in range(rng.randrange(12))]
        found = [RootMeta(RootKind.LOG, log_first=first, log_number=last) for first, last in spans]
        start = reached = rng.randrange(20)
        for meta in in_order(found, start, 0):
            assert meta.log_first <= reached + 1
            assert meta.log_number > reached
            reached = meta.log_number
        assert not any(first <= reached + 1 and last > reached for first, last in spans)
