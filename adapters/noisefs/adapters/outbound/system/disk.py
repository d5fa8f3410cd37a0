"""Files of the operating system behind the port ``Disk``."""
# This is the one module that speaks to the operating system, in its own terms.
# ruff: noqa: PTH102, PTH105, PTH108, PTH112, PTH116, PTH208

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final

from noisefs.core.errors import DiskFull, FileExists, FileMissing, ReadOnlyStore, StorageFailed
from noisefs.core.ports.disk import DIRECT_ALIGNMENT, Disk, File, Free

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_UNLIMITED: Final = 1 << 62
"""Free inodes where the file system does not count them."""
_IOV_MAX: Final = 1024
"""Buffers one vectored call takes (Linux)."""


@contextmanager
def _translated(operation: str, path: str) -> Iterator[None]:
    """Raise errors of the operating system as ours."""
    try:
        yield
    except OSError as exc:
        what = f"{operation} of {path!r} failed: {os.strerror(exc.errno or 0)}"
        if exc.errno in _FULL:
            raise DiskFull(what) from exc
        if exc.errno in _READ_ONLY:
            raise ReadOnlyStore(what) from exc
        if exc.errno == errno.ENOENT:
            raise FileMissing(path) from exc
        if exc.errno == errno.EEXIST:
            raise FileExists(path) from exc
        raise StorageFailed(what) from exc


class LocalFile(File):
    """A file descriptor."""

    def __init__(self, fd: int, path: str, *, direct: bool = False, read_fd: int | None = None) -> None:
        """Take over open descriptors. A direct file has another, buffered one to read through."""
        self._fd = fd
        self._read_fd = fd if read_fd is None else read_fd
        self._path = path
        self._direct = direct

    @property
    def fd(self) -> int:
        """The descriptor that writes, -1 once closed."""
        return self._fd

    @property
    def direct(self) -> bool:
        """Whether writes bypass the page cache."""
        return self._direct

    def read(self, into: Sequence[memoryview], offset: int) -> int:
        """Fill the buffers in order from ``offset``; returns how many bytes were read."""
        with _translated("read", self._path):
            total = os.preadv(self._read_fd, into[:_IOV_MAX], offset)
            wanted = sum(len(part) for part in into)
            while total < wanted:
                count = os.preadv(self._read_fd, _behind(into, total)[:_IOV_MAX], offset + total)
                if count == 0:
                    break
                total += count
        return total

    def read_at_once(self, into: Sequence[memoryview], offset: int) -> bool:
        """Fill the buffers from the page cache; ``False`` where it lacks some, or the file system cannot tell."""
        try:
            return os.preadv(self._read_fd, into, offset, os.RWF_NOWAIT) == sum(map(len, into))
        except OSError:  # EAGAIN mostly; what is wrong shows when the read is made again
            return False

    def write(self, parts: Sequence[memoryview], offset: int) -> None:
        """Write the parts one behind the other at ``offset``."""
        with _translated("write", self._path):
            total = self._write_some(parts, offset)
            wanted = sum(len(part) for part in parts)
            while total < wanted:
                if self._direct and total % DIRECT_ALIGNMENT:
                    self._set_buffered()  # what is left is no longer aligned
                total += self._write_some(_behind(parts, total), offset + total)

    def _write_some(self, parts: Sequence[memoryview], offset: int) -> int:
        try:
            return os.pwritev(self._fd, parts[:_IOV_MAX], offset)
        except OSError as exc:
            if exc.errno != errno.EINVAL or not self._direct:
                raise
        # Some file systems accept O_DIRECT at open and refuse it at the first write.
        self._set_buffered()
        return os.pwritev(self._fd, parts[:_IOV_MAX], offset)

    def _set_buffered(self) -> None:
        self._direct = False
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)

    def sync(self) -> None:
        """Make the file's bytes and length durable: ``fdatasync``."""
        with _translated("sync", self._path):
            os.fdatasync(self._fd)

    def truncate(self, size_bytes: int) -> None:
        """Set the length."""
        with _translated("truncate", self._path):
            os.ftruncate(self._fd, size_bytes)

    def allocate(self, size_bytes: int) -> None:
        """Reserve room from the start; where the file system cannot, the C library writes to every block."""
        with _translated("allocation", self._path):
            os.posix_fallocate(self._fd, 0, size_bytes)

    def size(self) -> int:
        """Its length in bytes."""
        with _translated("stat", self._path):
            return os.fstat(self._fd).st_size

    def try_lock(self) -> bool:
        """Take the exclusive ``flock``, or say that somebody else holds it."""
        with _translated("lock", self._path):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def unlock(self) -> None:
        """Let go of the lock."""
        with _translated("unlock", self._path):
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the descriptor and with it the lock."""
        descriptors = {self._fd, self._read_fd} - {-1}
        self._fd = self._read_fd = -1
        with _translated("close", self._path):
            for fd in descriptors:
                os.close(fd)


class LocalDisk(Disk):
    """The operating system's files. Thread-safe, without state."""

    def create(self, path: str, *, direct: bool = False) -> LocalFile:
        """A new empty file of mode 0600; direct where the file system takes it."""
        return self._open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, direct=direct)

    def open(self, path: str, *, write: bool = False, direct: bool = False) -> LocalFile:
        """An existing file."""
        return self._open(path, os.O_RDWR if write else os.O_RDONLY, direct=direct)

    def _open(self, path: str, flags: int, *, direct: bool) -> LocalFile:
        flags |= os.O_CLOEXEC
        with _translated("open", path):
            fd = os.open(path, flags, 0o600)
        if direct:
            # Set afterwards: a refused O_DIRECT at open would leave a created file behind.
            try:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT)
                return LocalFile(fd, path, direct=True, read_fd=os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)
        return LocalFile(fd, path)

    def same(self, path: str, file: File) -> bool:
        """Whether ``path`` names that open file now: device and inode agree."""
        assert isinstance(file, LocalFile)
        with _translated("stat", path):
            try:
                return os.path.samestat(os.stat(path), os.fstat(file.fd))
            except FileNotFoundError:
                return False

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had it."""
        with _translated("rename", old):
            os.replace(old, new)

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        with _translated("removal", path):
            os.unlink(path)

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents, durably."""
        missing: list[str] = []
        at = PurePosixPath(path)
        with _translated("making", path):
            while not os.path.isdir(at):
                missing.append(str(at))
                at = at.parent
            for folder in reversed(missing):
                try:
                    os.mkdir(folder, 0o700)
                except FileExistsError:
                    if not os.path.isdir(folder):
                        raise
        for folder in missing:
            self.sync_folder(str(PurePosixPath(folder).parent))

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, in no order."""
        with _translated("listing", path):
            return os.listdir(path)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable: ``fsync`` of the folder."""
        with _translated("sync", path):
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def file_size(self, path: str) -> int:
        """Length of a file, without opening it."""
        with _translated("stat", path):
            return os.stat(path).st_size

    def free(self, path: str) -> Free:
        """Room on the file system for this user."""
        with _translated("statvfs", path):
            found = os.statvfs(path)
        inodes = found.f_favail if found.f_files else _UNLIMITED
        return Free(found.f_bavail * found.f_frsize, inodes)


def _behind(parts: Sequence[memoryview], done: int) -> list[memoryview]:
    """What is left of the parts behind their first ``done`` bytes."""
    left: list[memoryview] = []
    for part in parts:
        if done >= len(part):
            done -= len(part)
        else:
            left.append(part[done:])
            done = 0
    return left
