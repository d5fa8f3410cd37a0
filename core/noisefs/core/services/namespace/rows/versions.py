"""Rows of an object that has versions: where each of them lies.

``OBJECTS`` holds the current version and nothing else, so that listings of objects cost the same with versions and
without. ``VERSIONS`` holds older versions and every delete marker, the newest of a key first. An object whose newest
version is a delete marker has no row in ``OBJECTS``, and only such a one (or none at all) has not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.keyspace import version_key, versions_range
from noisefs.core.domain.records import Bucket, Version, decode
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Reading, Table

NULL: Final = "null"
"""What clients call the null version, whose row has no id."""

Mint = Callable[[int], str]
"""Makes the id of a version with this ``order``."""

_ORDER_BYTES: Final = 8
_RANDOM_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A version and where its row lies. ``durability``: its bucket's, where it was looked up to be read."""

    table: Table
    row_key: bytes
    raw: bytes
    version: Version
    durability: str = LOCAL


def minter(entropy: Entropy) -> Mint:
    """Makes version ids: opaque to clients, of 32 hex digits; they tell us where the row lies."""
    return lambda order: (order.to_bytes(_ORDER_BYTES, "big") + entropy.secret(_RANDOM_BYTES)).hex()


def order_of(version_id: str) -> int | None:
    """The ``order`` of the version that has this id; ``None``: no version has."""
    try:
        raw = bytes.fromhex(version_id)
    except ValueError:
        return None
    if len(raw) != _ORDER_BYTES + _RANDOM_BYTES or raw.hex() != version_id:
        return None
    return int.from_bytes(raw[:_ORDER_BYTES], "big")


def is_possible(version_id: str) -> bool:
    """Whether some version may have this id."""
    return version_id == NULL or order_of(version_id) is not None


def told_id(version: Version) -> str:
    """The version's id as clients see it, in a bucket that has versions."""
    return version.version_id or NULL


def shown(bucket: Bucket, version: Version) -> Version:
    """The version as it is told to clients: where the bucket has or had versions, the null version has an id too."""
    if bucket.versioning and not version.version_id:
        return msgspec.structs.replace(version, version_id=NULL)
    return version


def current(tx: Reading, row_key: bytes) -> Found | None:
    """What the key names. Cost: one get."""
    raw = tx.get(Table.OBJECTS, row_key)
    return None if raw is None else Found(Table.OBJECTS, row_key, raw, decode(Version, raw))


def newest_below(tx: Reading, row_key: bytes) -> Found | None:
    """The newest of what lies in ``VERSIONS``. Cost: one seek."""
    rows = tx.scan(Table.VERSIONS, *versions_range(row_key), 1)
    if not rows:
        return None
    found_key, raw = rows[0]
    return Found(Table.VERSIONS, found_key, raw, decode(Version, raw))


def null_below(tx: Reading, row_key: bytes, newest: Version) -> Found | None:
    """The null version below the newest one. Cost: one get."""
    found = _at(tx, row_key, newest.null_order)
    return None if found is None or found.version.version_id else found


def find(tx: Reading, row_key: bytes, version_id: str) -> Found | None:
    """The version of this id (``null``: the null version). Cost: two gets at most; a seek more for the null version of
    a deleted object.
    """
    top = current(tx, row_key)
    if version_id == NULL:
        top = top or newest_below(tx, row_key)
        if top is None or not top.version.version_id:
            return top
        return null_below(tx, row_key, top.version)
    if top is not None and top.version.version_id == version_id:
        return top
    order = order_of(version_id)
    found = None if order is None else _at(tx, row_key, order)
    return None if found is None or found.version.version_id != version_id else found


def _at(tx: Reading, row_key: bytes, order: int) -> Found | None:
    found_key = version_key(row_key, order)
    raw = tx.get(Table.VERSIONS, found_key)
    return None if raw is None else Found(Table.VERSIONS, found_key, raw, decode(Version, raw))
