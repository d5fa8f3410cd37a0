"""Hashes and checksums of a body, fed in order while it is taken in.

Cost in CPU seconds per GiB: MD5 1.4, SHA-256 0.6, SHA-1 0.6, Adler-32 0.3, the CRCs of awscrt 0.03. ``hashlib`` and
``zlib`` release the GIL.
"""

import hashlib
import zlib
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from awscrt import checksums as crt

from noisefs.core.errors import InvalidArgument


class _Crc(Protocol):
    """awscrt's three functions and zlib's have this shape."""

    def __call__(self, data: memoryview | bytes, previous: int = 0, /) -> int: ...


_FIRST: Final[Mapping[str, int]] = {"ADLER32": 1}
"""What a sum begins with, where it is not 0."""


_CRC: Final[Mapping[str, tuple[_Crc, int]]] = {
    "CRC32": (crt.crc32, 4),
    "CRC32C": (crt.crc32c, 4),
    "CRC64NVME": (crt.crc64nvme, 8),
    "ADLER32": (zlib.adler32, 4),
}
_HASH: Final = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256"}

ALGORITHMS: Final = (*_CRC, *_HASH)
"""Every algorithm :class:`Digests` can compute, by S3's name (and ``MD5``; and ``ADLER32``, which only WebDAV has)."""


class Digests:
    """Running digests of one stream. Not thread-safe: one call at a time, in stream order, from any thread."""

    def __init__(self, algorithms: Collection[str]) -> None:
        """Begin with the given algorithms.

        Raises:
            InvalidArgument: One of them is unknown.
        """
        for name in algorithms:
            if name not in ALGORITHMS:
                raise InvalidArgument("algorithm", name, f"one of {ALGORITHMS}")
        self._hashes = {name: hashlib.new(_HASH[name], usedforsecurity=False) for name in algorithms if name in _HASH}
        self._crcs = {name: _FIRST.get(name, 0) for name in algorithms if name in _CRC}

    def update(self, data: memoryview | bytes) -> None:
        """Take the next bytes of the stream."""
        for digest in self._hashes.values():
            digest.update(data)
        for name, value in self._crcs.items():
            self._crcs[name] = _CRC[name][0](data, value)

    def results(self) -> dict[str, bytes]:
        """Raw digests by algorithm; CRCs big-endian, as S3 encodes them."""
        found = {name: digest.digest() for name, digest in self._hashes.items()}
        for name, value in self._crcs.items():
            found[name] = value.to_bytes(_CRC[name][1], "big")
        return found
