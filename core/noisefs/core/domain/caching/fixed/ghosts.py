"""Keys that were dropped lately: remembered without bytes, bounded by the bytes they stood for."""

from collections import OrderedDict

from noisefs.core.domain.caching.access import Key


class Ghosts:
    """A queue of keys, the oldest forgotten first."""

    __slots__ = ("_bytes", "_most", "_sizes")

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._sizes: OrderedDict[Key, int] = OrderedDict()
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What the remembered keys stood for."""
        return self._bytes

    def add(self, key: Key, size: int) -> None:
        """Remember a key as the newest."""
        self.remove(key)
        self._sizes[key] = size
        self._bytes += size
        while self._bytes > self._most:
            self.forget_oldest()

    def remove(self, key: Key) -> bool:
        """Forget a key; whether it was remembered."""
        size = self._sizes.pop(key, 0)
        self._bytes -= size
        return size > 0

    def forget_oldest(self) -> None:
        """Forget the oldest key. There must be one."""
        _, size = self._sizes.popitem(last=False)
        self._bytes -= size

    def __contains__(self, key: object) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)
