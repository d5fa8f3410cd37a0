"""Port ``FileStore``: a folder of named files for snapshots, and for logs that grow.

A file is either published whole (a *draft*, then a name) or grows at its end (an *appender*); it is never changed in
its middle. What the bytes mean is the caller's business: they are sealed. All methods block.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
DRAFT_SUFFIX: Final = ".draft"


def check_name(name: str) -> None:
    """Refuse what is no plain file name on every system, or would be taken for a draft.

    Raises:
        InvalidArgument: It is none.
    """
    if not _NAME.fullmatch(name) or name.endswith(DRAFT_SUFFIX):
        raise InvalidArgument("file name", name, f"letters, digits, '.', '-' and '_', not ending in {DRAFT_SUFFIX}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the store finds it. ``growing``: a living appender of any process holds it."""

    name: str
    size_bytes: int
    growing: bool = False


class Draft(ABC):
    """A file that nobody sees until it is published. One thread uses it."""

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: The draft is of no more use; discard it.
        """

    @abstractmethod
    def publish(self, name: str) -> None:
        """Make the bytes durable, then visible under ``name``, durably. An older file of that name is replaced.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: It was not published, or nobody knows whether it was.
        """

    @abstractmethod
    def discard(self) -> None:
        """Forget the bytes. Nothing happens after ``publish``."""


class Appender(ABC):
    """A file that grows. One thread appends and closes; another may sync meanwhile, while nobody closes.

    A crash may cut off or damage what was not synced.
    """

    @abstractmethod
    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes at the end; readers of this process see them at once.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed: Part of the bytes may be there. The appender takes no more.
        """

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended durable.

        Raises:
            StorageFailed: Nobody knows what is. The appender takes no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file, unsynced. May be called more than once."""


class FileStore(ABC):
    """The folder. Safe to call from several threads and processes."""

    @abstractmethod
    def draft(self) -> Draft:
        """A new, empty draft. One that a crash left is gone at the next start."""

    @abstractmethod
    def append_to(self, name: str) -> Appender:
        """Make a new, empty file that grows; its name is durable before this returns.

        Raises:
            InvalidArgument: The name is taken, or is not of letters, digits, ``.``, ``-`` and ``_``.
            DiskFull, ReadOnlyStore, StorageFailed: It could not be made.
        """

    @abstractmethod
    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Bytes from ``offset`` on: ``size_bytes`` of them, fewer only at the file's end.

        Raises:
            FileNotInStore: There is no such file.
            StorageFailed: The disk fails to read it.
        """

    @abstractmethod
    def list(self) -> list[StoredFile]:
        """Every published or growing file, by name."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove a file, durably. Nothing happens where there is none."""
