"""The head's file: read, and changed under a lock, one whole record for another.

Promise: after a crash at any moment the file holds the record before or after a change; two processes never lose each
other's change, because each reads the record anew under the lock.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.sealing.head import HEAD_SALT_BYTES, Epoch, Head, decode_head, encode_head
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import FileExists, FileMissing, HeadDamaged, StorageFailed
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.disk import Disk, File, atomic_write, read_whole
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.snapshot_keys import SnapshotKeys

_Keys = list[SnapshotKey]
"""Spelled here: in the class, ``list`` is a method."""

LOCK_LIMIT_S = 10.0
"""A change takes milliseconds; whoever holds the lock longer hangs."""


class HeadFile:
    """The file. Thread-safe; several processes may use it. All methods block."""

    def __init__(
        self,
        disk: Disk,
        path: str,
        lock_path: str,
        root_key: bytes,
        entropy: Entropy,
        clock: Clock,
        writer: InstanceId,
    ) -> None:
        """Use the head in ``path`` under ``root_key``; ``lock_path`` keeps other processes out of a change."""
        self._disk = disk
        self._path = path
        self._lock_path = lock_path
        self._root_key = root_key
        self._entropy = entropy
        self._clock = clock
        self._writer = writer
        self._lock = threading.Lock()

    def read(self) -> Head:
        """The head as it is now.

        Raises:
            HeadDamaged, WrongRootKey, NewerFormat.
        """
        return self.open(self.read_bytes())

    def read_bytes(self) -> bytes:
        """The record's bytes as they are now.

        Raises:
            HeadDamaged: There is no such file.
        """
        return read_head_bytes(self._disk, self._path)

    def open(self, raw: bytes) -> Head:
        """A head from anywhere, under this one's root key.

        Raises:
            HeadDamaged, WrongRootKey, NewerFormat.
        """
        return decode_head(raw, self._root_key)

    def change(self, work: Callable[[Head], Head]) -> Head:
        """Replace the head by what ``work`` makes of it, durably; returns the new one. Its number is one higher.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: It was not replaced.
        """
        with self._lock, self._alone():
            old = self.read()
            new = msgspec.structs.replace(work(old), sequence=old.sequence + 1, writer=self._writer)
            atomic_write(
                self._disk, self._path, encode_head(new, self._root_key, salt=self._entropy.secret(HEAD_SALT_BYTES))
            )
            return new

    def begin_epoch(self, above: int = 0) -> Head:
        """Begin a new life of the store, as after a restore: its counter is higher than before, and than ``above``."""
        random = self._entropy.secret(ID_BYTES)
        return self.change(
            lambda head: msgspec.structs.replace(head, epoch=Epoch(max(head.epoch.counter, above) + 1, random))
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        file = self._open_lock()
        try:
            limit_s = self._clock.monotonic_s() + LOCK_LIMIT_S
            pause = threading.Event()
            while not file.try_lock():
                if self._clock.monotonic_s() > limit_s:
                    raise StorageFailed(f"another process holds {self._lock_path!r} for {LOCK_LIMIT_S:g} s")
                pause.wait(0.01)
            yield
        finally:
            file.close()

    def _open_lock(self) -> File:
        while True:
            try:
                return self._disk.open(self._lock_path, write=True)
            except FileMissing:
                try:
                    return self._disk.create(self._lock_path)
                except FileExists:
                    continue  # another process made it meanwhile


class HeadSnapshotKeys(SnapshotKeys):
    """Snapshot keys in the keyring of the head. Thread-safe."""

    def __init__(self, head: HeadFile) -> None:
        """Keep them in this head."""
        self._head = head

    def list(self) -> _Keys:
        """Every key, in the order in which they were added."""
        return [*self._head.read().keyring.snapshot_keys]

    def add(self, key: SnapshotKey) -> None:
        """Keep a key, durably."""
        self._head.change(lambda head: msgspec.structs.replace(head, keyring=head.keyring.with_snapshot_key(key)))

    def remove(self, key_id: bytes) -> None:
        """Forget a key, durably."""

        def without(head: Head) -> Head:
            kept = tuple(key for key in head.keyring.snapshot_keys if key.key_id != key_id)
            return msgspec.structs.replace(head, keyring=msgspec.structs.replace(head.keyring, snapshot_keys=kept))

        if self._head.read().keyring.snapshot_key(key_id) is not None:
            self._head.change(without)


def read_head_bytes(disk: Disk, path: str) -> bytes:
    """The head's bytes.

    Raises:
        HeadDamaged: There is no such file.
    """
    try:
        return read_whole(disk, path)
    except FileMissing as exc:
        raise HeadDamaged(f"the head {path!r} is missing: put it back from a backup of this store") from exc
