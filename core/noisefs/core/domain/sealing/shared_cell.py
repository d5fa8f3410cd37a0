"""Cells shared by slices: sealed slices back to back, noise, and a sealed directory at the end.

    slice | slice | … | noise | directory, sealed | its length, sealed

Slices are read at (offset, length) without the directory; that is for rebuilding and cleaning. Both seals at the end
are AES-256-GCM-SIV under HKDF(store key, "celldir", pack id); nonce: u64 cell number, u32 0 for the directory and 1 for
its length; associated data: store id, pack id. The format stands beside the length. A cell number is sealed once per
pack id, and should a full disk make a writer seal one again, GCM-SIV keeps both secret.
Overhead: 16 bytes of tag and about 27 of directory a slice, 43 a cell.
"""

import struct
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import ID_BYTES, BodyId, PackId, StoreId
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat, PackDamaged

FORMAT: Final = 1

_NONCE: Final = struct.Struct(">QI")
_TRAILER: Final = struct.Struct(">HI")
_TRAILER_BYTES: Final = _TRAILER.size + TAG_BYTES
_DIRECTORY: Final = 0
_LENGTH: Final = 1

ENTRY_BYTES_MAX: Final = 48
"""Most that one slice's directory entry takes: msgpack of six fields."""
_LIST_HEAD_BYTES: Final = 5
FIXED_BYTES: Final = _LIST_HEAD_BYTES + TAG_BYTES + _TRAILER_BYTES
"""What a shared cell costs before its first slice."""


class SliceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One piece of a sealed slice in a cell.

    ``piece_offset`` and ``piece_total`` place the piece in the whole sealed slice (tag included), which may be split
    over two cells.
    """

    body_id: BodyId
    segment: int
    generation: int
    offset: int
    """In the cell."""
    length: int
    piece_offset: int
    piece_total: int


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """A directory row. Pieces lie back to back, so offsets are not kept; ``rest`` counts the sealed bytes behind it."""

    body_id: BodyId
    segment: int
    generation: int
    length: int
    piece_offset: int
    rest: int


class SharedCellBuilder:
    """Collects slices for one cell. Not thread-safe; used for one cell only."""

    def __init__(self, block_bytes: int) -> None:
        """Begin an empty cell of this size."""
        self._cell = bytearray(block_bytes)
        self._rows: list[_Row] = []
        self._data_bytes = 0
        self._row_bytes = 0

    @property
    def slices(self) -> int:
        """Pieces added so far."""
        return len(self._rows)

    def room(self) -> int:
        """Sealed bytes that the next piece may have; 0 when the cell is full."""
        used = self._data_bytes + self._row_bytes
        return max(0, len(self._cell) - used - FIXED_BYTES - ENTRY_BYTES_MAX)

    def add(
        self,
        body_id: BodyId,
        segment: int,
        generation: int,
        piece_offset: int,
        piece_total: int,
        data: bytes | memoryview,
    ) -> int:
        """Put one piece of a sealed slice into the cell.

        Args:
            body_id: Whose slice it is.
            segment: The slice's segment number.
            generation: It was sealed under.
            piece_offset: Where the piece begins in the sealed slice; 0 unless it is split.
            piece_total: Bytes of the whole sealed slice.
            data: The piece.

        Returns:
            Its offset in the cell.

        Raises:
            InvalidArgument: It is empty, larger than :meth:`room`, or does not lie within ``piece_total``.
        """
        rest = piece_total - piece_offset - len(data)
        if not 0 < len(data) <= self.room() or piece_offset < 0 or rest < 0 or len(body_id) != ID_BYTES:
            raise InvalidArgument(
                "piece of a slice", (piece_offset, len(data), piece_total), f"1 to {self.room()} bytes of the slice"
            )
        row = _Row(body_id, segment, generation, len(data), piece_offset, rest)
        offset = self._data_bytes
        self._cell[offset : offset + len(data)] = data
        self._rows.append(row)
        self._data_bytes += len(data)
        self._row_bytes += len(msgspec.msgpack.encode(row))
        return offset

    def seal(
        self,
        *,
        store_key: bytes,
        store_id: StoreId,
        pack_id: PackId,
        cell_number: int,
        padding: Callable[[memoryview], None],
    ) -> bytes:
        """The finished cell.

        Args:
            store_key: Of the store.
            store_id: Of the store.
            pack_id: The pack the cell goes to.
            cell_number: Its block position there; sealed once per pack id.
            padding: Fills the gap with noise.
        """
        aead, aad = AESGCMSIV(derive(store_key, Label.CELL_DIRECTORY, pack_id)), store_id + pack_id
        directory = aead.encrypt(_NONCE.pack(cell_number, _DIRECTORY), msgspec.msgpack.encode(self._rows), aad)
        trailer = aead.encrypt(_NONCE.pack(cell_number, _LENGTH), _TRAILER.pack(FORMAT, len(directory)), aad)
        cell = memoryview(self._cell)
        start = len(cell) - _TRAILER_BYTES - len(directory)
        padding(cell[self._data_bytes : start])
        cell[start:-_TRAILER_BYTES] = directory
        cell[-_TRAILER_BYTES:] = trailer
        return bytes(cell)


def open_directory(
    cell: bytes | memoryview, *, store_key: bytes, store_id: StoreId, pack_id: PackId, cell_number: int
) -> list[SliceEntry]:
    """What a shared cell holds, in the order of its bytes.

    Raises:
        PackDamaged: This is not the directory of that cell of that pack.
        NewerFormat: A newer version wrote it.
    """
    aead, aad = AESGCMSIV(derive(store_key, Label.CELL_DIRECTORY, pack_id)), store_id + pack_id
    try:
        trailer = aead.decrypt(_NONCE.pack(cell_number, _LENGTH), cell[-_TRAILER_BYTES:], aad)
        version, length = _TRAILER.unpack(trailer)
        if version > FORMAT:
            raise NewerFormat(f"block {cell_number} of pack {pack_id.hex()} has directory format {version}")
        start = len(cell) - _TRAILER_BYTES - length
        directory = aead.decrypt(_NONCE.pack(cell_number, _DIRECTORY), cell[start:-_TRAILER_BYTES], aad)
        rows = msgspec.msgpack.decode(directory, type=list[_Row])
    except InvalidTag as exc:
        raise PackDamaged(pack_id, f"the directory of its block {cell_number} does not verify") from exc
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise PackDamaged(pack_id, f"the directory of its block {cell_number} cannot be read: {exc}") from exc
    entries: list[SliceEntry] = []
    offset = 0
    for row in rows:
        total = row.piece_offset + row.length + row.rest
        entries.append(
            SliceEntry(row.body_id, row.segment, row.generation, offset, row.length, row.piece_offset, total)
        )
        offset += row.length
    return entries
