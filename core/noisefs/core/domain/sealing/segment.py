"""Sealing segments and slices of one body with AES-256-GCM (NIST SP 800-38D).

Nonce: u32 generation, u56 segment number, u8 final flag, big-endian. Associated data: store id, body id, u16 format of
the body. A body key is random and seals each segment once a generation, so no nonce ever meets two plaintexts; who
calls keeps that promise by using a new generation for every move (DESIGN.md section 3).
"""

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import ID_BYTES, BodyId, StoreId
from noisefs.core.errors import InvalidArgument, SegmentDamaged

BODY_KEY_BYTES: Final = 32
BODY_FORMAT: Final = 1
"""Format of the bodies this version writes: the layout of nonce and associated data above."""

GENERATION_MAX: Final = 2**32 - 1
SEGMENT_MAX: Final = 2**56 - 1

_NONCE: Final = struct.Struct(">IQ")
_FORMAT: Final = struct.Struct(">H")


class BodyCipher:
    """Seals and opens the segments of one body. Holds its key; thread-safe, as it keeps no state between calls.

    Cost: about 0.1 CPU seconds per GiB; the interpreter lock is released inside each segment.
    """

    __slots__ = ("_aad", "_aead", "body_id")

    def __init__(self, key: bytes, store_id: StoreId, body_id: BodyId, body_format: int = BODY_FORMAT) -> None:
        """Prepare the key.

        Raises:
            InvalidArgument: The key is not 32 bytes, or an id is not 16 (two ids side by side must stay two ids).
        """
        if len(key) != BODY_KEY_BYTES:
            raise InvalidArgument("body key length", len(key), f"{BODY_KEY_BYTES} bytes are needed")
        if len(store_id) != ID_BYTES or len(body_id) != ID_BYTES:
            raise InvalidArgument("id length", (len(store_id), len(body_id)), f"{ID_BYTES} bytes each are needed")
        self._aead = AESGCM(key)
        self._aad = store_id + body_id + _FORMAT.pack(body_format)
        self.body_id = body_id

    def __repr__(self) -> str:
        """Say which body, never the key."""
        return f"BodyCipher({self.body_id.hex()})"

    def seal_segments(
        self,
        plain: memoryview,
        first_segment: int,
        generation: int,
        segment_bytes: int,
        into: memoryview,
        *,
        final: bool,
    ) -> None:
        """Seal consecutive whole segments into consecutive cells.

        Args:
            plain: ``n * segment_bytes`` bytes, one after another.
            first_segment: Number of the first of them.
            generation: Of the pack they go to.
            segment_bytes: S.
            into: ``n * (segment_bytes + 16)`` writable bytes; must not overlap ``plain``.
            final: The last of the ``n`` is the last of the body (which then has no slice).

        Raises:
            InvalidArgument: The two lengths do not fit each other, or a number is out of its range.
        """
        count, cell_bytes = _count(len(plain), segment_bytes, len(into), segment_bytes + TAG_BYTES)
        last = count - 1
        seal, aad = self._aead.encrypt_into, self._aad
        for i in range(count):
            seal(
                nonce(generation, first_segment + i, final=final and i == last),
                plain[i * segment_bytes : (i + 1) * segment_bytes],
                aad,
                into[i * cell_bytes : (i + 1) * cell_bytes],
            )

    def open_segments(
        self,
        cells: memoryview,
        first_segment: int,
        generation: int,
        segment_bytes: int,
        into: memoryview,
        *,
        final: bool,
    ) -> None:
        """Verify and decrypt consecutive cells; the inverse of :meth:`seal_segments`.

        Raises:
            SegmentDamaged: A tag does not verify; ``exc.segment`` is the first such segment. The segments before it are
                in ``into``, everything from it on is zero there.
            InvalidArgument: The two lengths do not fit each other, or a number is out of its range.
        """
        count, cell_bytes = _count(len(into), segment_bytes, len(cells), segment_bytes + TAG_BYTES)
        last = count - 1
        if first_segment < 0 or first_segment + last > SEGMENT_MAX or not 0 <= generation <= GENERATION_MAX:
            raise InvalidArgument("generation, segment", (generation, first_segment), "below 2**32 and 2**56")
        open_, aad, pack = self._aead.decrypt_into, self._aad, _NONCE.pack
        for i in range(count):
            try:
                open_(
                    pack(generation, first_segment + i << 8 | (final and i == last)),
                    cells[i * cell_bytes : (i + 1) * cell_bytes],
                    aad,
                    into[i * segment_bytes : (i + 1) * segment_bytes],
                )
            except InvalidTag as exc:
                # The library leaves the unverified plaintext behind: nobody may use it.
                rest = into[i * segment_bytes :]
                rest[:] = bytes(len(rest))
                raise SegmentDamaged(self.body_id, first_segment + i) from exc

    def seal_slice(self, plain: bytes | memoryview, segment: int, generation: int) -> bytes:
        """Seal the body's last piece, shorter than a segment. It always carries the final flag.

        Returns:
            The ciphertext and 16 bytes of tag.
        """
        return self._aead.encrypt(nonce(generation, segment, final=True), plain, self._aad)

    def open_slice(self, sealed: bytes | memoryview, segment: int, generation: int) -> bytes:
        """Verify and decrypt what :meth:`seal_slice` returned.

        Raises:
            SegmentDamaged: It is shorter than a tag, or the tag does not verify.
        """
        try:
            return self._aead.decrypt(nonce(generation, segment, final=True), sealed, self._aad)
        except InvalidTag as exc:
            raise SegmentDamaged(self.body_id, segment) from exc


def nonce(generation: int, segment: int, *, final: bool) -> bytes:
    """The 12 bytes under which this segment is sealed: different for every combination.

    Raises:
        InvalidArgument: A number is out of its range.
    """
    if not (0 <= generation <= GENERATION_MAX and 0 <= segment <= SEGMENT_MAX):
        raise InvalidArgument("generation, segment", (generation, segment), "below 2**32 and 2**56")
    return _NONCE.pack(generation, segment << 8 | final)


def _count(plain_bytes: int, segment_bytes: int, cells_bytes: int, cell_bytes: int) -> tuple[int, int]:
    count, odd = divmod(plain_bytes, segment_bytes)
    if odd or cells_bytes != count * cell_bytes:
        raise InvalidArgument(
            "buffer lengths",
            (plain_bytes, cells_bytes),
            f"n * {segment_bytes} bytes of plaintext and n * {cell_bytes} bytes of cells",
        )
    return count, cell_bytes
