"""A SQLite VFS over the operating system's that fails when it is told to."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

_numbers = itertools.count()


class FailingVfs(apsw.VFS):
    """Each call named in ``failing`` raises the error kept there: ``write`` and ``sync`` of the log,
    ``write-file`` and ``sync-file`` of the database file.
    """

    def __init__(self) -> None:
        """Register under a name of its own."""
        self.vfs_name = f"failing{next(_numbers)}"
        self.failing: dict[str, Exception] = {}
        super().__init__(self.vfs_name, "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's name
        """Open through."""
        return _File(self, name, flags)

    @contextmanager
    def fails(self, call: str, error: Exception) -> Iterator[None]:
        """While inside, every such call fails."""
        self.failing[call] = error
        yield
        del self.failing[call]


class _File(apsw.VFSFile):
    def __init__(self, vfs: FailingVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._vfs = vfs
        self._of = "-file" if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else ""

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._check("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._check("sync")
        super().xSync(flags)

    def _check(self, call: str) -> None:
        error = self._vfs.failing.get(call + self._of)
        if error is not None:
            raise error


def sqlite_error(kind: type[apsw.Error], extended: int) -> apsw.Error:
    """An error with SQLite's extended code, as its VFS layer reports it."""
    error = kind("injected")
    error.extendedresult = extended  # type: ignore[attr-defined]  # set by apsw, unknown to its stubs
    return error
