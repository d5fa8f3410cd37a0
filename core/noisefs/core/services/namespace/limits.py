"""How large and how many things of the namespace may be."""

from dataclasses import dataclass

_MIB = 1 << 20
_GIB = 1 << 30
_TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class NamespaceLimits:
    """Limits of the namespace. The defaults are S3's where S3 has one.

    Attributes:
        max_buckets: Buckets a user may own.
        max_config_bytes: Bytes of one bucket configuration.
        max_object_bytes: Bytes of any object, also of one uploaded in parts or through WebDAV.
        max_put_bytes: Bytes of one S3 PUT or of one part; the S3 adapter checks a PUT's declared length with it.
        min_part_bytes: Bytes of every part but the last.
        max_parts: The highest part number.
        max_extents: Extents of one object; copies of ranges of copies of ranges come near it, nothing else does.
        upload_expiry_s: Age at which an open upload is aborted.
        complete_memory_s: How long a repeated Complete answers the first result.
        delete_batch: Keys of ``delete_many`` that share one commit: all that one S3 request may name.
        inline_page: Listings of up to this many entries run on the event loop, longer ones in a lane.
        max_property_bytes: Bytes of one dead property, its name included.
        max_properties: Dead properties of one resource.
        max_locks: WebDAV locks of the whole store.
    """

    max_buckets: int = 1000
    max_config_bytes: int = 64 * 1024
    max_object_bytes: int = 5 * _TIB
    max_put_bytes: int = 5 * _GIB
    min_part_bytes: int = 5 * _MIB
    max_parts: int = 10_000
    max_extents: int = 100_000
    upload_expiry_s: float = 7 * 86_400
    complete_memory_s: float = 86_400
    delete_batch: int = 1000
    inline_page: int = 16
    max_property_bytes: int = 64 * 1024
    max_properties: int = 256
    max_locks: int = 10_000
