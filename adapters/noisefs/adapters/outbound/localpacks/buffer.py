"""The window of a pack file that is still in memory: the place where blocks are masked, and what is not yet written.

Offsets are those of the file. The window begins at a page, so that whole pages can be written straight from it, past
the page cache. Not thread-safe: :class:`.openpack.LocalOpenPack` guards it.
"""

import mmap
from typing import Final

from noisefs.core.ports.disk import DIRECT_ALIGNMENT

MIN_BYTES: Final = 2 << 20
"""First size: small enough to stay in a core's cache, large enough that sliding is rare."""


def page_floor(offset: int) -> int:
    """The page boundary at or before ``offset``."""
    return offset - offset % DIRECT_ALIGNMENT


def page_ceiling(offset: int) -> int:
    """The page boundary at or behind ``offset``."""
    return -(-offset // DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT


class Window:
    """Bytes ``base`` to ``end`` of a file, with room behind.

    Attributes:
        base: File offset of the first byte kept; a page boundary.
        end: File offset behind the last appended byte.
        flushed: Page boundary up to which the file has the bytes: ``base <= flushed <= end``, rounded down.
    """

    def __init__(self, end: int) -> None:
        """A window at the end of a file of ``end`` bytes; its last page's bytes are for the caller to fill in."""
        self.base = self.flushed = page_floor(end)
        self.end = end
        self._view = _pages(MIN_BYTES)

    def room(self, size_bytes: int) -> bool:
        """Whether so many bytes fit behind the end."""
        return self.end - self.base + size_bytes <= len(self._view)

    def make_room(self, size_bytes: int, keep_bytes: int) -> None:
        """Let go of flushed bytes except the last ``keep_bytes``, and grow if that is not enough."""
        base = min(self.flushed, page_floor(max(self.base, self.end - keep_bytes)))
        kept = self._view[base - self.base : self.end - self.base]
        needed = len(kept) + size_bytes
        if needed > len(self._view):
            grown = _pages(page_ceiling(needed + needed // 4))
            grown[: len(kept)] = kept
            self._view = grown
        else:
            self._view[: len(kept)] = kept  # overlapping is fine: memoryview moves, it does not copy forward
        self.base = base

    def free(self, size_bytes: int) -> memoryview:
        """The writable place of the next bytes; there must be room."""
        start = self.end - self.base
        return self._view[start : start + size_bytes]

    def view(self, start: int, end: int) -> memoryview:
        """Read-only bytes of the window."""
        return self._view[start - self.base : end - self.base].toreadonly()

    def fill(self, start: int, data: memoryview) -> None:
        """Put bytes that are in the file already into the window."""
        self._view[start - self.base : start - self.base + len(data)] = data


def _pages(size_bytes: int) -> memoryview:
    """Fresh page-aligned memory, freed with its last view. Untouched pages cost nothing."""
    return memoryview(mmap.mmap(-1, size_bytes))
