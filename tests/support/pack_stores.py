"""Pack stores for the conformance suite, each with a way to crash it and to break its disk."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.domain.ids import PackId
from noisefs.core.ports.packs import OpenPack, PackStore
from tests.support.simulated_disk import SimulatedDisk

BLOCK: Final = 1040
"""Not a multiple of a page, like every real block size."""
PACK_BLOCKS: Final = 40
RESERVE: Final = 10_000


class PackStoreCase(ABC):
    """One adapter under test."""

    store: PackStore

    @abstractmethod
    def crash(self) -> None:
        """End the process (and cut the power, where the adapter can); ``store`` is a new one on what is left."""

    def fail_sync(self) -> None:
        """Let the next sync of a pack fail."""
        raise NotImplementedError

    def fill(self, free_bytes: int) -> None:
        """Leave that much room, the reserve included."""
        raise NotImplementedError


class MemoryCase(PackStoreCase):
    """In memory."""

    def __init__(self) -> None:
        self.memory = MemoryPackStore(BLOCK, PACK_BLOCKS, reserve_bytes=RESERVE)
        self.store = self.memory

    def crash(self) -> None:
        self.memory.crash()

    def fail_sync(self) -> None:
        self.memory.fail_syncs(1)

    def fill(self, free_bytes: int) -> None:
        self.memory.capacity_bytes = free_bytes


class LocalCase(PackStoreCase):
    """Files of the real disk; a crash is the end of a process, the system lives on."""

    def __init__(self, folder: Path, *, direct: bool | None, sync_os: bool = False) -> None:
        self._folder = folder
        self._direct = direct
        self._sync_os = sync_os
        self.store = self._open()

    def _open(self) -> LocalPackStore:
        sync = "os" if self._sync_os else "fsync"
        return LocalPackStore(
            LocalDisk(),
            str(self._folder / "packs"),
            BLOCK,
            PACK_BLOCKS,
            reserve_bytes=RESERVE,
            sync="os" if sync == "os" else "fsync",
            direct=self._direct,
        )

    def crash(self) -> None:
        self.store.close()
        self.store = self._open()


class SimulatedCase(PackStoreCase):
    """Files of the simulated disk; a crash is a power loss."""

    def __init__(self, seed: int = 0) -> None:
        self.disk = SimulatedDisk(seed)
        self.store = self._open()

    def _open(self) -> LocalPackStore:
        return LocalPackStore(self.disk, "/data/packs", BLOCK, PACK_BLOCKS, reserve_bytes=RESERVE)

    def crash(self) -> None:
        self.disk.crash()
        self.store = self._open()

    def fail_sync(self) -> None:
        self.disk.fail_next("sync", "open")

    def fill(self, free_bytes: int) -> None:
        self.disk.capacity_bytes = self.disk.capacity_bytes - self.disk.free("/").bytes + free_bytes


def pattern(pack_id: PackId, position: int) -> bytes:
    """The bytes that a test puts into this block."""
    return (pack_id[:4] + position.to_bytes(4, "little")) * (BLOCK // 8)


def append(pack: OpenPack, count: int) -> None:
    """Append blocks with their patterns, one reserve for all."""
    place = pack.reserve(count)
    for number in range(count):
        place[number * BLOCK : (number + 1) * BLOCK] = pattern(pack.pack_id, pack.blocks + number)
    pack.advance(count)


def read(store: PackStore, pack_id: PackId, position: int, count: int = 1) -> bytes:
    """Blocks as the store gives them."""
    data = bytearray(count * BLOCK)
    store.read(pack_id, position, [memoryview(data)])
    return bytes(data)


def patterns(pack_id: PackId, start: int, count: int) -> bytes:
    """What ``read`` must give."""
    return b"".join(pattern(pack_id, start + number) for number in range(count))
