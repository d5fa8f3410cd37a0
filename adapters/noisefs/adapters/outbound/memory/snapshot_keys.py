"""Keys of snapshot sets in memory: a verified fake of the keyring."""

import threading

from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.ports.snapshot_keys import SnapshotKeys


class MemorySnapshotKeys(SnapshotKeys):
    """Keys that live as long as this object. Thread-safe."""

    def __init__(self) -> None:
        """None yet."""
        self._lock = threading.Lock()
        self._keys: dict[bytes, SnapshotKey] = {}

    def list(self) -> list[SnapshotKey]:
        """Every key, the oldest first."""
        with self._lock:
            return list(self._keys.values())

    def add(self, key: SnapshotKey) -> None:
        """Keep a key."""
        with self._lock:
            self._keys[key.key_id] = key

    def remove(self, key_id: bytes) -> None:
        """Forget a key."""
        with self._lock:
            self._keys.pop(key_id, None)
