"""Which bodies and packs are being read: they wait for their readers before they go.

In this process by counting; across processes through :class:`~noisefs.core.ports.presence.Presence`.
"""

from collections import Counter
from collections.abc import Iterable

from noisefs.core.domain.ids import BodyId


class Readers:
    """Counts readers per body. Belongs to the event loop; ``reads`` is a snapshot for other threads."""

    def __init__(self) -> None:
        self._bodies: Counter[BodyId] = Counter()
        self._cut: set[BodyId] = set()

    def enter(self, bodies: Iterable[BodyId]) -> None:
        """A reader of these bodies begins."""
        for body_id in bodies:
            self._bodies[body_id] += 1

    def leave(self, bodies: Iterable[BodyId]) -> None:
        """It ends."""
        for body_id in bodies:
            left = self._bodies[body_id] - 1
            if left:
                self._bodies[body_id] = left
            else:
                del self._bodies[body_id]
                self._cut.discard(body_id)

    def reads(self) -> frozenset[BodyId]:
        """Bodies with a reader now."""
        return frozenset(self._bodies)

    def cut(self, body_id: BodyId) -> None:
        """End every read of this body: it was deleted."""
        if body_id in self._bodies:
            self._cut.add(body_id)

    def is_cut(self, body_id: BodyId) -> bool:
        """Whether reads of it must end now."""
        return body_id in self._cut
