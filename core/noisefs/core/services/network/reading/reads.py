"""When each pack was read last, to the hour: what eviction goes by.

Kept in memory, and written into the rows of packs now and then: a crash forgets at most what was read since, and that
only makes a pack look older than it is.
"""

from typing import Final

import msgspec

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Copies, decode, encode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Table, Writing

HOUR_US: Final = 3_600_000_000


class ReadTimes:
    """Notes of reads. Thread-safe. Cost of a note: a look at the clock and into a map."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hours: dict[PackId, int] = {}
        self._written: dict[PackId, int] = {}

    def note(self, pack_id: PackId) -> None:
        """The pack is read now."""
        hour = self._clock.now_us() // HOUR_US
        if self._hours.get(pack_id) != hour:
            self._hours[pack_id] = hour

    def read_us(self, pack_id: PackId, row: Copies) -> int:
        """When it was last read, by this process's notes or its row."""
        return max(row.read_us, self._hours.get(pack_id, 0) * HOUR_US)

    def unwritten(self) -> dict[PackId, int]:
        """Notes that are in no row yet: to be handed to :meth:`write`, and then to :meth:`wrote`."""
        hours = self._hours.copy()
        return {pack_id: hour for pack_id, hour in hours.items() if self._written.get(pack_id) != hour}

    def wrote(self, notes: dict[PackId, int]) -> None:
        """These are in rows now, or their packs are on no node."""
        self._written.update(notes)

    def keep_only(self, packs: set[PackId]) -> None:
        """Forget all other packs."""
        for pack_id in self._hours.copy().keys() - packs:
            self._hours.pop(pack_id, None)
            self._written.pop(pack_id, None)


def write(notes: dict[PackId, int], tx: Writing) -> None:
    """Put notes into the rows of those packs that have one. A newer note, of another process, stays."""
    for pack_id, hour in notes.items():
        raw = tx.get(Table.COPIES, pack_id)
        if raw is None:
            continue
        row = decode(Copies, raw)
        if row.read_us < hour * HOUR_US:
            tx.put(Table.COPIES, pack_id, encode(msgspec.structs.replace(row, read_us=hour * HOUR_US)))
