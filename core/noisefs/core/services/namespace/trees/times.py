"""Times that a client gives a file after it was written: those of the file that it copied."""

from typing import NamedTuple

import msgspec

from noisefs.core.domain.buckets import object_lock
from noisefs.core.domain.records import Version, decode, encode
from noisefs.core.errors import ObjectLocked, ObjectNotFound
from noisefs.core.ports.index import Table, Writing


class Times(NamedTuple):
    """What to set.

    Attributes:
        now_us: The present time.
        modified_us: Of the last change; ``None``: leave it.
        created_us: Of the creation; ``None``: leave it.
        strict: Refuse where it cannot be; else leave a locked version as it is.
    """

    now_us: int
    modified_us: int | None = None
    created_us: int | None = None
    strict: bool = False


def set_times(tx: Writing, bucket: str, key: str, row_key: bytes, times: Times) -> None:
    """Give the version that the key names other times; it stays the same version. Cost: a get and a put.

    Raises:
        ObjectNotFound: The key names none.
        ObjectLocked: The version is locked; only where ``times`` are strict.
    """
    raw = tx.get(Table.OBJECTS, row_key)
    if raw is None:
        raise ObjectNotFound(bucket, key)
    version = decode(Version, raw)
    try:
        object_lock.check_removal(version, times.now_us)
    except ObjectLocked:
        if times.strict:
            raise
        return
    modified_us = version.modified_us if times.modified_us is None else times.modified_us
    created_us = (version.created_us or version.modified_us) if times.created_us is None else times.created_us
    tx.put(
        Table.OBJECTS,
        row_key,
        encode(msgspec.structs.replace(version, modified_us=modified_us, created_us=created_us)),
    )
