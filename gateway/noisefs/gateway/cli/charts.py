"""A bar chart of a replay: the share of the gap that each policy closes, by cache size; as SVG or PNG."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from noisefs.core.errors import InvalidRequest, Unavailable

_WIDTH: Final = 800
_BAR: Final = 18
_LEFT: Final = 110
_SCALE: Final = 4.0
"""Pixels per percent."""
_MIDDLE: Final = 320
"""Where 0 % is."""
_FONT: Final = 12
_FINER: Final = 2
"""A PNG has so many dots for a pixel."""
_BOLD: Final = 0.4
_FORMATS: Final = (".png", ".svg")


class _Text(NamedTuple):
    """``y`` is the line that it stands on. ``ends``: at ``x``, else it begins there."""

    x: float
    y: float
    text: str
    bold: bool = False
    ends: bool = False


class _Bar(NamedTuple):
    x: float
    y: float
    width: float
    colour: str


def check_chart(path: Path) -> None:
    """Refuse a file that :func:`write_chart` could not write, before the work is done.

    Raises:
        InvalidRequest: Its name ends in neither ``.png`` nor ``.svg``.
        Unavailable: PNG takes a library that is not installed.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InvalidRequest(f"a chart's name ends in {' or '.join(_FORMATS)}: {path.name!r} does not")
    if path.suffix.lower() == ".png":
        try:
            import PIL.ImageFont  # noqa: F401 - whether it is there
        except ImportError as exc:
            raise Unavailable("a chart as PNG takes Pillow: install the extra `plot`, or name a .svg") from exc


def write_chart(path: Path, title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the rows of a replay as a chart; losses below LRU go to the left.

    Raises:
        InvalidRequest, Unavailable: As :func:`check_chart`.
    """
    check_chart(path)
    drawn = list(_drawn(title, rows))
    height = int(max(part.y for part in drawn)) + _BAR + 10
    if path.suffix.lower() == ".svg":
        path.write_text(_svg(drawn, height), encoding="utf-8")
    else:
        _write_png(path, drawn, height)


def _drawn(title: str, rows: Sequence[Mapping[str, object]]) -> Iterator[_Text | _Bar]:
    yield _Text(8, 18, f"{title}: share of the gap from LRU to Belady closed")
    y = 30
    size: object = None
    for row in rows:
        if row["size"] != size:
            size = row["size"]
            y += 20
            yield _Text(8, y, f"{size} of the objects", bold=True)
            y += 8
        share = row["gap_closed"]
        percent = share * 100 if isinstance(share, float) else 0.0
        width = min(abs(percent), 100.0 if percent > 0 else 50.0) * _SCALE
        x = _MIDDLE if percent >= 0 else _MIDDLE - width
        yield _Text(_LEFT, y + 13, str(row["policy"]), ends=True)
        yield _Bar(
            x, y + 2, width, "#cc5555" if percent < 0 else "#3377aa" if row["policy"] == "learned" else "#99aabb"
        )
        yield _Text(_MIDDLE + max(0.0, min(percent, 100.0)) * _SCALE + 6, y + 13, f"{percent:.1f} %")
        y += _BAR


def _svg(drawn: Sequence[_Text | _Bar], height: int) -> str:
    parts: list[str] = []
    for part in drawn:
        if isinstance(part, _Bar):
            place = f'x="{part.x:.1f}" y="{part.y}" width="{part.width:.1f}" height="{_BAR - 5}"'
            parts.append(f'<rect {place} fill="{part.colour}"/>')
            continue
        more = (' font-weight="bold"' if part.bold else "") + (' text-anchor="end"' if part.ends else "")
        parts.append(f'<text x="{part.x:.1f}" y="{part.y}"{more}>{escape(part.text)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="{_FONT}"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _write_png(path: Path, drawn: Sequence[_Text | _Bar], height: int) -> None:
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH * _FINER, height * _FINER), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_FONT * _FINER)
    for part in drawn:
        x, y = part.x * _FINER, part.y * _FINER
        if isinstance(part, _Bar):
            if part.width:
                draw.rectangle((x, y, x + part.width * _FINER - 1, y + (_BAR - 5) * _FINER - 1), fill=part.colour)
        else:
            anchor = "rs" if part.ends else "ls"
            draw.text((x, y), part.text, fill="black", font=font, anchor=anchor, stroke_width=_BOLD * part.bold)
    image.save(path, "PNG", optimize=True)
