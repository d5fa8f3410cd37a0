"""Which bodies are being read: they wait for their readers before they go.

In this process by counting; across processes through :class:`~noisefs.core.ports.presence.Presence`.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import Unavailable

CLAIMS_KEPT: Final = 65536
"""Bodies released lately: more than can be released within the 5 s that an index transaction may take."""


class Readers:
    """Counts readers per body. Thread-safe: large objects are opened on a lane."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: Counter[BodyId] = Counter()
        self._cut: set[BodyId] = set()
        self._claimed: OrderedDict[BodyId, None] = OrderedDict()
        self._told: list[Callable[[Iterable[BodyId]], None]] = []

    def enter(self, bodies: Iterable[BodyId]) -> None:
        """A reader of these bodies begins. All are counted, or none.

        Raises:
            Unavailable: One of them was deleted since the reader looked it up, and is being released.
        """
        entering = list(bodies)
        with self._lock:
            if not self._claimed.keys().isdisjoint(entering):
                raise Unavailable("the object was deleted or replaced while it was opened")
            self._bodies.update(entering)

    def leave(self, bodies: Iterable[BodyId]) -> None:
        """It ends."""
        with self._lock:
            for body_id in bodies:
                left = self._bodies[body_id] - 1
                if left:
                    self._bodies[body_id] = left
                else:
                    del self._bodies[body_id]
                    self._cut.discard(body_id)

    def reads(self) -> frozenset[BodyId]:
        """Bodies with a reader now, but for those whose readers were cut: these get nothing more."""
        with self._lock:
            return frozenset(self._bodies.keys() - self._cut)

    def on_claim(self, tell: Callable[[Iterable[BodyId]], None]) -> None:
        """Tell of bodies that :meth:`claim` gives away, on the thread that claims them."""
        self._told.append(tell)

    def claim(self, bodies: Iterable[BodyId]) -> list[BodyId]:
        """Those of these dead bodies that nobody reads; nobody begins to read them from now on."""
        with self._lock:
            free = [body_id for body_id in bodies if body_id not in self._bodies or body_id in self._cut]
            self._claimed.update(dict.fromkeys(free))
            while len(self._claimed) > CLAIMS_KEPT:
                self._claimed.popitem(last=False)
        for tell in self._told:
            tell(free)
        return free

    def cut(self, body_id: BodyId) -> None:
        """End every read of this body: it was deleted. A reader learns it with its next bytes."""
        with self._lock:
            if body_id in self._bodies:
                self._cut.add(body_id)

    def is_cut(self, body_id: BodyId) -> bool:
        """Whether reads of it must end now."""
        return body_id in self._cut
