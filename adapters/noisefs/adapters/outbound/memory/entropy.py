"""Reproducible randomness for tests and the simulator. Never for a real store."""

import random
import threading

from noisefs.core.ports.entropy import Entropy


class SeededEntropy(Entropy):
    """The same bytes for the same seed and order of calls. Thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        """Begin the sequence of ``seed``."""
        self._random = random.Random(seed)  # noqa: S311 - that it can be repeated is the point
        self._lock = threading.Lock()

    def secret(self, size_bytes: int) -> bytes:
        """The next bytes."""
        with self._lock:
            return self._random.randbytes(size_bytes)

    def noise(self, into: memoryview) -> None:
        """Fill a buffer with the next bytes."""
        with self._lock:
            into.cast("B")[:] = self._random.randbytes(into.nbytes)
