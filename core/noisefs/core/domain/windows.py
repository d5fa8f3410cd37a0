"""Times of day at which something may be done, in UTC."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

DAY_S: Final = 86400
_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]|24):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start_s`` up to ``end_s`` after midnight, UTC. It goes over midnight where the end is not behind."""

    start_s: int
    end_s: int

    def began_us(self, now_us: int) -> int | None:
        """When the window that is open now opened, in microseconds since the epoch; ``None``: it is not open."""
        now_s = now_us // 1_000_000
        midnight_s = now_s - now_s % DAY_S
        length_s = (self.end_s - self.start_s) % DAY_S or DAY_S
        for begin_s in (midnight_s + self.start_s, midnight_s + self.start_s - DAY_S):
            if begin_s <= now_s < begin_s + length_s:
                return begin_s * 1_000_000
        return None


def parse_window(text: str) -> Window:
    """The window of a text like ``01:30-05:00``, UTC.

    Raises:
        InvalidArgument: It is none.
    """
    match = _WINDOW.fullmatch(text)
    numbers = [int(group) for group in match.groups()] if match else []
    if not numbers or numbers[2] * 60 + numbers[3] > 24 * 60:
        raise InvalidArgument("time window", text, "HH:MM-HH:MM, in UTC, the end up to 24:00")
    return Window(numbers[0] * 3600 + numbers[1] * 60, numbers[2] * 3600 + numbers[3] * 60)


def open_since_us(windows: Iterable[Window], now_us: int) -> int | None:
    """When the latest of the windows that are open now opened; ``None``: none is."""
    return max((began for window in windows if (began := window.began_us(now_us)) is not None), default=None)
