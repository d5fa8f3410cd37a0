"""Where long files are cut."""

import pytest

from noisefs.core.domain.nodes.file_parts import MOST_BLOCKS, FilePart, part_name, parts_of, whole_name
from noisefs.core.domain.nodes.node_file import blocks_of, bytes_in
from noisefs.core.domain.nodes.root import MAX_ROOT_BYTES, RootKind, RootMeta, RootSealer
from tests.support.stores import KEYS

BLOCK_BYTES = 1040
ROOM = bytes_in(3, BLOCK_BYTES)


@pytest.mark.parametrize("size", [0, 1, ROOM - 1, ROOM])
def test_a_file_that_fits_is_one_part_as_it_always_was(size: int) -> None:
    assert parts_of("a", size, BLOCK_BYTES, 3) == [FilePart("a", RootKind.FILE, 0, 0, size)]


@pytest.mark.parametrize("size", [ROOM + 1, 2 * ROOM, 2 * ROOM + 1, 10 * ROOM])
def test_a_longer_one_is_cut_without_a_gap(size: int) -> None:
    parts = parts_of("a", size, BLOCK_BYTES, 3)
    assert [part.number for part in parts] == list(range(-(-size // ROOM)))
    at = 0
    for part in parts:
        assert (part.kind, part.offset_bytes) == (RootKind.PART, at)
        assert part.size_bytes > 0
        assert blocks_of(part.size_bytes, BLOCK_BYTES) <= 3
        at += part.size_bytes
    assert at == size
    assert [part.name for part in parts] == [*(part_name("a", part.number) for part in parts[:-1]), "a"]
    assert {whole_name(part.name) for part in parts} == {"a"}


@pytest.mark.parametrize("block_bytes", [(128 << 10) + 16, (1 << 20) + 16])
def test_the_most_blocks_are_as_many_as_before_parts(block_bytes: int) -> None:
    """What was shipped as one file stays one, under the same root."""
    most = bytes_in(MOST_BLOCKS, block_bytes)
    assert blocks_of(most, block_bytes) == MOST_BLOCKS == 25_000
    assert blocks_of(most + 1, block_bytes) == MOST_BLOCKS + 1
    assert [len(parts_of("a", size, block_bytes)) for size in (most, most + 1)] == [1, 2]


def test_a_root_of_the_most_blocks_is_still_read() -> None:
    name = part_name("f" * 16 + "-" + "f" * 16 + "-" + "f" * 16 + "-" + "f" * 32 + ".snapshot", 999)
    meta = RootMeta(RootKind.PART, b"", 999, MOST_BLOCKS, 2**63, 2**63, name, 2**40, 2**60, 2**32)
    links = tuple(bytes.fromhex("01551220") + number.to_bytes(32, "big") for number in range(MOST_BLOCKS))
    raw = RootSealer(KEYS.store_id, KEYS.store_key).seal(links, meta, nonce=bytes(12))  # type: ignore[arg-type] # ids
    assert len(raw) <= MAX_ROOT_BYTES
