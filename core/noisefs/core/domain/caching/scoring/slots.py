"""Small numbers for keys, so that what is known of a key can lie in arrays."""

from noisefs.core.domain.caching.access import Key


class Slots:
    """Numbers from 0 on, each for one key; those that are free again are used first."""

    __slots__ = ("_free", "keys", "of")

    def __init__(self) -> None:
        self.of: dict[Key, int] = {}
        """The number of each key."""
        self.keys: list[Key] = []
        """The key of each number; what stands at a free number means nothing."""
        self._free: list[int] = []

    def take(self, key: Key) -> int:
        """A number for a key that has none. It is ``len(keys) - 1`` where there was no free one."""
        if self._free:
            number = self._free.pop()
            self.keys[number] = key
        else:
            number = len(self.keys)
            self.keys.append(key)
        self.of[key] = number
        return number

    def give(self, number: int) -> None:
        """A number is free again."""
        del self.of[self.keys[number]]
        self.keys[number] = None
        self._free.append(number)

    def __len__(self) -> int:
        return len(self.of)
