"""The C allocator, told to keep large buffers.

glibc maps every buffer of a megabyte anew and gives it back at once: each page is then faulted in and zeroed for every
window that is read, a third of the cost of a large GET. Memory stays bounded, because the buffers are. Without
glibc nothing happens.
"""

import ctypes
from typing import Final

# malloc.h; mallopt(3).
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

LARGEST_BYTES: Final = 32 << 20
"""Buffers up to this size come from the heap: the most that mallopt takes."""
KEPT_BYTES: Final = 64 << 20
ARENAS: Final = 2
"""Heaps for threads: each keeps what it freed, so few."""


def keep_large_buffers() -> bool:
    """Set it up for this process; tells whether that was possible."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_THRESHOLD, LARGEST_BYTES), (_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_ARENA_MAX, ARENAS))
    return all(mallopt(name, value) == 1 for name, value in wanted)
