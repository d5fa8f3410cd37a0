"""Files as blocks on nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.ids import RootId, StoreId
from noisefs.core.domain.nodes.node_file import SALT_BYTES, FileBlocks, blocks_of, salt_of, span_of, split_front
from noisefs.core.errors import RootDamaged

STORE = StoreId(b"s" * 16)
KEY = b"k" * 32
BLOCK = 272
PREVIOUS = RootId(b"\x01\x71\x12\x20" + b"p" * 32)


def sealed(data: bytes, previous: RootId | None = PREVIOUS, store: StoreId = STORE) -> list[bytes]:
    salt = salt_of(store, KEY, previous, [data[:7], data[7:]])
    blocks = FileBlocks(store, KEY, salt, BLOCK)
    found = []
    for number in range(blocks_of(len(data), BLOCK)):
        begin, size = span_of(number, BLOCK)
        found.append(blocks.seal(number, data[begin : begin + size], previous))
    return found


def opened(blocks: list[bytes], size: int) -> tuple[RootId | None, bytes]:
    opener = FileBlocks(STORE, KEY, blocks[0][:SALT_BYTES], BLOCK)
    previous, data = split_front(b"".join(opener.open(number, block) for number, block in enumerate(blocks)))
    return previous, data[:size]


@given(st.binary(max_size=3 * BLOCK), st.sampled_from([None, PREVIOUS]))
def test_a_file_comes_back_from_blocks_of_one_size(data: bytes, previous: RootId | None) -> None:
    """Whatever its length, and with the root in front of it."""
    blocks = sealed(data, previous)
    assert {len(block) for block in blocks} == {BLOCK}
    assert opened(blocks, len(data)) == (previous, data)


def test_the_same_file_gives_the_same_blocks_and_another_shares_none() -> None:
    """So that a crash leaves nothing twice, and no key seals two texts."""
    data = bytes(3 * BLOCK)
    assert sealed(data) == sealed(data)
    other = sealed(data[:-1] + b"\1")
    assert not set(sealed(data)) & set(other)
    assert not set(sealed(data)) & set(sealed(data, None))


def test_a_changed_moved_or_foreign_block_does_not_open() -> None:
    """Each is bound to its place, its file and its store."""
    blocks = sealed(bytes(3 * BLOCK))
    with pytest.raises(RootDamaged):
        opened([blocks[0], blocks[2], blocks[1], *blocks[3:]], 1)
    with pytest.raises(RootDamaged):
        opened([blocks[0], blocks[1][:-1] + bytes([blocks[1][-1] ^ 1]), *blocks[2:]], 1)
    with pytest.raises(RootDamaged):
        opened(sealed(bytes(9), store=StoreId(b"t" * 16)), 9)


def test_blocks_of_zeros_show_no_pattern() -> None:
    """Every block is as incompressible as noise, the salt and the padding too."""
    assert len(set(b"".join(sealed(bytes(40 * BLOCK))))) == 256
