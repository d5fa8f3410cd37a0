"""One fetch for a cell, however many readers want it at the same time: the first leads, the others wait for it.

Who leads some cells and follows others brings its own first, so that no two ever wait for each other. The same holds
between processes: what a process owns it brings before it asks others for theirs.
"""

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FOLLOW_S: Final = 60.0
"""How long a follower waits at most before it looks for itself; leaders end earlier, by the fetcher's own bound."""


class Flight(Generic[V]):
    """Something that is on its way."""

    __slots__ = ("brought", "ended")

    def __init__(self) -> None:
        """It has just left."""
        self.ended = threading.Event()
        self.brought: V | None = None


class Flights(Generic[K, V]):
    """What is on its way, by what it is called. Thread-safe: its users are worker threads, and wait there."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._flying: dict[K, Flight[V]] = {}

    def begin(self, keys: Iterable[K]) -> tuple[list[K], dict[K, Flight[V]]]:
        """Which of these the caller leads, and has to :meth:`end`; and those that others bring."""
        lead: list[K] = []
        follow: dict[K, Flight[V]] = {}
        with self._lock:
            for key in keys:
                flight = self._flying.get(key)
                if flight is None:
                    self._flying[key] = Flight()
                    lead.append(key)
                else:
                    follow[key] = flight
        return lead, follow

    def end(self, keys: Iterable[K], found: Callable[[K], V | None]) -> None:
        """What the caller led has come, or ``None`` where it has not."""
        with self._lock:
            flights = [(key, self._flying.pop(key, None)) for key in keys]
        for key, flight in flights:
            if flight is not None:
                flight.brought = found(key)
                flight.ended.set()

    @staticmethod
    def follow(flights: dict[K, Flight[V]], patience_s: float = FOLLOW_S) -> dict[K, V]:
        """What others brought; those that are missing did not come, or not in time."""
        found: dict[K, V] = {}
        for key, flight in flights.items():
            if flight.ended.wait(patience_s) and flight.brought is not None:
                found[key] = flight.brought
        return found
