"""Port ``Disk``: the few file operations that durable state is built from.

Small on purpose, so that a simulator can play every way a real disk loses, tears and reorders writes. What is promised:

* Bytes written are seen by every later read of this machine at once, and survive power loss only after ``File.sync``.
  Until then each 512-byte sector holds its old or its new bytes, each on its own.
* A name (made, renamed, removed) survives power loss only after ``Disk.sync_folder`` of its folder.
* A failed ``sync`` may have lost any write since the last good one, for good: it is never retried.

All methods block: call them from a worker lane. All may raise ``DiskFull`` (no space, inodes or quota),
``ReadOnlyStore`` (read-only or forbidden) or ``StorageFailed`` (anything else the disk answers); only further errors
are listed.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import FileMissing

DIRECT_ALIGNMENT: Final = 4096
"""Offset, length and memory address of a direct write are multiples of this: no disk or file system asks for more."""

SECTOR_BYTES: Final = 512
"""What a disk writes as a whole or not at all."""


@dataclass(frozen=True, slots=True)
class Free:
    """Room on the file system, for this user."""

    bytes: int
    inodes: int


class File(ABC):
    """An open file. Reads, writes and syncs may be called from several threads at once; close only when none runs."""

    @property
    @abstractmethod
    def direct(self) -> bool:
        """Whether writes bypass the page cache: then they must be aligned to ``DIRECT_ALIGNMENT``."""

    @abstractmethod
    def read(self, into: Sequence[memoryview], offset: int) -> int:
        """Fill the buffers in order from ``offset``; returns how many bytes were read: fewer only at the file's end."""

    def read_at_once(self, into: Sequence[memoryview], offset: int) -> bool:  # noqa: ARG002 - without a cache nothing is
        """Fill the buffers from memory, without waiting for the disk; ``False``: not all is there, they are void."""
        return False

    @abstractmethod
    def write(self, parts: Sequence[memoryview], offset: int) -> None:
        """Write the parts one behind the other at ``offset``, all of them. After an error any part may be written."""

    @abstractmethod
    def sync(self) -> None:
        """Make the file's bytes and length durable (not its name)."""

    @abstractmethod
    def truncate(self, size_bytes: int) -> None:
        """Set the length; new bytes are zeros."""

    @abstractmethod
    def allocate(self, size_bytes: int) -> None:
        """Reserve room for that many bytes from the start and set the length to at least that."""

    @abstractmethod
    def size(self) -> int:
        """Its length in bytes."""

    @abstractmethod
    def try_lock(self) -> bool:
        """Take the file's exclusive lock, or say at once that somebody else holds it.

        The lock belongs to this open file: it goes with ``unlock``, ``close`` or the end of the process, and another
        ``File`` of the same file in the same process counts as somebody else.
        """

    @abstractmethod
    def unlock(self) -> None:
        """Let go of the lock."""

    @abstractmethod
    def close(self) -> None:
        """Release the file and its lock. Closing twice does nothing."""


class Disk(ABC):
    """Files by path. Thread-safe."""

    @abstractmethod
    def create(self, path: str, *, direct: bool = False) -> File:
        """A new empty file of mode 0600, open for reading and writing.

        ``direct`` asks for writes past the page cache; whether they are is told by ``File.direct``.

        Raises:
            FileExists: There is a file of this name.
        """

    @abstractmethod
    def open(self, path: str, *, write: bool = False, direct: bool = False) -> File:
        """An existing file, for reading or for both.

        Raises:
            FileMissing: There is none.
        """

    @abstractmethod
    def same(self, path: str, file: File) -> bool:
        """Whether ``path`` names that open file now."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Give a file another name in the same file system, replacing what had it.

        Raises:
            FileMissing: There is no ``old``.
        """

    @abstractmethod
    def unlink(self, path: str) -> None:
        """Remove a file's name.

        Raises:
            FileMissing: There is none.
        """

    @abstractmethod
    def make_folder(self, path: str) -> None:
        """Make a folder (mode 0700) and its parents, durably; nothing happens where it exists."""

    @abstractmethod
    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, in no order.

        Raises:
            FileMissing: There is no such folder.
        """

    @abstractmethod
    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""

    @abstractmethod
    def file_size(self, path: str) -> int:
        """Length of a file, without opening it.

        Raises:
            FileMissing: There is none.
        """

    @abstractmethod
    def free(self, path: str) -> Free:
        """Room on the file system that holds ``path``."""


def read_whole(disk: Disk, path: str) -> bytes:
    """A small file's bytes.

    Raises:
        FileMissing: There is none.
    """
    file = disk.open(path)
    try:
        data = bytearray(file.size())
        done = file.read([memoryview(data)], 0)
        return bytes(data[:done])
    finally:
        file.close()


def atomic_write(disk: Disk, path: str, data: bytes) -> None:
    """Replace a small file durably: afterwards, and after a crash at any moment, it has its old or its new bytes whole.

    Temporary file in the same folder, sync, rename, sync of the folder. A temporary file left by a crash is replaced.
    """
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.tmp"
    if name_exists(disk, temporary):
        disk.unlink(temporary)
    file = disk.create(temporary)
    try:
        file.write([memoryview(data)], 0)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_folder(folder or "/")


def name_exists(disk: Disk, path: str) -> bool:
    """Whether there is a file of this name."""
    try:
        disk.file_size(path)
    except FileMissing:
        return False
    return True
