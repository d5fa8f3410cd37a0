"""Port ``Peer``: another process that serves the same store, and keeps cells that this one may ask for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from noisefs.core.domain.caching.peering import Answer
from noisefs.core.domain.ids import BodyId


class Peer(ABC):
    """One other process. Task-safe; belongs to one event loop."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name among all processes of the store: the same for everybody, and after a restart."""

    @abstractmethod
    async def cells(self, body_id: BodyId, segments: Sequence[int], *, slices: bool, timeout_s: float) -> list[Answer]:
        """Those of these that it has or could fetch. ``slices``: they are slices, not whole cells.

        May be retried, and be cancelled at any time. What comes is not verified: whoever opens it does that.

        Raises:
            Unavailable: It is not there, refuses, or does not answer in time.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""
