"""How often a wrong login may be tried: by address, and by name from wherever.

A login that was verified before is never counted nor held up, so whoever guesses keeps nobody out who is in. Belongs to
one process.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

_WINDOW_S: Final = 60.0
_REMEMBERED: Final = 10_000
_OF_NAME: Final = 5
"""As many times more may be tried for one name, from all addresses together: fewer would let anybody lock it."""


class Tries:
    """Counts wrong logins. Not thread-safe: it belongs to the event loop. Cost: a microsecond; memory: bounded."""

    def __init__(self, a_minute: int) -> None:
        """``a_minute``: wrong logins of one address; 0: no limit."""
        self._a_minute = a_minute
        self._spent: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, name: str, now_s: float) -> float:
        """Seconds after which another try is allowed; 0: now."""
        if not self._a_minute:
            return 0.0
        return max(self._over(key, most, now_s) * _WINDOW_S / most for key, most in self._limits(client, name))

    def failed(self, client: str, name: str, now_s: float) -> None:
        """Count a wrong login."""
        if not self._a_minute:
            return
        for key, most in self._limits(client, name):
            self._spent[key] = (self._left(key, most, now_s) + 1, now_s)
            self._spent.move_to_end(key)
        while len(self._spent) > _REMEMBERED:
            self._spent.popitem(last=False)

    def _limits(self, client: str, name: str) -> tuple[tuple[Hashable, int], tuple[Hashable, int]]:
        return (("client", client), self._a_minute), (("name", name), self._a_minute * _OF_NAME)

    def _over(self, key: Hashable, most: int, now_s: float) -> float:
        """By how much one more try would be too much."""
        return max(0.0, self._left(key, most, now_s) + 1 - most)

    def _left(self, key: Hashable, most: int, now_s: float) -> float:
        """What still counts of earlier tries: it goes evenly, all of the limit in a minute."""
        spent, since_s = self._spent.get(key, (0.0, now_s))
        return max(0.0, spent - (now_s - since_s) * most / _WINDOW_S)
