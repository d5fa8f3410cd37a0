"""Packs as files of one folder: ``<id>.open`` while written, ``<id>.pack`` once sealed, ``spare-<n>.new`` made ahead.

The folder is flat: a pack has some 64 MiB, so that a hundred terabytes are less than two million names.
"""

import re
import threading
from collections.abc import Sequence
from typing import Final, Literal

from noisefs.adapters.outbound.localpacks.descriptors import Descriptors
from noisefs.adapters.outbound.localpacks.openpack import LocalOpenPack
from noisefs.core.domain.geometry import PACK_BLOCKS
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import (
    BlockUnavailable,
    DiskFull,
    FileExists,
    FileMissing,
    PackNotFound,
    StorageFailed,
)
from noisefs.core.ports.disk import Disk, File
from noisefs.core.ports.packs import OpenPack, PackStore, StoredPack

OPEN_FILES: Final = 256
"""Files kept open for reading: 16 GiB of packs."""

INDEX_SHARE: Final = 8
"""Cleaning leaves this part of a pack's size free for the index: an allocation that fails holds all there is for a
moment, and a commit that comes then would fail with it."""

_OPEN: Final = ".open"
_SEALED: Final = ".pack"
_NAME: Final = re.compile(r"([0-9a-f]{32})\.(open|pack)")


class LocalPackStore(PackStore):
    """Packs on a disk of this machine. Thread-safe; several processes may share the folder.

    Promise: a pack's file is preallocated and durable, with its name, before its first block; every block is durable
    once ``OpenPack.sync`` has returned, unless ``sync`` is ``"os"``, which leaves that to the operating system.
    """

    def __init__(
        self,
        disk: Disk,
        folder: str,
        block_bytes: int,
        pack_blocks: int = PACK_BLOCKS,
        *,
        reserve_bytes: int = 0,
        sync: Literal["fsync", "os"] = "fsync",
        direct: bool | None = None,
    ) -> None:
        """Use ``folder``, made if missing.

        Args:
            disk: Where it lies.
            folder: Its path.
            block_bytes: Bytes of a block.
            pack_blocks: Blocks of a full pack: what is preallocated.
            reserve_bytes: Free space that packs leave to others (the index, its log).
            sync: ``"os"`` never waits for the disk.
            direct: Write past the page cache; by default exactly where writes are synced.
        """
        self._disk = disk
        self._folder = folder
        self._block_bytes = block_bytes
        self._pack_bytes = block_bytes * pack_blocks
        self._reserve_bytes = reserve_bytes
        self._durable = sync == "fsync"
        self._direct = self._durable if direct is None else direct
        self._lock = threading.Lock()
        self._open: dict[PackId, LocalOpenPack] = {}
        self._descriptors = Descriptors(self._open_for_reading, OPEN_FILES)
        disk.make_folder(folder)

    # ------------------------------------------------------------------ making packs

    def create(self, pack_id: PackId, *, from_reserve: bool = False) -> OpenPack:
        """Make an empty pack and hold its writer's lock."""
        with self._lock:
            file, spare = self._make_spare(from_reserve=from_reserve)
        path = self._path(pack_id, _OPEN)
        try:
            self._disk.rename(spare, path)
            self._sync_folder()
        except BaseException:
            file.close()
            raise
        return self._opened(file, pack_id, end_bytes=0)

    def _make_spare(self, *, from_reserve: bool = False) -> tuple[File, str]:
        """A locked, preallocated, durable file under a name of its own. Left behind by a dead process, it is reused."""
        left = self._pack_bytes // INDEX_SHARE if from_reserve else self._reserve_bytes
        free = max(0, self._disk.free(self._folder).bytes - left)
        if free < self._pack_bytes:
            raise DiskFull(f"no space for a pack of {self._pack_bytes} bytes: {free} are free beyond the reserve")
        number = 0
        while (file := self._lock_spare(path := f"{self._folder}/spare-{number}.new")) is None:
            number += 1
        try:
            file.allocate(self._pack_bytes)
            if self._durable:
                file.sync()
        except BaseException:
            self._disk.unlink(path)
            file.close()
            raise
        return file, path

    def _lock_spare(self, path: str) -> File | None:
        try:
            file = self._disk.create(path, direct=self._direct)
        except FileExists:
            try:
                file = self._disk.open(path, write=True, direct=self._direct)
            except FileMissing:
                return None
        if file.try_lock() and self._disk.same(path, file):
            return file
        file.close()
        return None

    def adopt(self, pack_id: PackId) -> OpenPack | None:
        """An unsealed pack whose writer is gone; ``None`` while its writer lives."""
        path = self._path(pack_id, _OPEN)
        try:
            file = self._disk.open(path, write=True, direct=self._direct)
        except FileMissing as exc:
            raise PackNotFound(pack_id) from exc
        try:
            if not file.try_lock():
                file.close()
                return None
            if not self._disk.same(path, file):  # sealed or dropped while we opened it
                raise PackNotFound(pack_id)
            end = file.size() // self._block_bytes * self._block_bytes
            return self._opened(file, pack_id, end_bytes=end)
        except BaseException:
            file.close()
            raise

    def truncate(self, pack: OpenPack, blocks: int) -> None:
        """Cut an adopted pack to its first ``blocks`` blocks before more is appended."""
        assert isinstance(pack, LocalOpenPack)
        pack.cut(blocks)

    def _opened(self, file: File, pack_id: PackId, *, end_bytes: int) -> LocalOpenPack:
        def publish() -> None:
            self._disk.rename(self._path(pack_id, _OPEN), self._path(pack_id, _SEALED))
            self._sync_folder()

        pack = LocalOpenPack(
            file,
            pack_id,
            self._block_bytes,
            end_bytes=end_bytes,
            durable=self._durable,
            publish=publish,
            forget=lambda: self._forget(pack_id),
        )
        with self._lock:
            self._open[pack_id] = pack
        return pack

    def _forget(self, pack_id: PackId) -> None:
        with self._lock:
            self._open.pop(pack_id, None)

    # ------------------------------------------------------------------ reading

    def read(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> None:
        """Fill the buffers, in order, from consecutive bytes that begin ``offset`` bytes into block ``position``."""
        start = position * self._block_bytes + offset
        wanted: int | None = sum(len(part) for part in into)
        pack = self._open.get(pack_id)
        if pack is not None:
            wanted = pack.copy_recent(into, start)
            if wanted == 0:
                return
        if wanted is None:
            raise BlockUnavailable(pack_id, position)
        try:
            with self._descriptors.reading(pack_id) as file:
                found = file.read(_first(into, wanted), start)
        except StorageFailed as exc:
            raise BlockUnavailable(pack_id, position) from exc
        if found < wanted:
            raise BlockUnavailable(pack_id, (start + found) // self._block_bytes)

    def read_at_once(self, pack_id: PackId, position: int, into: Sequence[memoryview], *, offset: int = 0) -> bool:
        """Fill the buffers from the page cache, and from what an open pack has not written yet."""
        start = position * self._block_bytes + offset
        pack = self._open.get(pack_id)
        if pack is not None:
            left = pack.copy_recent(into, start)
            if left is None:
                return False
            if left < sum(map(len, into)):
                into = _first(into, left)
        return not into or self._descriptors.if_open(pack_id, lambda file: file.read_at_once(into, start))

    def _open_for_reading(self, pack_id: PackId) -> File:
        # Sealing renames, so a name may be missed once: between the first look and the second.
        for suffix in (_SEALED, _OPEN, _SEALED):
            try:
                return self._disk.open(self._path(pack_id, suffix))
            except FileMissing:
                continue
        raise PackNotFound(pack_id)

    # ------------------------------------------------------------------ all packs

    def list(self) -> list[StoredPack]:
        """Every pack there is. Of an unsealed one ``blocks`` counts its preallocated room, used or not."""
        found: list[StoredPack] = []
        for name in self._disk.list_folder(self._folder):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            try:
                size = self._disk.file_size(f"{self._folder}/{name}")
            except FileMissing:
                continue  # sealed or dropped meanwhile
            pack_id = PackId(bytes.fromhex(match[1]))
            found.append(StoredPack(pack_id, size // self._block_bytes, match[2] == _SEALED[1:], size))
        return found

    def drop(self, pack_id: PackId) -> None:
        """Remove a pack, durably. Its bytes go when its last reader is done."""
        for suffix in (_OPEN, _SEALED):
            try:
                self._disk.unlink(self._path(pack_id, suffix))
            except FileMissing:
                continue
        self._sync_folder()
        self._descriptors.forget(pack_id)

    def free_bytes(self) -> int:
        """Bytes that may still be written before the reserve is touched."""
        return max(0, self._disk.free(self._folder).bytes - self._reserve_bytes)

    def close(self) -> None:
        """Abandon what is open, close all files."""
        with self._lock:
            packs = [*self._open.values()]
        for pack in packs:
            pack.abandon()
        self._descriptors.close()

    def _path(self, pack_id: PackId, suffix: str) -> str:
        return f"{self._folder}/{pack_id.hex()}{suffix}"

    def _sync_folder(self) -> None:
        if self._durable:
            self._disk.sync_folder(self._folder)


def _first(into: Sequence[memoryview], size_bytes: int) -> "list[memoryview]":
    """The buffers, cut to their first ``size_bytes`` bytes."""
    kept: list[memoryview] = []
    for part in into:
        if size_bytes <= 0:
            break
        kept.append(part[:size_bytes])
        size_bytes -= len(part)
    return kept
