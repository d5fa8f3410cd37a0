"""What every mask strategy promises: which two earlier blocks of its pack mask a block.

``block = cell XOR r1 XOR r2``; the pair (r1, r2) is never used twice in a pack, in any order, by construction.
All positions are block positions in the pack, from 0. A pack is closed: randomizers come from the same pack.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar

from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.masking.xor import require_distinct, xor_into
from noisefs.core.errors import InvalidArgument, RandomizerReuse

BlockAt = Callable[[int], memoryview]
"""Gives an earlier block of the pack by its position."""

Noise = Callable[[memoryview], None]
"""Fills a buffer with bytes nobody can tell from random."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Where the next cells of one body go.

    Attributes:
        position: Block position of the first cell.
        count: Cells of the run.
        seed: The run parameter: readers get it back from the run's row.
        stride: Blocks from one cell to the next.
        total_blocks: Blocks the run appends, noise included.
    """

    position: int
    count: int
    seed: int
    stride: int
    total_blocks: int

    @property
    def start(self) -> int:
        """Position of the first block the run appends: the pack's block count before it."""
        return self.position - self.stride + 1


class Strategy(ABC):
    """How the randomizers of one pack are chosen. One per open pack or read; immutable and thread-safe.

    Buffers hold whole blocks of one size, which is taken from their lengths.
    """

    name: ClassVar[str]
    seeds: ClassVar[int]
    """Blocks at the start of a pack that are seeds, put there by the pack's writer before the first cell."""
    stride: ClassVar[int] = 1
    """Blocks from one cell to the next; the cell is the last of them."""
    cells_max: ClassVar[int]
    """Cells of a full pack."""
    reads_together: ClassVar[bool] = False
    """Whether :meth:`unmask`, given ``together``, asks for no other block than a seed."""

    @abstractmethod
    def plan(self, blocks: int, wanted: int, own_seeds: frozenset[int] = frozenset()) -> RunPlan | None:
        """Where up to ``wanted`` further cells of one body go.

        Args:
            blocks: Blocks the pack has already, seeds included.
            wanted: Cells the writer has at hand, at least 1.
            own_seeds: Numbers of the seeds whose source holds bytes of the same body or upload.

        Returns:
            A run of 1 to ``wanted`` cells; ``None`` when only the manifest fits any more.

        Raises:
            InvalidArgument: Seeds are missing, or ``wanted`` is below 1.
        """

    @abstractmethod
    def randomizers(self, position: int, seed: int) -> tuple[int, int]:
        """Positions of the two different, earlier blocks that mask the cell at ``position`` of a run with this seed."""

    @abstractmethod
    def manifest_randomizers(self, position: int) -> tuple[int, int]:
        """Positions of the two blocks that mask the manifest when it is block ``position``, the pack's last.

        Never the pair of any cell before it, nor of the cell that lay there before a short pack was cut.

        Raises:
            InvalidArgument: So short a pack has no cell, and so nothing to seal.
        """

    def mask_run(self, plan: RunPlan, cells: memoryview, out: memoryview, block_at: BlockAt, noise: Noise) -> None:
        """Mask the cells of a run into the place of its blocks.

        Args:
            plan: As :meth:`plan` gave it.
            cells: ``plan.count`` cells, one after another; not changed.
            out: ``plan.total_blocks`` blocks: those from ``plan.start`` on. Must not overlap ``cells``.
            block_at: Blocks before ``plan.start``.
            noise: Where noise blocks come from.

        Raises:
            RandomizerReuse: The two randomizers of a cell are the same bytes. ``out`` is void then.
            InvalidArgument: A buffer has the wrong length.
        """
        size = block_bytes(cells, plan.count)
        if len(out) != size * plan.total_blocks:
            raise InvalidArgument("bytes of out", len(out), f"{plan.total_blocks} blocks of {size} bytes")
        start = plan.start

        def at(position: int) -> memoryview:
            return (
                block_at(position)
                if position < start
                else out[(position - start) * size : (position - start + 1) * size]
            )

        for i in range(plan.count):
            position = plan.position + i * plan.stride
            if plan.stride > 1:
                noise(out[(position - plan.stride + 1 - start) * size : (position - start) * size])
            masks = self._masks(self.randomizers(position, plan.seed), at)
            xor_into(at(position), cells[i * size : (i + 1) * size], *masks)

    def needed(self, position: int, count: int, seed: int, have: Collection[int] = ()) -> list[tuple[int, int]]:
        """Blocks that a reader of ``count`` cells of a run, from the cell at ``position`` on, must have.

        Returns:
            Ascending, merged ``(start, blocks)`` ranges, without the positions in ``have``.
        """
        wanted: set[int] = set()
        for i in range(count):
            cell = position + i * self.stride
            wanted.add(cell)
            wanted.update(self.randomizers(cell, seed))
        return merged(wanted.difference(have))

    def masks_before(self, first: int, count: int) -> list[int]:
        """Positions before ``first``, ascending, of all blocks that may mask one of ``count`` blocks from there on.

        Whatever the runs in them: of every parameter a run may have. ``first`` is where a run begins, or 0.
        """
        cells = range(max(first, self.seeds), first + count)
        masks = {at for cell in cells for seed in range(max(1, self.seeds)) for at in self.randomizers(cell, seed)}
        return sorted(at for at in masks if at < first)

    def unmask(
        self,
        position: int,
        count: int,
        seed: int,
        block_at: BlockAt,
        out: memoryview,
        together: memoryview | None = None,  # noqa: ARG002 - a help that not every strategy can use
    ) -> None:
        """Undo the mask of ``count`` cells of a run from the cell at ``position`` on, into contiguous ``out``.

        ``together``: the blocks from ``position - 1`` to the last cell's, one after another, where they lie so.

        Raises:
            InvalidArgument: A buffer has the wrong length.
        """
        size = block_bytes(out, count)
        for i in range(count):
            cell = position + i * self.stride
            one, two = self.randomizers(cell, seed)
            xor_into(out[i * size : (i + 1) * size], block_at(cell), block_at(one), block_at(two))

    def mask_manifest(self, position: int, cell: memoryview, out: memoryview, block_at: BlockAt) -> None:
        """Mask the manifest's cell for block ``position``, the pack's last.

        Raises:
            RandomizerReuse: Its two randomizers are the same bytes.
            InvalidArgument: The pack has no cell, or a buffer has the wrong length.
        """
        xor_into(out, cell, *self._masks(self.manifest_randomizers(position), block_at))

    def unmask_manifest(self, position: int, block_at: BlockAt, out: memoryview) -> None:
        """Undo the mask of the manifest, the block at ``position``."""
        one, two = self.manifest_randomizers(position)
        xor_into(out, block_at(position), block_at(one), block_at(two))

    def _room(self, blocks: int, wanted: int) -> int:
        """Cells that fit behind ``blocks`` blocks and before the manifest, at most ``wanted``."""
        if wanted < 1 or blocks < self.seeds:
            raise InvalidArgument("blocks, wanted", (blocks, wanted), f"at least {self.seeds} blocks and 1 cell")
        return min(wanted, (PACK_BLOCKS - 1 - blocks) // self.stride)

    @staticmethod
    def _masks(pair: tuple[int, int], at: BlockAt) -> tuple[memoryview, memoryview]:
        one, two = pair
        if one == two:
            raise RandomizerReuse(f"both randomizers of a tuple are block {one}")
        masks = at(one), at(two)
        require_distinct(masks)
        return masks


def block_bytes(buffer: memoryview, blocks: int) -> int:
    """Bytes of one block when ``buffer`` holds ``blocks`` of them.

    Raises:
        InvalidArgument: It does not divide.
    """
    size, odd = divmod(len(buffer), blocks)
    if odd or not size:
        raise InvalidArgument("bytes of the buffer", len(buffer), f"{blocks} whole blocks")
    return size


def merged(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending ``(start, count)`` ranges that cover exactly these positions."""
    ranges: list[tuple[int, int]] = []
    for position in sorted(positions):
        if ranges and sum(ranges[-1]) == position:
            start, count = ranges[-1]
            ranges[-1] = start, count + 1
        else:
            ranges.append((position, 1))
    return ranges
