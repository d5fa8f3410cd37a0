"""A store's index with its snapshots and log, in memory, for tests."""

from dataclasses import dataclass, field

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.snapshot_keys import MemorySnapshotKeys
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.ids import StoreId
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.snapshots.mark import MARK_KEY
from noisefs.core.services.snapshots.restoring import RestoreReport, restore
from noisefs.core.services.snapshots.service import Snapshots, SnapshotSettings

STORE = StoreId(b"s" * 16)
Rows = dict[tuple[Table, bytes], bytes]


def everything(index: Index) -> Rows:
    """All rows but the snapshots' own mark."""
    found: Rows = {}

    def collect(tx: Reading) -> None:
        for table in Table:
            for key, value in tx.scan(table, b"", b"\xff" * 64, 10**9):
                found[table, key] = value

    index.read(collect)
    found.pop((Table.META, MARK_KEY), None)
    return found


@dataclass
class Lab:
    """One machine: what survives is in ``snapshots``, ``logs`` and ``keys``; what lives is made by :meth:`boot`."""

    snapshots: MemoryFiles = field(default_factory=MemoryFiles)
    logs: MemoryFiles = field(default_factory=MemoryFiles)
    keys: MemorySnapshotKeys = field(default_factory=MemorySnapshotKeys)
    clock: ManualClock = field(default_factory=ManualClock)
    entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(1))
    settings: SnapshotSettings = field(default_factory=SnapshotSettings)
    index: Index = field(default_factory=MemoryIndex)

    def boot(self) -> tuple[CommitQueue, Snapshots]:
        """A process's services over what is there; start them."""
        workers = InlineWorkers()
        commits = CommitQueue(self.index, workers, MemoryTelemetry())
        return commits, Snapshots(
            index=self.index,
            commits=commits,
            snapshots=self.snapshots,
            logs=self.logs,
            keys=self.keys,
            store_id=STORE,
            clock=self.clock,
            entropy=self.entropy,
            workers=workers,
            settings=self.settings,
        )

    def restored(self, upto: str | None = None) -> tuple[Index, RestoreReport]:
        """A new index with what can be brought back."""
        index = MemoryIndex()
        return index, restore(index, self.snapshots, self.logs, STORE, self.keys.list(), upto)
