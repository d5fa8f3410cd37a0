"""Open pack files for reading: a bounded number of them, least recently used closed first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from noisefs.core.domain.ids import PackId
from noisefs.core.ports.disk import File


class _Shared:
    """A file and how many threads read it now. Closed by whoever lets go of it last, once it is out of the cache."""

    __slots__ = ("file", "readers", "unwanted")

    def __init__(self, file: File) -> None:
        self.file = file
        self.readers = 1
        self.unwanted = False


class Descriptors:
    """Files by pack. Thread-safe: a pack may be forgotten while others read it."""

    def __init__(self, open_file: Callable[[PackId], File], limit: int) -> None:
        """``open_file`` raises where there is no such pack; at most ``limit`` files stay open unused."""
        self._open_file = open_file
        self._limit = limit
        self._lock = threading.Lock()
        self._files: OrderedDict[PackId, _Shared] = OrderedDict()

    @contextmanager
    def reading(self, pack_id: PackId) -> Iterator[File]:
        """The pack's file, which stays open inside the ``with`` block."""
        shared = self._borrow(pack_id)
        try:
            yield shared.file
        finally:
            self._return(shared)

    def if_open(self, pack_id: PackId, use: Callable[[File], bool]) -> bool:
        """What ``use`` makes of the pack's file; ``False`` where it is not open: opening may wait for the disk."""
        shared = self._borrow_open(pack_id)
        if shared is None:
            return False
        try:
            return use(shared.file)
        finally:
            self._return(shared)

    def _borrow_open(self, pack_id: PackId) -> _Shared | None:
        with self._lock:
            shared = self._files.get(pack_id)
            if shared is not None:
                shared.readers += 1
                self._files.move_to_end(pack_id)
        return shared

    def _borrow(self, pack_id: PackId) -> _Shared:
        shared = self._borrow_open(pack_id)
        if shared is not None:
            return shared
        opened = _Shared(self._open_file(pack_id))
        with self._lock:
            other = self._files.pop(pack_id, None)  # another thread opened it meanwhile: ours takes its place
            self._files[pack_id] = opened
            surplus = [] if other is None else [other]
            while len(self._files) > self._limit:
                surplus.append(self._files.popitem(last=False)[1])
            idle = _retire(surplus)
        _close(idle)
        return opened

    def _return(self, shared: _Shared) -> None:
        with self._lock:
            shared.readers -= 1
            last = shared.unwanted and shared.readers == 0
        if last:
            shared.file.close()

    def forget(self, pack_id: PackId) -> None:
        """Close the pack's file, now or when its last reader is done."""
        with self._lock:
            shared = self._files.pop(pack_id, None)
            idle = [] if shared is None else _retire([shared])
        _close(idle)

    def close(self) -> None:
        """Forget all."""
        with self._lock:
            idle = _retire(list(self._files.values()))
            self._files.clear()
        _close(idle)


def _retire(files: list[_Shared]) -> list[_Shared]:
    """Mark files that left the cache; returns those that nobody reads."""
    for shared in files:
        shared.unwanted = True
    return [shared for shared in files if shared.readers == 0]


def _close(files: list[_Shared]) -> None:
    for shared in files:
        shared.file.close()
