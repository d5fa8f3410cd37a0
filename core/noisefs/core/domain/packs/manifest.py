"""The manifest: a pack's last cell, which tells what each of its cells holds.

Cell: 24-byte random salt, then AES-256-GCM under HKDF(store key, "manifest", salt). Associated data: store id, pack id,
u16 block count, u16 format. Plaintext: u32 length, msgpack, padding to the cell's end. A crash may leave a pack whose
manifest is written twice at one place: each has a salt, and so a key, of its own.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.geometry import PACK_BLOCKS, STRATEGIES, TAG_BYTES
from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat, PackDamaged

FORMAT: Final = 1
"""Of the cell: how it is sealed. What is inside has a version of its own, ``CONTENT``."""
CONTENT: Final = 1
MANIFEST_SALT_BYTES: Final = 24

_LENGTH: Final = struct.Struct(">I")
_BOUND: Final = struct.Struct(">HH")
_NONCE: Final = bytes(12)
"""One fixed nonce: every manifest has a salt, and so a key, of its own."""


class RunEntry(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """``count`` segments of a body from ``segment`` on, in cells ``stride`` blocks apart from block ``position`` on."""

    position: int
    count: int
    stride: int
    body_id: BodyId
    segment: int
    seed: int
    generation: int


class SharedEntry(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A cell shared by slices; its own directory says which."""

    position: int
    seed: int
    generation: int


class FillerEntry(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """``count`` blocks from ``position`` on that hold nothing: kept after a crash, named by no row."""

    position: int
    count: int


class LogEntry(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Cell ``index`` of index log record ``number``."""

    position: int
    number: int
    index: int


Entry: TypeAlias = RunEntry | SharedEntry | FillerEntry | LogEntry


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """What a sealed pack holds. Entries ascend by position and do not overlap.

    ``blocks`` counts all blocks of the pack, the manifest's own included: the file's length.
    """

    pack_id: PackId
    strategy: str
    generation: int
    seeds: tuple[SeedInfo, ...]
    blocks: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        """Refuse what no pack can hold."""
        if self.strategy not in STRATEGIES or not len(self.seeds) < self.blocks <= PACK_BLOCKS:
            allowed = f"one of {STRATEGIES}, and {len(self.seeds) + 1} to {PACK_BLOCKS}"
            raise InvalidArgument("strategy, blocks", (self.strategy, self.blocks), allowed)
        free = len(self.seeds)
        for entry in self.entries:
            end = entry_end(entry)
            if entry.position < free or end <= entry.position or end >= self.blocks:
                raise InvalidArgument(
                    "manifest entry", entry, f"blocks {free} to {self.blocks - 2}, in ascending order"
                )
            free = end


def entry_end(entry: Entry) -> int:
    """The position behind the entry's last block."""
    match entry:
        case RunEntry():
            return entry.position + (entry.count - 1) * entry.stride + 1
        case FillerEntry():
            return entry.position + entry.count
        case SharedEntry() | LogEntry():
            return entry.position + 1


class _Content(msgspec.Struct, frozen=True, array_like=True):
    """The msgpack inside. Fields are only ever appended."""

    content: int
    strategy: str
    generation: int
    seeds: Sequence[SeedInfo]
    entries: Sequence[Entry]


class _Version(msgspec.Struct, frozen=True, array_like=True):
    """The prefix of every :class:`_Content`, older or newer."""

    content: int


def seal_manifest(
    manifest: Manifest,
    *,
    store_key: bytes,
    store_id: StoreId,
    segment_bytes: int,
    salt: bytes,
    padding: Callable[[memoryview], None],
) -> bytes:
    """The manifest's cell, ``segment_bytes + 16`` bytes, to be masked as the pack's last block.

    The largest one (507 runs of one cell) takes under 24 KiB of it.

    Args:
        manifest: What to tell.
        store_key: Of the store.
        store_id: Of the store.
        segment_bytes: S.
        salt: 24 fresh random bytes, never used for another manifest.
        padding: Fills the rest with noise.

    Raises:
        InvalidArgument: The salt has another length.
    """
    if len(salt) != MANIFEST_SALT_BYTES:
        raise InvalidArgument("salt length", len(salt), f"{MANIFEST_SALT_BYTES} bytes are needed")
    content = msgspec.msgpack.encode(
        _Content(CONTENT, manifest.strategy, manifest.generation, manifest.seeds, manifest.entries)
    )
    plain = bytearray(segment_bytes - MANIFEST_SALT_BYTES)
    used = _LENGTH.size + len(content)
    if used > len(plain):
        raise InvalidArgument("manifest bytes", used, f"at most {len(plain)}")
    _LENGTH.pack_into(plain, 0, len(content))
    plain[_LENGTH.size : used] = content
    padding(memoryview(plain)[used:])
    key = derive(store_key, Label.MANIFEST, salt)
    return salt + AESGCM(key).encrypt(_NONCE, plain, _bound(store_id, manifest.pack_id, manifest.blocks))


def open_manifest(
    cell: bytes | memoryview, *, store_key: bytes, store_id: StoreId, pack_id: PackId, blocks: int, segment_bytes: int
) -> Manifest:
    """The manifest in a pack's last cell.

    Args:
        cell: The last block, unmasked.
        store_key: Of the store.
        store_id: Of the store.
        pack_id: The pack it was read from.
        blocks: All blocks that pack has.
        segment_bytes: S.

    Raises:
        PackDamaged: The cell is not this pack's manifest: another pack's, of another block count, or damaged.
        NewerFormat: A newer version wrote it.
    """
    if len(cell) != segment_bytes + TAG_BYTES:
        raise PackDamaged(pack_id, f"its last block has {len(cell)} bytes, not {segment_bytes + TAG_BYTES}")
    key = derive(store_key, Label.MANIFEST, bytes(cell[:MANIFEST_SALT_BYTES]))
    try:
        plain = AESGCM(key).decrypt(_NONCE, cell[MANIFEST_SALT_BYTES:], _bound(store_id, pack_id, blocks))
    except InvalidTag as exc:
        raise PackDamaged(pack_id, f"its last block, of {blocks}, is not its manifest") from exc
    (length,) = _LENGTH.unpack_from(plain)
    raw = memoryview(plain)[_LENGTH.size : _LENGTH.size + length]
    try:
        version = msgspec.msgpack.decode(raw, type=_Version).content
        if version > CONTENT:
            raise NewerFormat(f"the manifest of pack {pack_id.hex()} has version {version}: this one reads {CONTENT}")
        content = msgspec.msgpack.decode(raw, type=_Content)
        return Manifest(
            pack_id, content.strategy, content.generation, tuple(content.seeds), blocks, tuple(content.entries)
        )
    except (msgspec.DecodeError, msgspec.ValidationError, InvalidArgument) as exc:
        raise PackDamaged(pack_id, f"its manifest opens but cannot be read: {exc}") from exc


def _bound(store_id: StoreId, pack_id: PackId, blocks: int) -> bytes:
    return store_id + pack_id + _BOUND.pack(blocks, FORMAT)
