"""Processes on one store, as lock files of one folder.

``<instance id>.alive`` is locked while that process runs and holds what it reads; ``leader`` is locked by the one that
runs background jobs, ``store`` by the server or command that owns the folder. Locks vanish with their process, however
it ends, so nothing has to be cleaned up first. Nothing is synced: after a power loss nobody is alive.
"""

import hashlib
import logging
import re
import struct
import threading
from collections.abc import Collection
from typing import Final

from noisefs.core.domain.ids import ID_BYTES, BodyId, InstanceId, PackId
from noisefs.core.errors import FileExists, FileMissing, NoisefsError, StorageFailed, StoreBusy
from noisefs.core.ports.disk import Disk, File
from noisefs.core.ports.presence import Presence

log = logging.getLogger(__name__)

_ALIVE: Final = re.compile(r"([0-9a-f]{32})\.alive")
_HEAD: Final = struct.Struct("<16sII")
"""Digest of what follows, number of bodies, number of packs; then their ids."""

READ_TRIES: Final = 100
"""A list is a few kilobytes written in one call: a torn read is rare, two in a row rarer still."""


class FilePresence(Presence):
    """This process's locks in a folder shared with the others. Thread-safe."""

    def __init__(self, disk: Disk, folder: str, instance_id: InstanceId) -> None:
        """Come alive in ``folder``, made if missing."""
        self._disk = disk
        self._folder = folder
        self._instance_id = instance_id
        self._lock = threading.Lock()
        self._store: File | None = None
        self._leader: File | None = None
        disk.make_folder(folder)
        alive = self._take(f"{instance_id.hex()}.alive")
        if alive is None:
            raise StoreBusy(f"a process with the instance id {instance_id.hex()} is running already")
        self._alive: File | None = alive

    @property
    def instance_id(self) -> InstanceId:
        """Id of this process."""
        return self._instance_id

    def lock_store(self) -> None:
        """Take the store for this process, or raise ``StoreBusy``."""
        with self._lock:
            if self._store is None:
                self._store = self._take("store")
            if self._store is None:
                raise StoreBusy(f"another server or command uses the store of {self._folder!r}")

    def lead(self) -> bool:
        """Whether this process runs the background jobs."""
        with self._lock:
            if self._leader is None and self._alive is not None:
                self._leader = self._take("leader")
            return self._leader is not None

    def is_alive(self, instance_id: InstanceId) -> bool:
        """Whether that process still runs."""
        if instance_id == self._instance_id:
            return self._alive is not None
        try:
            file = self._disk.open(f"{self._folder}/{instance_id.hex()}.alive", write=True)
        except FileMissing:
            return False
        try:
            return not file.try_lock()
        finally:
            file.close()

    def publish_reads(self, bodies: Collection[BodyId], packs: Collection[PackId]) -> None:
        """Replace what others see of this process: one write."""
        ids = b"".join((*bodies, *packs))
        counts = struct.pack("<II", len(bodies), len(packs))
        digest = hashlib.sha256(counts + ids).digest()[:16]
        with self._lock:
            if self._alive is not None:
                self._alive.write([memoryview(digest + counts + ids)], 0)

    def others_read(self) -> tuple[set[BodyId], set[PackId]]:
        """Bodies and packs that other live processes are reading; removes the files of dead ones."""
        bodies: set[BodyId] = set()
        packs: set[PackId] = set()
        for name in self._disk.list_folder(self._folder):
            match = _ALIVE.fullmatch(name)
            if match is None or bytes.fromhex(match[1]) == self._instance_id:
                continue
            path = f"{self._folder}/{name}"
            try:
                file = self._disk.open(path, write=True)
            except FileMissing:
                continue
            try:
                if file.try_lock():
                    self._bury(path, file)
                else:
                    read_bodies, read_packs = _reads_in(file, path)
                    bodies.update(read_bodies)
                    packs.update(read_packs)
            finally:
                file.close()
        return bodies, packs

    def _bury(self, path: str, file: File) -> None:
        """Remove a dead process's file, whose lock is held."""
        try:
            if self._disk.same(path, file):
                self._disk.unlink(path)
        except NoisefsError:
            log.debug("presence.not_removed", extra={"path": path})  # the next one tries again

    def _take(self, name: str) -> File | None:
        """A file of the folder with its lock, or ``None`` if another process holds it."""
        path = f"{self._folder}/{name}"
        while True:
            try:
                file = self._disk.create(path)
            except FileExists:
                try:
                    file = self._disk.open(path, write=True)
                except FileMissing:
                    continue
            if not file.try_lock():
                file.close()
                return None
            if self._disk.same(path, file):
                return file
            file.close()  # somebody removed the file between our opening and locking it

    def close(self) -> None:
        """Let go of every lock, and remove this process's file."""
        with self._lock:
            alive, self._alive = self._alive, None
            if alive is not None:
                self._bury(f"{self._folder}/{self._instance_id.hex()}.alive", alive)
            for file in (alive, self._leader, self._store):
                if file is not None:
                    file.close()
            self._leader = self._store = None


def _reads_in(file: File, path: str) -> tuple[list[BodyId], list[PackId]]:
    """What a live process published."""
    for _ in range(READ_TRIES):
        data = bytearray(file.size())
        found = file.read([memoryview(data)], 0)
        if found == 0:
            return [], []
        if found < _HEAD.size:
            continue
        digest, bodies, packs = _HEAD.unpack_from(data)
        end = _HEAD.size + (bodies + packs) * ID_BYTES
        if end <= found and hashlib.sha256(data[16:end]).digest()[:16] == digest:
            ids = [bytes(data[at : at + ID_BYTES]) for at in range(_HEAD.size, end, ID_BYTES)]
            return [BodyId(i) for i in ids[:bodies]], [PackId(i) for i in ids[bodies:]]
    raise StorageFailed(f"what the process of {path!r} reads could not be read: its list is damaged or ever changing")
