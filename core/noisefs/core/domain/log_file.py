"""A file of log records: what each index commit wrote, so that commits behind the newest snapshot are not lost.

File: header ``NFSL``, u16 format, 16-byte id of the set's key, 16-byte random file id; then frames. Frame: u32 length,
u64 first and u64 last commit number, then AES-256-GCM under HKDF(set key, "log", file id), nonce = 4 zero bytes, u64
first number; associated data: store id, header, frame head. Numbers ascend in a file and a file has one writer, so that
no nonce comes twice. Plaintext: a msgpack array of records. A file simply ends: a crash may cut off its last frame, and
what follows a frame that does not open is not believed.
"""

import struct
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.keyring import SnapshotKey
from noisefs.core.domain.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat

FORMAT: Final = 1
_MAGIC: Final = b"NFSL"
_HEADER: Final = struct.Struct(f">4sH{ID_BYTES}s{ID_BYTES}s")
HEADER_BYTES: Final = _HEADER.size
_HEAD: Final = struct.Struct(">IQQ")
FRAME_HEAD_BYTES: Final = _HEAD.size
_ARRAY: Final = struct.Struct(">BI")
_ARRAY_32: Final = 0xDD
"""Begins a msgpack array with a u32 length: records that were encoded one by one become one value."""
_NONCE: Final = struct.Struct(">4xQ")
MAX_FRAME_BYTES: Final = 1 << 30
"""A frame ends behind the record that fills it; a record is at most one commit of 256 functions."""

_TableRows = tuple[str, list[tuple[bytes, bytes | None]]]


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What one commit wrote: per table, keys with their values, or ``None`` where one was deleted."""

    sequence: int
    tables: list[_TableRows]


class FrameHead(NamedTuple):
    """What stands in front of a sealed frame."""

    size_bytes: int
    first: int
    last: int


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Record]).decode


def encode_record(record: Record) -> bytes:
    """One record of a frame. Cost: about a microsecond and the copy of the values."""
    return _encode(record)


class LogSealer:
    """Seals the frames of one file, whose commit numbers ascend. ``file_id`` must be random."""

    def __init__(self, store_id: StoreId, key: SnapshotKey, file_id: bytes) -> None:
        """``header`` is the file's beginning.

        Raises:
            InvalidArgument: ``file_id`` is not 16 bytes.
        """
        if len(file_id) != ID_BYTES:
            raise InvalidArgument("file id length", len(file_id), f"{ID_BYTES} bytes are needed")
        self.header = _HEADER.pack(_MAGIC, FORMAT, key.key_id, file_id)
        self._bound = store_id + self.header
        self._aead = AESGCM(derive(key.key, Label.LOG, file_id))
        self._last = -1

    def seal(self, records: list[bytes], first: int, last: int) -> bytearray:
        """The bytes of a frame of encoded records, of commits ``first`` to ``last``. Releases the interpreter lock.

        Raises:
            InvalidArgument: A number of this file would come again.
        """
        if not self._last < first <= last:
            raise InvalidArgument("log record number", first, f"higher than {self._last}")
        self._last = last
        plain = b"".join([_ARRAY.pack(_ARRAY_32, len(records)), *records])
        frame = bytearray(FRAME_HEAD_BYTES + len(plain) + TAG_BYTES)
        _HEAD.pack_into(frame, 0, len(plain) + TAG_BYTES, first, last)
        bound = self._bound + bytes(frame[:FRAME_HEAD_BYTES])
        self._aead.encrypt_into(_NONCE.pack(first), plain, bound, memoryview(frame)[FRAME_HEAD_BYTES:])
        return frame


def parse_header(header: bytes) -> tuple[bytes, bytes] | None:
    """Key id and file id in a file's header; ``None`` if it is none: a crash cut it off.

    Raises:
        NewerFormat: A later version of this program wrote the file.
    """
    if len(header) != HEADER_BYTES:
        return None
    magic, version, key_id, file_id = _HEADER.unpack(header)
    if magic != _MAGIC:
        return None
    if version > FORMAT:
        raise NewerFormat(f"a log file has format {version}: this program knows formats up to {FORMAT}")
    return key_id, file_id


def parse_frame_head(raw: bytes) -> FrameHead | None:
    """What stands in front of a frame; ``None`` if it is none."""
    if len(raw) != FRAME_HEAD_BYTES:
        return None
    size, first, last = _HEAD.unpack(raw)
    if not TAG_BYTES < size <= MAX_FRAME_BYTES or first > last:
        return None
    return FrameHead(size, first, last)


class LogOpener:
    """Opens frames of one file."""

    def __init__(self, store_id: StoreId, header: bytes, key: SnapshotKey) -> None:
        """``header`` must have been parsed."""
        self._bound = store_id + header
        self._aead = AESGCM(derive(key.key, Label.LOG, header[-ID_BYTES:]))

    def open(self, head: bytes, sealed: bytes) -> list[Record] | None:
        """The records of a frame; ``None`` if it does not verify."""
        parsed = parse_frame_head(head)
        if parsed is None:
            return None
        try:
            plain = self._aead.decrypt(_NONCE.pack(parsed.first), sealed, self._bound + head)
            return _decode(plain)
        except (InvalidTag, msgspec.DecodeError, msgspec.ValidationError):
            return None
