"""The data folder: what lies where, and whether a folder is one of ours.

``VERSION`` marks a finished store and is written last; ``.initialising`` marks one that is being made and is removed
last. So a folder is either empty, being made (nothing in it was ever acknowledged), a store, or foreign.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from noisefs.core.errors import ForeignDirectory, NewerFormat, ReadOnlyStore, StorageFailed, StoreBusy, StoreNotFound
from noisefs.core.ports.disk import Disk, atomic_write

FORMAT: Final = 1
_MARK: Final = "noisefs store, format "
_RESTORE: Final = b"restore\n"
_IGNORED: Final = frozenset({"lost+found"})
"""What a fresh file system holds."""


class State(Enum):
    """What a folder is to us."""

    EMPTY = "empty"
    UNFINISHED = "unfinished"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths in a data folder."""

    path: Path

    @property
    def version(self) -> Path:
        """Marks a store and names its format."""
        return self.path / "VERSION"

    @property
    def unfinished(self) -> Path:
        """Marks a store that is being made."""
        return self.path / ".initialising"

    @property
    def head(self) -> Path:
        """The authenticated record a store begins with."""
        return self.path / "head"

    @property
    def root_key(self) -> Path:
        """The root key, unless it is kept elsewhere."""
        return self.path / "root.key"

    @property
    def index(self) -> Path:
        """The encrypted index."""
        return self.path / "index" / "index.db"

    @property
    def packs(self) -> Path:
        """Folder of the packs."""
        return self.path / "packs"

    @property
    def snapshots(self) -> Path:
        """Folder of the snapshots."""
        return self.path / "snapshots"

    @property
    def logs(self) -> Path:
        """Folder of the log of commits since the last snapshot."""
        return self.path / "log"

    @property
    def roots(self) -> Path:
        """Folder of the roots that packs have on nodes."""
        return self.path / "roots"

    @property
    def head_lock(self) -> Path:
        """Keeps two processes from changing the head at once."""
        return self.locks / "head"

    @property
    def locks(self) -> Path:
        """Folder of the lock files."""
        return self.path / "locks"

    @property
    def cache(self) -> Path:
        """Folder of the disk cache; it may be removed while nobody serves."""
        return self.path / "cache"

    @property
    def ballast(self) -> Path:
        """Space held back for a full disk."""
        return self.path / "ballast"

    @property
    def socket(self) -> Path:
        """Where a running server takes administration commands."""
        return self.path / "admin.sock"

    def worker_socket(self, worker: int) -> Path:
        """Where a worker that is not the first one answers for itself: metrics, and administration commands."""
        return self.locks / f"worker-{worker}.sock"

    def sockets(self) -> dict[int, Path]:
        """Where the processes of a running server take commands, by worker. Some of them may be gone."""
        others = (path for path in self.locks.glob("worker-*.sock") if path.stem.removeprefix("worker-").isdecimal())
        numbered = {int(path.stem.removeprefix("worker-")): path for path in others}
        return {0: self.socket, **{number: numbered[number] for number in sorted(numbered)}}

    def cells_socket(self, worker: int) -> Path:
        """Where a worker gives cells to the others."""
        return self.locks / f"cells-{worker}.sock"

    def state(self) -> State:
        """What the folder is.

        Raises:
            ForeignDirectory: Something else lies there.
            NewerFormat: A store of a newer version of this program.
            StorageFailed: It cannot be looked at.
        """
        try:
            if not self.path.exists():
                return State.EMPTY
            if not self.path.is_dir():
                raise ForeignDirectory(f"{str(self.path)!r} is not a folder")
            names = {entry.name for entry in self.path.iterdir()} - _IGNORED
            if not names:
                return State.EMPTY
            if self.unfinished.name in names:
                return State.UNFINISHED
            if self.version.name not in names:
                raise ForeignDirectory(
                    f"{str(self.path)!r} is not empty and holds no store: it has {min(names)!r}; "
                    "name an empty or absent folder, or one that noisefs made"
                )
            mark = self.version.read_text(encoding="utf-8", errors="replace").strip()
        except OSError as exc:
            raise StorageFailed(f"the data folder {str(self.path)!r} cannot be read: {exc.strerror}") from exc
        number = mark.removeprefix(_MARK)
        if number == mark or not number.isdigit():
            raise ForeignDirectory(f"{str(self.version)!r} does not say {_MARK!r} and a number")
        if int(number) > FORMAT:
            raise NewerFormat(f"the store in {str(self.path)!r} has format {number}: this version reads up to {FORMAT}")
        return State.STORE

    def require_store(self) -> None:
        """Check that there is a store.

        Raises:
            StoreNotFound: There is none, or it was never finished.
            ForeignDirectory, NewerFormat, StorageFailed: As :meth:`state`.
        """
        if self.state() is not State.STORE:
            raise StoreNotFound(f"there is no store in {str(self.path)!r}: make one with `noisefs init` or `serve`")

    @contextmanager
    def made_alone(self) -> Iterator[None]:
        """Make the folder itself, and hold it so that nobody else makes a store in it meanwhile.

        Raises:
            StoreBusy: Somebody does.
            ReadOnlyStore: It cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise ReadOnlyStore(f"the data folder {str(self.path)!r} cannot be made: {exc.strerror}") from exc
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as exc:
            raise StoreBusy(f"another process is making a store in {str(self.path)!r}") from exc
        finally:
            os.close(held)

    @property
    def holds_half_a_restore(self) -> bool:
        """Whether a store was to be brought back here, and that was cut off: a new one must not take its place."""
        return self.unfinished.exists() and self.unfinished.read_bytes() == _RESTORE

    def begin(self, disk: Disk, *, restore: bool = False) -> None:
        """Mark the folder as unfinished; what an earlier attempt left is removed (none of it was in use).

        ``restore``: a store is brought back, not made.
        """
        try:
            for leftover in (self.index.parent, self.packs, self.snapshots, self.logs, self.roots, self.cache):
                shutil.rmtree(leftover, ignore_errors=True)
            for file in (self.head, self.root_key, self.version):
                file.unlink(missing_ok=True)
        except OSError as exc:
            raise ReadOnlyStore(f"the data folder {str(self.path)!r} cannot be written: {exc.strerror}") from exc
        atomic_write(disk, str(self.unfinished), _RESTORE if restore else b"")
        for folder in (self.index.parent, self.packs, self.snapshots, self.logs, self.locks):
            disk.make_folder(str(folder))

    def finish(self, disk: Disk) -> None:
        """Mark the store as made: from here on it is one."""
        atomic_write(disk, str(self.version), f"{_MARK}{FORMAT}\n".encode())
        disk.unlink(str(self.unfinished))
        disk.sync_folder(str(self.path))
