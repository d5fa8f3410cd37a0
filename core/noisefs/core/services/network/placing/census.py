"""What there is to do: packs that lack copies, and packs and files that have too few, too many, or in the wrong place.

Cost: one pass over the rows of all packs, in short reads; where it takes long, the last answer stands for a while.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.buckets.durability import parse_durability
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Bucket, Copies, Pack, PackLive, PackState, decode
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.telemetry import Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes

PAGE: Final = 1000
BUCKETS: Final = 1 << 20
ABOVE_ALL: Final = b"\xff" * 256
CENSUS_SHARE: Final = 0.05
"""The share of the time that goes into looking, at most."""
MOST_TASKS: Final = 4096
"""So many of each list are named; the gauges count all."""


@dataclass(frozen=True, slots=True)
class Task:
    """A pack or file and its rows as they were. A file has no ``pack``."""

    key: bytes
    pack: Pack | None
    row: Copies | None

    @property
    def pack_id(self) -> PackId:
        """The key of one that is a pack."""
        return PackId(self.key)


@dataclass(slots=True)
class Found:
    """The answer.

    Attributes:
        wanted: Copies of each pack.
        uploads: Sealed packs that never had all their copies, the oldest first.
        repairs: Packs and files that had them and now have too few, those with the fewest first.
        surplus: Packs and files with more copies than they shall have, or with some on nodes that shall be emptied, or
            whose row says another number.
        damaged: Packs and files of which nodes have damaged copies.
        keys: Of everything that is in a list.
    """

    wanted: int
    uploads: list[Task] = field(default_factory=list)
    repairs: list[Task] = field(default_factory=list)
    surplus: list[Task] = field(default_factory=list)
    damaged: list[Task] = field(default_factory=list)
    upload_packs: int = 0
    upload_blocks: int = 0
    under_replicated: int = 0
    damaged_copies: int = 0
    keys: set[bytes] = field(default_factory=set)

    def wanted_of(self, task: Task) -> int:
        """Copies that a pack or file shall have: of a file, what its row says."""
        return self.wanted if task.pack is not None or task.row is None else task.row.wanted


def wanted_copies(tx: Reading, default: int) -> int:
    """Copies that each pack shall have: as many as the highest class of any bucket asks for.

    Which buckets' objects lie in a pack is not known without a look at all of them, so all packs get the highest. A
    class for each pack was weighed and left out: a body does not know the buckets that refer to it, and packer and
    cleaner put bytes of many into one pack, so that every pack they write would have the highest all the same. A copy
    into another bucket would have to raise packs of its source, and a bucket's class could be said to be raised only
    after a look at each of its objects, or of those that were on their way meanwhile an acknowledged one would have too
    few copies. What that saves are copies of large bodies in lower buckets, in stores that mix classes, until they are
    first cleaned; a store of its own for such buckets saves them too.

    Args:
        default: For classes that leave it to the store.
    """
    classes = {decode(Bucket, raw).durability for _key, raw in tx.scan(Table.BUCKETS, b"", ABOVE_ALL, BUCKETS)}
    return max((parse_durability(name).copies or default for name in classes), default=default)


class Census:
    """Looks at all rows, not too often. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        nodes: Nodes,
        geometry: Geometry,
        copies: int,
    ) -> None:
        """``copies``: what packs shall have where no bucket says more."""
        self._index = index
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._nodes = nodes
        self._geometry = geometry
        self._copies = copies
        self._found: Found | None = None
        self._again_at_s = 0.0

    async def look(self, *, fresh: bool = False) -> Found:
        """What there is to do; the last answer where the time for another look has not come, unless ``fresh``."""
        begun_s = self._clock.monotonic_s()
        if not fresh and self._found is not None and begun_s < self._again_at_s:
            return self._found
        wanted = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: wanted_copies(tx, self._copies))
        found = Found(wanted)
        start: bytes | None = b""
        while start is not None:
            start = await self._workers.run(Lane.BACKGROUND, self._add_page, start, found)
        found.uploads.sort(key=_age)
        found.repairs.sort(key=lambda task: len(self._nodes.counted(task.row.nodes)) if task.row is not None else 0)
        self._tell_uploads(found)
        self._telemetry.gauge(Gauge.UNDER_REPLICATED, found.under_replicated)
        self._telemetry.gauge(Gauge.DAMAGED_COPIES, found.damaged_copies)
        ended_s = self._clock.monotonic_s()
        self._again_at_s = ended_s + (ended_s - begun_s) / CENSUS_SHARE
        self._found = found
        return found

    def uploaded(self, task: Task) -> None:
        """This pack has all its copies now: so say the gauges, before the next look."""
        found = self._found
        if task.pack is not None and found is not None and any(one.key == task.key for one in found.uploads):
            found.upload_packs -= 1
            found.upload_blocks -= task.pack.blocks
            self._tell_uploads(found)

    def _tell_uploads(self, found: Found) -> None:
        self._telemetry.gauge(Gauge.UPLOAD_PACKS, found.upload_packs)
        self._telemetry.gauge(Gauge.UPLOAD_BYTES, found.upload_blocks * self._geometry.block_bytes)

    def _add_page(self, start: bytes, found: Found) -> bytes | None:
        """Sort the next packs and files into the lists; returns where to go on."""
        tasks, end = self._index.read(lambda tx: _read_page(tx, start))
        for task in tasks:
            self._sort(task, found)
        return end

    def _sort(self, task: Task, found: Found) -> None:
        row = task.row
        if row is not None and row.damaged:
            found.damaged_copies += len(row.damaged)
            _add(task, found.damaged, found.keys)
        if row is None or not row.confirmed_us:
            if task.pack is not None:
                found.upload_packs += 1
                found.upload_blocks += task.pack.blocks
                _add(task, found.uploads, found.keys)
            return
        wanted, have = found.wanted_of(task), len(self._nodes.counted(row.nodes))
        if have < wanted:
            found.under_replicated += 1
            _add(task, found.repairs, found.keys)
        elif have > wanted or row.wanted != wanted or any(map(self._nodes.is_draining, row.nodes)):
            _add(task, found.surplus, found.keys)


def _add(task: Task, tasks: list[Task], keys: set[bytes]) -> None:
    if len(tasks) < MOST_TASKS:
        tasks.append(task)
        keys.add(task.key)


def _age(task: Task) -> int:
    return task.pack.sealed_us if task.pack is not None else 0


def _read_page(tx: Reading, start: bytes) -> tuple[list[Task], bytes | None]:
    packs = tx.scan(Table.PACKS, start, ABOVE_ALL, PAGE)
    last = len(packs) < PAGE
    end = ABOVE_ALL if last else packs[-1][0] + b"\0"
    # Rows of one range of keys from three tables at once: quicker than two look-ups a pack.
    copies = dict(_all_of(tx, Table.COPIES, start, end))
    live = dict(_all_of(tx, Table.PACK_LIVE, start, end))
    tasks: list[Task] = []
    for key, raw in packs:
        raw_copies = copies.pop(key, None)
        pack = decode(Pack, raw)
        if pack.state == PackState.SEALED and _lives(live.get(key)):
            tasks.append(Task(key, pack, None if raw_copies is None else decode(Copies, raw_copies)))
    # What is left are files.
    tasks += (Task(key, None, decode(Copies, raw)) for key, raw in copies.items())
    return tasks, None if last else end


def _all_of(tx: Reading, table: Table, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
    while rows := tx.scan(table, start, end, PAGE):
        yield from rows
        start = rows[-1][0] + b"\0"


def _lives(raw: bytes | None) -> bool:
    if raw is None:
        return False
    live = decode(PackLive, raw)
    return bool(live.cells or live.slices)
