"""One fetch for a cell, however many readers want it at the same time: the first leads, the others wait for it.

Who leads some cells and follows others brings its own first, so that no two ever wait for each other. The same holds
between processes: what a process owns it brings before it asks others for theirs.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from noisefs.core.services.caching.entry import CellKey, Kept

FOLLOW_S: Final = 60.0
"""How long a follower waits at most before it looks for itself; leaders end earlier, by the fetcher's own bound."""


class _Flight:
    __slots__ = ("ended", "kept")

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.kept: Kept | None = None


class Flights:
    """Cells that are on their way. Thread-safe: its users are worker threads, and wait there."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._flying: dict[CellKey, _Flight] = {}

    def begin(self, keys: Iterable[CellKey]) -> tuple[list[CellKey], dict[CellKey, _Flight]]:
        """Which of these the caller leads, and has to :meth:`end`; and those that others bring."""
        lead: list[CellKey] = []
        follow: dict[CellKey, _Flight] = {}
        with self._lock:
            for key in keys:
                flight = self._flying.get(key)
                if flight is None:
                    self._flying[key] = _Flight()
                    lead.append(key)
                else:
                    follow[key] = flight
        return lead, follow

    def end(self, keys: Iterable[CellKey], found: Callable[[CellKey], Kept | None]) -> None:
        """What the caller led has come, or ``None`` where it has not."""
        with self._lock:
            flights = [(key, self._flying.pop(key, None)) for key in keys]
        for key, flight in flights:
            if flight is not None:
                flight.kept = found(key)
                flight.ended.set()

    @staticmethod
    def follow(flights: dict[CellKey, _Flight]) -> dict[CellKey, Kept]:
        """What others brought; those that are missing did not come."""
        found: dict[CellKey, Kept] = {}
        for key, flight in flights.items():
            if flight.ended.wait(FOLLOW_S) and flight.kept is not None:
                found[key] = flight.kept
        return found
