"""A pack file that is being written.

Blocks are masked right inside a page-aligned window of the file. Whole megabytes are written early, without a sync. A
sync also writes the last, partly filled page, padded, and a later write of that page repeats its bytes: a torn write
leaves each sector old or new, and acknowledged bytes are equal in both. A failed write or sync poisons the
pack for ever.

Three locks, taken in this order: ``sync`` (one sync at a time: the kernel reports a lost page to one caller only),
``write`` (one write at a time, so that two versions of the last page never overtake each other), ``window`` (short:
readers copy under it). So a sync may run on another thread than the writer, which goes on masking meanwhile.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from noisefs.adapters.outbound.localpacks.buffer import Window, page_ceiling, page_floor
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import NoisefsError, PackPoisoned
from noisefs.core.ports.disk import DIRECT_ALIGNMENT, File
from noisefs.core.ports.packs import OpenPack

FLUSH_BYTES: Final = 1 << 20
"""Unwritten bytes from which on whole pages are written: large enough for the disk, small enough to stay in cache."""

PINNED_BLOCKS: Final = 4
"""Blocks at the start of a pack kept in memory: the seeds, which every later cell is masked with."""


class LocalOpenPack(OpenPack):
    """One lane reserves, advances, seals; ``sync`` and reads may come from other threads."""

    def __init__(
        self,
        file: File,
        pack_id: PackId,
        block_bytes: int,
        *,
        end_bytes: int,
        durable: bool,
        publish: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        """Take over a locked file.

        Args:
            file: Open for writing, its lock held.
            pack_id: Its id.
            block_bytes: Bytes of a block.
            end_bytes: Bytes of it that are blocks.
            durable: Whether ``sync`` reaches the disk (``sync = fsync``).
            publish: Gives the file its sealed name, durably.
            forget: Called once, when the pack is no longer open.
        """
        self._file = file
        self._pack_id = pack_id
        self._block_bytes = block_bytes
        self._durable = durable
        self._publish = publish
        self._forget = forget
        self._pinned: list[bytes] = []
        self._window = Window(end_bytes)
        self._last_page = Window(0).free(DIRECT_ALIGNMENT)
        self._synced_bytes = 0
        self._poisoned = False
        self._closed = False
        self._sync_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._window_lock = threading.Lock()
        if end_bytes:
            self._load()

    def _load(self) -> None:
        """Read what the window and the pinned blocks need of an adopted file."""
        window = self._window
        tail = memoryview(bytearray(window.end - window.base))
        window.fill(window.base, tail[: self._file.read([tail], window.base)])
        self._pinned = [bytes(self._read_block(k)) for k in range(min(PINNED_BLOCKS, self.blocks))]

    # ------------------------------------------------------------------ the writer's lane

    @property
    def pack_id(self) -> PackId:
        """Its id."""
        return self._pack_id

    @property
    def blocks(self) -> int:
        """Blocks appended so far."""
        return self._window.end // self._block_bytes

    def reserve(self, blocks: int) -> memoryview:
        """The place of the next blocks, inside the window."""
        self._check()
        size = blocks * self._block_bytes
        if not self._window.room(size):
            with self._write_lock:
                self._flush()
                with self._window_lock:
                    self._window.make_room(size, self._block_bytes)
        return self._window.free(size)

    def advance(self, blocks: int) -> None:
        """Append the first ``blocks`` blocks of the reserved buffer, and write whole pages once there are enough."""
        self._check()
        window, size = self._window, self._block_bytes
        for number in range(len(self._pinned), min(PINNED_BLOCKS, self.blocks + blocks)):
            start = (number - self.blocks) * size
            self._pinned.append(bytes(window.free(start + size)[start:]))
        with self._window_lock:
            window.end += blocks * size
        if window.end - window.flushed >= FLUSH_BYTES:
            with self._write_lock:
                self._flush()

    def block(self, position: int) -> memoryview:
        """An appended block: pinned, in the window, or read from the file."""
        if not 0 <= position < self.blocks:
            raise IndexError(f"block {position} of a pack of {self.blocks} blocks")
        if position < len(self._pinned):
            return memoryview(self._pinned[position])
        start = position * self._block_bytes
        if start >= self._window.base:
            return self._window.view(start, start + self._block_bytes)
        return self._read_block(position)

    def _read_block(self, position: int) -> memoryview:
        found = memoryview(bytearray(self._block_bytes))
        self._file.read([found], position * self._block_bytes)
        return found.toreadonly()

    def sync(self) -> int:
        """Make everything appended so far durable; returns how many blocks are. May run beside the writer's lane."""
        with self._sync_lock:
            self._check()
            if self._window.end > self._synced_bytes:
                with self._write_lock:
                    end = self._flush(last_page=True)
                if self._durable:
                    self._try(self._file.sync)
                self._synced_bytes = end
            return self._synced_bytes // self._block_bytes

    def seal(self) -> None:
        """Sync, cut the file to its blocks, give it its sealed name and release the lock."""
        with self._sync_lock, self._write_lock:
            self._check()
            end = self._flush(last_page=True)
            self._try(lambda: self._file.truncate(end))
            if self._durable:
                self._try(self._file.sync)
            self._try(self._publish)
            self._synced_bytes = end
        self._close()

    def abandon(self) -> None:
        """Release the writer's lock and leave the bytes as a crash would."""
        with self._sync_lock, self._write_lock:
            self._close()

    def cut(self, blocks: int) -> None:
        """Forget an adopted pack's blocks behind the first ``blocks``, before anything is reserved."""
        assert not self._synced_bytes
        assert blocks <= self.blocks
        with self._sync_lock, self._write_lock:
            self._check()
            end = blocks * self._block_bytes
            self._try(lambda: self._file.truncate(end))
            with self._window_lock:
                self._window = Window(end)
                self._load()
                del self._pinned[blocks:]

    def _close(self) -> None:
        with self._window_lock:
            if self._closed:
                return
            self._closed = True
        self._forget()
        self._file.close()

    # ------------------------------------------------------------------ writing

    def _flush(self, *, last_page: bool = False) -> int:
        """Write whole pages, and the padded last one if asked; returns the end of what was appended.

        The caller holds ``write``.
        """
        window = self._window
        with self._window_lock:
            start, end = window.flushed, window.end
            whole = page_floor(end)
            parts = [window.view(start, whole)] if whole > start else []
            if last_page and end > whole:
                # From a page of its own: behind the end somebody may be masking right now.
                used = end - whole
                self._last_page[:used] = window.view(whole, end)
                self._last_page[used:] = bytes(page_ceiling(end) - end)
                parts.append(self._last_page)
        if parts:
            self._try(lambda: self._file.write(parts, start))
            with self._window_lock:
                window.flushed = whole
        return end

    def _try(self, step: Callable[[], None]) -> None:
        """Do one step on the file; its failure poisons the pack."""
        try:
            step()
        except NoisefsError as exc:
            self._poisoned = True
            raise PackPoisoned(self._pack_id) from exc

    def _check(self) -> None:
        if self._poisoned:
            raise PackPoisoned(self._pack_id)
        if self._closed:
            raise ValueError(f"pack {self._pack_id.hex()} is no longer open")

    # ------------------------------------------------------------------ other threads

    def copy_recent(self, into: Sequence[memoryview], start: int) -> int | None:
        """Copy what the file may not have yet; returns how many of the wanted bytes, from ``start``, the file has.

        ``None``: fewer bytes than wanted were appended. Called by readers, for a pack of this process.
        """
        with self._window_lock:
            window = self._window
            end = start + sum(len(part) for part in into)
            if self._closed:
                return end - start
            if end > window.end:
                return None
            at = start
            for part in into:
                upto = at + len(part)
                if upto > window.flushed:
                    first = max(at, window.flushed)
                    part[first - at :] = window.view(first, upto)
                at = upto
            return max(0, min(end, window.flushed) - start)
