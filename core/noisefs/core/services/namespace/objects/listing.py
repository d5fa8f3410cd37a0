"""Pages of a listing: keys in UTF-8 order, and what stands for many keys that share a prefix up to a delimiter.

A group of keys behind a common prefix is left by a seek, not by walking through it. How many rows are read ahead
adapts: it doubles while rows become entries and shrinks while they turn out to lie inside a group, so a flat listing
costs a few long scans and a listing of large folders one short scan a folder.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

import msgspec

from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import Listed, Version, decode
from noisefs.core.domain.requests import FullPage, Page
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Reading, Table

_FIRST: Final = 64
"""Rows read at first when there is a delimiter."""
_LEAST: Final = 8
_MOST: Final = 1000
_WORTH: Final = 16
"""A seek costs about as much as this many rows read."""
_BASE_BYTES: Final = 8
"""What stands before an object's key: the bucket's id."""

_listed: Final = msgspec.msgpack.Decoder(Listed)


@dataclass(frozen=True, slots=True)
class Span:
    """The rows a listing looks at: those of keys that begin with ``prefix``, from ``position`` on.

    Attributes:
        base: What stands before every key (the bucket's id).
        prefix: Every key begins with it.
        delimiter: Keys that agree up to its first occurrence behind ``prefix`` are one group; empty: no groups.
        position: First row key to look at.
        end: Row key behind the last.
        tail_bytes: Bytes behind the key in a row key (of an upload: NUL and its id).
    """

    base: bytes
    prefix: bytes
    delimiter: bytes
    position: bytes
    end: bytes
    tail_bytes: int = 0


@dataclass(slots=True)
class Gathered:
    """Rows and groups (whole row-key prefixes), each ascending, and whether there are more."""

    rows: list[tuple[bytes, bytes]] = field(default_factory=list)
    groups: list[bytes] = field(default_factory=list)
    more: bool = False

    @property
    def last(self) -> bytes:
        """The greatest row key or group gathered; there is one."""
        row = self.rows[-1][0] if self.rows else b""
        return max(row, self.groups[-1]) if self.groups else row


def span_of(
    base: bytes, *, prefix: bytes, delimiter: bytes, after: bytes, start: bytes = b"", tail_bytes: int = 0
) -> Span:
    """What a page reads: behind ``after`` (exclusive; a common prefix skips its group), from ``start`` (inclusive)."""
    whole = base + prefix
    position = max(whole, base + start)
    if after:
        position = max(position, base + behind(after, prefix, delimiter, tail_bytes=tail_bytes))
    return Span(base, prefix, delimiter, position, prefix_end(whole), tail_bytes)


def behind(after: bytes, prefix: bytes, delimiter: bytes, *, tail_bytes: int = 0) -> bytes:
    """The first key that may follow ``after``: behind its whole group where it is a common prefix."""
    if (
        delimiter
        and after.startswith(prefix)
        and after.find(delimiter, len(prefix)) == len(after) - len(delimiter) >= len(prefix)
    ):
        return prefix_end(after)
    return after + (b"\1" if tail_bytes else b"\0")


def gather(tx: Reading, table: Table, span: Span, limit: int) -> Gathered:
    """At most ``limit`` rows and groups together. Cost: see the module; in one read transaction."""
    if limit <= 0 or span.position >= span.end or b"\0" in span.prefix:
        return Gathered()
    if not span.delimiter:
        rows = tx.scan(table, span.position, span.end, limit + 1)
        return Gathered(rows[:limit], [], len(rows) > limit)
    return _gather_groups(tx, table, span, limit)


def _gather_groups(tx: Reading, table: Table, span: Span, limit: int) -> Gathered:
    found = Gathered()
    rows, groups = found.rows, found.groups
    delimiter, tail = span.delimiter, span.tail_bytes
    begin = len(span.base) + len(span.prefix)
    position = span.position
    ahead = min(_FIRST, limit + 1)
    left = limit
    while True:
        batch = tx.scan(table, position, span.end, ahead)
        count = len(batch)
        left_before = left
        cuts = [key.find(delimiter, begin, len(key) - tail) for key, _ in batch]
        at = 0
        position = b""
        if max(cuts, default=-1) < 0:  # no groups here
            at = min(count, left)
            rows += batch[:at]
            left -= at
        while at < count:
            if left == 0:
                found.more = True
                return found
            left -= 1
            row, cut = batch[at], cuts[at]
            if cut < 0:
                rows.append(row)
                at += 1
                continue
            group = row[0][: cut + len(delimiter)]
            groups.append(group)
            position = prefix_end(group)
            at = bisect_left(batch, (position,), at + 1)
        if count < ahead:
            return found
        if position <= batch[-1][0]:
            position = batch[-1][0] + b"\0"
        gained = left_before - left
        wanted = ahead * 2 if gained * _WORTH >= count else ahead // 4
        needed = (left + 1) * count // max(1, gained)
        ahead = max(_LEAST, min(wanted, needed, _MOST))


def page_of(found: Gathered) -> Page:
    """The page of object rows. Cost: about a microsecond an entry."""
    take = _listed.decode
    try:
        entries = [(key[_BASE_BYTES:].decode(), take(raw)) for key, raw in found.rows]
    except msgspec.MsgspecError as exc:
        raise IndexDamaged(f"an object's row cannot be decoded: {exc}") from exc
    return Page(entries, _texts(found.groups), _next_after(found))


def full_page_of(found: Gathered) -> FullPage:
    """The page of object rows, each of them whole."""
    entries = [(key[_BASE_BYTES:].decode(), decode(Version, raw)) for key, raw in found.rows]
    return FullPage(entries, _texts(found.groups), _next_after(found))


def _texts(groups: list[bytes]) -> list[str]:
    return [group[_BASE_BYTES:].decode() for group in groups]


def _next_after(found: Gathered) -> str | None:
    return found.last[_BASE_BYTES:].decode() if found.more else None
