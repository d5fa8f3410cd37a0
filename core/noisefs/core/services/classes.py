"""What writes ask of whoever knows the durability classes above ``local``."""

from abc import ABC, abstractmethod
from collections.abc import Collection

from noisefs.core.domain.ids import PackId


class DurabilityClasses(ABC):
    """Brings writes where their class wants them. Task-safe."""

    @abstractmethod
    def send_ahead(self, pack_id: PackId, blocks: int, durability: str) -> None:
        """A body of this class goes on in an open pack that has so many blocks now: more is to come. Quick."""

    @abstractmethod
    async def settle(self, pack_id: PackId, durability: str, blocks: int = 0) -> None:
        """Return when a pack's first ``blocks`` blocks (0: all of a sealed one) have this class. May be called again.

        Raises:
            NodeUnavailable: Too few nodes take them.
            PackNotFound: There is no such pack.
        """

    @abstractmethod
    async def is_within_reach(self, durability: str) -> bool:
        """Whether enough nodes answer for this class now: who moves bytes on its own account waits for better days."""

    @abstractmethod
    async def reach(self, durability: str) -> None:
        """Return when enough nodes answer for this class: a write that has nothing to send before its commit asks this,
        so that it is not done in vain.

        Raises:
            NodeUnavailable: They do not, for as long as a write waits.
        """

    @abstractmethod
    async def confirm(self, demands: Collection[str], sequence: int) -> None:
        """Return when the commit of this number has the highest of these classes.

        Raises:
            OutcomeUnknown: Nodes did not confirm it. Here it stands.
        """
