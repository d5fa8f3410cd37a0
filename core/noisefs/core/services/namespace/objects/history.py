"""Pages of a listing of all versions: current ones, older ones and delete markers, out of two ordered scans.

Each scan gathers a page of its own (:mod:`.listing`), and a group of keys behind a common prefix is left by a
seek in both. The first entries of the two together are among the first of each.
"""

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final

import msgspec

from noisefs.core.domain.keyspace import VERSION_TAIL_BYTES, u64, version_key
from noisefs.core.domain.records import Bucket, Listed
from noisefs.core.domain.requests import VersionEntry, VersionPage
from noisefs.core.errors import IndexDamaged
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.namespace.objects import listing
from noisefs.core.services.namespace.objects.listing import Gathered
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.versions import NULL, Found

_BASE_BYTES: Final = 8
"""What stands before an object's key: the bucket's id."""

_place: Final = itemgetter(0, 1)
_listed: Final = msgspec.msgpack.Decoder(Listed)

_Item = tuple[bytes, bytes, bytes | None]
"""Row key of the object, what stands behind it in the version's row key (nothing for the current version), the row; a
group has no row.
"""


@dataclass(frozen=True, slots=True)
class Merged:
    """Items in order, whether there are more, and the row key of an object whose newest version is not among them."""

    items: list[_Item]
    more: bool
    begun: bytes | None


def gather(
    tx: Reading, bucket: Bucket, prefix: bytes, delimiter: bytes, key_marker: bytes, version_marker: str, limit: int
) -> Merged:
    """At most ``limit`` versions and groups together, behind the markers. Cost: two listings at most."""
    base = u64(bucket.bucket_id)
    current = listing.span_of(base, prefix=prefix, delimiter=delimiter, after=key_marker)
    if not bucket.versioning:
        found = listing.gather(tx, Table.OBJECTS, current, limit)
        return Merged(_items(found, 0), found.more, None)
    below = listing.span_of(base, prefix=prefix, delimiter=delimiter, after=key_marker, tail_bytes=VERSION_TAIL_BYTES)
    begun = None
    if version_marker and key_marker.startswith(prefix):
        row_key = base + key_marker
        newest = versions.current(tx, row_key) or versions.newest_below(tx, row_key)
        order = _order_of(tx, row_key, version_marker, newest)
        if newest is not None and order is None:  # the null version that a page ended with is gone: all of them again
            current = replace(current, position=row_key)
            below = replace(below, position=row_key + b"\0")
        elif newest is not None and order is not None:
            if newest.version.order < order:
                current = replace(current, position=row_key)
            else:
                begun = row_key
            below = replace(below, position=version_key(row_key, order) + b"\0")
    return _merged(
        listing.gather(tx, Table.OBJECTS, current, limit),
        listing.gather(tx, Table.VERSIONS, below, limit),
        limit,
        begun,
    )


def _order_of(tx: Reading, row_key: bytes, version_id: str, newest: Found | None) -> int | None:
    if version_id != NULL:
        return versions.order_of(version_id)
    null = None if newest is None else versions.find(tx, row_key, NULL)
    return None if null is None else null.version.order


def _items(found: Gathered, tail_bytes: int) -> list[_Item]:
    if tail_bytes:
        items: list[_Item] = [(key[:-tail_bytes], key[-tail_bytes:], raw) for key, raw in found.rows]
    else:
        items = [(key, b"", raw) for key, raw in found.rows]
    if found.groups:
        items += [(group, b"", None) for group in found.groups]
        items.sort(key=_place)
    return items


def _merged(current: Gathered, below: Gathered, limit: int, begun: bytes | None) -> Merged:
    more = current.more or below.more
    if not below.rows and not below.groups:
        return Merged(_items(current, 0), more, begun)
    groups = set(current.groups)
    below.groups = [group for group in below.groups if group not in groups]
    items = _items(current, 0) + _items(below, VERSION_TAIL_BYTES)
    items.sort(key=_place)
    return Merged(items[:limit], more or len(items) > limit, begun)


def page_of(found: Merged) -> VersionPage:
    """The page. Cost: some 2 us an entry."""
    entries: list[VersionEntry] = []
    prefixes: list[str] = []
    before = found.begun
    take = _listed.decode
    last: tuple[str, str] | None = None
    try:
        for row_key, _tail, raw in found.items:
            key = row_key[_BASE_BYTES:].decode()
            if raw is None:
                prefixes.append(key)
                last = key, ""
                continue
            version = take(raw)
            version_id = version.version_id or NULL
            entries.append(VersionEntry(key, version, version_id, row_key != before))
            before = row_key
            last = key, version_id
    except msgspec.MsgspecError as exc:
        raise IndexDamaged(f"a version's row cannot be decoded: {exc}") from exc
    return VersionPage(entries, prefixes, last if found.more else None)
