"""Whether a reader was just at the cell before: one answer for a server's policies and for recorded traces."""

from typing import Final

from noisefs.core.domain.caching.access import Key

OBJECTS_MOST: Final = 4096
"""Objects whose last read cell is remembered, those that came first forgotten first."""


class Following:
    """The cell of each object that was read last. Not thread-safe. Cost: O(1)."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Nothing was read."""
        self._last: dict[Key, int] = {}

    def read(self, group: Key, position: int) -> bool:
        """A cell of an object is read; whether the one before it was the object's last."""
        before = self._last.get(group)
        if before is None and len(self._last) >= OBJECTS_MOST:
            del self._last[next(iter(self._last))]
        self._last[group] = position
        return before == position - 1
