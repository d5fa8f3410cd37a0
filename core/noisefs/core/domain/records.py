"""Rows of the index as values, and their bytes.

Each row is a msgpack array (msgspec, ``array_like``). Format rule: fields are only ever **appended**, with a
default; a reader ignores what it does not know. ``tests/vectors/records.json`` holds an encoding of each.
All times are microseconds since the epoch (UTC).
"""

from enum import IntEnum
from typing import Any, Final, TypeVar

import msgspec

from noisefs.core.domain.ids import BodyId, InstanceId, LayoutId, PackId, RootId, UserId
from noisefs.core.errors import IndexDamaged


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Common shape of all rows."""


class Extent(Record, frozen=True, array_like=True):
    """``length`` bytes of a body's plaintext from ``offset``."""

    body_id: BodyId
    offset: int
    length: int


class PartInfo(Record, frozen=True, array_like=True):
    """One row of a version's part table."""

    number: int
    offset: int
    length: int
    md5: bytes
    checksums: dict[str, str] = {}
    stream: bytes = b""
    """Of an object sealed twice: which inner stream the part is."""


class Inner(Record, frozen=True, array_like=True):
    """How an object is sealed twice (:mod:`.sealing.inner`). ``stream``: of one that was not uploaded in parts."""

    kind: int
    envelope: bytes
    stream: bytes = b""
    key_name: str = ""


class Version(Record, frozen=True, array_like=True):
    """One version of an object: what a name points to.

    A listing reads the fields up to ``checksum_type`` (:class:`Listed`). ``extents`` is the ordered list when it is
    short; a longer one and a long part table lie in ``LAYOUTS`` under ``layout``.
    """

    size: int
    etag: str
    """Without quotes: hex MD5, or ``<hex>-N`` for multipart."""
    modified_us: int
    owner: UserId
    delete_marker: bool = False
    version_id: str = ""
    """Empty: the null version."""
    content_type: str = "binary/octet-stream"
    headers: dict[str, str] = {}
    """``Cache-Control``, ``Content-Disposition``, ``Content-Encoding``, ``Content-Language``, ``Expires``."""
    metadata: dict[str, str] = {}
    """User metadata without the ``x-amz-meta-`` prefix, lower-case names."""
    checksums: dict[str, str] = {}
    """Algorithm (``CRC32``, ``CRC32C``, ``CRC64NVME``, ``SHA1``, ``SHA256``) to base64, ``-N`` kept."""
    checksum_type: str = ""
    """``FULL_OBJECT``, ``COMPOSITE`` or empty."""
    extents: tuple[Extent, ...] = ()
    parts: tuple[PartInfo, ...] = ()
    layout: LayoutId | None = None
    parts_count: int = 0
    """0 for an object that was not uploaded in parts."""
    storage_class: str = "STANDARD"
    created_us: int = 0
    """WebDAV's creation date; kept over an overwrite through WebDAV. 0: the same as ``modified_us``."""
    sse: str = ""
    """The encryption header the client asked for (``AES256``), echoed back."""
    order: int = 0
    """Grows with each version of a key; 0: made before the bucket had versions."""
    null_order: int = 0
    """``order`` of the null version that lay below when this one was made; there may be none there (any more)."""
    retention: str = ""
    """``GOVERNANCE``, ``COMPLIANCE`` or empty (:mod:`.buckets.object_lock`)."""
    retain_until_us: int = 0
    legal_hold: str = ""
    """``ON``, ``OFF``, or empty where nobody ever said."""
    acl: tuple[tuple[str, str], ...] | None = None
    """Who may do what (:mod:`.rights.acl`); ``None``: the owner everything, others nothing."""
    tags: dict[str, str] = {}
    inner: Inner | None = None
    """``None``: sealed as every body is, and not inside too."""


class Listed(msgspec.Struct, frozen=True, array_like=True):
    """The prefix of :class:`Version` that listings decode; msgspec skips the rest. Cost: half of all."""

    size: int
    etag: str
    modified_us: int
    owner: UserId
    delete_marker: bool = False
    version_id: str = ""
    content_type: str = ""
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    checksums: dict[str, str] = {}
    checksum_type: str = ""


class LayoutHead(Record, frozen=True, array_like=True):
    """A shared, immutable extent list; its chunks follow under longer keys."""

    refs: int
    chunks: int
    starts: tuple[int, ...] = ()
    """Byte offset in the object at which the extents of each chunk begin: a range reads only the chunks it needs."""


class LayoutChunk(Record, frozen=True, array_like=True):
    """Up to ``LAYOUT_CHUNK`` extents and part rows."""

    extents: tuple[Extent, ...] = ()
    parts: tuple[PartInfo, ...] = ()


LAYOUT_CHUNK: Final = 500
EXTENTS_INLINE: Final = 8


class BodyState(IntEnum):
    """DESIGN.md section 2, *body*."""

    WRITING = 0
    HELD = 1
    LIVE = 2


class Body(Record, frozen=True, array_like=True):
    """Immutable bytes of one request attempt.

    ``refs`` counts the extents (of versions, layouts and parts) that cover it; at 0 the row is deleted in the same
    commit (the key goes with it) and ``DEAD`` takes over until runs and slices are released.
    """

    state: int
    size: int
    wrapped_key: bytes
    refs: int
    owner: InstanceId
    """Who writes it; dies with this instance while ``state`` is ``WRITING``."""
    created_us: int = 0
    format: int = 1
    tail: int = 0
    """Where the slice is: one of ``TAIL_NONE``, ``TAIL_SLICE``, ``TAIL_TINY``."""
    cuts: tuple[tuple[int, int, int], ...] = ()
    """Extents that are less than the body: offset, length, how many of ``refs`` (:mod:`.packs.coverage`)."""
    kept: tuple[tuple[int, int], ...] = ()
    """Byte ranges (start, end) that are left, where what no extent covered was given up; empty: everything."""
    exact: bool = False
    """Whether ``cuts`` can be relied on: who did not set this miscounted extents of which several became one."""


TAIL_NONE: Final = 0
"""The size is a multiple of S: no slice."""
TAIL_SLICE: Final = 1
"""In ``INLINE`` until the packer has copied it, then in ``SLICES``. The row stays as it is then: it holds a key."""
TAIL_TINY: Final = 2
"""In ``TINY``, for ever."""


class Run(Record, frozen=True, array_like=True):
    """A stretch of one body's segments in consecutive cells of one pack (key: body id, first segment)."""

    pack_id: PackId
    position: int
    """Block position in the pack of the first cell."""
    count: int
    seed: int
    """The strategy's run parameter (``chain``: the seed's number)."""
    generation: int


class SlicePiece(Record, frozen=True, array_like=True):
    """Part of a sealed slice inside a shared cell."""

    pack_id: PackId
    position: int
    seed: int
    offset: int
    length: int


class SlicePlace(Record, frozen=True, array_like=True):
    """Where a packed slice lies: one or two pieces of sealed bytes (tag included), in order."""

    pieces: tuple[SlicePiece, ...]
    generation: int


class Placement(Record, frozen=True, array_like=True):
    """What committed rows say lies in an **open** pack (key: pack id, first position); gone once it is sealed.

    A cell shared by slices has an empty ``body_id`` and ``count`` 1.
    """

    body_id: BodyId
    segment: int
    count: int
    seed: int
    generation: int


class PackState(IntEnum):
    """Life of a pack."""

    OPEN = 0
    SEALED = 1
    DROPPING = 2
    POISONED = 3
    QUARANTINED = 4


class SeedInfo(Record, frozen=True, array_like=True):
    """Where a seed was copied from, so that the audit works after the source is gone."""

    source_pack: PackId | None
    """``None``: neutral, fresh noise."""
    source_position: int = 0
    body_id: BodyId | None = None
    """The body whose cell the source block is; ``None`` for a manifest, noise, filler or a shared cell."""


class Pack(Record, frozen=True, array_like=True):
    """A pack's row."""

    state: int
    owner: InstanceId
    blocks: int
    """Blocks in the file; 0 until sealed."""
    strategy: str
    generation: int
    """0: written by writers; else the cleaner's destination under this generation."""
    created_us: int
    sealed_us: int = 0
    seeds: tuple[SeedInfo, ...] = ()
    format: int = 1


class PackLive(Record, frozen=True, array_like=True):
    """Counters of a pack, changed in the commit that changes what lives in it."""

    cells: int
    """Live cells of runs."""
    slice_bytes: int
    """Live sealed bytes in shared cells."""
    slices: int


class Dead(Record, frozen=True, array_like=True):
    """A body that nothing refers to; its runs and slices still wait to be released."""

    since_us: int
    deleted: bool = False
    """Its object was deleted (not replaced): reads of it are cut soon."""


class Versioning(IntEnum):
    """What becomes of an object of a bucket that is overwritten or deleted."""

    NEVER = 0
    """It is gone, and there are no other versions."""
    ENABLED = 1
    """It stays as an older version."""
    SUSPENDED = 2
    """It stays unless it is the null version; what is written is the null version."""


class LockRule(Record, frozen=True, array_like=True):
    """Object lock of a bucket: the retention that new versions get which bring none. No mode: none."""

    mode: str = ""
    days: int = 0
    years: int = 0


class Bucket(Record, frozen=True, array_like=True):
    """A bucket's row (key: its name)."""

    bucket_id: int
    owner: UserId
    created_us: int
    durability: str = "local"
    config: dict[str, bytes] = {}
    """Bucket configurations as they were put, by kind."""
    properties: bool = False
    """Whether a key of this bucket ever had dead properties: a DELETE looks for them only then."""
    versioning: int = 0
    """:class:`Versioning`."""
    lock: LockRule | None = None
    """Whether versions may be locked, which is for ever."""


class Usage(Record, frozen=True, array_like=True):
    """Bytes and objects, exact: changed in the commits that change what they count, which keep them below the quota."""

    bytes: int
    objects: int
    max_bytes: int = 0
    """Quota; 0: none."""
    max_objects: int = 0


class User(Record, frozen=True, array_like=True):
    """A user's row (key: user id)."""

    name: str
    admin: bool
    disabled: bool
    created_us: int
    password: bytes = b""
    """Envelope of a slow hash for WebDAV; empty when the user has none."""
    revision: int = 0
    """Changes with every change of the row; caches of verified credentials are keyed by it."""
    policies: int = 0
    """How many policies the user has: only then they are looked at. Every change of one changes ``revision`` too."""
    root: str = ""
    """What ``/`` is for this user over WebDAV: a bucket, perhaps with a key behind a slash; empty: all buckets."""
    path: str = "/"
    """What stands before the name in the user's ARN."""


class AccessKey(Record, frozen=True, array_like=True):
    """An access key (key: access key id). SigV4 needs the secret itself, so it is kept wrapped."""

    user_id: UserId
    wrapped_secret: bytes
    created_us: int
    revoked: bool = False
    """For ever."""
    inactive: bool = False
    """Until it is made active again."""


class NamedKey(Record, frozen=True, array_like=True):
    """A key that objects are sealed with inside, wrapped (``META``, key: ``sse-key/`` and its name)."""

    wrapped: bytes
    created_us: int


class Upload(Record, frozen=True, array_like=True):
    """An open multipart upload (key: bucket id, object key, NUL, upload id)."""

    owner: UserId
    created_us: int
    template: Version
    """Content type, headers, metadata of the version to be."""
    checksum_algorithm: str = ""
    checksum_type: str = ""


class Part(Record, frozen=True, array_like=True):
    """An uploaded part (key: upload id, part number)."""

    size: int
    md5: bytes
    modified_us: int
    extents: tuple[Extent, ...]
    checksums: dict[str, str] = {}
    stream: bytes = b""
    """As in :class:`PartInfo`."""
    name: str = ""
    """What a client calls it that does not number its parts (:mod:`..services.namespace.uploads.chunked`)."""


class Completed(Record, frozen=True, array_like=True):
    """The recorded answer of a Complete, kept 24 h (key: upload id)."""

    bucket_id: int
    key: str
    etag: str
    version_id: str
    completed_us: int
    checksums: dict[str, str] = {}
    checksum_type: str = ""
    size: int = 0


class Lock(Record, frozen=True, array_like=True):
    """A WebDAV lock (key: its path)."""

    token: str
    path: str
    owner: UserId
    created_us: int
    expires_us: int
    """0: never."""
    exclusive: bool
    deep: bool
    """Depth infinity: covers everything below ``path`` too."""
    data: bytes = b""
    """What the protocol wants to remember; opaque here."""


class Copies(Record, frozen=True, array_like=True):
    """Where a sealed pack, or a snapshot file, lies on the network (key: pack id; a file's is its name).

    There is a row from the first attempt to place it on. ``nodes`` holds who confirmed it since it was last asked: the
    name of a cluster once for each copy it has.
    """

    root: RootId
    nodes: tuple[str, ...] = ()
    wanted: int = 1
    """Copies it shall have; raised with the class of what lies in it."""
    confirmed_us: int = 0
    """When it first had as many; 0: not yet. From then on the local file may go."""
    local: bool = True
    """Whether the file is still on this gateway's disk."""
    read_us: int = 0
    """About when it was last read, to the hour."""
    asked: tuple[str, ...] = ()
    """Who may hold it as well: it was begun to be put there, and nobody confirmed that, or that it is not there."""
    damaged: tuple[str, ...] = ()
    """Of ``asked``: who has it pinned, but lacks blocks of it or has wrong ones. Such a copy does not count."""


class Interim(Record, frozen=True, array_like=True):
    """A root that pins blocks of an open pack (key: pack id, root). ``nodes``: who may have it: it was sent there."""

    root: RootId
    nodes: tuple[str, ...]


class Unpin(Record, frozen=True, array_like=True):
    """A root that a node has still to let go of (key: node's name, NUL, root): it was down, or refused."""

    since_us: int
    key: bytes = b""
    """Of its row in ``COPIES``, where others shall still hold it: if they lose it before, it is not let go of."""
    number: int = 0
    """The commit that needs it no more: until a snapshot on nodes covers it, a restore would still need it."""


class PlacedHead(Record, frozen=True, array_like=True):
    """A head on nodes (``META``, key: its name there)."""

    writer: InstanceId
    files: tuple[str, ...] = ()
    """Names of the snapshot files that whoever restores from it needs."""
    nodes: tuple[str, ...] = ()
    """Who may hold it: it was begun to be put there."""
    confirmed: tuple[str, ...] = ()
    """Who said that it holds it."""
    whole: bool = False
    """Whether its snapshot's files had all their copies: older ones may go where this one is."""


_R = TypeVar("_R", bound=msgspec.Struct)
_encoder = msgspec.msgpack.Encoder()
# One decoder a class: building one costs more than using it. Written once per class, never changed after.
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}  # Any: the map is heterogeneous by design


def encode(record: msgspec.Struct) -> bytes:
    """The row's bytes."""
    return _encoder.encode(record)


def decode(kind: type[_R], raw: bytes) -> _R:
    """The row of class ``kind`` in ``raw``.

    Raises:
        IndexDamaged: The bytes are not such a row.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        row: _R = decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IndexDamaged(f"a {kind.__name__} row of {len(raw)} bytes cannot be decoded: {exc}") from exc
    return row
