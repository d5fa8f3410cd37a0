"""How a version becomes, and ceases to be, what a key names: rows, references and counters in one commit.

Every version that goes for good goes through :func:`_let_go`, which asks its lock. That comes before anything is
written, so that in a batch what is refused leaves no trace.

And every change of what a key names is told here (:mod:`..buckets.notifying`), except moves that write rows.
"""

from collections.abc import Mapping

import msgspec

from noisefs.core.domain.buckets import object_lock
from noisefs.core.domain.buckets.object_lock import NO_WISH, Wish
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import version_key
from noisefs.core.domain.records import Bucket, Extent, Version, Versioning, decode, encode
from noisefs.core.domain.requests import Attributes, Cause, Removed
from noisefs.core.domain.rights.acl import NO_ACL, AclWish
from noisefs.core.domain.rights.belonging import belonging_of
from noisefs.core.errors import LockNotConfigured
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.objects import layouts
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Found, Mint
from noisefs.core.services.namespace.trees import properties

EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
"""MD5 of no bytes: the ETag of an empty object."""


def present(tx: Reading, row_key: bytes) -> Version | None:
    """What the key names now. Cost: one get."""
    raw = tx.get(Table.OBJECTS, row_key)
    return None if raw is None else decode(Version, raw)


def replace(
    tx: Writing,
    bucket: Bucket,
    row_key: bytes,
    old: Version | None,
    new: Version,
    now_us: int,
    mint: Mint,
    tally: Tally,
    cause: Cause,
) -> Version:
    """Let the key name ``new``, whose references are held already; returns it as it is kept.

    What becomes of ``old`` is for the bucket's versioning to say. Whom the bucket's rules name is told. The caller
    applies the tally.

    Raises:
        LockNotConfigured: ``new`` is to be locked, and the bucket has no object lock.
        ObjectLocked: The null version, which it would replace, is locked.
    """
    if bucket.lock is not None:
        new = _retained(new, bucket, now_us)
    elif new.retention or new.legal_hold:
        raise LockNotConfigured
    tally.add(new.size)
    if bucket.versioning != Versioning.NEVER:
        new = _next(tx, bucket, row_key, old, new, now_us, mint, tally)
    elif old is not None:
        _let_go(tx, old, now_us, tally)
    tx.put(Table.OBJECTS, row_key, encode(new))
    notifying.tell_made(tx, bucket, row_key, new, now_us, cause)
    return new


def remove(
    tx: Writing,
    bucket: Bucket,
    row_key: bytes,
    old: Version | None,
    now_us: int,
    mint: Mint,
    tally: Tally,
    cause: Cause,
) -> Removed:
    """Let the key name nothing. Its dead properties go with it.

    A bucket with versions gets a delete marker, also where there was nothing. Whom the bucket's rules name is told. The
    caller applies the tally.

    Raises:
        ObjectLocked: The null version, which the delete marker would replace, is locked.
    """
    removed = Removed(existed=old is not None)
    if bucket.versioning != Versioning.NEVER:
        marker = Version(size=0, etag="", modified_us=now_us, owner=bucket.owner, delete_marker=True)
        marker = _next(tx, bucket, row_key, old, marker, now_us, mint, tally, deleted=True)
        tx.put(Table.VERSIONS, version_key(row_key, marker.order), encode(marker))
        removed = Removed(existed=removed.existed, version_id=versions.told_id(marker), marker=True)
    elif old is not None:
        _let_go(tx, old, now_us, tally, deleted=True)
    if old is not None:
        tx.delete(Table.OBJECTS, row_key)
        if bucket.properties:
            properties.forget(tx, row_key)
    if removed.existed or removed.marker:
        notifying.tell_removed(tx, bucket, row_key, removed.version_id, now_us, cause, marker=removed.marker)
    return removed


def remove_version(
    tx: Writing,
    bucket: Bucket,
    row_key: bytes,
    found: Found,
    now_us: int,
    tally: Tally,
    cause: Cause,
    *,
    bypass: bool,
) -> Removed:
    """Remove one version for good. Where it was the newest, the next one becomes what the key names.

    ``bypass``: set a governance retention aside. Whom the bucket's rules name is told. The caller applies the tally.

    Raises:
        ObjectLocked: Its lock forbids it.
    """
    version = found.version
    _let_go(tx, version, now_us, tally, deleted=True, bypass=bypass)
    tx.delete(found.table, found.row_key)
    removed = Removed(existed=True, version_id=versions.told_id(version), marker=version.delete_marker)
    told_id = removed.version_id if bucket.versioning else ""
    notifying.tell_removed(tx, bucket, row_key, told_id, now_us, cause)
    if found.table is Table.VERSIONS and (not version.delete_marker or versions.current(tx, row_key) is not None):
        return removed
    following = versions.newest_below(tx, row_key) if bucket.versioning else None
    if following is not None and not following.version.delete_marker:
        tx.delete(Table.VERSIONS, following.row_key)
        tx.put(Table.OBJECTS, row_key, following.raw)
    elif found.table is Table.OBJECTS and bucket.properties:
        properties.forget(tx, row_key)
    return removed


def _next(
    tx: Writing,
    bucket: Bucket,
    row_key: bytes,
    old: Version | None,
    new: Version,
    now_us: int,
    mint: Mint,
    tally: Tally,
    *,
    deleted: bool = False,
) -> Version:
    """``new`` with its place above all other versions, which are put away as the bucket's versioning wants it."""
    found = None if old is not None else versions.newest_below(tx, row_key)
    below = old if found is None else found.version
    order, null_order = now_us, 0
    if below is not None:
        order = max(now_us, below.order + 1)
        null_order = below.null_order if below.version_id else below.order
    enabled = bucket.versioning == Versioning.ENABLED
    if not enabled and below is not None:
        null = versions.null_below(tx, row_key, below) if below.version_id else found
        if null is not None:
            _let_go(tx, null.version, now_us, tally, deleted=deleted)
            tx.delete(Table.VERSIONS, null.row_key)
        elif not below.version_id:
            _let_go(tx, below, now_us, tally, deleted=deleted)
    if old is not None and (enabled or old.version_id):
        tx.put(Table.VERSIONS, version_key(row_key, old.order), encode(old))
    version_id = mint(order) if enabled else ""
    return msgspec.structs.replace(new, version_id=version_id, order=order, null_order=null_order)


def _let_go(
    tx: Writing, version: Version, now_us: int, tally: Tally, *, deleted: bool = False, bypass: bool = False
) -> None:
    """The version's row is gone or replaced: so are its references, unless its lock forbids it."""
    object_lock.check_removal(version, now_us, bypass=bypass)
    if version.delete_marker:
        return
    layouts.drop(tx, version, now_us, deleted=deleted)
    tally.add(-version.size, -1)


def _retained(new: Version, bucket: Bucket, now_us: int) -> Version:
    """The version with the retention of the bucket's rule, unless it brings one."""
    rule = bucket.lock
    if rule is None or not rule.mode or new.retention:
        return new
    until_us = object_lock.default_until(rule, now_us)
    return msgspec.structs.replace(new, retention=rule.mode, retain_until_us=until_us)


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
    lock: Wish = NO_WISH,
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
        retention=lock.mode,
        retain_until_us=lock.retain_until_us,
        legal_hold=lock.legal_hold,
        tags=dict(attributes.tags),
    )


def owned(version: Version, bucket: Bucket, writer: UserId, wish: AclWish = NO_ACL) -> Version:
    """The version with the owner and the list that the bucket's ownership rule gives it. Cost: nothing without one.

    Raises:
        AclNotSupported: Lists do not count there, and this one would say something.
        AccessDenied: The list is public, and the bucket refuses that.
    """
    owner, acl = belonging_of(bucket, writer, wish)
    if owner == version.owner and acl == version.acl:
        return version
    return msgspec.structs.replace(version, owner=owner, acl=acl)


def marker_of(bucket: Bucket, now_us: int) -> Version:
    """An empty collection's marker."""
    return version_of(Attributes(content_type="application/x-directory"), bucket, now_us, size=0, etag=EMPTY_MD5)


def with_attributes(
    version: Version,
    attributes: Attributes | None,
    bucket: Bucket,
    now_us: int,
    lock: Wish = NO_WISH,
    tags: Mapping[str, str] | None = None,
) -> Version:
    """The version that a copy makes: the same bytes, ETag, checksums and parts; ``None``: the same attributes, or the
    same tags, too. A lock is never copied.
    """
    copied = new_version(version, bucket, lock)
    if tags is not None:
        copied = msgspec.structs.replace(copied, tags=dict(tags))
    if attributes is None:
        return msgspec.structs.replace(copied, modified_us=now_us, created_us=0)
    return msgspec.structs.replace(
        copied,
        modified_us=now_us if attributes.modified_us is None else attributes.modified_us,
        content_type=attributes.content_type,
        headers=dict(attributes.headers),
        metadata=dict(attributes.metadata),
        storage_class=attributes.storage_class,
        created_us=attributes.created_us or 0,
        sse=attributes.sse,
    )


def with_fields(version: Version, sse: str | None, headers: Mapping[str, str]) -> Version:
    """The same with these headers (an empty one goes) and this ``sse`` (``None``: as it is)."""
    if any(version.headers.get(name, "") != value for name, value in headers.items()):
        kept = {name: value for name, value in {**version.headers, **headers}.items() if value}
        version = msgspec.structs.replace(version, headers=kept)
    return version if sse is None or version.sse == sse else msgspec.structs.replace(version, sse=sse)


def new_version(version: Version, bucket: Bucket, lock: Wish = NO_WISH) -> Version:
    """The same under another key: without what belongs to one version of one key alone."""
    return msgspec.structs.replace(
        version,
        owner=bucket.owner,
        acl=None,
        version_id="",
        order=0,
        null_order=0,
        retention=lock.mode,
        retain_until_us=lock.retain_until_us,
        legal_hold=lock.legal_hold,
    )
