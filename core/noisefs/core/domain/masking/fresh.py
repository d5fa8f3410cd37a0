"""Strategy ``fresh``: new noise for every cell, as in the original OFF System. Three blocks a cell, no seeds.

Every cell is preceded by its two noise blocks. Nothing is ever shared between tuples, so storage and reads are 3 ×.
"""

from typing import ClassVar, Final

from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.masking.strategy import RunPlan, Strategy
from noisefs.core.errors import InvalidArgument

_TUPLE: Final = 3


class Fresh(Strategy):
    """See the module. The run parameter is always 0."""

    name: ClassVar[str] = "fresh"
    seeds: ClassVar[int] = 0
    stride: ClassVar[int] = _TUPLE
    cells_max: ClassVar[int] = (PACK_BLOCKS - 1) // _TUPLE

    def plan(self, blocks: int, wanted: int, own_seeds: frozenset[int] = frozenset()) -> RunPlan | None:  # noqa: ARG002 - no seeds here
        count = self._room(blocks, wanted)
        if count < 1:
            return None
        return RunPlan(blocks + _TUPLE - 1, count, seed=0, stride=_TUPLE, total_blocks=count * _TUPLE)

    def randomizers(self, position: int, seed: int) -> tuple[int, int]:  # noqa: ARG002 - no seeds here
        if position < _TUPLE - 1:
            raise InvalidArgument("position", position, f"from {_TUPLE - 1} on")
        return position - 2, position - 1

    def manifest_randomizers(self, position: int) -> tuple[int, int]:
        # Two apart: the pairs of cells are neighbours, so this is none of theirs, wherever the pack was cut.
        if position < _TUPLE:
            raise InvalidArgument("manifest position", position, f"from {_TUPLE} on")
        return position - 3, position - 1

    def masks_before(self, first: int, count: int) -> list[int]:  # noqa: ARG002 - each cell brings its own
        return []
