"""Keys of the disk cache: a new one for every life of a process, so that no nonce is ever used twice.

Each key is derived from the store key and a random salt; only salts are written down. What a key sealed stays readable
as long as its salt is listed. A record is sealed with all the padding of its units inside: where one ends and another
begins cannot be seen, and neither can their sizes.
"""

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import TAG_BYTES
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.entropy import Entropy
from noisefs.core.services.caching.entry import CellKey
from noisefs.core.services.caching.room import UNIT_BYTES

SALT_BYTES: Final = 16
_NONCE: Final = struct.Struct(">IQ")
_BOUND: Final = struct.Struct(">16s16sQII")


def units_of(length: int) -> int:
    """Units that a record of so many bytes takes."""
    return -(-(length + TAG_BYTES) // UNIT_BYTES)


class Epochs:
    """Seals records of this life, and opens those of lives that are known. Thread-safe for opening; one thread seals.

    Cost: one AES-GCM of the bytes and their padding.
    """

    def __init__(self, keys: StoreKeys, entropy: Entropy) -> None:
        """A new life."""
        self._keys = keys
        self.current = entropy.secret(SALT_BYTES)
        self._open: dict[bytes, AESGCM] = {}
        self._salts: dict[bytes, bytes] = {}
        self._count = 0
        self.know(self.current)

    def know(self, salt: bytes) -> bytes:
        """Records of this epoch are to be opened; returns the salt, one object for all of them."""
        if salt not in self._open:
            self._open[salt] = AESGCM(derive(self._keys.store_key, Label.CACHE, b"cells" + salt))
            self._salts[salt] = salt
        return self._salts[salt]

    def seal(self, key: CellKey, generation: int, sealed: memoryview | bytes) -> tuple[memoryview, int]:
        """The bytes for :func:`units_of` units, and the number they are sealed under."""
        self._count += 1
        number = self._count
        out = memoryview(bytearray(units_of(len(sealed)) * UNIT_BYTES))
        plain = bytearray(len(out) - TAG_BYTES)
        plain[: len(sealed)] = sealed
        bound = self._bound(key, generation, len(sealed))
        self._open[self.current].encrypt_into(_NONCE.pack(0, number), plain, bound, out)
        return out, number

    def open(
        self, key: CellKey, generation: int, length: int, salt: bytes, number: int, raw: memoryview
    ) -> memoryview | None:
        """A record's bytes; ``None``: it does not verify."""
        out = memoryview(bytearray(len(raw) - TAG_BYTES))
        try:
            self._open[salt].decrypt_into(_NONCE.pack(0, number), raw, self._bound(key, generation, length), out)
        except InvalidTag:
            return None
        return out[:length].toreadonly()

    def _bound(self, key: CellKey, generation: int, length: int) -> bytes:
        return _BOUND.pack(self._keys.store_id, key[0], key[1], generation, length)
