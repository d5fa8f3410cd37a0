"""What commits changed, as files of blocks under a root: made from the index, and sealed.

There is no table of records that wait: the index knows which rows commits changed, and a file holds these rows as they
are (:mod:`~noisefs.core.domain.files.log_records`). All methods block: call them from a lane.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.files.log_file import Record
from noisefs.core.domain.files.log_records import seal_records
from noisefs.core.domain.ids import ID_BYTES, RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import car_bytes, car_header, section_head
from noisefs.core.domain.nodes.root import RootKind, RootMeta, root_id
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.ports.nodes import Car
from noisefs.core.services.network.confirming.means import Means

PAGE_KEYS: Final = 1024
"""Keys that one read transaction looks at."""

MOST_KEYS: Final = 100_000
MOST_BYTES: Final = 64 << 20
"""Of one file, in memory. More than that is a snapshot's business."""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of records, ready to be sent. ``number``: of the last commit in it."""

    car: Car
    root: RootId
    number: int


class RecordFiles:
    """Makes them. Thread-safe."""

    def __init__(self, means: Means) -> None:
        """Nothing is read before it is asked for."""
        self._means = means

    def changed(self, after: int) -> tuple[list[Record], int] | None:
        """What was changed since, up to the last commit; ``None``: too much, or not all of it is known any more."""
        records: list[Record] = []
        keys = size = 0
        at = after
        while True:
            changed = self._means.index.changed_rows(at, PAGE_KEYS)
            if changed.rows:
                tables: dict[str, list[tuple[bytes, bytes | None]]] = {}
                for table, key, value in changed.rows:
                    tables.setdefault(table.value, []).append((key, value))
                    size += len(key) + len(value or b"")
                records.append(Record(changed.upto, list(tables.items())))
                keys += len(changed.rows)
            at = changed.upto
            if changed.complete:
                break
            if keys > MOST_KEYS or size > MOST_BYTES:
                return None
        # Looked at behind the reads: what they did not find must not have been forgotten meanwhile.
        return None if self.forgotten() > after else (records, at)

    def forgotten(self) -> int:
        """The last commit whose changes the index may have forgotten."""
        oldest = self._means.index.changes(0, 1)
        if not oldest:
            return self._means.index.sequence()
        return oldest[0].sequence - (1 if oldest[0].keys else 0)

    def make(self, records: Sequence[Record], after: int, key: SnapshotKey) -> RecordFile:
        """Seal what commits changed ``after`` a number, under the key of a set of snapshots."""
        blocks, size_bytes = seal_records(
            records,
            store_id=self._means.keys.store_id,
            store_key=self._means.keys.store_key,
            key=key,
            file_id=self._means.entropy.secret(ID_BYTES),
            block_bytes=self._means.geometry.block_bytes,
        )
        names = tuple(compute_block_id(block) for block in blocks)
        number = records[-1].sequence
        meta = RootMeta(
            RootKind.LOG,
            count=len(names),
            log_number=number,
            log_first=after + 1,
            size_bytes=size_bytes,
            created_us=self._means.clock.now_us(),
            epoch=self._means.epoch(),
        )
        raw = self._means.seal(names, meta)
        root = root_id(raw)

        async def parts() -> AsyncIterator[bytes | memoryview]:
            yield car_header(root)
            for name, block in zip(names, blocks, strict=True):
                await self._means.limiter.take(len(block))
                yield section_head(name, len(block)) + block
            yield section_head(root, len(raw)) + raw

        car = Car(root, car_bytes(len(names), self._means.geometry.block_bytes, raw), len(names), parts)
        return RecordFile(car, root, number)
