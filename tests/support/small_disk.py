"""A small file system of its own, that can be filled and made read-only. Needs the right to mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system."""

    folder: Path

    def free_bytes(self) -> int:
        """Bytes that anybody may still write."""
        return shutil.disk_usage(self.folder).free

    def fill(self) -> None:
        """Let somebody else take what is free, to the last page, while others may take some, too."""
        with (self.folder / "somebody else's").open("ab") as file:
            while free := self.free_bytes():
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)

    def relieve(self) -> None:
        """Take it back."""
        (self.folder / "somebody else's").unlink()

    def read_only(self) -> None:
        """Allow no writes any more; nobody may have a file open for writing."""
        self._mount("-o", "remount,ro", str(self.folder))

    def writable(self) -> None:
        """Allow them again."""
        self._mount("-o", "remount,rw", str(self.folder))

    @staticmethod
    def _mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount one of this size on ``folder``; skips the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if shutil.which("mount") is None:
        pytest.skip("needs mount for a disk that can be filled")
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount a disk that can be filled: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
