"""Windows of the day, in UTC."""

from datetime import UTC, datetime

import pytest

from noisefs.core.domain.windows import open_since_us, parse_window
from noisefs.core.errors import InvalidArgument


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("window", "now", "since"),
    [
        ("01:30-05:00", "2026-02-03T01:29:59", None),
        ("01:30-05:00", "2026-02-03T01:30", "2026-02-03T01:30"),
        ("01:30-05:00", "2026-02-03T04:59:59", "2026-02-03T01:30"),
        ("01:30-05:00", "2026-02-03T05:00", None),
        ("22:00-02:00", "2026-02-03T23:00", "2026-02-03T22:00"),
        ("22:00-02:00", "2026-02-03T01:59", "2026-02-02T22:00"),
        ("22:00-02:00", "2026-02-03T02:00", None),
        ("00:00-24:00", "2026-02-03T00:00", "2026-02-03T00:00"),
        ("06:00-06:00", "2026-02-03T05:59", "2026-02-02T06:00"),
    ],
)
def test_when_a_window_opened(window: str, now: str, since: str | None) -> None:
    assert open_since_us([parse_window(window)], us(now)) == (None if since is None else us(since))


def test_of_several_the_latest_counts() -> None:
    windows = [parse_window("00:00-12:00"), parse_window("06:00-07:00")]

    assert open_since_us(windows, us("2026-02-03T06:30")) == us("2026-02-03T06:00")
    assert open_since_us([], us("2026-02-03T06:30")) is None


@pytest.mark.parametrize(
    "text", ["", "1:30-05:00", "01:30", "24:00-01:00", "01:60-02:00", "01:00-24:01", "01:00-02:00 "]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="HH:MM-HH:MM"):
        parse_window(text)
