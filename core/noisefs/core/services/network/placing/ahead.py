"""Blocks that went to nodes ahead of their pack, under interim roots; and how they come to be the pack's."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from noisefs.core.domain.ids import BlockId, PackId


class Ahead(ABC):
    """What whoever uploads a sealed pack asks of whoever sent parts of it before. Belongs to one event loop."""

    @abstractmethod
    async def hand_over(self, pack_id: PackId) -> Mapping[str, int]:
        """How many of a pack's blocks, from the first one on, nodes hold pinned under interim roots, by node.

        Returns when nothing is on its way. For a while nothing more is sent then, so that nothing is sent twice.
        """

    @abstractmethod
    def names(self, pack_id: PackId) -> Sequence[BlockId]:
        """The names of the pack's first blocks, as far as they were computed."""

    @abstractmethod
    def take_back(self, pack_id: PackId) -> None:
        """The pack could not be uploaded now."""

    @abstractmethod
    def forget(self, pack_id: PackId) -> None:
        """The pack has all its copies, or is no more."""


class NothingAhead(Ahead):
    """Where nothing is ever sent ahead."""

    async def hand_over(self, pack_id: PackId) -> Mapping[str, int]:  # noqa: ARG002 - none has any
        """Nothing."""
        return {}

    def names(self, pack_id: PackId) -> Sequence[BlockId]:  # noqa: ARG002 - none are known
        """None."""
        return ()

    def take_back(self, pack_id: PackId) -> None:
        """Nothing to do."""

    def forget(self, pack_id: PackId) -> None:
        """Nothing to do."""
