"""Files of traces: CSV, compressed where their name ends in ``.zst``."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TextIO, cast

from noisefs.core.errors import CapacityExceeded, DiskFull, FileExists, InvalidRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ZST: Final = ".zst"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def lines_of(path: Path) -> Iterator[TextIO]:
    """The lines of a trace.

    Raises:
        InvalidRequest: It is compressed, and damaged or cut off.
        OSError, UnicodeDecodeError: It cannot be read, or is not text.
    """
    if path.suffix != _ZST:
        with path.open(encoding="utf-8") as lines:
            yield lines
        return
    try:
        with zstd.open(path, "rt", encoding="utf-8") as lines:
            yield lines
    except (zstd.ZstdError, EOFError) as exc:
        raise InvalidRequest(f"{path} is no complete Zstandard file: {exc}") from exc


class TraceFile:
    """A trace that is being written. It has its name only when it is whole and on the disk: until then, and for ever
    where the process is killed or the disk is full, it lies beside it as ``.NAME.part``.

    Use with ``with``, and :meth:`finish` at the end.
    """

    def __init__(self, path: Path) -> None:
        """``path``: the name it will have.

        Raises:
            FileExists: Something has it.
            InvalidRequest: The name does not end in ``.csv`` or ``.csv.zst``.
        """
        if not path.name.endswith((".csv", f".csv{_ZST}")):
            raise InvalidRequest(f"a trace's name ends in .csv or .csv{_ZST}: {path.name!r} does not")
        if path.exists():
            raise FileExists(str(path))
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._raw: IO[bytes] | None = None
        self._out: IO[bytes] | None = None

    def write(self, text: str) -> None:
        """Add lines.

        Raises:
            DiskFull: There is no room; nothing is left of the file then.
            CapacityExceeded: It cannot be written; likewise.
        """
        assert self._out is not None
        with self._told():
            self._out.write(text.encode())

    def finish(self) -> None:
        """Give it its name. Raises as :meth:`write`, and ``FileExists`` where something else got the name meanwhile."""
        assert self._out is not None
        assert self._raw is not None
        with self._told():
            if self._out is not self._raw:
                self._out.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            self._give_name()
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._raw = self._out = None

    def _give_name(self) -> None:
        try:
            os.link(self._part, self._path)  # unlike a rename, it takes no other file's place
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if self._path.exists():
                raise FileExistsError from None
            self._part.rename(self._path)
        else:
            self._part.unlink()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise FileExists(str(self._path)) from None
        except OSError as exc:
            kind = DiskFull if exc.errno in _NO_ROOM else CapacityExceeded
            raise kind(f"{str(self._path)!r} cannot be written: {exc.strerror}") from exc

    def __enter__(self) -> Self:
        """Make it. Raises as :meth:`write`; what a killed recording left under this name is replaced."""
        with self._told():
            self._part.unlink(missing_ok=True)
            made = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._raw = raw = os.fdopen(made, "wb")
            self._out = cast("IO[bytes]", zstd.open(raw, "wb")) if self._path.suffix == _ZST else raw
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing of it, unless it is finished."""
        if self._raw is None:
            return
        self._part.unlink(missing_ok=True)
        for file in (self._out, self._raw):
            try:
                if file is not None:
                    file.close()
            except OSError:
                pass  # what could not be written is not wanted any more
