"""A bar chart as SVG: the share of the gap that each policy closes, by cache size."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

_BAR: Final = 18
_LEFT: Final = 110
_SCALE: Final = 4.0
"""Pixels per percent."""
_MIDDLE: Final = 320
"""Where 0 % is."""


def write_chart(path: Path, title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the rows of a replay as an SVG file; losses below LRU go to the left."""
    parts: list[str] = []
    y = 30
    size: object = None
    for row in rows:
        if row["size"] != size:
            size = row["size"]
            y += 14
            parts.append(f'<text x="8" y="{y}" font-weight="bold">{escape(str(size))} of the objects</text>')
            y += 8
        share = row["gap_closed"]
        percent = share * 100 if isinstance(share, float) else 0.0
        width = min(abs(percent), 100.0) * _SCALE if percent > 0 else min(abs(percent), 50.0) * _SCALE
        x = _MIDDLE if percent >= 0 else _MIDDLE - width
        colour = "#c55" if percent < 0 else "#37a" if row["policy"] == "learned" else "#9ab"
        parts.append(
            f'<text x="{_LEFT}" y="{y + 13}" text-anchor="end">{escape(str(row["policy"]))}</text>'
            f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{_BAR - 5}" fill="{colour}"/>'
            f'<text x="{_MIDDLE + max(0.0, percent) * _SCALE + 6:.1f}" y="{y + 13}">{percent:.1f} %</text>'
        )
        y += _BAR
    head = f'<text x="8" y="18">{escape(title)}: share of the gap from LRU to Belady closed</text>'
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{y + 10}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{head}{"".join(parts)}</svg>\n',
        encoding="utf-8",
    )
