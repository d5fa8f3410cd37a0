"""Port ``Entropy``: randomness for keys, and much of it for padding."""

from abc import ABC, abstractmethod


class Entropy(ABC):
    """Where random bytes come from. Thread-safe."""

    @abstractmethod
    def secret(self, size_bytes: int) -> bytes:
        """Random bytes fit for keys and ids, from the operating system."""

    @abstractmethod
    def noise(self, into: memoryview) -> None:
        """Fill a buffer with bytes nobody can tell from random, at memory speed (AES-CTR under a random key)."""
