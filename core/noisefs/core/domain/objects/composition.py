"""ETags and checksums of an object made of parts, computed from those of its parts.

``COMPOSITE`` is the digest of the parts' digests with ``-N`` behind it; ``FULL_OBJECT`` is the digest of the whole
bytes, which only CRCs can be combined to. Source: S3 user guide, *Checking object integrity*.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from awscrt import checksums as crt

from noisefs.core.domain.objects.digests import Digests
from noisefs.core.errors import InvalidArgument

COMPOSITE: Final = "COMPOSITE"
FULL_OBJECT: Final = "FULL_OBJECT"

DEFAULT: Final = "CRC64NVME"
"""Of parts of an upload that was begun without an algorithm, and of its object: costs next to nothing, and combines."""

_Combine = Callable[[int, int, int], int]
_COMBINE: Final[Mapping[str, _Combine]] = {
    "CRC32": crt.combine_crc32,
    "CRC32C": crt.combine_crc32c,
    "CRC64NVME": crt.combine_crc64nvme,
}
_CRC_BYTES: Final[Mapping[str, int]] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "CRC32": (COMPOSITE, FULL_OBJECT),
    "CRC32C": (COMPOSITE, FULL_OBJECT),
    "CRC64NVME": (FULL_OBJECT,),
    "SHA1": (COMPOSITE,),
    "SHA256": (COMPOSITE,),
}
"""What each algorithm can be for an upload in parts, the default first."""


def checksum_type_of(algorithm: str, wanted: str) -> str:
    """The checksum type of an upload: ``wanted``, or the algorithm's default where it is empty.

    Raises:
        InvalidArgument: There is no such algorithm, or it cannot be of that type.
    """
    if not algorithm:
        if wanted:
            raise InvalidArgument("checksum type", wanted, "only together with a checksum algorithm")
        return ""
    types = _TYPES.get(algorithm)
    if types is None:
        raise InvalidArgument("checksum algorithm", algorithm, f"one of {tuple(_TYPES)}")
    if not wanted:
        return types[0]
    if wanted not in types:
        raise InvalidArgument("checksum type", wanted, f"{algorithm} of an upload in parts can be {types}")
    return wanted


def etag_of_parts(md5s: Sequence[bytes]) -> str:
    """S3's ETag of an object of parts: the MD5 of their MD5s, and how many they are."""
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"


def checksum_of_parts(algorithm: str, kind: str, parts: Iterable[tuple[str, int]]) -> str:
    """The object's checksum, base64, from each part's (base64) and length, in order.

    Cost: a CRC combination is some microseconds a part, a composite less than one.
    """
    raws = [(base64.b64decode(checksum), length) for checksum, length in parts]
    if kind == COMPOSITE:
        digests = Digests((algorithm,))
        digests.update(b"".join(raw for raw, _ in raws))
        return f"{_base64(digests.results()[algorithm])}-{len(raws)}"
    combine = _COMBINE[algorithm]
    total = 0
    for raw, length in raws:
        total = combine(total, int.from_bytes(raw, "big"), length)
    return _base64(total.to_bytes(_CRC_BYTES[algorithm], "big"))


def same_checksum(declared: str, computed: str) -> bool:
    """Whether a client's declared checksum is the computed one; it may leave the ``-N`` of a composite away."""
    return declared == computed or ("-" not in declared and declared == computed.partition("-")[0])


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
