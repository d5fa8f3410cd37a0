"""Port ``Workers``: where blocking and CPU work runs, so that the event loop never waits."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane(Enum):
    """Closed set of lanes. ``PACK`` and ``COMMIT`` have one thread each, so their calls run in order, one at a time."""

    CPU = "cpu"
    """Hashing, sealing, opening: as many threads as cores."""
    PACK = "pack"
    """The pack writer."""
    COMMIT = "commit"
    """The index writer."""
    DISK = "disk"
    """Reads of packs and of long index ranges."""
    NETWORK = "network"
    """Reads of blocks that only nodes have: these threads wait, and nobody else waits for them."""
    PEERS = "peers"
    """What other processes ask for: apart from ``NETWORK``, so that two processes never wait for each other."""
    BACKGROUND = "background"
    """Packer, cleaner, scrub, snapshots: never in the way of the others."""


class Workers(ABC):
    """Threads (in the simulator: the caller's own, in a seeded order)."""

    @abstractmethod
    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` on a thread of the lane and return its result.

        A cancelled caller does not stop work that has begun: what it changes, it changes. Work that has not begun
        is dropped.
        """
