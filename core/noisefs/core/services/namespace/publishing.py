"""How a version becomes, and ceases to be, what a key names: rows, references and counters in one commit."""

import msgspec

from noisefs.core.domain.records import Bucket, Extent, Version, decode, encode
from noisefs.core.domain.requests import Attributes
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace import layouts, properties, usage

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
"""MD5 of no bytes: the ETag of an empty object."""


def present(tx: Reading, row_key: bytes) -> Version | None:
    """What the key names now. Cost: one get."""
    raw = tx.get(Table.OBJECTS, row_key)
    return None if raw is None else decode(Version, raw)


def replace(tx: Writing, bucket: Bucket, row_key: bytes, old: Version | None, new: Version, now_us: int) -> None:
    """Let the key name ``new``, whose references are held already, and let go of ``old``."""
    tx.put(Table.OBJECTS, row_key, encode(new))
    if old is None:
        usage.adjust(tx, bucket, new.size, 1)
        return
    usage.adjust(tx, bucket, new.size - old.size, 0)
    layouts.drop(tx, old, now_us)


def remove(tx: Writing, bucket: Bucket, row_key: bytes, old: Version, now_us: int) -> None:
    """Let the key name nothing. Its dead properties go with it. The caller adjusts the counters."""
    tx.delete(Table.OBJECTS, row_key)
    layouts.drop(tx, old, now_us, deleted=True)
    if bucket.properties:
        properties.forget(tx, row_key)


def version_of(
    attributes: Attributes,
    bucket: Bucket,
    now_us: int,
    *,
    size: int,
    etag: str,
    extents: tuple[Extent, ...] = (),
    checksums: dict[str, str] | None = None,
    checksum_type: str = "",
) -> Version:
    """A new version with a client's attributes. It belongs to the bucket's owner, whoever writes it."""
    return Version(
        size=size,
        etag=etag,
        modified_us=now_us if attributes.modified_us is None else attributes.modified_us,
        owner=bucket.owner,
        content_type=attributes.content_type,
        headers=dict(attributes.headers),
        metadata=dict(attributes.metadata),
        checksums=checksums or {},
        checksum_type=checksum_type,
        extents=extents,
        storage_class=attributes.storage_class,
        created_us=attributes.created_us or 0,
        sse=attributes.sse,
    )


def marker_of(bucket: Bucket, now_us: int) -> Version:
    """An empty collection's marker."""
    return version_of(Attributes(content_type="application/x-directory"), bucket, now_us, size=0, etag=EMPTY_MD5)


def with_attributes(version: Version, attributes: Attributes | None, bucket: Bucket, now_us: int) -> Version:
    """The version that a copy makes: the same bytes, ETag, checksums and parts; ``None``: the same attributes too."""
    if attributes is None:
        return msgspec.structs.replace(version, modified_us=now_us, owner=bucket.owner, version_id="", created_us=0)
    return msgspec.structs.replace(
        version,
        modified_us=now_us if attributes.modified_us is None else attributes.modified_us,
        owner=bucket.owner,
        version_id="",
        content_type=attributes.content_type,
        headers=dict(attributes.headers),
        metadata=dict(attributes.metadata),
        storage_class=attributes.storage_class,
        created_us=attributes.created_us or 0,
        sse=attributes.sse,
    )
