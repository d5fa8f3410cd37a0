"""Keys below the store key: derivation, wrapping of body keys and secrets, slow hashes of passwords.

Every envelope begins with one byte that names the algorithm, so that a new one (a hybrid post-quantum wrap) is a new
value, not a new format. Keys and secrets never appear in a ``repr`` or a message.
"""

import hashlib
import struct
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidKey, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from noisefs.core.domain.ids import ID_BYTES, BodyId, StoreId
from noisefs.core.errors import IndexDamaged, InvalidArgument, NewerFormat

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
"""Salt of a password hash (RFC 9106 section 3.1 recommends 16 bytes)."""


class Label(StrEnum):
    """Closed set of purposes of derived keys. A value on disk never changes its meaning."""

    MANIFEST = "manifest"
    CELL_DIRECTORY = "celldir"
    KEY_WRAP = "keywrap"
    RANDOMIZERS = "randomizers"
    """The pseudo-random function of the strategy ``uniform``."""
    INDEX = "index"
    """The index's page key."""
    HEAD = "head"
    HEAD_CHECK = "head-check"
    SNAPSHOT = "snapshot"
    """One snapshot file, from its set's key."""
    LOG = "log"
    """One file of log records, from its set's key."""
    ROOT = "root"
    """What the roots on nodes say beyond their links."""
    FILE = "file"
    """A snapshot file or log records as blocks on nodes."""
    SSE = "sse"
    """What wraps the data keys of objects sealed twice, from a customer's or a named key."""
    SSE_STREAM = "sse-stream"
    """An inner stream of such an object, from its data key."""
    CACHE = "cache"
    """Cells in the disk cache of one process's life, and lists of what is in memory and there."""
    PEERS = "peers"
    """What processes of one store prove to each other that they are."""


def derive(key: bytes, label: Label, context: bytes = b"") -> bytes:
    """A 32-byte key for one purpose: HKDF-SHA256 (RFC 5869), info = ``noisefs/1 <label> NUL <context>``.

    ``context`` separates keys of one purpose: a salt, a pack id. Cost: about 4 µs.

    Raises:
        InvalidArgument: ``key`` is not 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise InvalidArgument("key length", len(key), f"{KEY_BYTES} bytes are needed")
    info = b"noisefs/1 " + label.value.encode() + b"\0" + context
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(key)


class _Algorithm:
    """First byte of envelopes."""

    SIV: Final = 1
    """AES-256-GCM-SIV (RFC 8452), nonce = the first 12 bytes of SHA-256 over purpose and owner id."""
    ARGON2ID: Final = 1
    """Argon2id (RFC 9106) with its parameters and salt in the envelope."""


_WRAP_HEAD: Final = struct.Struct(">BI")
_NONCE_BYTES: Final = 12


class KeyWrap:
    """Wraps body keys and access secrets under one store key. Thread-safe. Cost: about 4 µs a call.

    The nonce follows from what is wrapped for whom: wrapping again gives the same envelope, and GCM-SIV keeps its
    promises should one id ever be used for two secrets.
    """

    def __init__(self, store_key: bytes, store_id: StoreId, key_generation: int = 1) -> None:
        """Derive the wrapping key of this generation of the store key.

        Raises:
            InvalidArgument: The store key is not 32 bytes, or the id not 16.
        """
        if len(store_id) != ID_BYTES:
            raise InvalidArgument("store id length", len(store_id), f"{ID_BYTES} bytes are needed")
        self._aead = AESGCMSIV(derive(store_key, Label.KEY_WRAP, struct.pack(">I", key_generation)))
        self._store_id = store_id
        self._head = _WRAP_HEAD.pack(_Algorithm.SIV, key_generation)

    def wrap_body_key(self, key: bytes, body_id: BodyId) -> bytes:
        """Envelope of a body's key, for the body's row."""
        return self._wrap(key, b"body", body_id)

    def unwrap_body_key(self, envelope: bytes, body_id: BodyId) -> bytes:
        """The body's key.

        Raises:
            IndexDamaged: The envelope does not verify: another body's, another store's, or damaged.
            NewerFormat: Its algorithm is unknown here.
        """
        return self._unwrap(envelope, b"body", body_id)

    def wrap_secret(self, secret: str, access_key_id: str) -> bytes:
        """Envelope of an access key's secret. SigV4 needs the secret itself, so it cannot be a hash."""
        return self._wrap(secret.encode(), b"secret", access_key_id.encode())

    def unwrap_secret(self, envelope: bytes, access_key_id: str) -> str:
        """The secret. Raises as :meth:`unwrap_body_key`."""
        return self._unwrap(envelope, b"secret", access_key_id.encode()).decode()

    def wrap_token(self, content: bytes, access_key_id: str) -> bytes:
        """Envelope of what temporary credentials are worth; the client keeps it. An id is never used twice."""
        return self._wrap(content, b"token", access_key_id.encode())

    def unwrap_token(self, envelope: bytes, access_key_id: str) -> bytes:
        """The content. Raises as :meth:`unwrap_body_key`."""
        return self._unwrap(envelope, b"token", access_key_id.encode())

    def _wrap(self, secret: bytes, purpose: bytes, owner: bytes) -> bytes:
        return self._head + self._aead.encrypt(_nonce(purpose, owner), secret, self._bound(purpose, owner))

    def _unwrap(self, envelope: bytes, purpose: bytes, owner: bytes) -> bytes:
        if envelope[:1] and envelope[0] > _Algorithm.SIV:
            raise NewerFormat(f"a key envelope names algorithm {envelope[0]}: this version knows {_Algorithm.SIV}")
        head, sealed = envelope[: _WRAP_HEAD.size], envelope[_WRAP_HEAD.size :]
        if head != self._head:
            raise IndexDamaged(f"the envelope of the {purpose.decode()} key {owner.hex()} is of another key generation")
        try:
            return self._aead.decrypt(_nonce(purpose, owner), sealed, self._bound(purpose, owner))
        except InvalidTag as exc:
            raise IndexDamaged(f"the envelope of the {purpose.decode()} key {owner.hex()} does not verify") from exc

    def _bound(self, purpose: bytes, owner: bytes) -> bytes:
        # Fixed-size parts first, then a part that cannot contain what ends it.
        return self._store_id + self._head + purpose + b"\0" + owner


def _nonce(purpose: bytes, owner: bytes) -> bytes:
    return hashlib.sha256(purpose + b"\0" + owner).digest()[:_NONCE_BYTES]


@dataclass(frozen=True, slots=True)
class SlowHash:
    """Parameters of Argon2id. The default is OWASP's choice for logins: 19 MiB, 2 passes, about 20 ms.

    Attributes:
        memory_kib: At least 8 a lane, at most 4 GiB.
        iterations: 1 to 64.
        lanes: 1 to 16.
    """

    memory_kib: int = 19456
    iterations: int = 2
    lanes: int = 1

    def __post_init__(self) -> None:
        """Refuse what Argon2id refuses, and what only an attacker would ask for."""
        if not (1 <= self.lanes <= 16 and 1 <= self.iterations <= 64 and 8 * self.lanes <= self.memory_kib <= 2**22):
            raise InvalidArgument(
                "Argon2id parameters",
                (self.memory_kib, self.iterations, self.lanes),
                "8 KiB a lane to 4 GiB, 1 to 64 iterations, 1 to 16 lanes",
            )

    def derive(self, secret: str, salt: bytes) -> bytes:
        """32 bytes from a passphrase. Blocks for the time the parameters ask for: call it from a worker lane."""
        return self._engine(salt).derive(_normal(secret))

    def verify(self, secret: str, salt: bytes, expected: bytes) -> bool:
        """Whether :meth:`derive` gives ``expected``; compared in constant time."""
        try:
            self._engine(salt).verify(_normal(secret), expected)
        except InvalidKey:
            return False
        return True

    def _engine(self, salt: bytes) -> Argon2id:
        return Argon2id(
            salt=salt, length=KEY_BYTES, iterations=self.iterations, lanes=self.lanes, memory_cost=self.memory_kib
        )


LOGIN_COST: Final = SlowHash()
_PASSWORD: Final = struct.Struct(f">BIIB{SALT_BYTES}s{KEY_BYTES}s")


def hash_password(password: str, salt: bytes, cost: SlowHash = LOGIN_COST) -> bytes:
    """Envelope of a slow hash, for the user's row. Call it from a worker lane: about 20 ms.

    Raises:
        InvalidArgument: The salt is not 16 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidArgument("salt length", len(salt), f"{SALT_BYTES} bytes are needed")
    digest = cost.derive(password, salt)
    return _PASSWORD.pack(_Algorithm.ARGON2ID, cost.memory_kib, cost.iterations, cost.lanes, salt, digest)


def verify_password(password: str, envelope: bytes) -> bool:
    """Whether this is the password in the envelope; compared in constant time. Call it from a worker lane: about 20 ms.

    Raises:
        IndexDamaged: The envelope is none.
        NewerFormat: Its algorithm is unknown here.
    """
    if envelope[:1] and envelope[0] > _Algorithm.ARGON2ID:
        raise NewerFormat(f"a password hash names algorithm {envelope[0]}: this version knows {_Algorithm.ARGON2ID}")
    try:
        _, memory_kib, iterations, lanes, salt, digest = _PASSWORD.unpack(envelope)
        cost = SlowHash(memory_kib, iterations, lanes)
    except (struct.error, InvalidArgument) as exc:
        raise IndexDamaged(f"a password hash of {len(envelope)} bytes cannot be read") from exc
    return cost.verify(password, salt, digest)


def _normal(secret: str) -> bytes:
    # One person types é as one code point on one system and as two on another (RFC 8265 section 4.2).
    return unicodedata.normalize("NFC", secret).encode()
