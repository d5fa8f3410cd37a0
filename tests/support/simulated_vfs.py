"""SQLite on the simulated disk: a VFS whose files are those of a ``SimulatedDisk``.

Only what a database in exclusive mode needs: no shared memory, locks that one connection always gets. The disk promises
nothing beyond sectors, so SQLite uses all the care it has.
"""

import ctypes
from functools import cache
from typing import Final

import apsw

from noisefs.core.errors import DiskFull, FileMissing, NoisefsError
from tests.support.simulated_disk import SimulatedDisk, SimulatedFile

NAME: Final = "simulated"

_NO_CAPABILITIES = 0
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


def _raise(exc: NoisefsError, code: type[Exception], extended: int) -> None:
    """Answer SQLite in its own terms."""
    if isinstance(exc, DiskFull):
        raise apsw.FullError(str(exc)) from exc
    error = code(str(exc))
    error.extendedresult = extended  # type: ignore[attr-defined] # documented by apsw for VFS methods
    raise error from exc


class _SimulatedVfsFile:
    """What SQLite calls for one open file; apsw accepts any object with these methods.

    The call at which the power fails raises ``SimulatedCrash``. Later ones do nothing, quietly: they come from
    connections that are thrown away, where nobody could catch anything. Whoever counts acknowledgements looks at
    ``disk.down``.
    """

    def __init__(
        self, disk: SimulatedDisk, path: str, file: SimulatedFile, *, names_journal: bool, delete_on_close: bool
    ) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._names_journal = names_journal
        self._delete_on_close = delete_on_close
        self._lock = apsw.SQLITE_LOCK_NONE
        self._life = disk.life

    @property
    def _dead(self) -> bool:
        return self._disk.down or self._disk.life != self._life

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's names
        if self._dead:
            return b""
        data = bytearray(amount)
        try:
            found = self._file.read([memoryview(data)], offset)
        except NoisefsError as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_READ)
        return bytes(data[:found])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._file.write([memoryview(data)], offset)
        except NoisefsError as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_WRITE)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._file.truncate(size)
        except NoisefsError as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_TRUNCATE)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._dead:
            return
        try:
            self._file.sync()
            if self._names_journal:
                # As SQLite's own VFS for Unix does after every opening that may create a journal: whoever made the file
                # may have died before its name was durable.
                self._disk.sync_folder(self._path.rpartition("/")[0] or "/")
                self._names_journal = False
        except NoisefsError as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_FSYNC)

    def xFileSize(self) -> int:  # noqa: N802
        return 0 if self._dead else self._file.size()

    def xLock(self, level: int) -> None:  # noqa: N802
        if not self._dead and self._lock == apsw.SQLITE_LOCK_NONE and not self._file.try_lock():
            raise apsw.BusyError(f"{self._path} is locked")
        self._lock = level

    def xUnlock(self, level: int) -> None:  # noqa: N802
        self._lock = level
        if level == apsw.SQLITE_LOCK_NONE:
            self._file.unlock()

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return self._lock >= apsw.SQLITE_LOCK_RESERVED

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        if op == apsw.SQLITE_FCNTL_PERSIST_WAL and self._dead:
            # A connection that is thrown away must not delete the log by its name: a later life may have one.
            ctypes.c_int.from_address(pointer).value = 1
            return True
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 512

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return _NO_CAPABILITIES

    def xClose(self) -> None:  # noqa: N802
        self._file.close()
        if self._delete_on_close and not self._dead:
            self._disk.unlink(self._path)


class SimulatedVfs(apsw.VFS):
    """One for the whole process: the encrypting VFS that is laid over it keeps a pointer to it for ever."""

    def __init__(self) -> None:
        """Register under ``NAME``; without a disk yet."""
        self._disk = SimulatedDisk()
        self._temporary = 0
        super().__init__(NAME, base="")

    def mount(self, disk: SimulatedDisk) -> None:
        """Serve the files of this disk from now on."""
        self._disk = disk

    def xOpen(  # type: ignore[override] # apsw takes any object with the methods of VFSFile  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> _SimulatedVfsFile:
        if name is None:
            self._temporary += 1
            path = f"/temporary-{self._temporary}"
        else:
            path = name if isinstance(name, str) else name.filename()
        wanted = flags[0]
        try:
            try:
                file = self._disk.open(path, write=bool(wanted & apsw.SQLITE_OPEN_READWRITE))
            except FileMissing:
                if not wanted & apsw.SQLITE_OPEN_CREATE:
                    raise
                file = self._disk.create(path)
        except NoisefsError as exc:
            raise apsw.CantOpenError(str(exc)) from exc
        flags[1] = wanted
        return _SimulatedVfsFile(
            self._disk,
            path,
            file,
            names_journal=bool(wanted & apsw.SQLITE_OPEN_CREATE and wanted & _JOURNALS),
            delete_on_close=bool(wanted & apsw.SQLITE_OPEN_DELETEONCLOSE),
        )

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        if self._disk.down:
            return
        try:
            self._disk.unlink(name)
            if syncdir:
                self._disk.sync_folder(name.rpartition("/")[0] or "/")
        except FileMissing as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_DELETE_NOENT)
        except NoisefsError as exc:
            _raise(exc, apsw.IOError, apsw.SQLITE_IOERR_DELETE)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        try:
            return not self._disk.down and self._disk.file_size(pathname) > 0
        except FileMissing:
            return False

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name if name.startswith("/") else f"/{name}"

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        return bytes(numbytes)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds

    def xCurrentTimeInt64(self) -> int:  # noqa: N802
        return 212_000_000_000_000

    def xCurrentTime(self) -> float:  # noqa: N802
        return 2_453_703.7


@cache
def _vfs() -> SimulatedVfs:
    return SimulatedVfs()


def mount(disk: SimulatedDisk) -> str:
    """Let databases live on this disk from now on; returns the name of the VFS (``SqliteIndex`` encrypts over it)."""
    _vfs().mount(disk)
    return NAME
