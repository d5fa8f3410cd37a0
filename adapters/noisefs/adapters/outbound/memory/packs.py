"""Packs in memory, with the crash behaviour of a disk: what was not synced is gone."""

import threading
from collections.abc import Sequence

from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import BlockUnavailable, DiskFull, PackNotFound, PackPoisoned
from noisefs.core.ports.packs import OpenPack, PackStore, StoredPack


class _Pack:
    """What the store keeps of one pack."""

    __slots__ = ("blocks", "sealed", "synced", "writer")

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.synced = 0
        self.sealed = False
        self.writer: MemoryOpenPack | None = None


class MemoryOpenPack(OpenPack):
    """A pack that is being written in memory."""

    def __init__(self, store: "MemoryPackStore", pack_id: PackId, pack: _Pack) -> None:
        """Made by the store."""
        self._store = store
        self._pack_id = pack_id
        self._pack = pack
        self._reserved = memoryview(b"")
        self._poisoned = False

    @property
    def pack_id(self) -> PackId:
        """Its id."""
        return self._pack_id

    @property
    def blocks(self) -> int:
        """Blocks appended so far."""
        return len(self._pack.blocks)

    def reserve(self, blocks: int) -> memoryview:
        """A buffer for the next blocks."""
        self._check()
        self._reserved = memoryview(bytearray(blocks * self._store.block_bytes))
        return self._reserved

    def advance(self, blocks: int) -> None:
        """Append the first blocks of the buffer."""
        self._check()
        size = self._store.block_bytes
        taken = [bytes(self._reserved[k * size : (k + 1) * size]) for k in range(blocks)]
        self._pack.blocks.extend(taken)
        self._reserved = memoryview(b"")

    def block(self, position: int) -> memoryview:
        """An appended block."""
        if not 0 <= position < self.blocks:
            raise IndexError(f"block {position} of a pack of {self.blocks} blocks")
        return memoryview(self._pack.blocks[position])

    def sync(self) -> int:
        """Make everything appended so far survive ``crash``."""
        self._check()
        synced = self.blocks
        if self._store.take_sync_failure():
            self._poisoned = True
            raise PackPoisoned(self._pack_id)
        self._pack.synced = synced
        return synced

    def seal(self) -> None:
        """Sync, mark it sealed, release the writer's lock."""
        self.sync()
        self._pack.sealed = True
        self._pack.writer = None

    def abandon(self) -> None:
        """Release the writer's lock and leave the bytes."""
        self._pack.writer = None

    def cut(self, blocks: int) -> None:
        """Forget the blocks behind the first ``blocks``."""
        self._check()
        del self._pack.blocks[blocks:]
        self._pack.synced = min(self._pack.synced, blocks)

    def _check(self) -> None:
        if self._poisoned:
            raise PackPoisoned(self._pack_id)
        if self._pack.writer is not self:
            raise ValueError(f"pack {self._pack_id.hex()} is no longer open")


class MemoryPackStore(PackStore):
    """Packs in memory. Thread-safe."""

    def __init__(
        self, block_bytes: int, pack_blocks: int = PACK_BLOCKS, *, capacity_bytes: int = 1 << 40, reserve_bytes: int = 0
    ) -> None:
        """An empty store on an imagined disk of ``capacity_bytes``, ``reserve_bytes`` of it for others."""
        self.block_bytes = block_bytes
        self.capacity_bytes = capacity_bytes
        self._pack_blocks = pack_blocks
        self._reserve_bytes = reserve_bytes
        self._packs: dict[PackId, _Pack] = {}
        self._failing_syncs = 0
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ what tests do to it

    def crash(self) -> None:
        """Lose what was not synced, and every writer's lock. Open packs of before are of no use afterwards."""
        with self._lock:
            for pack in self._packs.values():
                del pack.blocks[pack.synced :]
                pack.writer = None

    def fail_syncs(self, count: int) -> None:
        """Let the next ``count`` syncs fail."""
        self._failing_syncs = count

    def take_sync_failure(self) -> bool:
        """Whether the sync that asks is to fail."""
        with self._lock:
            if self._failing_syncs == 0:
                return False
            self._failing_syncs -= 1
            return True

    def overwrite(self, pack_id: PackId, position: int, block: bytes) -> None:
        """Damage a block."""
        self._packs[pack_id].blocks[position] = block

    # ------------------------------------------------------------------ the port

    def create(self, pack_id: PackId, *, from_reserve: bool = False) -> OpenPack:
        """Make an empty pack and hold its writer's lock."""
        if not from_reserve:
            if self.free_bytes() < self._pack_blocks * self.block_bytes:
                raise DiskFull(f"no space for a pack: {self.free_bytes()} bytes are free beyond the reserve")
        elif self.capacity_bytes - self._used_bytes() < self._pack_blocks * self.block_bytes:
            raise DiskFull("no space for a pack, not even with the reserve")
        with self._lock:
            pack = self._packs[pack_id] = _Pack()
            pack.writer = MemoryOpenPack(self, pack_id, pack)
            return pack.writer

    def adopt(self, pack_id: PackId) -> OpenPack | None:
        """An unsealed pack whose writer is gone; ``None`` while its writer lives."""
        with self._lock:
            pack = self._packs.get(pack_id)
            if pack is None or pack.sealed:
                raise PackNotFound(pack_id)
            if pack.writer is not None:
                return None
            pack.writer = MemoryOpenPack(self, pack_id, pack)
            return pack.writer

    def truncate(self, pack: OpenPack, blocks: int) -> None:
        """Cut an adopted pack to its first ``blocks`` blocks."""
        assert isinstance(pack, MemoryOpenPack)
        pack.cut(blocks)

    def read(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> None:
        """Fill the buffers, in order, from consecutive bytes that begin ``offset`` bytes into block ``position``."""
        pack = self._packs.get(pack_id)
        if pack is None:
            raise PackNotFound(pack_id)
        blocks, size = pack.blocks, self.block_bytes
        at = position * size + offset
        for part in into:
            done = 0
            while done < len(part):
                number, begin = divmod(at, size)
                if number >= len(blocks):
                    raise BlockUnavailable(pack_id, number)
                piece = blocks[number][begin : begin + len(part) - done]
                part[done : done + len(piece)] = piece
                done += len(piece)
                at += len(piece)

    def list(self) -> list[StoredPack]:
        """Every pack there is."""
        with self._lock:
            return [
                StoredPack(pack_id, len(pack.blocks), pack.sealed, len(pack.blocks) * self.block_bytes)
                for pack_id, pack in self._packs.items()
            ]

    def drop(self, pack_id: PackId) -> None:
        """Remove a pack."""
        with self._lock:
            self._packs.pop(pack_id, None)

    def free_bytes(self) -> int:
        """Bytes that may still be written before the reserve is touched; an open pack counts as full."""
        return max(0, self.capacity_bytes - self._used_bytes() - self._reserve_bytes)

    def _used_bytes(self) -> int:
        full = self._pack_blocks
        with self._lock:
            used = sum(len(p.blocks) if p.sealed else max(full, len(p.blocks)) for p in self._packs.values())
        return used * self.block_bytes

    def close(self) -> None:
        """Abandon what is open."""
        with self._lock:
            for pack in self._packs.values():
                pack.writer = None
