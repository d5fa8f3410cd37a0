"""Port ``HeadKeeper``: the store's head on this machine, read, pointed at a new snapshot, and told from others."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from noisefs.core.domain.sealing.head import Head, SnapshotPointer


@dataclass(frozen=True, slots=True)
class SealedHead:
    """A head and the bytes it lies in."""

    head: Head
    raw: bytes


class HeadKeeper(ABC):
    """The head of one data folder, and the root key that opens it. Thread-safe. All methods block."""

    @abstractmethod
    def read(self) -> SealedHead:
        """The head as it is now.

        Raises:
            HeadDamaged, WrongRootKey, NewerFormat: It cannot be read.
        """

    @abstractmethod
    def point(self, pointer: SnapshotPointer) -> SealedHead:
        """Let the head name this snapshot, durably; its sequence number grows. May be called again.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: It was not changed.
        """

    @abstractmethod
    def open(self, raw: bytes) -> Head:
        """What a head found elsewhere says.

        Raises:
            HeadDamaged, WrongRootKey, NewerFormat: It is none, or none of ours.
        """
