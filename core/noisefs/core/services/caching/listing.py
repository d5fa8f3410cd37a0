"""Lists on the disk of what is kept: sealed, replaced as a whole, and nothing but a start without memory if damaged.

A list is many small messages, so that neither sealing nor reading one holds up the process. Its length is rounded up:
it tells how much is kept to :data:`ROUND_BYTES`, and nothing else.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import FileMissing
from noisefs.core.ports.disk import Disk, atomic_write, read_whole
from noisefs.core.ports.entropy import Entropy

FORMAT: Final = 1
SALT_BYTES: Final = 16
ROUND_BYTES: Final = 16 * 1024
_MAGIC: Final = b"NFSL"
_HEAD: Final = struct.Struct(f">4sB{SALT_BYTES}s")
_FRAME: Final = struct.Struct(">I")
_NONCE: Final = struct.Struct(">QI")
_END: Final = 1
"""In a nonce: the last message, so that a list that was cut off is none."""


class SealedList:
    """One file of messages. One thread at a time."""

    def __init__(self, disk: Disk, path: str, keys: StoreKeys, entropy: Entropy, purpose: bytes) -> None:
        """``purpose``: what it lists; a list of another purpose does not open."""
        self._disk = disk
        self._path = path
        self._keys = keys
        self._entropy = entropy
        self._purpose = purpose

    def save(self, messages: Iterable[bytes]) -> int:
        """Replace the list, durably; returns its bytes.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: The old list is still there, or none is.
        """
        salt = self._entropy.secret(SALT_BYTES)
        head = _HEAD.pack(_MAGIC, FORMAT, salt)
        aead = self._aead(salt)
        out = bytearray(head)
        number = 0
        for number, message in enumerate(messages, 1):
            # The length is masked by being inside: each message is sealed twice over, its length first.
            out += aead.encrypt(_NONCE.pack(2 * number, 0), _FRAME.pack(len(message)), head)
            out += aead.encrypt(_NONCE.pack(2 * number + 1, 0), message, head)
        out += aead.encrypt(_NONCE.pack(2 * number + 2, _END), _FRAME.pack(0), head)
        padding = bytearray(-len(out) % ROUND_BYTES)
        self._entropy.noise(memoryview(padding))
        out += padding
        atomic_write(self._disk, self._path, bytes(out))
        return len(out)

    def load(self) -> list[bytes] | None:
        """The messages; ``None``: there is no list, or it is damaged, of another store or of a newer version.

        Raises:
            StorageFailed: The disk does not give it.
        """
        try:
            raw = read_whole(self._disk, self._path)
        except FileMissing:
            return None
        if len(raw) < _HEAD.size:
            return None
        magic, version, salt = _HEAD.unpack_from(raw)
        if magic != _MAGIC or version != FORMAT:
            return None
        try:
            return list(self._messages(memoryview(raw), salt))
        except (InvalidTag, struct.error):
            return None

    def _messages(self, raw: memoryview, salt: bytes) -> Iterator[bytes]:
        head = bytes(raw[: _HEAD.size])
        aead = self._aead(salt)
        at = _HEAD.size
        number = 1
        frame = _FRAME.size + 16
        while True:
            sealed = raw[at : at + frame]
            try:
                (length,) = _FRAME.unpack(aead.decrypt(_NONCE.pack(2 * number, 0), sealed, head))
            except InvalidTag:
                aead.decrypt(_NONCE.pack(2 * number, _END), sealed, head)
                return
            at += frame
            yield aead.decrypt(_NONCE.pack(2 * number + 1, 0), raw[at : at + length + 16], head)
            at += length + 16
            number += 1

    def _aead(self, salt: bytes) -> AESGCM:
        return AESGCM(derive(self._keys.store_key, Label.CACHE, self._purpose + salt))
