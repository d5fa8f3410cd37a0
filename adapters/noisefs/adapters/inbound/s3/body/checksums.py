"""The digests that a client declares for its body, and their verification."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.core.domain.requests import Digested

ALGORITHM_BYTES: Final[Mapping[str, int]] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
"""S3's checksum algorithms and the length of their digests."""
HEADERS: Final[Mapping[str, str]] = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHM_BYTES}
"""Header (or trailer) name to algorithm."""
DEFAULT: Final = "CRC64NVME"
"""Computed and kept where the client declares none, as S3 does; some 0.03 s/GiB."""
_MD5_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Declared:
    """What the bytes must digest to. Empty fields: nothing was declared.

    Attributes:
        md5: Base64 of ``Content-MD5``.
        sha256: Lower-case hex of ``x-amz-content-sha256``.
        algorithm: Of the additional checksum.
        checksum: Its base64; empty where it follows as a trailer.
        trailer: Name of the trailer it follows in.
        default: Algorithm of the checksum that is computed and kept where none is declared; empty: none is.
    """

    md5: str
    sha256: str
    algorithm: str
    checksum: str
    trailer: str
    default: str = DEFAULT

    @property
    def is_any(self) -> bool:
        """Whether anything was declared."""
        return bool(self.md5 or self.sha256 or self.algorithm)

    @property
    def digests(self) -> tuple[str, ...]:
        """What has to be computed."""
        wanted = {"MD5", *filter(None, (self.algorithm or self.default, "SHA256" if self.sha256 else ""))}
        return tuple(wanted)

    def verify(self, digested: Digested, trailers: Mapping[str, str]) -> dict[str, str]:
        """The checksum to keep.

        Raises:
            S3Error: ``BadDigest``, ``XAmzContentSHA256Mismatch``; ``MalformedTrailerError``: the trailer did not come.
        """
        found = digested.digests
        if self.sha256 and found["SHA256"].hex() != self.sha256.lower():
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=self.sha256,
                S3ComputedContentSHA256=found["SHA256"].hex(),
            )
        if self.md5 and base64.b64decode(self.md5) != found["MD5"]:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=self.md5,
                CalculatedDigest=base64.b64encode(found["MD5"]).decode(),
            )
        if not self.algorithm:
            return {self.default: base64.b64encode(found[self.default]).decode()} if self.default else {}
        checksum = self.checksum
        if self.trailer:
            if self.trailer not in trailers:
                raise S3Error("MalformedTrailerError")
            checksum = checked(self.algorithm, trailers[self.trailer])
        if base64.b64decode(checksum) != found[self.algorithm]:
            raise S3Error("BadDigest", f"The {self.algorithm} you specified did not match the calculated checksum.")
        return {self.algorithm: checksum}


def declared_of(
    headers: Mapping[str, str], sha256: str, *, trailing: bool, of_object: bool = False, default: str = DEFAULT
) -> Declared:
    """What the headers of a request declare.

    Args:
        headers: Lower-case names.
        sha256: Of the whole body, in hex, as the signature covers it.
        trailing: A trailer may follow.
        of_object: Checksum headers are about an object, not about this body.
        default: Algorithm of the checksum to keep where none is declared.

    Raises:
        S3Error: A value is malformed or not supported, or several contradict each other.
    """
    md5 = headers.get("content-md5")
    if md5 is not None and _length(md5) != _MD5_BYTES:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if of_object:
        return Declared(md5 or "", sha256, "", "", "", "")
    given = [name for name in HEADERS if name in headers]
    trailer = headers.get("x-amz-trailer", "").strip().lower() if trailing else ""
    if trailer and trailer not in HEADERS:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    if len(given) + bool(trailer) > 1:
        raise S3Error(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    name = trailer or (given[0] if given else "")
    algorithm = HEADERS.get(name, "")
    checksum = checked(algorithm, headers[name]) if name and not trailer else ""
    asked = headers.get("x-amz-sdk-checksum-algorithm", "").upper()
    if asked and asked != algorithm:
        if asked in ALGORITHM_BYTES and not algorithm:
            raise S3Error(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found.",
            )
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return Declared(md5 or "", sha256, algorithm, checksum, trailer, default)


def checked(algorithm: str, value: str) -> str:
    """A checksum's base64, if it is one of that algorithm. Raises ``S3Error`` (``BadDigest``)."""
    if _length(value) != ALGORITHM_BYTES[algorithm]:
        raise S3Error("BadDigest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
    return value


def algorithm_of(name: str) -> str:
    """An algorithm's name as clients write it. Raises ``S3Error``: ``InvalidRequest``."""
    algorithm = name.upper()
    if algorithm not in ALGORITHM_BYTES:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(sorted(ALGORITHM_BYTES))}]",
        )
    return algorithm


def _length(value: str) -> int:
    try:
        return len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return -1
