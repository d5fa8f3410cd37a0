"""Bodies of requests: prefixes of one buffer of random bytes."""

import hashlib
import mmap
from functools import lru_cache

_STEP_BYTES = 1 << 20


class Pool:
    """Random bytes in memory.

    ``seed`` makes the bytes repeatable. The bytes do not compress and never repeat within 256 MiB.
    """

    def __init__(self, size_bytes: int, seed: int = 0) -> None:
        self.size_bytes = size_bytes
        pages = mmap.mmap(-1, size_bytes)
        for number, offset in enumerate(range(0, size_bytes, _STEP_BYTES)):
            length = min(_STEP_BYTES, size_bytes - offset)
            pages[offset : offset + length] = hashlib.shake_128(f"{seed}:{number}".encode()).digest(length)
        self.view = memoryview(pages)

    @lru_cache(maxsize=64)  # noqa: B019 - a pool lives as long as the run
    def sha256(self, size_bytes: int) -> str:
        """Hex SHA-256 of the first ``size_bytes``."""
        return hashlib.sha256(self.view[:size_bytes]).hexdigest()
