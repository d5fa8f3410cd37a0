"""What a body has in packs before a commit names it."""

from dataclasses import dataclass, field

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.domain.keyspace import placement_key, run_key, writing_key
from noisefs.core.domain.records import (
    Body,
    BodyState,
    Pack,
    PackLive,
    PackState,
    Placement,
    Run,
    decode,
    encode,
)
from noisefs.core.errors import CommitConflict
from noisefs.core.ports.index import Table, Writing

NO_LIVE = PackLive(0, 0, 0)


@dataclass(slots=True, eq=False)
class Staging:
    """Cells of one body that were appended. Belongs to the event loop; commit functions read, and set what they did.

    Attributes:
        group: The upload the body is part of, else its own id: seeds with bytes of the same group are not its masks.
        runs: First segment and run, in order of appending; neighbours are merged.
        marked: A ``WRITING`` row was, or is about to be, committed, because one of its packs was sealed.
        enlisted: A publishing commit named the body (set on the commit lane): no ``WRITING`` row is wanted any more,
            even if the body was deleted again since.
        discarded: Given up: its cells are filler.
        lost: One of its packs takes no new names (it was poisoned): the body can never be published.
        durability: The class that its cells have to get before a commit names them.
    """

    body_id: BodyId
    group: bytes
    wrapped_key: bytes
    owner: InstanceId
    runs: list[tuple[int, Run]] = field(default_factory=list)
    marked: bool = False
    enlisted: bool = False
    discarded: bool = False
    lost: bool = False
    durability: str = LOCAL
    _rowed: bool = False
    """A commit ran that wrote the ``WRITING`` row: from then on its absence means that somebody else removed it."""
    _placed: int = 0
    """The first so many runs are named by durable commits; they are not changed any more."""

    def add(self, segment: int, run: Run, stride: int) -> None:
        """Note a run that was appended; extends the last one where it goes on seamlessly."""
        if len(self.runs) > self._placed:
            first, last = self.runs[-1]
            if (
                last.pack_id == run.pack_id
                and last.seed == run.seed
                and last.generation == run.generation
                and first + last.count == segment
                and last.position + last.count * stride == run.position
            ):
                joined = Run(run.pack_id, last.position, last.count + run.count, last.seed, last.generation)
                self.runs[-1] = (first, joined)
                return
        self.runs.append((segment, run))

    # ------------------------------------------------------------------ before a pack is sealed

    def mark(self, tx: Writing, now_us: int) -> None:
        """Write the ``WRITING`` row and the runs so far, unless the body was published or given up meanwhile.

        From here on its cells count as live, so no cleaner drops its packs; the row dies with its writer.
        """
        if self.discarded or self.enlisted or self.lost:
            return
        fresh = self.runs[self._placed :]
        try:
            for pack_id in {run.pack_id for _segment, run in fresh}:
                require_pack(tx, pack_id, self.owner)
        except CommitConflict:
            self.lost = True  # others in the pack that is being sealed must not suffer for it
            return
        row = Body(BodyState.WRITING, 0, self.wrapped_key, 0, self.owner, now_us)
        tx.put(Table.BODIES, self.body_id, encode(row))
        tx.put(Table.META, writing_key(self.body_id), self.owner)
        place_runs(tx, self.body_id, fresh, self.owner)
        self._rowed = True

    def mark_ended(self, *, committed: bool) -> None:
        """The commit that ran :meth:`mark` is durable, or failed. Nothing was appended since."""
        if committed and self._rowed:
            self._placed = len(self.runs)
        self._rowed = self._placed > 0

    # ------------------------------------------------------------------ when it is published

    def enlist(self, tx: Writing) -> None:
        """Name all cells, in the commit that publishes the body; the ``WRITING`` row gives way to the final one.

        Raises:
            CommitConflict: The body was given up, or its ``WRITING`` row or one of its packs is gone.
        """
        if self.discarded or self.lost:
            raise CommitConflict(f"body {self.body_id.hex()} was given up")
        key = writing_key(self.body_id)
        if self.marked:
            # The row may be queued behind this commit: then there is none, and there will be none.
            if tx.get(Table.META, key) is not None:
                tx.delete(Table.META, key)
            elif self._rowed:
                raise CommitConflict(f"body {self.body_id.hex()} lost its writer's row")
        place_runs(tx, self.body_id, self.runs[self._placed :], self.owner)
        self.enlisted = True


def place_runs(tx: Writing, body_id: BodyId, runs: list[tuple[int, Run]], owner: InstanceId) -> None:
    """Name cells in the index: run rows, live counts, and placements while their pack is open. Idempotent.

    A run row that is replaced by a longer one of the same place is counted once.

    Raises:
        CommitConflict: A pack is gone, dropping, or open under another owner.
    """
    packs: dict[PackId, Pack] = {}
    added: dict[PackId, int] = {}
    for segment, run in runs:
        pack = packs.get(run.pack_id)
        if pack is None:
            pack = packs[run.pack_id] = require_pack(tx, run.pack_id, owner)
        key, value = run_key(body_id, segment), encode(run)
        old = tx.get(Table.RUNS, key)
        if old == value:
            continue
        tx.put(Table.RUNS, key, value)
        added[run.pack_id] = added.get(run.pack_id, 0) + run.count
        if old is not None:
            before = decode(Run, old)
            added[before.pack_id] = added.get(before.pack_id, 0) - before.count
        if pack.state == PackState.OPEN:
            placed = Placement(body_id, segment, run.count, run.seed, run.generation)
            tx.put(Table.PLACEMENTS, placement_key(run.pack_id, run.position), encode(placed))
    for pack_id, cells in added.items():
        change_live(tx, pack_id, cells=cells)


def require_pack(tx: Writing, pack_id: PackId, owner: InstanceId) -> Pack:
    """The row of a pack that may take new names.

    Raises:
        CommitConflict: It is gone, dropping, poisoned, or open under another owner.
    """
    raw = tx.get(Table.PACKS, pack_id)
    if raw is None:
        raise CommitConflict(f"pack {pack_id.hex()} is gone")
    pack = decode(Pack, raw)
    if pack.state == PackState.SEALED or (pack.state == PackState.OPEN and pack.owner == owner):
        return pack
    raise CommitConflict(f"pack {pack_id.hex()} is in state {PackState(pack.state).name} and cannot take new names")


def change_live(tx: Writing, pack_id: PackId, *, cells: int = 0, slice_bytes: int = 0, slices: int = 0) -> PackLive:
    """Change a pack's counters; returns the new ones. A pack that was dropped with its counters keeps none."""
    raw = tx.get(Table.PACK_LIVE, pack_id)
    if raw is None and (cells < 0 or slices < 0):
        return NO_LIVE
    old = NO_LIVE if raw is None else decode(PackLive, raw)
    new = PackLive(old.cells + cells, old.slice_bytes + slice_bytes, old.slices + slices)
    tx.put(Table.PACK_LIVE, pack_id, encode(new))
    return new
