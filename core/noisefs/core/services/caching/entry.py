"""What the tiers keep: sealed bytes of a cell or a slice, and the generation they are sealed under."""

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from noisefs.core.domain.caching.policy import CachePolicy, Dropped
from noisefs.core.domain.ids import BodyId

CellKey: TypeAlias = tuple[BodyId, int]
"""A body and a segment number; a slice has the number behind the last whole segment. Never reused, never changed."""

ENTRY_BYTES: Final = 512
"""What an entry in memory weighs beside its bytes: key, objects, links."""


class Kept(NamedTuple):
    """A cell after unmasking, or a slice: ciphertext under its body's key."""

    sealed: memoryview | bytes
    generation: int
    cold: bool = False
    """It came from a network, or from what keeps such things on the disk: to read it again would cost the same."""


PolicyOf: TypeAlias = Callable[[int, Dropped], CachePolicy]
"""Makes a policy for so many bytes."""


class Why(Enum):
    """What a cell is fetched for. The value is a metric's label."""

    READ = "read"
    """Somebody reads it."""
    SEQUENTIAL = "sequential"
    """Somebody reads one piece of its object after another: it comes next."""
    OBJECT = "object"
    """Somebody began to read its object, which is small."""
    WARMING = "warming"
    """It was in memory before the last restart, or an operator asked for it."""


PREFETCH: Final = (Why.SEQUENTIAL, Why.OBJECT)


class Outcome(NamedTuple):
    """What became so far of cells that were fetched ahead for one reason."""

    used_cells: int = 0
    wasted_cells: int = 0
    wasted_bytes: int = 0
    waiting_bytes: int = 0
    """In memory, and not read yet."""
