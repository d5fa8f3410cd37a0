"""An open pack on its way to nodes: what each of them has, what is wanted, and what was promised."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.masking import Strategy


@dataclass(slots=True)
class Holder:
    """What a node has of a pack.

    Attributes:
        blocks: From the pack's first one on.
        copies: Of each of them, at least.
        begun_s: When the last import began.
        task: Sends to it.
    """

    blocks: int = 0
    copies: int = 0
    begun_s: float = float("-inf")
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class Placing:
    """The pack. ``wanted``: blocks that somebody waits for; ``names``: of its blocks, as far as read."""

    pack_id: PackId
    strategy: Strategy
    wanted: int = 0
    names: list[BlockId] = field(default_factory=list)
    naming: asyncio.Lock = field(default_factory=asyncio.Lock)
    holders: dict[str, Holder] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, whenever an import ended."""
    failure: Exception | None = None
    """Why the last import could not be made, where no node is to blame."""
    taken_until_s: float = float("-inf")
    """Somebody uploads the sealed pack meanwhile."""
    final: bool = False
    """Its final root has all its copies, or it is gone."""
    owed: dict[int, int] = field(default_factory=dict)
    """By a number of copies: the first so many blocks were said to have as many."""

    @property
    def sending(self) -> bool:
        """Whether anything is on its way."""
        return any(one.task for one in self.holders.values())

    def progress(self) -> int:
        """Grows with whatever a node has more."""
        return sum(one.blocks * one.copies for one in self.holders.values())

    def holding(self, blocks: int) -> Iterator[str]:
        """Names of those who hold the first so many blocks, once for each copy."""
        for name, one in self.holders.items():
            if one.blocks >= blocks:
                for _ in range(one.copies):
                    yield name

    def tell(self) -> None:
        """Wake who waits."""
        self.changed.set()
        self.changed = asyncio.Event()
