"""What the load writes: bytes that tell which request wrote them, made from a short recipe."""

import hashlib
import random
from dataclasses import dataclass

_POOL_BYTES = 16 << 20
_STAMP_BYTES = 16


def _pool() -> bytes:
    return random.Random(20).randbytes(_POOL_BYTES)


class Pool:
    """Random bytes shared by all pieces; made once per process."""

    def __init__(self) -> None:
        self._bytes = memoryview(_pool())

    def bytes_of(self, piece: "Piece") -> bytes:
        """A stamp of the piece's serial number, then random bytes; cut to the piece's size."""
        stamp = hashlib.blake2b(piece.serial.to_bytes(8, "big"), digest_size=_STAMP_BYTES).digest()
        rest = piece.size_bytes - _STAMP_BYTES
        if rest <= 0:
            return stamp[: piece.size_bytes]
        start = int.from_bytes(stamp[:8], "big") % (_POOL_BYTES - rest)
        return stamp + self._bytes[start : start + rest]

    def bytes_of_all(self, content: "Content") -> bytes:
        """The bytes of an object."""
        return b"".join(self.bytes_of(piece) for piece in content)


@dataclass(frozen=True, slots=True)
class Piece:
    """``size_bytes`` bytes that no other serial number has (from 16 bytes on)."""

    serial: int
    size_bytes: int


Content = tuple[Piece, ...]
"""An object's bytes: one piece, or the parts of a multipart upload."""


def size_of(content: Content) -> int:
    """Bytes of an object."""
    return sum(piece.size_bytes for piece in content)
