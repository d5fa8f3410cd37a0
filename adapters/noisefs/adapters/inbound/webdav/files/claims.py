"""What a client says about the bytes that it sends, besides how many they are: digests.

``OC-Checksum`` (ownCloud, Nextcloud, rclone): ``SHA1:<hex>``, perhaps several with spaces between them.
``Content-MD5`` (RFC 1864): base64.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.domain.objects.digests import ALGORITHMS
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import Digested
from noisefs.core.errors import DigestMismatch

_HEADER: Final = "OC-Checksum"
_MD5_HEADER: Final = "Content-MD5"
_KEPT: Final = frozenset(("SHA1", "SHA256", "CRC32", "CRC32C"))
"""Of those that are checked: what S3 clients are told too. The MD5 is the entity tag."""
_SHOWN: Final = ("SHA1", "SHA256")
_MD5_DIGITS: Final = 32


class Claims(NamedTuple):
    """What must hold of a body.

    Attributes:
        digests: By algorithm.
    """

    digests: Mapping[str, bytes]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What has to be computed; the MD5 always is."""
        return ("MD5", *self.digests)

    def verify(self, digested: Digested) -> Mapping[str, str]:
        """Compare; returns the checksums to keep.

        Raises:
            DigestMismatch: One is another.
        """
        for algorithm, digest in self.digests.items():
            if digested.digests[algorithm] != digest:
                raise DigestMismatch(algorithm)
        kept = _KEPT.intersection(self.digests)
        return {algorithm: base64.b64encode(self.digests[algorithm]).decode() for algorithm in sorted(kept)}


_NOTHING: Final = Claims({})


def claims_of(headers: Mapping[str, str]) -> Claims:
    """What the headers of an upload claim. Cost: two look-ups where they claim nothing.

    Raises:
        Refused: 400; a checksum is malformed, or of an algorithm that cannot be checked here.
    """
    text, md5 = headers.get(_HEADER), headers.get(_MD5_HEADER)
    if text is None and md5 is None:
        return _NOTHING
    digests = {} if text is None else _digests(text)
    if md5 is not None:
        digest = _md5(md5)
        if digests.setdefault("MD5", digest) != digest:
            raise Refused(400, f"{_HEADER} and {_MD5_HEADER} name different bytes")
    return Claims(digests)


def _md5(text: str) -> bytes:
    try:
        digest = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _MD5_DIGITS // 2:
        raise Refused(400, f"{_MD5_HEADER} is {text[:40]!r}: an MD5 in base64")
    return digest


def _digests(text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for word in text.replace(",", " ").split():
        name, _, digits = word.partition(":")
        algorithm = name.upper()
        if algorithm not in ALGORITHMS:
            raise Refused(400, f"{_HEADER} names {name[:20]!r}: {', '.join(ALGORITHMS)} can be checked")
        try:
            found[algorithm] = binascii.unhexlify(digits)
        except ValueError as exc:
            raise Refused(400, f"{_HEADER} is {word[:80]!r}: an algorithm, a colon and hexadecimal digits") from exc
    return found


def checksums_of(version: Version) -> str:
    """The checksums that are known of a file, as ``OC-Checksum`` has them; empty where there are none."""
    found = [
        f"{name}:{base64.b64decode(version.checksums[name]).hex()}"
        for name in _SHOWN
        if "-" not in version.checksums.get(name, "-")
    ]
    if len(version.etag) == _MD5_DIGITS and version.inner is None:
        found.append(f"MD5:{version.etag}")
    return " ".join(found)
