"""What SQLite's errors mean to us."""

import errno
from typing import Final

import apsw

from noisefs.core.errors import DiskFull, IndexClosed, IndexDamaged, NoisefsError, ReadOnlyStore, StorageFailed

_SYNC_FAILED: Final = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})


def is_sync_failure(exc: apsw.Error) -> bool:
    """Whether a sync failed, after which nobody knows what the disk holds."""
    return getattr(exc, "extendedresult", 0) in _SYNC_FAILED


def translate(exc: apsw.Error, doing: str, errno_: int = 0) -> NoisefsError:
    """The error that core understands. ``doing``: what was tried, ``errno_``: what the system said if it failed."""
    if is_sync_failure(exc):
        return IndexClosed(f"{doing}: a sync of the index failed, its last commits may be lost: restart the server")
    if isinstance(exc, apsw.FullError):
        return DiskFull(f"{doing}: no space is left for the index")
    if isinstance(exc, apsw.ReadOnlyError | apsw.PermissionsError) or errno_ in (errno.EROFS, errno.EACCES):
        return ReadOnlyStore(f"{doing}: the index cannot be written")
    if isinstance(exc, apsw.CorruptError | apsw.NotADBError):
        return IndexDamaged(f"{doing}: a page of the index cannot be decrypted or read ({exc})")
    if isinstance(exc, apsw.ConnectionClosedError):
        return IndexClosed(f"{doing}: the index is closed")
    return StorageFailed(f"{doing}: the index answered {type(exc).__name__}: {exc}")
