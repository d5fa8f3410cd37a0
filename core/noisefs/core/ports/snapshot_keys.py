"""Port ``SnapshotKeys``: where the keys of snapshot sets live. In a store that is the keyring in its head."""

from abc import ABC, abstractmethod

from noisefs.core.domain.sealing.keyring import SnapshotKey


class SnapshotKeys(ABC):
    """The keys of all sets that can still be opened. Safe to call from several threads. All methods block."""

    @abstractmethod
    def list(self) -> list[SnapshotKey]:
        """Every key in the order in which they were added."""

    @abstractmethod
    def add(self, key: SnapshotKey) -> None:
        """Keep a key. It is durable before this returns, so that nothing is ever sealed under a key that could be lost.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: It was not kept.
        """

    @abstractmethod
    def remove(self, key_id: bytes) -> None:
        """Forget a key, durably: what it sealed cannot be opened any more. Nothing happens where there is none."""
