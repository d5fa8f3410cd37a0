"""What one sync costs here: the floor under every server that answers a write only when it is on the disk."""

import os
import statistics
import time
from pathlib import Path

_PAGE_BYTES = 4096
_WRITES = 200


def sync_ms(folder: Path) -> float:
    """Median milliseconds of a 4 KiB write and ``fdatasync`` inside an allocated file."""
    path = folder / "sync-probe"
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(handle, 0, _WRITES * _PAGE_BYTES)
        os.fsync(handle)
        taken = []
        for number in range(_WRITES):
            begin = time.perf_counter()
            os.pwrite(handle, os.urandom(_PAGE_BYTES), number * _PAGE_BYTES)
            os.fdatasync(handle)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e3
    finally:
        os.close(handle)
        path.unlink()
