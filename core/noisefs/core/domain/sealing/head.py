"""The head: the one authenticated record a store begins with (DESIGN.md section 4).

Layout: ``NFSH``, u16 format, u8 algorithm, 32-byte salt, 16-byte key check, u16 length and msgpack of the passphrase
parameters (or nil), sealed body, SHA-256 over all before. The sealed body is AES-256-GCM under
HKDF(root key, "head", salt), so no key ever seals two heads; associated data: everything in front of it. The plain
digest tells damage from a wrong key, the tag tells tampering from both.
"""

import hashlib
import hmac
import re
import struct
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, InstanceId, StoreId
from noisefs.core.domain.sealing.keyring import Keyring, Passphrase
from noisefs.core.domain.sealing.keys import Label, SlowHash, derive
from noisefs.core.errors import HeadDamaged, InvalidArgument, NewerFormat, WrongRootKey

FORMAT: Final = 1
HEAD_SALT_BYTES: Final = 32

_MAGIC: Final = b"NFSH"
_AES_GCM: Final = 1
_CHECK_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_FIXED: Final = struct.Struct(f">4sHB{HEAD_SALT_BYTES}s{_CHECK_BYTES}sH")
_NONCE: Final = bytes(12)
"""One fixed nonce: every head has a salt, and so a key, of its own."""
_U64_MAX: Final = 2**64 - 1


class Epoch(msgspec.Struct, frozen=True, array_like=True):
    """Which life of the store: a restore starts a new one, with the counter advanced and new random bits."""

    counter: int
    random: bytes

    def __post_init__(self) -> None:
        """Refuse numbers and lengths out of range."""
        if not 0 <= self.counter <= _U64_MAX or len(self.random) != ID_BYTES:
            raise InvalidArgument("epoch", self, f"a u64 counter and {ID_BYTES} random bytes")


class SnapshotPointer(msgspec.Struct, frozen=True, array_like=True):
    """The newest confirmed snapshot. ``location`` is for whoever stores snapshots. Fields are only ever appended."""

    snapshot_id: bytes
    key_id: bytes
    """Of the keyring's snapshot key that opens it."""
    index_sequence: int
    """Number of the last index commit it holds."""
    created_us: int
    location: bytes = b""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a store begins with. Fields are only ever appended.

    ``sequence`` grows with every head that is written; the highest valid one of an epoch counts. ``passphrase`` is
    ``None`` when the root key comes from a file or a secret.
    """

    geometry: Geometry
    keyring: Keyring
    epoch: Epoch
    sequence: int
    snapshot: SnapshotPointer | None = None
    passphrase: Passphrase | None = None
    writer: InstanceId = InstanceId(b"")
    """The instance that wrote this head; empty at ``init``."""

    def __post_init__(self) -> None:
        """Refuse a sequence number out of range."""
        if not 0 <= self.sequence <= _U64_MAX:
            raise InvalidArgument("head sequence", self.sequence, "a u64")

    @property
    def store_id(self) -> StoreId:
        """The store's id."""
        return self.keyring.store_id


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What is encrypted: every field of :class:`Head` but the passphrase parameters."""

    segment_bytes: int
    strategy: str
    keyring: Keyring
    epoch: Epoch
    sequence: int
    snapshot: SnapshotPointer | None = None
    writer: bytes = b""


class _Stretching(msgspec.Struct, frozen=True, array_like=True):
    """Passphrase parameters as they stand in the clear."""

    salt: bytes
    memory_kib: int
    iterations: int
    lanes: int


_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")


def head_name(head: Head) -> str:
    """What a head is called on nodes: names sort by epoch, then by sequence number."""
    return f"{head.epoch.counter:016x}-{head.sequence:016x}"


def parse_head_name(name: str) -> tuple[int, int] | None:
    """Epoch counter and sequence number in a head's name; ``None`` if it is none."""
    match = _NAME.fullmatch(name)
    return None if match is None else (int(match[1], 16), int(match[2], 16))


def encode_head(head: Head, root_key: bytes, *, salt: bytes) -> bytes:
    """The record's bytes: under 1 KiB, and about 70 more a snapshot key.

    Args:
        head: What to write.
        root_key: 32 bytes; rotating the root is encoding the same head under another one.
        salt: 32 fresh random bytes, never used for another head.

    Raises:
        InvalidArgument: Root key or salt has another length.
    """
    if len(salt) != HEAD_SALT_BYTES:
        raise InvalidArgument("salt length", len(salt), f"{HEAD_SALT_BYTES} bytes are needed")
    phrase = head.passphrase
    clear = msgspec.msgpack.encode(
        None
        if phrase is None
        else _Stretching(phrase.salt, phrase.cost.memory_kib, phrase.cost.iterations, phrase.cost.lanes)
    )
    front = _FIXED.pack(_MAGIC, FORMAT, _AES_GCM, salt, _check(root_key, salt), len(clear)) + clear
    body = msgspec.msgpack.encode(
        _Sealed(
            head.geometry.segment_bytes,
            head.geometry.strategy,
            head.keyring,
            head.epoch,
            head.sequence,
            head.snapshot,
            head.writer,
        )
    )
    record = front + AESGCM(derive(root_key, Label.HEAD, salt)).encrypt(_NONCE, body, front)
    return record + hashlib.sha256(record).digest()


def read_passphrase(raw: bytes) -> Passphrase | None:
    """The parameters a passphrase must be stretched with before :func:`decode_head`; ``None``: no passphrase is used.

    They are not authenticated yet (that takes the key), only bounded.

    Raises:
        NewerFormat: The head was written by a newer version.
        HeadDamaged: The bytes are no head, or not all of one.
    """
    return _read_front(raw)[0]


def decode_head(raw: bytes, root_key: bytes) -> Head:
    """The head in these bytes, all of it verified.

    Raises:
        NewerFormat: It was written by a newer version.
        HeadDamaged: The bytes are no head, are damaged, or were tampered with.
        WrongRootKey: They are a whole head of another root key.
    """
    passphrase, salt, check, front_bytes = _read_front(raw)
    if not hmac.compare_digest(check, _check(root_key, salt)):
        raise WrongRootKey("the root key does not open this store's keyring: it is another store's, or was rotated")
    try:
        body = AESGCM(derive(root_key, Label.HEAD, salt)).decrypt(
            _NONCE, raw[front_bytes:-_DIGEST_BYTES], raw[:front_bytes]
        )
        sealed = msgspec.msgpack.decode(body, type=_Sealed)
        return Head(
            geometry=Geometry(sealed.segment_bytes, sealed.strategy),
            keyring=sealed.keyring,
            epoch=sealed.epoch,
            sequence=sealed.sequence,
            snapshot=sealed.snapshot,
            passphrase=passphrase,
            writer=InstanceId(sealed.writer),
        )
    except InvalidTag as exc:
        raise HeadDamaged("the head's tag does not verify: it was tampered with") from exc
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidArgument) as exc:
        raise HeadDamaged(f"the head opens but cannot be read: {exc}") from exc


def _read_front(raw: bytes) -> tuple[Passphrase | None, bytes, bytes, int]:
    """Passphrase parameters, salt, key check, and where the sealed part begins."""
    if len(raw) < _FIXED.size + _DIGEST_BYTES or not raw.startswith(_MAGIC):
        raise HeadDamaged(f"{len(raw)} bytes are no head of a store")
    _, version, algorithm, salt, check, clear_bytes = _FIXED.unpack_from(raw)
    if version > FORMAT or algorithm > _AES_GCM:
        raise NewerFormat(f"the head has format {version}.{algorithm}: this version reads up to {FORMAT}.{_AES_GCM}")
    if hashlib.sha256(raw[:-_DIGEST_BYTES]).digest() != raw[-_DIGEST_BYTES:]:
        raise HeadDamaged("the head's digest is not that of its bytes: it is damaged or cut off")
    front_bytes = _FIXED.size + clear_bytes
    try:
        clear: _Stretching | None = msgspec.msgpack.decode(raw[_FIXED.size : front_bytes], type=_Stretching | None)
        phrase = None
        if clear is not None:
            phrase = Passphrase(clear.salt, SlowHash(clear.memory_kib, clear.iterations, clear.lanes))
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidArgument) as exc:
        raise HeadDamaged(f"the head's passphrase parameters cannot be read: {exc}") from exc
    return phrase, salt, check, front_bytes


def _check(root_key: bytes, salt: bytes) -> bytes:
    return derive(root_key, Label.HEAD_CHECK, salt)[:_CHECK_BYTES]
