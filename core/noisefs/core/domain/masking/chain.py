"""Strategy ``chain``: a cell is masked with its band's seed and the block before it.

512 blocks are 4 seeds, 507 cells, 1 manifest. Reading a run costs one block a cell, plus a seed and the block before.

Why no pair is used twice: of the two randomizers one is a seed and the other is the block before, which masks nothing
else in that role; seed 3 alone has both roles, and the pair (0, 3) is cell 0's only. The manifest uses neither the band
seed of the cell whose place it takes nor seed 3, the two that such a cell could have had.
"""

from collections.abc import Collection
from typing import ClassVar, Final

import numpy as np

from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.masking.strategy import BlockAt, Noise, RunPlan, Strategy, block_bytes, merged
from noisefs.core.domain.masking.xor import lanes, require_distinct
from noisefs.core.errors import InvalidArgument, RandomizerReuse

SEEDS: Final = 4
NEUTRAL_SEED: Final = 3
"""Always neutral (noise or a manifest): for cells whose band seed holds bytes of their own body."""

_BANDED: Final = PACK_BLOCKS - SEEDS


def band_seed(cell: int) -> int:
    """The seed of cell number ``cell`` (from 0)."""
    return cell * SEEDS // _BANDED


class Chain(Strategy):
    """See the module. The run parameter is the seed's number, which is also its position."""

    name: ClassVar[str] = "chain"
    seeds: ClassVar[int] = SEEDS
    cells_max: ClassVar[int] = PACK_BLOCKS - SEEDS - 1
    reads_together: ClassVar[bool] = True

    def plan(self, blocks: int, wanted: int, own_seeds: frozenset[int] = frozenset()) -> RunPlan | None:
        room = self._room(blocks, wanted)
        if room < 1:
            return None
        first = blocks - SEEDS
        seed = _seed_for(first, own_seeds)
        count = 1
        while count < room and _seed_for(first + count, own_seeds) == seed:
            count += 1
        return RunPlan(position=blocks, count=count, seed=seed, stride=1, total_blocks=count)

    def randomizers(self, position: int, seed: int) -> tuple[int, int]:
        if position < SEEDS or not 0 <= seed < SEEDS:
            raise InvalidArgument("position, seed", (position, seed), f"from {SEEDS} on, and below {SEEDS}")
        return seed, position - 1

    def manifest_randomizers(self, position: int) -> tuple[int, int]:
        if position < SEEDS:
            raise InvalidArgument("manifest position", position, f"from {SEEDS} on")
        return (position * SEEDS // _BANDED + 1) % NEUTRAL_SEED, position - 1

    def mask_run(self, plan: RunPlan, cells: memoryview, out: memoryview, block_at: BlockAt, noise: Noise) -> None:  # noqa: ARG002 - none here
        size = block_bytes(cells, plan.count)
        if len(out) != len(cells):
            raise InvalidArgument("bytes of out", len(out), f"{plan.total_blocks} blocks of {size} bytes")
        one, two = self.randomizers(plan.position, plan.seed)
        if one == two:
            raise RandomizerReuse(f"both randomizers of a tuple are block {one}")
        mask, before = block_at(one), block_at(two)
        seed = lanes(mask)
        previous = lanes(before)
        for at in range(0, len(cells), size):
            require_distinct((mask, before))
            before = out[at : at + size]
            block = lanes(before)
            # Two passes over a block that is still in the core's cache.
            np.bitwise_xor(lanes(cells[at : at + size]), seed, out=block)
            np.bitwise_xor(block, previous, out=block)
            previous = block

    def needed(self, position: int, count: int, seed: int, have: Collection[int] = ()) -> list[tuple[int, int]]:
        if position > SEEDS + 1 and all(number < SEEDS for number in have):
            blocks = (position - 1, count + 1)
            return [blocks] if seed in have else [(seed, 1), blocks]
        return merged({seed, *range(position - 1, position + count)}.difference(have))

    def unmask(
        self,
        position: int,
        count: int,
        seed: int,
        block_at: BlockAt,
        out: memoryview,
        together: memoryview | None = None,
    ) -> None:
        if together is not None:
            self.unmask_contiguous(together, block_at(seed), out)
            return
        size = block_bytes(out, count)
        mask = lanes(block_at(seed))
        previous = lanes(block_at(position - 1))
        for i in range(count):
            block = lanes(block_at(position + i))
            cell = lanes(out[i * size : (i + 1) * size])
            np.bitwise_xor(block, previous, out=cell)
            np.bitwise_xor(cell, mask, out=cell)
            previous = block

    @staticmethod
    def unmask_contiguous(blocks: memoryview, seed_block: memoryview, out: memoryview) -> None:
        """Undo the mask of a stretch of a run whose blocks lie one after another in memory.

        Args:
            blocks: The block before the first cell, and then the cells' blocks.
            seed_block: The run's seed.
            out: One block less than ``blocks``. May be ``blocks`` without its first block: works in place.

        Raises:
            InvalidArgument: The lengths do not fit each other.
        """
        size = len(seed_block)
        if not size or len(blocks) != len(out) + size or len(out) % size:
            raise InvalidArgument("buffer lengths", (len(blocks), size, len(out)), "n + 1, 1 and n blocks")
        mask = lanes(seed_block)
        words = mask.shape[0]
        source, target = lanes(blocks), lanes(out)
        # Two calls, whatever the number of cells: each call lets go of the interpreter's lock and has to get it back.
        np.bitwise_xor(source[words:], source[:-words], out=target)
        cells = target.reshape(-1, words)
        np.bitwise_xor(cells, mask, out=cells)


def _seed_for(cell: int, own_seeds: frozenset[int]) -> int:
    # Cell 0 already has the neutral seed as the block before it.
    band = band_seed(cell)
    return NEUTRAL_SEED if band in own_seeds and cell else band
