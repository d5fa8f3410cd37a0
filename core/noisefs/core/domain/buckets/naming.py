"""Which bucket names and object keys are legal."""

import re
from typing import Final

from noisefs.core.errors import InvalidArgument, InvalidBucketName, InvalidKey, KeyTooLong

KEY_BYTES_MAX: Final = 1024
"""UTF-8 bytes of a key (S3 user guide, *Naming Amazon S3 objects*)."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ADDRESS: Final = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_RESERVED_STARTS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Refuse a bucket name that S3 would refuse.

    A dot beside a hyphen is refused too: such a label is no host name, so virtual-host requests could not reach it.

    Raises:
        InvalidBucketName: Which rule it breaks.

    Source: S3 user guide, *General purpose bucket naming rules*; RFC 1035 section 2.3.1.
    """
    if not 3 <= len(name) <= 63:
        raise InvalidBucketName("bucket name", name, "3 to 63 characters")
    if _BUCKET.fullmatch(name) is None:
        raise InvalidBucketName(
            "bucket name", name, "lower-case letters, digits, dots and hyphens, a letter or digit at both ends"
        )
    if ".." in name or ".-" in name or "-." in name:
        raise InvalidBucketName("bucket name", name, "no dot may stand beside a dot or a hyphen")
    if _ADDRESS.fullmatch(name) is not None:
        raise InvalidBucketName("bucket name", name, "it must not look like an IP address")
    if name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise InvalidBucketName(
            "bucket name", name, f"it must not begin with {_RESERVED_STARTS} nor end with {_RESERVED_ENDS}"
        )


def key_bytes(key: str) -> bytes:
    """The UTF-8 bytes of a legal object key.

    Everything but NUL is legal: ``a//b``, ``./x``, a leading ``/``, control characters.

    Raises:
        InvalidKey: It is empty, has NUL, or has a surrogate (is not UTF-8).
        KeyTooLong: It has more than 1024 bytes.
    """
    raw = text_bytes("key", key)
    if not raw:
        raise InvalidKey("key", key, "at least one character")
    if len(raw) > KEY_BYTES_MAX:
        raise KeyTooLong("key", f"{key[:64]}...", f"at most {KEY_BYTES_MAX} bytes of UTF-8, it has {len(raw)}")
    if b"\0" in raw:
        raise InvalidKey("key", key, "no NUL character")
    return raw


def text_bytes(field: str, text: str) -> bytes:
    """The UTF-8 bytes of a prefix, delimiter or marker of a listing: any text, of any length.

    Raises:
        InvalidKey: It has a surrogate.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidKey(field, text.encode("utf-8", "replace").decode(), "valid UTF-8, no surrogates") from exc


def tree_prefix(prefix: str) -> bytes:
    """The UTF-8 bytes of a collection's prefix: empty (the bucket itself), or a legal key that ends in ``/``.

    Raises:
        InvalidArgument: It does not end in ``/``.
        InvalidKey, KeyTooLong: It is no legal key.
    """
    if not prefix:
        return b""
    if not prefix.endswith("/"):
        raise InvalidArgument("prefix", prefix, "a collection's prefix ends in '/'")
    return key_bytes(prefix)
