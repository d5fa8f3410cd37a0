"""Bodies that were read lately, with their keys ready to use: looking one up and unwrapping its key costs 10 µs.

Only what never changes of a body is kept. Promise: a key that nobody uses is dropped from here within
``2 * IDLE_S``, so that the key of a deleted body does not outlive it in memory for longer than in the index; what is
reclaimed by this process is dropped at once.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.sealing.segment import BodyCipher

IDLE_S: Final = 25.0
"""Between two calls of :meth:`KnownBodies.age`."""
MOST: Final = 8192
"""Bodies in each of the two halves: some 8 MiB of ciphers."""


class Known(NamedTuple):
    """What reading a body takes."""

    size: int
    cipher: BodyCipher
    tail: int


class KnownBodies:
    """Two halves: what was used since the last :meth:`age`, and what was used before it. Thread-safe."""

    def __init__(self) -> None:
        self._young: dict[BodyId, Known] = {}
        self._old: dict[BodyId, Known] = {}

    def get(self, body_id: BodyId) -> Known | None:
        """A body, if it was read lately."""
        found = self._young.get(body_id)
        if found is None:
            found = self._old.pop(body_id, None)
            if found is not None:
                self._young[body_id] = found
        return found

    def keep(self, body_id: BodyId, known: Known) -> None:
        """Remember one."""
        if len(self._young) >= MOST:
            self.age()
        self._young[body_id] = known

    def age(self) -> None:
        """Drop what was not used since the last call."""
        self._old, self._young = self._young, {}

    def forget(self, bodies: Iterable[BodyId]) -> None:
        """Drop these."""
        for body_id in bodies:
            self._young.pop(body_id, None)
            self._old.pop(body_id, None)
