"""What stands between memory and nodes, as whoever reads cells sees it: the disk cache, peers, and flights.

Only a store with nodes has it; without, nothing here costs anything.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from noisefs.core.domain.caching.asker import Asker
from noisefs.core.domain.ids import BodyId
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.caching.entry import CellKey, Kept, Why
from noisefs.core.services.caching.flights import Flights
from noisefs.core.services.caching.warm import WarmTier


class Others(Protocol):
    """Other processes that keep some of the cells, each those that it is the owner of."""

    def is_mine(self, key: CellKey) -> bool:
        """Whether this process is the one that fetches it for all."""

    def is_kept_here(self, key: CellKey) -> bool:
        """Whether this process keeps it on the disk: it is its own, or its owner does not answer these days."""

    def ask(self, keys: Sequence[CellKey], *, slices: bool) -> dict[CellKey, Kept]:
        """What their owners have, or fetch, of these; nothing for those that are down or slow. Blocks, boundedly.

        ``slices``: they are slices, not whole cells.
        """


class Tiers:
    """Thread-safe. ``warm`` and ``others`` may be missing."""

    def __init__(self, telemetry: Telemetry, warm: WarmTier | None = None, others: Others | None = None) -> None:
        """``others``: the other processes that serve this store."""
        self._telemetry = telemetry
        self.warm = warm
        self.others = others
        self.flights: Flights[CellKey, Kept] = Flights()

    def on_disk(self, keys: Iterable[CellKey], asker: Asker) -> dict[CellKey, Kept]:
        """What the disk cache has of these; each counts as read by ``asker``. Blocks for reads of the disk."""
        if self.warm is None:
            return {}
        found: dict[CellKey, Kept] = {}
        for key in keys:
            kept = self.warm.get(key, asker)
            if kept is not None:
                found[key] = kept
        if found:
            self._telemetry.count(Counter.CELL_READS, len(found), ("warm",))
        return found

    def by_owner(self, keys: list[CellKey]) -> list[list[CellKey]]:
        """This process's own, then the others."""
        if self.others is None:
            return [keys]
        mine = [key for key in keys if self.others.is_mine(key)]
        return [mine, [key for key in keys if key not in mine]]

    def asked(self, keys: Sequence[CellKey], *, slices: bool = False) -> dict[CellKey, Kept]:
        """What other processes give of those that are not this one's."""
        if self.others is None:
            return {}
        theirs = [key for key in keys if not self.others.is_mine(key)]
        if not theirs:
            return {}
        found = self.others.ask(theirs, slices=slices)
        self._telemetry.count(Counter.PEER_READS, len(found), ("given",))
        self._telemetry.count(Counter.PEER_READS, len(theirs) - len(found), ("not given",))
        if found:
            self._telemetry.count(Counter.CELL_READS, len(found), ("peer",))
        return found

    def fetched(self, key: CellKey, kept: Kept, *, why: Why, asker: Asker) -> None:
        """It came from a node: the disk cache may keep it."""
        if self.warm is not None and (self.others is None or self.others.is_kept_here(key)):
            self.warm.offer(key, kept, why=why, asker=asker)

    def demoted(self, key: CellKey, kept: Kept) -> None:
        """Memory let go of it."""
        if self.warm is not None and (self.others is None or self.others.is_kept_here(key)):
            self._telemetry.count(Counter.CACHE_MOVES, 1, ("demoted",))
            self.warm.demote(key, kept)

    def promoted(self, count: int) -> None:
        """So many came from the disk cache into memory."""
        self._telemetry.count(Counter.CACHE_MOVES, count, ("promoted",))

    def drop(self, body_id: BodyId, segment: int, count: int) -> None:
        """These are bad."""
        if self.warm is not None:
            for number in range(segment, segment + count):
                self.warm.drop((body_id, number))
