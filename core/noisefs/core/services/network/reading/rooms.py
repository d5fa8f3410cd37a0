"""Where the blocks of reads belong: straight into the reader's buffers where these hold whole blocks.

Cost: no copy of a block that is wanted whole and once; one of what is wanted in part or twice.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from noisefs.core.ports.packs import PackRead
from noisefs.core.services.network.reading.asking import Place


class Piece(NamedTuple):
    """Bytes of one block, from ``begin`` on, and the buffer they go to."""

    place: Place
    begin: int
    into: memoryview


def pieces_of(read: PackRead, block_bytes: int) -> Iterator[Piece]:
    """What a read takes of each block that it touches."""
    at = read.position * block_bytes + read.offset
    for part in read.into:
        done = 0
        while done < len(part):
            position, begin = divmod(at + done, block_bytes)
            count = min(len(part) - done, block_bytes - begin)
            yield Piece((read.pack_id, position), begin, part[done : done + count])
            done += count
        at += done


class Wanted:
    """Blocks that several reads want. ``rooms``: where each shall be put."""

    def __init__(self, block_bytes: int) -> None:
        self._block_bytes = block_bytes
        self._copies: list[Piece] = []
        self.rooms: dict[Place, memoryview] = {}

    def add(self, read: PackRead, *, only: Collection[Place] | None = None) -> None:
        """One more read; ``only``: these of its blocks."""
        for piece in pieces_of(read, self._block_bytes):
            if only is not None and piece.place not in only:
                continue
            if piece.place not in self.rooms and len(piece.into) == self._block_bytes:
                self.rooms[piece.place] = piece.into
                continue
            if piece.place not in self.rooms:
                self.rooms[piece.place] = memoryview(bytearray(self._block_bytes))
            self._copies.append(piece)

    def hand_out(self) -> None:
        """Give everybody his bytes, once they are in the rooms."""
        for place, begin, into in self._copies:
            into[:] = self.rooms[place][begin : begin + len(into)]
