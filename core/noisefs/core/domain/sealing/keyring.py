"""The keyring: the store key, and the keys of snapshots. It lies in the head, wrapped by the root key."""

from dataclasses import dataclass
from typing import Final

import msgspec

from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.sealing.keys import KEY_BYTES, SALT_BYTES, SlowHash
from noisefs.core.errors import InvalidArgument, WrongRootKey


class SnapshotKey(msgspec.Struct, frozen=True, array_like=True):
    """The random key of one snapshot set: a full snapshot, its increments and its log records.

    ``expires_us`` 0: the set is still in use. Fields are only ever appended.
    """

    key_id: bytes
    key: bytes
    created_us: int
    expires_us: int = 0

    def __repr__(self) -> str:
        """Say which, never the key."""
        return f"SnapshotKey({self.key_id.hex()}, created_us={self.created_us}, expires_us={self.expires_us})"


class Keyring(msgspec.Struct, frozen=True, array_like=True):
    """All keys that are not derived. Whoever has it can open everything of the store.

    ``key_generation`` counts store keys: a ``rekey`` advances it. Fields are only ever appended.
    """

    store_id: StoreId
    store_key: bytes
    key_generation: int = 1
    snapshot_keys: tuple[SnapshotKey, ...] = ()

    def __post_init__(self) -> None:
        """Refuse keys and ids of wrong lengths, and two keys of one id."""
        ids = [one.key_id for one in self.snapshot_keys]
        if (
            len(self.store_id) != ID_BYTES
            or len(self.store_key) != KEY_BYTES
            or self.key_generation < 1
            or any(len(one.key_id) != ID_BYTES or len(one.key) != KEY_BYTES for one in self.snapshot_keys)
            or len(set(ids)) != len(ids)
        ):
            raise InvalidArgument("keyring", repr(self), "ids of 16 bytes, each once, and keys of 32 bytes")

    def __repr__(self) -> str:
        """Say whose, never a key."""
        return f"Keyring({self.store_id.hex()}, {self.key_generation}, {len(self.snapshot_keys)} snapshot keys)"

    def snapshot_key(self, key_id: bytes) -> SnapshotKey | None:
        """The key of this id; ``None`` when it has expired and was removed."""
        return next((one for one in self.snapshot_keys if one.key_id == key_id), None)

    def with_snapshot_key(self, key: SnapshotKey) -> "Keyring":
        """This keyring with a key more, or with the key of that id replaced (to set its expiry)."""
        others = tuple(one for one in self.snapshot_keys if one.key_id != key.key_id)
        return msgspec.structs.replace(self, snapshot_keys=(*others, key))

    def without_expired(self, now_us: int) -> "Keyring":
        """This keyring without the keys whose expiry has come: their snapshots cannot be opened any more."""
        kept = tuple(one for one in self.snapshot_keys if not 0 < one.expires_us <= now_us)
        return msgspec.structs.replace(self, snapshot_keys=kept)


ROOT_KEY_PREFIX: Final = "noisefs-root-key-1:"


def format_root_key(key: bytes) -> str:
    """The one line of a root key file (mode 0600).

    Raises:
        InvalidArgument: The key is not 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise InvalidArgument("root key length", len(key), f"{KEY_BYTES} bytes are needed")
    return f"{ROOT_KEY_PREFIX}{key.hex()}\n"


def parse_root_key(text: str) -> bytes:
    """The root key in the text of its file; white space around it does not matter.

    Raises:
        WrongRootKey: The text is no such line. The message does not repeat it.
    """
    line = text.strip()
    digits = line.removeprefix(ROOT_KEY_PREFIX)
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(digits) != 2 * KEY_BYTES or digits == line:
        raise WrongRootKey(
            f"the file holds no root key: it must be one line, {ROOT_KEY_PREFIX!r} and {2 * KEY_BYTES} hex digits"
        )
    return key


ROOT_COST: Final = SlowHash(memory_kib=262144, iterations=3, lanes=4)
"""For a passphrase: 256 MiB, about 0.5 s, once a start. RFC 9106's second choice has 64 MiB."""


@dataclass(frozen=True, slots=True)
class Passphrase:
    """How a passphrase becomes the root key: kept in the head, in the clear, under its MAC."""

    salt: bytes
    cost: SlowHash = ROOT_COST

    def __post_init__(self) -> None:
        """Refuse a salt of another length."""
        if len(self.salt) != SALT_BYTES:
            raise InvalidArgument("salt length", len(self.salt), f"{SALT_BYTES} bytes are needed")

    def stretch(self, phrase: str) -> bytes:
        """The root key. Blocks for about half a second: call it from a worker lane."""
        return self.cost.derive(phrase, self.salt)
