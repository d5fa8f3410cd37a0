"""Strategy ``uniform``: both randomizers from anywhere earlier in the pack, by a keyed pseudo-random function.

The unordered pairs of the blocks before position *p* are ranked 0 … p(p-1)/2 - 1. Each position draws a rank from
AES-256-CTR under a key of the store with the pack id as the counter's start, and takes the next free one when a
position before it has that rank already: so no pair is used twice, and readers compute the same table.
"""

import math
import struct
from threading import Lock
from typing import ClassVar, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking.strategy import RunPlan, Strategy
from noisefs.core.errors import InvalidArgument

SEEDS: Final = 4
"""As in ``chain``: enough that the first cells have pairs to choose from."""

_DRAW_BYTES: Final = 16
"""A u64 for the cell at a position, a u64 for the manifest there. The modulus is below 2**17: bias below 2**-47."""

_DRAWS: Final = struct.Struct(f">{PACK_BLOCKS * 2}Q")


class Uniform(Strategy):
    """See the module. The run parameter is always 0.

    A cell's randomizers may be blocks of its own body: what this strategy keeps is counted by the audit, not promised.
    The table is computed on first use, as far as it is needed: about 0.5 ms for a whole pack.
    """

    name: ClassVar[str] = "uniform"
    seeds: ClassVar[int] = SEEDS
    cells_max: ClassVar[int] = PACK_BLOCKS - SEEDS - 1

    def __init__(self, pack_id: PackId, prf_key: bytes) -> None:
        """Draw for one pack.

        Raises:
            InvalidArgument: The pack id is not 16 bytes or the key not 32.
        """
        if len(pack_id) != 16 or len(prf_key) != 32:
            raise InvalidArgument("lengths of pack id and key", (len(pack_id), len(prf_key)), "16 and 32 bytes")
        stream = Cipher(algorithms.AES256(prf_key), modes.CTR(pack_id)).encryptor()
        self._draws = _DRAWS.unpack(stream.update(bytes(PACK_BLOCKS * _DRAW_BYTES)))
        self._ranks: list[int] = []
        self._used: set[int] = set()
        self._growing = Lock()

    def plan(self, blocks: int, wanted: int, own_seeds: frozenset[int] = frozenset()) -> RunPlan | None:  # noqa: ARG002 - pairs are drawn
        count = self._room(blocks, wanted)
        if count < 1:
            return None
        return RunPlan(position=blocks, count=count, seed=0, stride=1, total_blocks=count)

    def randomizers(self, position: int, seed: int) -> tuple[int, int]:  # noqa: ARG002 - pairs are drawn
        return _pair(self._rank(position))

    def manifest_randomizers(self, position: int) -> tuple[int, int]:
        self._rank(position)
        before = set(self._ranks[: position - SEEDS + 1])
        return _pair(_free(self._draws[2 * position + 1], position, before))

    def _rank(self, position: int) -> int:
        if not SEEDS <= position < PACK_BLOCKS:
            raise InvalidArgument("position", position, f"{SEEDS} to {PACK_BLOCKS - 1}")
        if position - SEEDS >= len(self._ranks):
            with self._growing:
                for at in range(SEEDS + len(self._ranks), position + 1):
                    rank = _free(self._draws[2 * at], at, self._used)
                    self._used.add(rank)
                    self._ranks.append(rank)
        return self._ranks[position - SEEDS]


def _free(draw: int, position: int, used: set[int]) -> int:
    # Always ends: before position p at most p - 3 ranks are taken, and there are p(p-1)/2.
    pairs = position * (position - 1) // 2
    rank = draw % pairs
    while rank in used:
        rank = (rank + 1) % pairs
    return rank


def _pair(rank: int) -> tuple[int, int]:
    high = (1 + math.isqrt(1 + 8 * rank)) // 2
    return rank - high * (high - 1) // 2, high
