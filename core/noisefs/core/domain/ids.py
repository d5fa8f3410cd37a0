"""Identifiers as types, so that a body id is never passed where a pack id is meant.

Binary ids are random (body and upload ids behind their millisecond); their text form is lower-case hex.
"""

from typing import Final, NewType

StoreId = NewType("StoreId", bytes)
"""16 random bytes, made at ``init``."""

BodyId = NewType("BodyId", bytes)
"""16 bytes, 6 of time and 10 random: one request attempt's bytes under one key."""

PackId = NewType("PackId", bytes)
"""16 random bytes, never reused."""

BlockId = NewType("BlockId", bytes)
"""36 bytes: CIDv1, raw codec, sha2-256: ``01 55 12 20`` followed by the digest."""

RootId = NewType("RootId", bytes)
"""36 bytes: CIDv1, dag-cbor codec, sha2-256: ``01 71 12 20`` followed by the digest."""

InstanceId = NewType("InstanceId", bytes)
"""16 random bytes: one running process of the server, alive while its lock file is held."""

LayoutId = NewType("LayoutId", bytes)
"""16 random bytes: an extent list too long for its version row."""

UploadId = NewType("UploadId", bytes)
"""16 bytes: the milliseconds of its creation in 6, so that ids ascend, and 10 random ones; clients see the hex form."""

UserId = NewType("UserId", str)
"""32 hex digits, random; S3's canonical owner id."""

ID_BYTES: Final = 16
