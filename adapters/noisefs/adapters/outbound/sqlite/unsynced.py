"""What a failed sync of the index leaves behind, and how the next start gets rid of it.

After a failed sync the system counts the pages that did not reach the disk as clean: whoever reads them gets what was
written, and the next sync passes over them. A process that opens the index again would build on pages that are on no
disk, and a power loss would take acknowledged commits with it. So whoever meets the failure leaves a mark, and the next
opening writes every byte of the file and its log anew and syncs both before SQLite looks at them. Writing equal bytes
harms nobody: a sector on the disk is either that byte already or covered by the log.

Failure cases: the disk fails again (the mark stays, the start is refused); the process dies between the failure and the
mark, within microseconds. Cost: one read and one write of the whole index, at a start that follows a failed sync.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

import apsw

log = logging.getLogger(__name__)

_PIECE_BYTES: Final = 1 << 16
"""SQLite's largest page: its Unix files cut longer reads and writes short."""
_MARK: Final = b"a sync of the index failed: the next start writes its files anew\n"
_LOG_SUFFIX: Final = "-wal"
_SYSTEM_VFS: Final = "unix"
"""The one below the encrypting layer: these are bytes as they lie on the disk."""


def mark(path: str, vfs: str | None) -> None:
    """Note that a sync failed. Quiet where even that cannot be written: the disk is failing."""
    with contextlib.suppress(apsw.Error), _opened(vfs, _mark_path(path), apsw.SQLITE_OPEN_CREATE) as file:
        file.xWrite(_MARK, 0)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)


def is_marked(path: str, vfs: str | None) -> bool:
    """Whether a sync failed since the files were last written anew."""
    try:
        with _opened(vfs, _mark_path(path)) as file:
            return file.xFileSize() > 0
    except apsw.CantOpenError:
        return False


def unmark(path: str, vfs: str | None) -> None:
    """Take the mark away, durably.

    Raises:
        apsw.Error: The disk fails.
    """
    with _opened(vfs, _mark_path(path)) as file:
        file.xTruncate(0)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)


def write_anew(path: str, vfs: str | None) -> None:
    """Write the file and its log over themselves, and sync them. No connection of any process may be writing.

    Raises:
        apsw.Error: The disk fails, or is out of space.
    """
    log.warning("index.written_anew", extra={"path": path})
    _rewrite(path, vfs, apsw.SQLITE_OPEN_MAIN_DB)
    with contextlib.suppress(apsw.CantOpenError):  # there is none
        _rewrite(path + _LOG_SUFFIX, vfs, apsw.SQLITE_OPEN_WAL)


def _rewrite(path: str, vfs: str | None, kind: int) -> None:
    with _opened(vfs, path, kind) as file:
        size = file.xFileSize()
        for offset in range(0, size, _PIECE_BYTES):
            file.xWrite(file.xRead(min(_PIECE_BYTES, size - offset), offset), offset)
        file.xSync(apsw.SQLITE_SYNC_FULL)


@contextlib.contextmanager
def _opened(vfs: str | None, path: str, flags: int = 0) -> Iterator[apsw.VFSFile]:
    kind = flags if flags & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL) else flags | apsw.SQLITE_OPEN_MAIN_JOURNAL
    file = apsw.VFSFile(vfs or _SYSTEM_VFS, path, [kind | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        yield file
    finally:
        file.xClose()


def _mark_path(path: str) -> str:
    return path + ".unsynced"
