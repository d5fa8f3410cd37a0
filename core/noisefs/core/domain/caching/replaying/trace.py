"""Traces of reads: lines of ``time,id,size``, as `noisefs cache record` writes and `noisefs cache simulate` reads them.

The first line names the columns. ``time`` is any number that does not decrease, ``id`` a number or a word, ``size``
bytes. A recorder adds ``object`` (a word), ``position``, ``protocol`` and ``sequential``; others are ignored. Where ids
are numbers and there is no ``object``, numerical neighbours are taken for neighbours in one object.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.asker import BY_NAME
from noisefs.core.errors import InvalidRequest

HEADER: Final = ("time", "id", "size")
RECORDED: Final = (*HEADER, "object", "position", "protocol", "sequential")
GROUP_BITS: Final = 6
"""Numerical ids that differ in so many low bits only are taken for one object's."""


class BadTrace(InvalidRequest):
    """A line of a trace is not what the format says."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Reads in order. Ids are numbers from 0, or the trace's own numbers."""

    accesses: list[Access]
    """Sizes as in the trace."""
    ids: NDArray[np.int64]

    @property
    def objects(self) -> int:
        """How many distinct ids."""
        return len(np.unique(self.ids))


def read_trace(lines: Iterable[str]) -> Trace:
    """The reads of a trace's lines.

    Raises:
        BadTrace: No header, or a line that does not fit; the message names the line.
    """
    numbered = iter(enumerate(lines, 1))
    columns = _columns(numbered)
    at_time, at_id, at_size = (columns[name] for name in HEADER)
    at_object, at_position = columns.get("object"), columns.get("position")
    at_protocol, at_sequential = columns.get("protocol"), columns.get("sequential")
    least = max(columns.values())
    words: dict[str, int] = {}
    groups: dict[str, int] = {}
    protocols: dict[str, int] = dict(BY_NAME)
    cells: dict[tuple[int, int], int] = {}
    accesses: list[Access] = []
    keys: list[int] = []
    numeric: bool | None = None
    before = float("-inf")
    for number, line in numbered:
        fields = line.rstrip("\r\n").split(",")
        if fields == [""]:
            continue
        if len(fields) <= least:
            raise BadTrace(f"line {number}: {len(fields)} fields, and the header names {least + 1}")
        try:
            time, size = float(fields[at_time]), int(fields[at_size])
        except ValueError as exc:
            raise BadTrace(f"line {number}: time and size must be numbers: {line.strip()[:80]!r}") from exc
        if size < 1 or not time < float("inf"):
            raise BadTrace(f"line {number}: size {size} and time {fields[at_time]}: at least 1 and finite are allowed")
        if time < before:
            raise BadTrace(f"line {number}: time {fields[at_time]} comes before the time of the line above it")
        before = time
        word = fields[at_id]
        if numeric is None:
            numeric = word.isdecimal() and at_object is None
        if numeric:
            if not word.isdecimal() or len(word) > 18:
                raise BadTrace(f"line {number}: id {word[:40]!r} is no number, and those before it are")
            key = int(word)
            keys.append(key)
            position = key & ((1 << GROUP_BITS) - 1)
            accesses.append(Access(key, size, time, position, key - 1 if key else None, group=key >> GROUP_BITS))
            continue
        if not word:
            raise BadTrace(f"line {number}: no id")
        key = words.setdefault(word, len(words))
        keys.append(key)
        group = position = 0
        neighbour = None
        if at_object is not None and at_position is not None:
            group = groups.setdefault(fields[at_object], len(groups))
            if not fields[at_position].isdecimal():
                raise BadTrace(f"line {number}: position {fields[at_position][:40]!r} is no number")
            position = int(fields[at_position])
            cells[group, position] = key
            neighbour = cells.get((group, position - 1))
        protocol = 0 if at_protocol is None else protocols.setdefault(fields[at_protocol], len(protocols))
        sequential = at_sequential is not None and fields[at_sequential] == "1"
        accesses.append(
            Access(
                key,
                size,
                time,
                position,
                neighbour,
                protocol,
                sequential,
                group=None if at_object is None else group,
            )
        )
    if not accesses:
        raise BadTrace("the trace holds no read")
    return Trace(accesses, np.fromiter(keys, dtype=np.int64, count=len(keys)))


def _columns(numbered: Iterator[tuple[int, str]]) -> dict[str, int]:
    _, line = next(numbered, (1, ""))
    columns = {name.strip(): at for at, name in enumerate(line.split(","))}
    missing = [name for name in HEADER if name not in columns]
    if missing:
        raise BadTrace(f"line 1: the header must name {', '.join(HEADER)}, and {missing[0]} is missing")
    return columns
