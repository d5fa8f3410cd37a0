"""A file of log records: what each index commit wrote, so that commits behind the newest snapshot are not lost.

File: header ``NFSL``, u16 format, 16-byte id of the set's key, 16-byte random file id, zeros to 4096 bytes; then
frames. Frame: u32 length, u64 first and u64 last commit number, then AES-256-GCM under HKDF(set key, "log", file id),
nonce = 4 zero bytes, u64 first number; associated data: store id, header without its zeros, frame head. Numbers ascend
in a file and a file has one writer, so that no nonce comes twice. Plaintext: u32 length, msgpack array of records,
zeros until the frame fills whole pages of 4096 bytes, so that it can be written past the system's cache. A file simply
ends: a crash may cut off its last frame, and what follows a frame that does not open is not believed.
"""

import mmap
import struct
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat

FORMAT: Final = 1
_MAGIC: Final = b"NFSL"
_HEADER: Final = struct.Struct(f">4sH{ID_BYTES}s{ID_BYTES}s")
PAGE_BYTES: Final = 4096
HEADER_BYTES: Final = PAGE_BYTES
_HEAD: Final = struct.Struct(">IQQ")
FRAME_HEAD_BYTES: Final = _HEAD.size
_ARRAY: Final = struct.Struct(">BI")
_ARRAY_32: Final = 0xDD
"""Begins a msgpack array with a u32 length: records that were encoded one by one become one value."""
_LENGTH: Final = struct.Struct(">I")
_PREFIX_BYTES: Final = _LENGTH.size + _ARRAY.size
_KEEP_BYTES: Final = 4 << 20
"""Buffers up to this size are used again."""
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


_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decode: Final = msgspec.msgpack.Decoder(list[Record]).decode


class LogSealer:
    """Collects and seals the records of one file, whose commit numbers ascend. ``file_id`` must be random."""

    def __init__(self, store_id: StoreId, key: SnapshotKey, file_id: bytes) -> None:
        """``header`` is the file's beginning, aligned to a page.

        Raises:
            InvalidArgument: ``file_id`` is not 16 bytes.
        """
        if len(file_id) != ID_BYTES:
            raise InvalidArgument("file id length", len(file_id), f"{ID_BYTES} bytes are needed")
        header = _HEADER.pack(_MAGIC, FORMAT, key.key_id, file_id)
        page = mmap.mmap(-1, HEADER_BYTES)
        page[: len(header)] = header
        self.header = memoryview(page).toreadonly()
        self._bound = store_id + header
        self._aead = AESGCM(derive(key.key, Label.LOG, file_id))
        self._plain = bytearray(_PREFIX_BYTES)
        self._frame = mmap.mmap(-1, _KEEP_BYTES)
        self._count = 0
        self.first = 0
        """Number of the first record that waits."""
        self._last = -1

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the records that wait to be sealed; 0 if none does."""
        return len(self._plain) - _PREFIX_BYTES

    def add(self, record: Record) -> None:
        """Take a record. Cost: about 2 µs for five rows, and the copy of their values.

        Raises:
            InvalidArgument: Its number is not higher than the last one's.
        """
        if record.sequence <= self._last:
            raise InvalidArgument("log record number", record.sequence, f"higher than {self._last}")
        _encode_into(record, self._plain, -1)
        if not self._count:
            self.first = record.sequence
        self._last = record.sequence
        self._count += 1

    def seal(self) -> memoryview:
        """A frame of the records that wait, aligned to pages, valid until the next call. Cost: 1 µs per 4 KiB, during
        which the interpreter lock is free.
        """
        plain = self._plain
        used = FRAME_HEAD_BYTES + len(plain) + TAG_BYTES
        size = -(-used // PAGE_BYTES) * PAGE_BYTES
        _LENGTH.pack_into(plain, 0, len(plain) - _LENGTH.size)
        _ARRAY.pack_into(plain, _LENGTH.size, _ARRAY_32, self._count)
        plain += bytes(size - used)
        if size > len(self._frame):
            self._frame = mmap.mmap(-1, size)
        frame = memoryview(self._frame)[:size]
        _HEAD.pack_into(frame, 0, size - FRAME_HEAD_BYTES, self.first, self._last)
        bound = self._bound + bytes(frame[:FRAME_HEAD_BYTES])
        self._aead.encrypt_into(_NONCE.pack(self.first), plain, bound, frame[FRAME_HEAD_BYTES:])
        if len(plain) > _KEEP_BYTES:
            self._plain = bytearray(_PREFIX_BYTES)
        else:
            del plain[_PREFIX_BYTES:]
        self._count = 0
        return frame


def parse_header(header: bytes | memoryview) -> tuple[bytes, bytes] | None:
    """Key id and file id in a file's header; ``None`` if it is none: a crash cut it off.

    Raises:
        NewerFormat: A later version of this program wrote the file.
    """
    if len(header) != HEADER_BYTES:
        return None
    magic, version, key_id, file_id = _HEADER.unpack_from(header)
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
        self._bound = store_id + header[: _HEADER.size]
        self._aead = AESGCM(derive(key.key, Label.LOG, header[_HEADER.size - ID_BYTES : _HEADER.size]))

    def open(self, head: bytes, sealed: bytes) -> list[Record] | None:
        """The records of a frame; ``None`` if it does not verify."""
        parsed = parse_frame_head(head)
        if parsed is None:
            return None
        try:
            plain = self._aead.decrypt(_NONCE.pack(parsed.first), sealed, self._bound + head)
            (length,) = _LENGTH.unpack_from(plain)
            return _decode(memoryview(plain)[_LENGTH.size : _LENGTH.size + length])
        except (InvalidTag, struct.error, msgspec.DecodeError, msgspec.ValidationError):
            return None
