"""What commands print: tables and fields for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from noisefs.adapters.inbound.admin.failures import failure_of
from noisefs.core.errors import NoisefsError

_WIDEST: Final = 10_000


def show(answer: object, *, as_json: bool, empty: str = "none") -> None:
    """Print an operation's answer: a list as a table, a mapping as fields. ``empty``: what to say of an empty list."""
    if as_json:
        print_json(answer)
        return
    # What is not read from a terminal is cut nowhere.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDEST)
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        if answer:
            console.print(_table(answer))
        else:
            console.print(empty, style="dim")
    elif isinstance(answer, Mapping):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in answer.items():
            grid.add_row(Text(str(name).replace("_", " "), style="bold"), Text(_text(value)))
        console.print(grid)
    else:
        console.print(Text(_text(answer)))


def print_json(answer: object) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")


def show_error(error: NoisefsError, *, as_json: bool) -> None:
    """Tell about an error: on stderr for people, as JSON on stdout for programs."""
    if as_json:
        print_json({"error": failure_of(error)})
    else:
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error: ", "bold red"), str(error)))


def warn(text: str) -> None:
    """Tell people, on stderr, what they may want to do otherwise."""
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("warning: ", "bold yellow"), text))


def _table(rows: Sequence[object]) -> Table:
    first = rows[0]
    assert isinstance(first, Mapping)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in first:
        justify: Literal["left", "right"] = "right" if isinstance(first[name], int) else "left"
        table.add_column(str(name).replace("_", " "), justify=justify, overflow="fold")
    for row in rows:
        assert isinstance(row, Mapping)
        table.add_row(*(Text(_text(value)) for value in row.values()))
    return table


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_text(one)}" for name, one in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(_text(one) for one in value) or "none"
    return str(value)
