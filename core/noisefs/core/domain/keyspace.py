"""Keys of the index's tables: their order is the order of listings and range reads.

Object keys sort by their UTF-8 bytes behind an 8-byte bucket id. An object key never contains NUL, so NUL ends it
where something follows.
"""

import struct
from typing import Final

from noisefs.core.domain.ids import BodyId, InstanceId, LayoutId, PackId, RootId, UploadId

_U64: Final = struct.Struct(">Q")
_U32: Final = struct.Struct(">I")
_U16: Final = struct.Struct(">H")


def u64(value: int) -> bytes:
    """Eight bytes, big-endian."""
    return _U64.pack(value)


def object_key(bucket_id: int, key: str) -> bytes:
    """Row of the current version of an object."""
    return _U64.pack(bucket_id) + key.encode()


def bucket_range(bucket_id: int) -> tuple[bytes, bytes]:
    """All object rows of a bucket, as start and end (exclusive)."""
    return _U64.pack(bucket_id), _U64.pack(bucket_id + 1)


VERSION_TAIL_BYTES: Final = 9
"""What stands behind an object's key in the row key of an older version: NUL, and how new it is."""
_ORDER_END: Final = (1 << 64) - 1


def version_key(row_key: bytes, order: int) -> bytes:
    """Row of an older version, or of a delete marker; ``row_key``: of the current version. The newest come first."""
    return row_key + b"\0" + _U64.pack(_ORDER_END - order)


def versions_range(row_key: bytes) -> tuple[bytes, bytes]:
    """All such rows of an object, as start and end (exclusive)."""
    return row_key + b"\0", row_key + b"\1"


def prefix_end(prefix: bytes) -> bytes:
    """A key above every key that begins with ``prefix``, and above none other that exists (ids of all 0xff apart)."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else b"\xff" * 64


def run_key(body_id: BodyId, segment: int) -> bytes:
    """Row of the run that begins at this segment."""
    return body_id + _U64.pack(segment)


def placement_key(pack_id: PackId, position: int) -> bytes:
    """Row of what lies at this position of an open pack."""
    return pack_id + _U16.pack(position)


def upload_key(bucket_id: int, key: str, upload_id: UploadId) -> bytes:
    """Row of an open upload: sorted by key, then by upload id."""
    return _U64.pack(bucket_id) + key.encode() + b"\0" + upload_id


def part_key(upload_id: UploadId, number: int) -> bytes:
    """Row of a part."""
    return upload_id + _U16.pack(number)


def layout_chunk_key(layout_id: LayoutId, chunk: int) -> bytes:
    """Row of a chunk of a long extent list; the head has the bare id."""
    return layout_id + _U32.pack(chunk)


def property_key(bucket_id: int, key: str, name: str) -> bytes:
    """Row of a WebDAV dead property, ``name`` in Clark notation."""
    return _U64.pack(bucket_id) + key.encode() + b"\0" + name.encode()


def bucket_usage_key(bucket_id: int) -> bytes:
    """Row of a bucket's counters."""
    return b"b" + _U64.pack(bucket_id)


def user_usage_key(user_id: str) -> bytes:
    """Row of a user's counters."""
    return b"u" + user_id.encode()


WRITING_PREFIX: Final = b"writing/"
"""Rows in ``META`` that name bodies of state ``WRITING``, so that a start need not look at every body."""


def writing_key(body_id: BodyId) -> bytes:
    """Row in ``META`` while this body is ``WRITING`` and has a row; its value is the writer's instance id."""
    return WRITING_PREFIX + body_id


TRIM_PREFIX: Final = b"trim/"
"""Rows in ``META`` that name bodies with bytes that no extent covers."""


def trim_key(body_id: BodyId) -> bytes:
    """Row in ``META`` while the reaper is to look whether all of this body is referred to."""
    return TRIM_PREFIX + body_id


def bucket_owner_key(user_id: str, bucket: str) -> bytes:
    """Row that says who owns a bucket: a user's buckets are one range, in the order of their names."""
    return user_id.encode() + b"\0" + bucket.encode()


def user_policy_key(user_id: str, name: str) -> bytes:
    """Row of a user's policy: a user's are one range, in the order of their names."""
    return user_id.encode() + b"\0" + name.encode()


def interim_key(pack_id: PackId, root: RootId) -> bytes:
    """Row of a root that pins blocks of an open pack."""
    return pack_id + root


FILE_COPIES_PREFIX: Final = b"\xff" * 17
"""In ``COPIES``, rows of files begin with this: above every pack id, of which none is so long."""


def file_copies_key(name: str) -> bytes:
    """Row that says where a snapshot file lies on the network."""
    return FILE_COPIES_PREFIX + name.encode()


VERIFIED_KEY: Final = b"verified"
"""Row in ``META``: the key in ``COPIES`` up to which copies were verified in this round."""


HEAD_PREFIX: Final = b"head/"
"""Rows in ``META`` that name the heads put on nodes."""


def head_row_key(name: str) -> bytes:
    """Row of a head on nodes."""
    return HEAD_PREFIX + name.encode()


WRITER_PREFIX: Final = b"head-writer/"
"""Rows in ``META`` that name the instances whose heads this data folder has put on nodes in the present epoch."""


def writer_key(instance_id: InstanceId) -> bytes:
    """Row of an instance; its value is the epoch's counter."""
    return WRITER_PREFIX + instance_id
