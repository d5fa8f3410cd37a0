"""What is remembered of a key's reads, and the row of numbers a model sees of it."""

from collections import OrderedDict
from math import exp
from typing import Final

from noisefs.core.domain.caching.access import Access, Key

NEVER: Final = 1e9
"""In place of a time that was not: larger than any age in reads that matters."""

# Where the numbers lie in a row as it is remembered; in the row a model sees, times have become ages.
LAST, GAP_1, GAP_2, GAP_3, GAP_4, COUNT, SHORT, LONG, FIRST = range(9)
BEFORE_AGE, BEFORE_GAP, AFTER, HEAT, HEAT_AGE, SIZE, POSITION, PROTOCOL, SEQUENTIAL, BUCKET = range(9, 19)
REMEMBERED: Final = 19

SHORT_RATE: Final = 2.0
LONG_RATE: Final = 0.25
"""How quickly the two decayed counters forget, per residence time of the cache."""
_MOST_PRODUCT: Final = 60.0


class History:
    """Rows of the keys that were read last. Times are counted in reads; bounded by a number of keys."""

    __slots__ = ("_groups", "_keys_most", "_rows", "now")

    def __init__(self) -> None:
        self.now = 0
        self._rows: OrderedDict[Key, list[float]] = OrderedDict()
        self._groups: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def read(self, access: Access, residence: float, keys_most: int) -> list[float]:
        """Count one read.

        Args:
            access: The read.
            residence: How many reads an entry stays in the cache when it is not read: the unit of decay.
            keys_most: How many keys to remember at most.

        Returns:
            The key's row, which is this object's own.
        """
        self.now += 1
        now, key, rows = self.now, access.key, self._rows
        before_age = before_gap = NEVER
        if access.neighbour is not None:
            before = rows.get(access.neighbour)
            if before is not None:
                before_age, before_gap = now - before[LAST], before[GAP_1]
                before[AFTER] = now
        heat, heat_age = 1.0, NEVER
        if access.group is not None:
            heat, heat_age = self._warm(access.group, residence, keys_most)
        row = rows.get(key)
        if row is None:
            row = [
                now, NEVER, NEVER, NEVER, NEVER, 1.0, 1.0, 1.0, now, before_age, before_gap, -NEVER, heat, heat_age,
                access.size_bytes, access.position, access.protocol, access.sequential, access.bucket_class,
            ]  # fmt: skip
            rows[key] = row
            while len(rows) > keys_most:
                rows.popitem(last=False)
            return row
        rows.move_to_end(key)
        gap = now - row[LAST]
        elapsed = min(gap / residence, _MOST_PRODUCT)
        row[GAP_1 : GAP_4 + 1] = gap, row[GAP_1], row[GAP_2], row[GAP_3]
        row[LAST] = now
        row[COUNT] += 1
        row[SHORT] = row[SHORT] * exp(-elapsed * SHORT_RATE) + 1
        row[LONG] = row[LONG] * exp(-elapsed * LONG_RATE) + 1
        row[BEFORE_AGE] = before_age
        row[BEFORE_GAP] = before_gap
        row[HEAT] = heat
        row[HEAT_AGE] = heat_age
        row[PROTOCOL] = access.protocol
        row[SEQUENTIAL] = access.sequential
        return row

    def _warm(self, group: Key, residence: float, keys_most: int) -> tuple[float, float]:
        found = self._groups.get(group)
        if found is None:
            self._groups[group] = self.now, 1.0
            while len(self._groups) > keys_most:
                self._groups.popitem(last=False)
            return 1.0, NEVER
        age = self.now - found[0]
        heat = found[1] * exp(-min(age / residence, _MOST_PRODUCT)) + 1
        self._groups[group] = self.now, heat
        self._groups.move_to_end(group)
        return heat, float(age)

    def row(self, key: Key) -> list[float] | None:
        """What is remembered of a key."""
        return self._rows.get(key)

    def forget(self, key: Key) -> None:
        """Remember nothing of a key any more."""
        self._rows.pop(key, None)

    def __len__(self) -> int:
        return len(self._rows)
