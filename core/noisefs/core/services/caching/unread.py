"""Cells in memory that were fetched ahead and that nobody has read yet, and what became of the others."""

from noisefs.core.services.caching.entry import PREFETCH, CellKey, Outcome, Why


class Unread:
    """Belongs to the tier that holds the cells, and is used under its lock. Cost: O(1)."""

    __slots__ = ("_outcomes", "keys")

    def __init__(self) -> None:
        """Nothing was fetched."""
        self.keys: dict[CellKey, tuple[Why, int]] = {}
        """What each was fetched for, and its bytes."""
        self._outcomes = dict.fromkeys(PREFETCH, Outcome())

    def came(self, key: CellKey, why: Why, size_bytes: int) -> None:
        """It was fetched ahead, and is kept."""
        self.keys[key] = why, size_bytes
        found = self._outcomes[why]
        self._outcomes[why] = found._replace(waiting_bytes=found.waiting_bytes + size_bytes)

    def was_read(self, key: CellKey) -> None:
        """Somebody reads it."""
        found, why, _ = self._left(key)
        self._outcomes[why] = found._replace(used_cells=found.used_cells + 1)

    def has_gone(self, key: CellKey) -> None:
        """It is kept no more."""
        _, why, size_bytes = self._left(key)
        self.was_wasted(why, 1, size_bytes)

    def is_bad(self, key: CellKey) -> None:
        """It is dropped, and nobody is to blame for having fetched it."""
        if key in self.keys:
            found, why, _ = self._left(key)
            self._outcomes[why] = found

    def was_wasted(self, why: Why, cells: int, size_bytes: int) -> None:
        """So many were fetched, and are not kept."""
        found = self._outcomes[why]
        self._outcomes[why] = found._replace(
            wasted_cells=found.wasted_cells + cells, wasted_bytes=found.wasted_bytes + size_bytes
        )

    def outcome(self, why: Why) -> Outcome:
        """What became of what was fetched for one reason."""
        return self._outcomes[why]

    def _left(self, key: CellKey) -> tuple[Outcome, Why, int]:
        why, size_bytes = self.keys.pop(key)
        found = self._outcomes[why]
        found = self._outcomes[why] = found._replace(waiting_bytes=found.waiting_bytes - size_bytes)
        return found, why, size_bytes
