"""A disk that loses power: a seeded model of a volatile cache behind the port ``Disk``.

What it plays:

* Bytes: each write is kept as the pages it leaves behind. At a crash each 512-byte sector of a write that was not
  synced is on the disk or is not, on its own: writes are lost, torn and reordered. A length is kept or lost apart.
* Names: of the changes in a folder since its last ``sync_folder``, a crash keeps the first few (journals keep order).
* ``sync`` may fail; then, as Linux does, what was dirty is dropped or kept page by page and counts as clean from then
  on: reads still see it, the disk may not have it, and no later sync writes it.
* Full disk, read errors, and a crash at any numbered step: before the step, after it, or with its bytes in the cache.

The same seed and the same calls give the same disk, byte for byte. Not thread-safe.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.errors import DiskFull, FileExists, FileMissing, StorageFailed
from noisefs.core.ports.disk import DIRECT_ALIGNMENT, SECTOR_BYTES, Disk, File, Free

PAGE: Final = 4096
SECTORS: Final = PAGE // SECTOR_BYTES
_ZEROS: Final = bytes(PAGE)


class SimulatedCrash(BaseException):
    """The power is gone. Not an ``Exception``: no code under test may handle it."""


@dataclass(slots=True)
class _Content:
    """Bytes as pages; missing ones are zeros."""

    pages: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def resize(self, size: int) -> None:
        if size < self.size:
            last, used = divmod(size, PAGE)
            for number in [number for number in self.pages if number > last or (number == last and not used)]:
                del self.pages[number]
            if used and last in self.pages:
                self.pages[last] = self.pages[last][:used] + bytes(PAGE - used)
        self.size = size

    def copy(self) -> "_Content":
        return _Content(dict(self.pages), self.size)

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        first, last = offset // PAGE, (offset + length + PAGE - 1) // PAGE
        pages = b"".join(self.pages.get(number, _ZEROS) for number in range(first, last))
        return pages[offset - first * PAGE :][:length]


# What waits for a sync: a page's bytes, or a length.
_Pending = tuple[int, bytes] | int


@dataclass(slots=True, eq=False)
class _Inode:
    cached: _Content = field(default_factory=_Content)
    """What reads see."""
    durable: _Content = field(default_factory=_Content)
    """What is on the disk for sure."""
    pending: list[_Pending] = field(default_factory=list)
    reserved: int = 0
    linked: bool = True
    path: str = ""
    """Its last name: what steps on an open file are labelled by."""
    holder: "SimulatedFile | None" = None
    """Who has the lock."""

    def occupied(self) -> int:
        return max(self.reserved, self.cached.size)


def _apply(content: _Content, change: _Pending) -> None:
    if isinstance(change, int):
        content.resize(change)
    else:
        content.pages[change[0]] = change[1]


_Names = dict[str, _Inode | None]
"""One change of a folder: names that now mean a file, or nothing."""


class SimulatedDisk(Disk):
    """See the module. ``crash`` and ``restart`` are the test's; everything else is the port."""

    def __init__(self, seed: int = 0, *, capacity_bytes: int = 1 << 40) -> None:
        """An empty disk whose every chance is decided by ``seed``."""
        self._random = random.Random(seed)
        self.capacity_bytes = capacity_bytes
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._folders: set[str] = {"/"}
        self._changes: dict[str, list[_Names]] = {}
        self._occupied = 0
        self.life = 0
        """Grows at every crash: files of an earlier life are dead."""
        self.down = False
        self.steps = 0
        """Operations so far that change something: each is a point where the power may fail."""
        self.crash_at: int | None = None
        """Fail at this step, or at the next one if that step is refused for another reason."""
        self.crash_when: Callable[[str], bool] | None = None
        """Fail at the next step whose label satisfies this."""
        self.labels: Counter[str] = Counter()
        """How often each kind of step was taken: operation, colon, kind of file."""
        self.crashed_at: list[str] = []
        """Labels of the steps at which the power failed."""
        self._faults: list[tuple[str, str, StorageFailed | DiskFull]] = []
        self.label: Callable[[str], str] = kind_of
        self.ignore_syncs: Callable[[str], bool] = lambda _label: False
        """For planted bugs: a sync whose label satisfies this does nothing and says that it did."""

    # ------------------------------------------------------------------ what tests do to it

    def fail_next(self, operation: str, kind: str, error: StorageFailed | DiskFull | None = None) -> None:
        """Let the next ``operation`` (``read``, ``write``, ``sync``, ...) on a file of that kind fail."""
        self._faults.append((operation, kind, error or StorageFailed(f"{operation} failed: simulated")))

    def crash(self, *, gently: bool = False) -> None:
        """Cut the power now and bring the disk back: what may be lost is lost or not, as the seed decides.

        ``gently``: end the processes and keep everything (``kill -9``).
        """
        names = self._names if gently else self._surviving_names()
        survivors: dict[_Inode, _Inode] = {}
        for inode in dict.fromkeys(names.values()):
            content = inode.cached if gently else self._surviving_content(inode)
            survivor = _Inode(content.copy(), content, [], 0)
            if gently:
                # The system lives on: the cache is as it was, and so is what it still has to write.
                survivor.durable, survivor.pending = inode.durable, inode.pending
            survivor.reserved = min(inode.reserved, content.size)
            survivor.path = inode.path
            survivors[inode] = survivor
        self._names = {path: survivors[inode] for path, inode in names.items()}
        if gently:
            self._durable_names = {path: survivors.get(inode, inode) for path, inode in self._durable_names.items()}
            self._changes = {
                folder: [{path: survivors.get(i, i) if i else None for path, i in change.items()} for change in changes]
                for folder, changes in self._changes.items()
            }
        else:
            self._durable_names = dict(self._names)
            self._changes = {}
        self._occupied = sum(inode.occupied() for inode in set(self._names.values()))
        self._faults.clear()
        self.life += 1
        self.down = False
        self.crash_at = None
        self.crash_when = None

    def _surviving_names(self) -> dict[str, _Inode]:
        names = dict(self._durable_names)
        for folder in sorted(self._changes):
            changes = self._changes[folder]
            for change in changes[: self._random.randint(0, len(changes))]:
                _rename(names, change)
        return names

    def _surviving_content(self, inode: _Inode) -> _Content:
        content = inode.durable.copy()
        if not inode.pending:
            return content
        mood = self._random.choice(("none", "all", "pages", "sectors"))
        chance = self._random.choice((0.1, 0.5, 0.9))
        for change in inode.pending:
            if mood == "none" or (mood != "all" and (isinstance(change, int) or mood == "pages")):
                if mood == "none" or self._random.random() > chance:
                    continue
                _apply(content, change)
            elif mood == "all" or isinstance(change, int):
                _apply(content, change)
            else:
                number, page = change
                old = content.pages.get(number, _ZEROS)
                kept = self._random.getrandbits(SECTORS)
                content.pages[number] = b"".join(
                    (page if kept >> k & 1 else old)[k * SECTOR_BYTES : (k + 1) * SECTOR_BYTES] for k in range(SECTORS)
                )
        size, content.size = content.size, 1 << 62
        content.resize(size)  # sectors behind the end were written, but the length was not
        return content

    def damage(self, path: str, offset: int, data: bytes) -> None:
        """Put other bytes on the disk, without anybody having written them."""
        inode = self._names[path]
        for content in (inode.cached, inode.durable):
            _overwrite(content, data, offset)

    def snapshot(self) -> dict[str, bytes]:
        """Every file's bytes, as reads would see them now."""
        return {path: inode.cached.read(0, inode.cached.size) for path, inode in sorted(self._names.items())}

    # ------------------------------------------------------------------ steps

    def enter(self, operation: str, path: str) -> bool:
        """Begin a step that changes something. ``True``: take it, then fail (``leave``).

        Raises:
            SimulatedCrash: The power is gone, or goes now, before the step.
        """
        if self.down:
            raise SimulatedCrash
        label = f"{operation}:{self.label(path)}"
        self.labels[label] += 1
        self.steps += 1
        hit = self.crash_at is not None and self.steps >= self.crash_at
        hit = hit or (self.crash_when is not None and self.crash_when(label))
        if hit:
            self.crashed_at.append(label)
            if self._random.random() < 0.5:
                self.down = True
                raise SimulatedCrash
        self.fault(operation, path)
        return hit

    def leave(self, *, hit: bool) -> None:
        """End a step; the power fails now if ``enter`` said so."""
        if hit:
            self.down = True
            raise SimulatedCrash

    def fault(self, operation: str, path: str) -> None:
        """Raise the error that was planted for this operation and file, if any; once."""
        if self.down:
            raise SimulatedCrash
        for number, (wanted, kind, error) in enumerate(self._faults):
            if wanted == operation and kind in ("*", self.label(path)):
                del self._faults[number]
                raise error

    def occupy(self, inode: _Inode, change: int) -> None:
        """Count a file's room. Raises ``DiskFull`` when there is no more."""
        if not inode.linked:
            return
        if change > 0 and self._occupied + change > self.capacity_bytes:
            raise DiskFull("no space left on the simulated disk")
        self._occupied += change

    def choose(self) -> random.Random:
        """The disk's own chances."""
        return self._random

    # ------------------------------------------------------------------ the port

    def create(self, path: str, *, direct: bool = False) -> "SimulatedFile":
        """A new empty file."""
        if path in self._names:
            raise FileExists(path)
        self._need_folder(path)
        hit = self.enter("create", path)
        if self._occupied >= self.capacity_bytes:
            raise DiskFull("no space left on the simulated disk")
        inode = _Inode()
        self._change(path, {path: inode})
        self.leave(hit=hit)
        return SimulatedFile(self, inode, direct=direct)

    def open(self, path: str, *, write: bool = False, direct: bool = False) -> "SimulatedFile":
        """An existing file."""
        self.fault("open", path)
        return SimulatedFile(self, self._inode(path), direct=direct, writable=write)

    def same(self, path: str, file: File) -> bool:
        """Whether ``path`` names that open file now."""
        assert isinstance(file, SimulatedFile)
        self.fault("stat", path)
        return self._names.get(path) is file.inode

    def rename(self, old: str, new: str) -> None:
        """Give a file another name: one change of one folder."""
        assert _folder(old) == _folder(new), "the product renames inside a folder only"
        inode = self._inode(old)
        hit = self.enter("rename", new)
        self._change(new, {old: None, new: inode})
        self.leave(hit=hit)

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        self._inode(path)
        hit = self.enter("unlink", path)
        self._change(path, {path: None})
        self.leave(hit=hit)

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents, durably."""
        if self.down:
            raise SimulatedCrash
        while path not in self._folders:
            self._folders.add(path)
            path = _folder(path)

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder."""
        self.fault("list", path)
        if path not in self._folders:
            raise FileMissing(path)
        names = [_name(p) for p in self._names if _folder(p) == path]
        names += [_name(p) for p in self._folders if p not in ("/", path) and _folder(p) == path]
        names.sort()
        self._random.shuffle(names)
        return names

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        hit = self.enter("sync_folder", path)
        if not self.ignore_syncs(f"sync_folder:{self.label(path)}"):
            for change in self._changes.pop(path, []):
                _rename(self._durable_names, change)
        self.leave(hit=hit)

    def file_size(self, path: str) -> int:
        """Length of a file."""
        self.fault("stat", path)
        return self._inode(path).cached.size

    def free(self, path: str) -> Free:
        """Room on the disk."""
        self.fault("statvfs", path)
        return Free(max(0, self.capacity_bytes - self._occupied), 1 << 62)

    # ------------------------------------------------------------------ names

    def _inode(self, path: str) -> _Inode:
        if self.down:
            raise SimulatedCrash
        inode = self._names.get(path)
        if inode is None:
            raise FileMissing(path)
        return inode

    def _need_folder(self, path: str) -> None:
        if _folder(path) not in self._folders:
            raise FileMissing(_folder(path))

    def _change(self, path: str, change: _Names) -> None:
        before = {name: self._names.get(name) for name in change}
        _rename(self._names, change)
        for name, inode in change.items():
            if inode is not None:
                inode.path = name
        self._changes.setdefault(_folder(path), []).append(change)
        for inode in set(before.values()):
            if inode is not None and inode not in self._names.values():
                self._occupied -= inode.occupied()
                inode.linked = False


class SimulatedFile(File):
    """An open file of one life of the disk."""

    def __init__(self, disk: SimulatedDisk, inode: _Inode, *, direct: bool = False, writable: bool = True) -> None:
        """Made by the disk."""
        self._disk = disk
        self._life = disk.life
        self._direct = direct
        self._writable = writable
        self._closed = False
        self.inode = inode

    @property
    def direct(self) -> bool:
        """Whether writes must be aligned."""
        return self._direct

    def _alive(self) -> None:
        if self._life != self._disk.life or self._disk.down:
            raise SimulatedCrash
        assert not self._closed, f"{self.inode.path} is closed"

    def read(self, into: Sequence[memoryview], offset: int) -> int:
        """Fill the buffers in order."""
        self._alive()
        self._disk.fault("read", self.inode.path)
        data = memoryview(self.inode.cached.read(offset, sum(len(part) for part in into)))
        done = 0
        for part in into:
            piece = data[done : done + len(part)]
            part[: len(piece)] = piece
            done += len(piece)
        return done

    def write(self, parts: Sequence[memoryview], offset: int) -> None:
        """Write the parts one behind the other."""
        self._alive()
        assert self._writable, f"{self.inode.path} is open for reading"
        data = b"".join(parts)
        if self._direct:
            assert offset % DIRECT_ALIGNMENT == 0, "a direct write must be aligned"
            assert len(data) % DIRECT_ALIGNMENT == 0, "a direct write must be aligned"
        hit = self._disk.enter("write", self.inode.path)
        inode, end = self.inode, offset + len(data)
        self._disk.occupy(inode, max(0, end - inode.occupied()))
        if end > inode.cached.size:
            inode.cached.size = end
            inode.pending.append(end)
        inode.pending.extend(_overwrite(inode.cached, data, offset))
        self._disk.leave(hit=hit)

    def sync(self) -> None:
        """Make bytes and length durable."""
        self._alive()
        hit = False
        try:
            hit = self._disk.enter("sync", self.inode.path)
        except StorageFailed:
            chance = self._disk.choose()
            for change in self.inode.pending:
                if chance.random() < 0.5:
                    _apply(self.inode.durable, change)
            self.inode.pending.clear()
            raise
        if not self._disk.ignore_syncs(f"sync:{self._disk.label(self.inode.path)}"):
            for change in self.inode.pending:
                _apply(self.inode.durable, change)
            self.inode.pending.clear()
        self._disk.leave(hit=hit)

    def truncate(self, size_bytes: int) -> None:
        """Set the length."""
        self._alive()
        hit = self._disk.enter("truncate", self.inode.path)
        inode = self.inode
        before = inode.occupied()
        inode.cached.resize(size_bytes)
        inode.pending.append(size_bytes)
        inode.reserved = min(inode.reserved, size_bytes)
        self._disk.occupy(inode, inode.occupied() - before)
        self._disk.leave(hit=hit)

    def allocate(self, size_bytes: int) -> None:
        """Reserve room."""
        self._alive()
        hit = self._disk.enter("allocate", self.inode.path)
        inode = self.inode
        self._disk.occupy(inode, max(0, size_bytes - inode.occupied()))
        inode.reserved = max(inode.reserved, size_bytes)
        if size_bytes > inode.cached.size:
            inode.cached.size = size_bytes
            inode.pending.append(size_bytes)
        self._disk.leave(hit=hit)

    def size(self) -> int:
        """Its length."""
        self._alive()
        return self.inode.cached.size

    def try_lock(self) -> bool:
        """Take the lock, if nobody else has it."""
        self._alive()
        if self.inode.holder not in (None, self):
            return False
        self.inode.holder = self
        return True

    def unlock(self) -> None:
        """Let go of the lock."""
        if self.inode.holder is self:
            self.inode.holder = None

    def close(self) -> None:
        """Release the lock."""
        self._closed = True
        self.unlock()


def _overwrite(content: _Content, data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """Put bytes into a content; returns the pages this leaves behind."""
    touched: list[tuple[int, bytes]] = []
    at, done = offset, 0
    while done < len(data):
        number, begin = divmod(at, PAGE)
        piece = data[done : done + PAGE - begin]
        if len(piece) < PAGE:
            old = content.pages.get(number, _ZEROS)
            page = old[:begin] + piece + old[begin + len(piece) :]
        else:
            page = piece
        content.pages[number] = page
        touched.append((number, page))
        at += len(piece)
        done += len(piece)
    return touched


def _rename(names: dict[str, _Inode], change: _Names) -> None:
    for path, inode in change.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def kind_of(path: str) -> str:
    """What a file is, from its name: the suffix, without ids and numbers."""
    name = _name(path)
    for mark in ("-wal", "-journal", "-shm"):
        if name.endswith(mark):
            return mark[1:]
    stem, dot, suffix = name.rpartition(".")
    return suffix if dot and stem else name
