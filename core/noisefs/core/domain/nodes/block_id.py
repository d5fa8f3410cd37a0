"""Names of blocks: CIDv1, raw codec, sha2-256 (multiformats CID specification), and their base32 text.

Not needed to write: a block's name is computed when it leaves for a network, and kept beside its pack.
"""

import base64
import binascii
import hashlib
from typing import Final

from noisefs.core.domain.ids import BlockId
from noisefs.core.errors import InvalidArgument

PREFIX: Final = bytes.fromhex("01551220")
"""CID version 1, codec raw (0x55), multihash sha2-256 (0x12) of 32 bytes (0x20)."""

BLOCK_ID_BYTES: Final = 36
_MULTIBASE_BASE32: Final = "b"
_TEXT_CHARS: Final = 59
"""``b`` and 58 base32 digits for 36 bytes, without padding."""


def compute_block_id(block: bytes | memoryview) -> BlockId:
    """The name of a block. Cost: one SHA-256, 0.6 CPU seconds per GiB; releases the interpreter lock."""
    return BlockId(PREFIX + hashlib.sha256(block).digest())


def block_id_text(block_id: BlockId) -> str:
    """The text form as IPFS shows it: ``bafkrei…``, 59 characters."""
    return _MULTIBASE_BASE32 + base64.b32encode(block_id).decode("ascii").rstrip("=").lower()


def parse_block_id(text: str) -> BlockId:
    """The block id in its text form.

    Raises:
        InvalidArgument: It is not the base32 text of such a name, or not the one canonical spelling of it.
    """
    allowed = "the base32 text of a CIDv1 with codec raw and sha2-256"
    if len(text) != _TEXT_CHARS or not text.startswith(_MULTIBASE_BASE32):
        raise InvalidArgument("block id", text, allowed)
    try:
        raw = BlockId(base64.b32decode(text[1:].upper() + "======"))
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument("block id", text, allowed) from exc
    if not raw.startswith(PREFIX) or block_id_text(raw) != text:
        raise InvalidArgument("block id", text, allowed)
    return raw
