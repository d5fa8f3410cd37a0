"""Sizes that are fixed for a store at ``init``, and what follows from them."""

from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

TAG_BYTES: Final = 16
"""AES-GCM's tag, stored behind each sealed segment (NIST SP 800-38D)."""

PACK_BLOCKS: Final = 512
"""Blocks of a full pack: seeds, cells and one manifest (DESIGN.md section 3)."""

SEGMENT_SIZES: Final = (131072, 262144, 524288, 1048576)
STRATEGIES: Final = ("chain", "uniform", "fresh")

INLINE_FOREVER_BYTES: Final = 1024
"""Slices up to this many plaintext bytes stay in the index for ever."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What every block of one store has in common.

    Attributes:
        segment_bytes: S, plaintext bytes sealed under one nonce; one of ``SEGMENT_SIZES``.
        strategy: How randomizers are chosen; one of ``STRATEGIES``.
    """

    segment_bytes: int = 131072
    strategy: str = "chain"

    def __post_init__(self) -> None:
        """Refuse sizes and strategies that do not exist."""
        if self.segment_bytes not in SEGMENT_SIZES:
            raise InvalidArgument("segment_bytes", self.segment_bytes, f"one of {SEGMENT_SIZES}")
        if self.strategy not in STRATEGIES:
            raise InvalidArgument("strategy", self.strategy, f"one of {STRATEGIES}")

    @property
    def block_bytes(self) -> int:
        """Bytes of a block, and of a cell: one segment and its tag."""
        return self.segment_bytes + TAG_BYTES

    @property
    def pack_bytes(self) -> int:
        """Bytes of a full pack."""
        return self.block_bytes * PACK_BLOCKS

    def segments(self, size_bytes: int) -> int:
        """Full segments of a body; what is left over is its slice."""
        return size_bytes // self.segment_bytes

    def slice_bytes(self, size_bytes: int) -> int:
        """Plaintext bytes of the body's slice: 0 when the size is a multiple of S."""
        return size_bytes % self.segment_bytes
