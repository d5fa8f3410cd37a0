"""How long to leave alone what failed: twice as long each time, up to a bound, and never many at one moment."""

from typing import Final

MOST_DOUBLINGS: Final = 30


def pause_s(failures: int, spread: float, *, first_s: float, most_s: float) -> float:
    """Seconds to wait after so many failures in a row.

    Args:
        failures: 1 or more.
        spread: From 0 up to 1, drawn anew each time: those that failed together come back apart.
        first_s: About how long after the first failure.
        most_s: Never longer.
    """
    whole_s = min(most_s, first_s * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
    return whole_s * (0.5 + 0.5 * spread)
