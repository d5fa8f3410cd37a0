"""The source of a rename, as a header names it."""

from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.failure import invalid_argument
from noisefs.adapters.inbound.s3.target import decode

SOURCE: Final = "x-amz-rename-source"


def source_key_of(headers: Mapping[str, str], bucket: str) -> str:
    """The key of the source: ``/bucket/key``, ``bucket/key``, or the key alone; percent-encoded.

    Raises:
        S3Error: ``InvalidArgument``: it is missing.
    """
    text = headers.get(SOURCE, "")
    path = decode(text).removeprefix("/")
    key = path.removeprefix(f"{bucket}/")
    if not key:
        raise invalid_argument(SOURCE, text, "Rename Source must mention the source key: bucket/key")
    return key
