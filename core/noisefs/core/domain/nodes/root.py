"""Roots: the blocks that nodes pin, one for each pack, piece of an open pack, snapshot file or group of log records.

Layout: dag-cbor (IPLD specification) of a map with ``b``, the list of links in order; ``v``, the format; ``x``, a
12-byte nonce and AES-256-GCM-SIV under HKDF(store key, "root") over a msgpack array (:class:`RootMeta`). Associated
data: the store id and the dag-cbor of the same map without ``x``. So a node sees how many blocks belong together and in
what order, and nothing else, and no root of another store, and none with other links, is ever taken for one of ours.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from noisefs.core.domain.ids import BlockId, RootId, StoreId
from noisefs.core.domain.nodes.dag_cbor import Link, decode_dag, encode_dag
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat, RootDamaged

FORMAT: Final = 1
NONCE_BYTES: Final = 12
ROOT_PREFIX: Final = bytes.fromhex("01711220")
"""CID version 1, codec dag-cbor (0x71), multihash sha2-256 (0x12) of 32 bytes (0x20)."""
MAX_ROOT_BYTES: Final = 1 << 20
"""Kubo's bitswap sends no block above 2 MiB; a pack's root has 21 KiB."""


class RootKind(IntEnum):
    """What a root pins."""

    PACK = 1
    """All blocks of a sealed pack, in order."""
    INTERIM = 2
    """Blocks of an open pack from position ``first`` on, and behind them every randomizer of these."""
    FILE = 3
    """A snapshot file, cut into blocks."""
    LOG = 4
    """Log records, cut into blocks."""
    PART = 5
    """Part ``first`` of a snapshot file that is too long for one root."""


class RootMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a root says to who has the store key. Fields are only ever appended."""

    kind: int
    pack_id: bytes = b""
    first: int = 0
    """Position in the pack of the first linked block; of a part of a file: its number."""
    count: int = 0
    """Linked blocks that the root is about; randomizers come behind them."""
    log_number: int = 0
    """Highest index commit that may name a linked cell; of records: the last one's number."""
    log_first: int = 0
    """Of records: the first one's number."""
    name: str = ""
    """Of a file."""
    size_bytes: int = 0
    """Of a file or of records, without the padding of the last block."""
    created_us: int = 0
    epoch: int = 0
    """The store's epoch, its counter."""


@dataclass(frozen=True, slots=True)
class Root:
    """An opened root. ``links`` are names of blocks, in order."""

    links: tuple[BlockId, ...]
    meta: RootMeta


class RootSealer:
    """Makes and opens the roots of one store. Thread-safe. Cost: about 1 ms a root of 512 links."""

    def __init__(self, store_id: StoreId, store_key: bytes) -> None:
        """Derive the key."""
        self._store_id = store_id
        self._aead = AESGCMSIV(derive(store_key, Label.ROOT))

    def seal(self, links: tuple[BlockId, ...], meta: RootMeta, *, nonce: bytes) -> bytes:
        """The root's bytes. ``nonce``: 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise InvalidArgument("nonce length", len(nonce), f"{NONCE_BYTES} bytes are needed")
        sealed = self._aead.encrypt(nonce, msgspec.msgpack.encode(meta), self._bound(links, FORMAT))
        return encode_dag({"b": [Link(link) for link in links], "v": FORMAT, "x": nonce + sealed})

    def open(self, raw: bytes) -> Root:
        """The root in these bytes, verified.

        Raises:
            NewerFormat: A newer version wrote it.
            RootDamaged: It is none of this store's, or is damaged.
        """
        links, version, sealed = _parts(raw)
        if version > FORMAT:
            raise NewerFormat(f"a root has format {version}: this version reads up to {FORMAT}")
        try:
            clear = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound(links, version))
            return Root(links, msgspec.msgpack.decode(clear, type=RootMeta))
        except (InvalidTag, ValueError) as exc:
            raise RootDamaged("a root does not open: it is another store's, or was changed") from exc
        except (msgspec.DecodeError, msgspec.ValidationError) as exc:
            raise RootDamaged(f"a root opens but cannot be read: {exc}") from exc

    def _bound(self, links: tuple[BlockId, ...], version: int) -> bytes:
        return self._store_id + encode_dag({"b": [Link(link) for link in links], "v": version})


def links_of(raw: bytes) -> tuple[BlockId, ...]:
    """The links of a root, unverified: for whoever took it from a safe place.

    Raises:
        RootDamaged: The bytes are no root.
    """
    return _parts(raw)[0]


def root_id(raw: bytes) -> RootId:
    """The name of a root."""
    return RootId(ROOT_PREFIX + hashlib.sha256(raw).digest())


def _parts(raw: bytes) -> tuple[tuple[BlockId, ...], int, bytes]:
    if len(raw) > MAX_ROOT_BYTES:
        raise RootDamaged(f"a root of {len(raw)} bytes: the largest has {MAX_ROOT_BYTES}")
    try:
        fields = decode_dag(raw)
    except InvalidArgument as exc:
        raise RootDamaged(f"no root: {exc}") from exc
    if not isinstance(fields, dict) or set(fields) != {"b", "v", "x"}:
        raise RootDamaged("no root: it is not a map of b, v and x")
    links, version, sealed = fields["b"], fields["v"], fields["x"]
    if not (isinstance(links, list) and isinstance(version, int) and isinstance(sealed, bytes)):
        raise RootDamaged("no root: b, v or x is of another kind")
    if not all(isinstance(link, Link) for link in links):
        raise RootDamaged("no root: b holds something else than links")
    return tuple(BlockId(link.cid) for link in links if isinstance(link, Link)), version, sealed
