"""The ballast: space held back in a file, so that start, DELETE and cleaning work on a full disk."""

from noisefs.core.errors import DiskFull, FileExists, FileMissing
from noisefs.core.ports.disk import Disk


class Reserve:
    """A preallocated file that can be let go. Not thread-safe: one job of one process tends it."""

    def __init__(self, disk: Disk, path: str, size_bytes: int) -> None:
        """Hold ``size_bytes`` in the file ``path``."""
        self._disk = disk
        self._path = path
        self._size_bytes = size_bytes

    def held_bytes(self) -> int:
        """Bytes held now."""
        try:
            return self._disk.file_size(self._path)
        except FileMissing:
            return 0

    def ensure(self) -> bool:
        """Hold the whole ballast again if the disk has room for it and as much besides; whether it is whole now."""
        if self.held_bytes() >= self._size_bytes:
            return True
        folder = self._path.rpartition("/")[0]
        if self._disk.free(folder).bytes < 2 * self._size_bytes:
            return False
        try:
            file = self._disk.create(self._path)
        except FileExists:
            file = self._disk.open(self._path, write=True)
        try:
            file.allocate(self._size_bytes)
            file.sync()
        except DiskFull:
            self.release()
            return False
        finally:
            file.close()
        self._disk.sync_folder(folder)
        return True

    def release(self) -> int:
        """Give the space back to the disk, at once; returns how many bytes."""
        held = self.held_bytes()
        try:
            self._disk.unlink(self._path)
        except FileMissing:
            return 0
        return held
