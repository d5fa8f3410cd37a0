"""A snapshot's file: rows of the index in sealed frames.

File: header ``NFSS``, u16 format, 16-byte id of the set's key, 16-byte random file id; then frames. Frame: u32 length
with the highest bit set on the last one, then AES-256-GCM under HKDF(set key, "snapshot", file id), nonce = 3 zero
bytes, u64 frame number, u8 last flag; associated data: store id, header. Plaintext: u8 codec (0: as it is, 1: zlib),
msgpack. The first frame says what follows, the last one how much it was and of which commit: a file that was cut off,
or to which something was added, does not open to its end.
"""

import struct
import zlib
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat, SnapshotDamaged

FORMAT: Final = 1
_MAGIC: Final = b"NFSS"
_HEADER: Final = struct.Struct(f">4sH{ID_BYTES}s{ID_BYTES}s")
HEADER_BYTES: Final = _HEADER.size
_LENGTH: Final = struct.Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size
_LAST: Final = 1 << 31
_NONCE: Final = struct.Struct(">3xQB")

FRAME_BYTES: Final = 1 << 20
"""A frame is closed once it holds this many bytes of rows: larger ones seal no faster."""
MAX_FRAME_BYTES: Final = 1 << 28
"""No frame is longer: a frame ends behind one row at most beyond ``FRAME_BYTES``."""

_PLAIN: Final = b"\0"
_ZLIB: Final = b"\1"
_ZLIB_LEVEL: Final = 1
_WORTH: Final = 0.9
"""Compression is kept where it saves at least a tenth."""


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """First frame. Fields are only ever appended.

    ``after`` is ``None`` in a full snapshot; an increment holds what commits with a higher number changed.
    """

    after: int | None
    created_us: int


class Rows(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Rows of one table, to be applied in the order of the file; ``None`` removes a row."""

    table: str
    rows: list[tuple[bytes, bytes | None]]


class Closing(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Last frame: the commit the rows add up to, and how many there were. Fields are only ever appended."""

    upto: int
    rows: int


Frame = Opening | Rows | Closing

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Frame).decode


class SnapshotSealer:
    """Seals the frames of one file, in order. ``file_id`` must be random: the file's key follows from it."""

    def __init__(self, store_id: StoreId, key: SnapshotKey, file_id: bytes) -> None:
        """``header`` is the file's beginning.

        Raises:
            InvalidArgument: ``file_id`` is not 16 bytes.
        """
        if len(file_id) != ID_BYTES:
            raise InvalidArgument("file id length", len(file_id), f"{ID_BYTES} bytes are needed")
        self.header = _HEADER.pack(_MAGIC, FORMAT, key.key_id, file_id)
        self._bound = store_id + self.header
        self._aead = AESGCM(derive(key.key, Label.SNAPSHOT, file_id))
        self._number = 0

    def seal(self, frame: Frame, *, compress: bool = True) -> bytes:
        """The frame's bytes in the file; a :class:`Closing` is the last. Without ``compress`` it is not tried."""
        last = isinstance(frame, Closing)
        plain = _encode(frame)
        packed = zlib.compress(plain, _ZLIB_LEVEL) if compress else plain
        coded = _ZLIB + packed if len(packed) < _WORTH * len(plain) else _PLAIN + plain
        sealed = self._aead.encrypt(_NONCE.pack(self._number, last), coded, self._bound)
        self._number += 1
        return _LENGTH.pack(len(sealed) | (_LAST if last else 0)) + sealed


def parse_header(name: str, header: bytes) -> tuple[bytes, bytes]:
    """Key id and file id in a file's header. ``name`` is for messages.

    Raises:
        SnapshotDamaged: It is no header.
        NewerFormat: A later version of this program wrote the file.
    """
    if len(header) != HEADER_BYTES:
        raise SnapshotDamaged(name, "it is cut off in its header")
    magic, version, key_id, file_id = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise SnapshotDamaged(name, "it is no snapshot")
    if version > FORMAT:
        raise NewerFormat(f"snapshot {name!r} has format {version}: this program knows formats up to {FORMAT}")
    return key_id, file_id


class SnapshotOpener:
    """Opens the frames of one file, in order."""

    def __init__(self, name: str, store_id: StoreId, header: bytes, key: SnapshotKey) -> None:
        """``name`` is for messages. Raises as :func:`parse_header`."""
        _, file_id = parse_header(name, header)
        self._name = name
        self._bound = store_id + header
        self._aead = AESGCM(derive(key.key, Label.SNAPSHOT, file_id))
        self._number = 0
        self._expected = (0, False)

    def length(self, raw: bytes) -> tuple[int, bool]:
        """Bytes of the sealed frame behind this length field, and whether it is the last.

        Raises:
            SnapshotDamaged: The field is cut off or impossible.
        """
        if len(raw) != LENGTH_BYTES:
            raise SnapshotDamaged(self._name, f"it is cut off at frame {self._number}")
        (field,) = _LENGTH.unpack(raw)
        size = field & ~_LAST
        if not TAG_BYTES < size <= MAX_FRAME_BYTES:
            raise SnapshotDamaged(self._name, f"frame {self._number} cannot have {size} bytes")
        self._expected = size, bool(field & _LAST)
        return self._expected

    def open(self, sealed: bytes) -> Frame:
        """The next frame, whose length was asked for.

        Raises:
            SnapshotDamaged: Its tag does not verify: wrong key or store, cut off, changed, out of order.
        """
        size, last = self._expected
        if len(sealed) != size:
            raise SnapshotDamaged(self._name, f"it is cut off in frame {self._number}")
        try:
            coded = self._aead.decrypt(_NONCE.pack(self._number, last), sealed, self._bound)
            plain = zlib.decompress(coded[1:]) if coded[:1] == _ZLIB else coded[1:]
            frame: Frame = _decode(plain)
        except InvalidTag as exc:
            raise SnapshotDamaged(self._name, f"frame {self._number} does not verify") from exc
        except (zlib.error, msgspec.DecodeError, msgspec.ValidationError) as exc:
            raise SnapshotDamaged(self._name, f"frame {self._number} cannot be decoded: {exc}") from exc
        if isinstance(frame, Opening) is not (self._number == 0) or isinstance(frame, Closing) is not last:
            raise SnapshotDamaged(self._name, f"frame {self._number} is out of place")
        self._number += 1
        return frame
