"""Shared cells: room, overhead, refusals."""

import random

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.sealing.shared_cell import SharedCellBuilder, SliceEntry, open_directory
from noisefs.core.errors import InvalidArgument, PackDamaged

STORE, PACK, KEY = StoreId(b"s" * 16), PackId(b"p" * 16), b"k" * 32
BODY = BodyId(b"\xff" * 16)
BLOCK = 4112


def quiet(into: memoryview) -> None:
    into[:] = b"\xa5" * len(into)


def seal(builder: SharedCellBuilder, number: int = 9) -> bytes:
    return builder.seal(store_key=KEY, store_id=STORE, pack_id=PACK, cell_number=number, padding=quiet)


def reopen(cell: bytes, number: int = 9, pack_id: PackId = PACK) -> list[SliceEntry]:
    return open_directory(cell, store_key=KEY, store_id=STORE, pack_id=pack_id, cell_number=number)


def test_room_is_honest_to_the_last_byte() -> None:
    """As many bytes as promised fit, with the largest entry there is; then the cell is full."""
    builder = SharedCellBuilder(BLOCK)
    room = builder.room()
    builder.add(BODY, 2**56 - 1, 2**32 - 1, 0, 2**32 - 1, bytes(room))
    assert builder.room() == 0
    entry = SliceEntry(BODY, 2**56 - 1, 2**32 - 1, 0, room, 0, 2**32 - 1)
    assert reopen(seal(builder)) == [entry]


def test_many_tiny_slices_fill_a_cell_without_overflow() -> None:
    builder = SharedCellBuilder(BLOCK)
    while builder.room():
        builder.add(BODY, 2**56 - 1, 2**32 - 1, 0, 1, b"x")
    assert len(reopen(seal(builder))) == builder.slices > 90


@pytest.mark.parametrize(
    ("offset", "total", "size"), [(0, 5, 0), (0, 4, 5), (1, 5, 5), (-1, 9, 5), (0, BLOCK, BLOCK - 90)]
)
def test_pieces_that_are_none_are_refused(offset: int, total: int, size: int) -> None:
    builder = SharedCellBuilder(BLOCK)
    with pytest.raises(InvalidArgument):
        builder.add(BODY, 0, 0, offset, total, bytes(size))
    assert builder.slices == 0


def test_an_id_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        SharedCellBuilder(BLOCK).add(BodyId(b"short"), 0, 0, 0, 1, b"x")


def test_slices_are_read_without_the_directory() -> None:
    builder = SharedCellBuilder(BLOCK)
    builder.add(BODY, 0, 0, 0, 3, b"one")
    offset = builder.add(BODY, 0, 0, 2, 5, b"two")
    cell = seal(builder)
    assert cell[offset : offset + 3] == b"two"
    assert reopen(cell)[1].piece_offset == 2


@pytest.mark.parametrize("at", [-1, -20, -23, -30, -50])
def test_a_changed_directory_is_damage(at: int) -> None:
    builder = SharedCellBuilder(BLOCK)
    builder.add(BODY, 0, 0, 0, 3, b"one")
    cell = bytearray(seal(builder))
    cell[at] ^= 1
    with pytest.raises(PackDamaged):
        reopen(bytes(cell))


def test_a_directory_belongs_to_its_place() -> None:
    cell = seal(SharedCellBuilder(BLOCK))
    assert reopen(cell) == []
    with pytest.raises(PackDamaged):
        reopen(cell, number=10)
    with pytest.raises(PackDamaged):
        reopen(cell, pack_id=PackId(b"q" * 16))
    with pytest.raises(PackDamaged):
        reopen(b"")


@pytest.mark.parametrize("mean", [8192, 20000])
def test_packed_slices_keep_the_space_promise(mean: int) -> None:
    """Full packs of slices of mean size 8 KiB and more, split over cells: stored <= 1.02 x live."""
    rng = random.Random(mean)
    block = Geometry().block_bytes
    live = 0
    cells = 400
    builder, done = SharedCellBuilder(block), 0
    while done < cells:
        plain = rng.randrange(1, 2 * mean)
        live += plain
        total, put = plain + 16, 0
        while put < total:
            if not builder.room():
                builder, done = SharedCellBuilder(block), done + 1
            piece = min(total - put, builder.room())
            builder.add(BODY, 0, 0, put, total, bytes(piece))
            put += piece
    stored = cells * block * 512 / 507
    assert stored / live <= 1.02
