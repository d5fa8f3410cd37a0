"""Disk caches on simulated disks."""

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.ids import BodyId
from noisefs.core.ports.disk import Disk
from noisefs.core.services.caching.entry import CellKey, Kept, PolicyOf
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.warm import WarmTier
from tests.support.bodies import content
from tests.support.simulated_disk import SimulatedDisk
from tests.support.stores import KEYS

PATH = "/store/cache/cells-0"
MIB = 1 << 20


def key_of(number: int) -> CellKey:
    """A cell: ten to a body."""
    return BodyId((number // 10).to_bytes(16, "big")), number % 10


def kept_of(number: int, size: int) -> Kept:
    """Its bytes."""
    return Kept(content(size, number), number % 7, cold=True)


class WarmParts:
    """What a disk cache stands on; it outlives the cache, so that a test can restart it."""

    def __init__(self, *, max_bytes: int = MIB, seed: int = 0, capacity_bytes: int = 1 << 40) -> None:
        self.disk = SimulatedDisk(seed, capacity_bytes=capacity_bytes)
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.entropy = SeededEntropy(seed)
        self.max_bytes = max_bytes
        self.room_left = 1 << 40

    def open(self, policy_of: PolicyOf = Lru, disk: Disk | None = None) -> WarmTier:
        """A new process's cache over the same disk."""
        warm = self.make(policy_of, disk)
        warm.open()
        return warm

    def make(self, policy_of: PolicyOf = Lru, disk: Disk | None = None) -> WarmTier:
        """The same, not open: for a store that opens it."""
        return WarmTier(
            disk=self.disk if disk is None else disk,
            path=PATH,
            max_bytes=self.max_bytes,
            policy_of=policy_of,
            keys=KEYS,
            entropy=self.entropy,
            clock=self.clock,
            telemetry=self.telemetry,
            room_left=lambda: self.room_left,
        )

    def hot_list(self) -> SealedList:
        """Where a store may list what it has in memory."""
        self.disk.make_folder("/store/cache")
        return SealedList(self.disk, "/store/cache/hot-0.list", KEYS, self.entropy, b"hot")

    def used_bytes(self) -> int:
        """Of the disk, by whatever lies in the cache's folder."""
        return sum(len(data) for path, data in self.disk.snapshot().items() if path.startswith("/store/cache/"))
