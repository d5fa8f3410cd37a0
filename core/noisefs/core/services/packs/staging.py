"""What a body has in packs before a commit names it."""

from dataclasses import dataclass, field

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
    """Cells of one body that were appended. Belongs to the event loop; commit functions set ``enlisted`` and read.

    Attributes:
        group: The upload the body is part of, else its own id: seeds with bytes of the same group are not its masks.
        runs: First segment and run, in order of appending; neighbours are merged.
        marked: A ``WRITING`` row was, or is about to be, committed, because one of its packs was sealed.
        enlisted: A publishing commit named the body (set on the commit lane): no ``WRITING`` row is wanted any more,
            even if the body was deleted again since.
        discarded: Given up: its cells are filler.
    """

    body_id: BodyId
    group: bytes
    wrapped_key: bytes
    owner: InstanceId
    runs: list[tuple[int, Run]] = field(default_factory=list)
    marked: bool = False
    enlisted: bool = False
    discarded: bool = False

    def add(self, segment: int, run: Run, stride: int) -> None:
        """Note a run that was appended; extends the last one where it goes on seamlessly."""
        if self.runs:
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

    def mark(self, tx: Writing, now_us: int) -> None:
        """Write the ``WRITING`` row and the runs so far, unless the body was published or given up meanwhile.

        From here on its cells count as live, so no cleaner drops its packs; the row dies with its writer.
        """
        if self.discarded or self.enlisted:
            return
        row = Body(BodyState.WRITING, 0, self.wrapped_key, 0, self.owner, now_us)
        tx.put(Table.BODIES, self.body_id, encode(row))
        tx.put(Table.META, writing_key(self.body_id), self.owner)
        place_runs(tx, self.body_id, self.runs, self.owner)


def place_runs(tx: Writing, body_id: BodyId, runs: list[tuple[int, Run]], owner: InstanceId) -> None:
    """Name cells in the index: run rows, live counts, and placements while their pack is open. Idempotent.

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
        if tx.get(Table.RUNS, key) == value:
            continue
        tx.put(Table.RUNS, key, value)
        added[run.pack_id] = added.get(run.pack_id, 0) + run.count
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
    """Change a pack's counters; returns the new ones."""
    raw = tx.get(Table.PACK_LIVE, pack_id)
    old = NO_LIVE if raw is None else decode(PackLive, raw)
    new = PackLive(old.cells + cells, old.slice_bytes + slice_bytes, old.slices + slices)
    tx.put(Table.PACK_LIVE, pack_id, encode(new))
    return new
