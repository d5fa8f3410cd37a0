"""Port ``PackStore``: packs of blocks on a disk of this machine.

The pack store is the write journal, the embedded default store and the disk tier. It knows positions and bytes, never
what they mean. All methods block: call them from a worker lane.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from noisefs.core.domain.ids import PackId
from noisefs.core.errors import BlockUnavailable, PackNotFound


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack as the store finds it: ``blocks`` is counted from the file's length, whole blocks only."""

    pack_id: PackId
    blocks: int
    sealed: bool
    size_bytes: int


class PackRead(NamedTuple):
    """Consecutive bytes of one pack, from ``offset`` bytes into block ``position`` on, and the buffers they go to."""

    pack_id: PackId
    position: int
    into: Sequence[memoryview]
    offset: int = 0


class Reach(Enum):
    """How far a read may go. Where packs lie on a disk only, the last three are the same."""

    AT_ONCE = "at once"
    """What is in memory, and no further: see :meth:`PackStore.read_at_once`."""
    DISK = "disk"
    """This machine's disk, and no further: it never waits for a network."""
    NETWORK = "network"
    """What the disk does not have comes from nodes."""
    VERIFIED = "verified"
    """The same, and what the disk has is compared with its name first, where that is known."""


class OpenPack(ABC):
    """A pack that is being written, by exactly one writer. Not thread-safe: one lane uses it.

    Its file exists, preallocated and synced with its directory, before this object does.
    """

    @property
    @abstractmethod
    def pack_id(self) -> PackId:
        """Its id."""

    @property
    @abstractmethod
    def blocks(self) -> int:
        """Blocks appended so far (reserved and advanced)."""

    @abstractmethod
    def reserve(self, blocks: int) -> memoryview:
        """A writable buffer of ``blocks * block_bytes`` bytes: the place of the next blocks. Fill it, then ``advance``.

        The buffer is void after the next call of any method but ``block`` and ``sync``. Saves the copy that an
        ``append(bytes)`` would cost.

        Raises:
            PackPoisoned: A write or sync of this pack failed before.
            DiskFull: The pack could not be extended; what was appended before stays.
        """

    @abstractmethod
    def advance(self, blocks: int) -> None:
        """Append the first ``blocks`` blocks of the reserved buffer."""

    @abstractmethod
    def block(self, position: int) -> memoryview:
        """A read-only view or copy of an appended block, synced or not."""

    @abstractmethod
    def sync(self) -> int:
        """Make everything appended so far durable; returns how many blocks are. Shared by many writers.

        May be called from another thread than the writer's, which goes on appending meanwhile.

        Raises:
            PackPoisoned: The sync failed. It is never retried; the pack takes no more blocks.
        """

    @abstractmethod
    def seal(self) -> None:
        """Sync, cut the file to its blocks, mark it sealed (durably) and release the writer's lock."""

    @abstractmethod
    def abandon(self) -> None:
        """Release the writer's lock and leave the bytes as a crash would: recovery will look at them."""


class PackStore(ABC):
    """All packs of the store. Thread-safe."""

    @abstractmethod
    def create(self, pack_id: PackId, *, from_reserve: bool = False) -> OpenPack:
        """Make an empty pack and hold its writer's lock.

        Args:
            pack_id: A new one.
            from_reserve: It may use the reserve: cleaning needs space to give some back.

        Raises:
            DiskFull: There is no space for a whole pack (beyond the reserve).
            ReadOnlyStore: The folder cannot be written.
        """

    @abstractmethod
    def adopt(self, pack_id: PackId) -> OpenPack | None:
        """An unsealed pack whose writer is gone, with its lock taken, ``blocks`` as found in the file; ``None`` while
        its writer lives.

        Raises:
            PackNotFound: There is no such unsealed pack.
        """

    @abstractmethod
    def truncate(self, pack: OpenPack, blocks: int) -> None:
        """Cut an adopted pack to its first ``blocks`` blocks before more is appended."""

    @abstractmethod
    def read(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> None:
        """Fill the buffers, in order, from consecutive bytes that begin ``offset`` bytes into block ``position``.

        Works for sealed and open packs, also for blocks that were appended but not synced, by any thread of the
        process that writes; of a pack that another process writes, synced blocks only.

        Raises:
            PackNotFound: There is no such pack.
            BlockUnavailable: The pack ends before the last wanted byte, or the disk fails to read it.
        """

    def read_at_once(
        self,
        pack_id: PackId,  # noqa: ARG002 - whoever has nothing in memory looks at nothing
        position: int,  # noqa: ARG002
        into: Sequence[memoryview],  # noqa: ARG002
        *,
        offset: int = 0,  # noqa: ARG002
    ) -> bool:
        """Like :meth:`read`, but never waits for a disk: so it may be called on an event loop, for short reads.

        ``False``: not all is in memory, or something is wrong, which :meth:`read` will tell; the buffers are void.
        """
        return False

    @property
    def reaches_network(self) -> bool:
        """Whether packs that are not on the disk may be elsewhere, so that reading them takes a network's time."""
        return False

    def read_all(
        self,
        reads: Sequence[PackRead],
        *,
        reach: Reach = Reach.NETWORK,  # noqa: ARG002 - there is nothing beyond the disk
    ) -> Collection[tuple[PackId, int]]:
        """Do all of these reads, of any packs; returns the blocks that came from a network, each asked for once.

        ``reach``: anything but ``AT_ONCE``.

        Raises:
            BlockUnavailable: A block, or a whole pack, cannot be had. The buffers are void, and must not be used again:
                bytes that come too late may still be put there.
        """
        for read in reads:
            try:
                self.read(read.pack_id, read.position, read.into, offset=read.offset)
            except PackNotFound as exc:
                raise BlockUnavailable(read.pack_id, read.position) from exc
        return ()

    @abstractmethod
    def list(self) -> list[StoredPack]:
        """Every pack on this machine's disk, in no order."""

    @abstractmethod
    def drop(self, pack_id: PackId) -> None:
        """Remove a pack, durably. Removing one that is not there does nothing."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Bytes that may still be written before the reserve is touched."""

    @abstractmethod
    def close(self) -> None:
        """Release everything that is held."""
