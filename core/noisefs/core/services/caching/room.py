"""Units of a file: which are free, and which of them a record gets.

A record may lie in several pieces, so that free units are of use wherever they are: nothing ever has to be moved.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from sortedcontainers import SortedDict, SortedList

UNIT_BYTES: Final = 4096
"""Pages: what a disk and the page cache work with."""

MOST_PIECES: Final = 8
"""Pieces of a record: each is a read of its own."""

Piece: TypeAlias = tuple[int, int]
"""First unit, and how many."""


class Room:
    """Free units of a file of fixed length. Not thread-safe. Cost: O(log n) a piece."""

    def __init__(self, units: int) -> None:
        """All are free."""
        self.units = units
        self.free = units
        self._holes: SortedDict[int, int] = SortedDict({0: units} if units else {})
        self._sizes: SortedList[tuple[int, int]] = SortedList((count, first) for first, count in self._holes.items())

    def take(self, units: int) -> tuple[Piece, ...] | None:
        """So many units, in one piece if there is one, low in the file rather than high; ``None``: not enough, or in
        too many pieces.
        """
        if units > self.free:
            return None
        at = self._sizes.bisect_left((units, -1))
        if at < len(self._sizes):
            count, first = self._sizes[at]
            self._cut(first, count, units)
            return ((first, units),)
        pieces: list[Piece] = []
        left = units
        for count, first in reversed(self._sizes):
            pieces.append((first, min(count, left)))
            left -= min(count, left)
            if not left:
                break
            if len(pieces) == MOST_PIECES:
                return None
        for first, count in pieces:
            self._cut(first, self._holes[first], count)
        return tuple(pieces)

    def give(self, pieces: Iterable[Piece]) -> None:
        """These are free again."""
        for first, count in pieces:
            start, size = first, count
            at = self._holes.bisect_left(first)
            if at < len(self._holes):
                following = self._holes.keys()[at]
                if following == first + count:
                    size += self._forget(following)
            if at:
                before = self._holes.keys()[at - 1]
                if before + self._holes[before] == first:
                    start = before
                    size += self._forget(before)
            self._note(start, size)
            self.free += count

    def claim(self, pieces: Iterable[Piece]) -> bool:
        """Take just these units; ``False``, and nothing taken, unless all of them are there and free."""
        taken: list[Piece] = []
        for first, count in pieces:
            at = self._holes.bisect_right(first) - 1
            start = self._holes.keys()[at] if at >= 0 else 0
            size = self._holes[start] if at >= 0 else 0
            if first < 0 or count < 1 or start + size < first + count:
                self.give(taken)
                return False
            self._forget(start)
            if first > start:
                self._note(start, first - start)
            if start + size > first + count:
                self._note(first + count, start + size - first - count)
            self.free -= count
            taken.append((first, count))
        return True

    def _cut(self, first: int, size: int, units: int) -> None:
        self._forget(first)
        if size > units:
            self._note(first + units, size - units)
        self.free -= units

    def _note(self, first: int, count: int) -> None:
        self._holes[first] = count
        self._sizes.add((count, first))

    def _forget(self, first: int) -> int:
        count: int = self._holes.pop(first)
        self._sizes.remove((count, first))
        return count
