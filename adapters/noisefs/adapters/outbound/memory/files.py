"""Named files in memory: a verified fake that can also lose what was not synced."""

import threading

from noisefs.core.errors import FileNotInStore, InvalidArgument, StorageFailed
from noisefs.core.ports.files import Appender, Draft, FileStore, StoredFile, check_name


class MemoryFiles(FileStore):
    """Files that live as long as this object. Thread-safe."""

    def __init__(self) -> None:
        """An empty folder."""
        self.lock = threading.RLock()
        self.files: dict[str, bytearray] = {}
        self.synced: dict[str, int] = {}
        self.growing: dict[str, _MemoryAppender] = {}

    def draft(self) -> Draft:
        """Bytes apart from the files."""
        return _MemoryDraft(self)

    def append_to(self, name: str) -> Appender:
        """A new file."""
        check_name(name)
        with self.lock:
            if name in self.files:
                raise InvalidArgument("file name", name, "one that is not taken")
            return _MemoryAppender(self, name)

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """A copy of part of a file."""
        check_name(name)
        with self.lock:
            if name not in self.files:
                raise FileNotInStore(name)
            return bytes(self.files[name][offset : offset + size_bytes])

    def list(self) -> list[StoredFile]:
        """Every file by name."""
        with self.lock:
            return [StoredFile(name, len(data), name in self.growing) for name, data in sorted(self.files.items())]

    def delete(self, name: str) -> None:
        """Forget a file."""
        check_name(name)
        with self.lock:
            self.files.pop(name, None)
            self.growing.pop(name, None)

    def after_crash(self, keep_bytes: int = 0) -> "MemoryFiles":
        """What a power failure leaves: of growing files what was synced, and up to ``keep_bytes`` more.

        Who held this object may go on writing into it; the copy is not touched.
        """
        left = MemoryFiles()
        with self.lock:
            for name, data in self.files.items():
                end = self.synced[name] + keep_bytes if name in self.growing else len(data)
                left.files[name] = data[:end]
        return left


class _MemoryDraft(Draft):
    def __init__(self, store: MemoryFiles) -> None:
        self._store = store
        self._data = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._data += data

    def publish(self, name: str) -> None:
        check_name(name)
        with self._store.lock:
            self._store.files[name] = self._data

    def discard(self) -> None:
        self._data = bytearray()


class _MemoryAppender(Appender):
    def __init__(self, store: MemoryFiles, name: str) -> None:
        self._store = store
        self._name = name
        self._open = True
        store.files[name] = bytearray()
        store.synced[name] = 0
        store.growing[name] = self

    def append(self, data: bytes | bytearray | memoryview) -> None:
        with self._store.lock:
            self._check_open()
            self._store.files[self._name] += data

    def sync(self) -> None:
        with self._store.lock:
            self._check_open()
            self._store.synced[self._name] = len(self._store.files[self._name])

    def close(self) -> None:
        with self._store.lock:
            if self._open:
                self._open = False
                self._store.growing.pop(self._name, None)

    def _check_open(self) -> None:
        if not self._open or self._name not in self._store.files:
            raise StorageFailed(f"{self._name} is closed, or deleted")
