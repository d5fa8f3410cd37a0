"""AWS Signature Version 4: the arithmetic. Pure functions on text.

Source: AWS General Reference, *Signature Version 4 signing process*; S3 API Reference, *Authenticating requests*.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SERVICE: Final = "s3"
EMPTY_SHA256: Final = hashlib.sha256().hexdigest()

_SPACES: Final = re.compile("  +")
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signing key is good for: a day, a region, a service."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        """As it is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The derived key of one day. Cost: four HMACs, some 6 us."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def query_as_sent(raw: str, leave_out: str = "") -> str:
    """A query string as most clients sign it: what they sent, sorted. ``leave_out``: name of the signature itself."""
    if not raw:
        return ""
    pairs = [item.partition("=")[::2] for item in raw.split("&") if item]
    return "&".join([f"{name}={value}" for name, value in sorted(pairs) if name != leave_out])


def query_encoded_anew(raw: str, leave_out: str = "") -> str:
    """A query string as S3's rules encode it: for clients that send another encoding than they sign."""
    pairs = [item.partition("=")[::2] for item in raw.split("&") if item]
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != leave_out)


def _encoded(text: str) -> str:
    return quote(unquote_plus(text, errors="surrogateescape"), safe="-_.~", errors="surrogateescape")


def path_encoded_anew(raw: str) -> str:
    """A path as S3's rules encode it; slashes stay as they are, nothing is normalised."""
    return quote(unquote_to_bytes(raw.encode("utf-8", "surrogateescape")), safe="/-_.~")


def request_digest(
    method: str, path: str, query: str, headers: Mapping[str, str], signed: Sequence[str], payload: str
) -> str:
    """SHA-256 of the canonical request, in hex.

    Args:
        method: As received.
        path: As received, before the ``?``: never normalised, because ``a//b`` and ``./x`` are keys.
        query: Sorted, without the signature.
        headers: All of the request, lower-case names; values of one name joined with commas.
        signed: Lower-case names the client signed, in its order.
        payload: Value of ``x-amz-content-sha256``.
    """
    lines = "".join([f"{name}:{headers.get(name, '').strip()}\n" for name in signed])
    if "  " in lines:
        lines = _SPACES.sub(" ", lines)
    text = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{payload}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def sign_request(key: bytes, stamp: str, scope: Scope, digest: str) -> str:
    """The signature of a request, in hex. ``stamp``: ``20260102T030405Z``."""
    return keyed_hash(key, f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode())


def keyed_hash(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 in hex, of a short text.

    ``hmac.digest`` lets go of the interpreter's lock, and under load it waits 100 us to get it back; hashing less than
    2 KiB with ``hashlib`` does not. The key's two blocks are hashed once.
    """
    inner, outer = _padded(key)
    first, second = inner.copy(), outer.copy()
    first.update(text)
    second.update(first.digest())
    return second.hexdigest()


@lru_cache(maxsize=1024)
def _padded(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """The hashes of a key of at most 64 bytes, padded as RFC 2104 says; to be copied, never updated."""
    block = key.ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


class ChunkSigner:
    """The chain of signatures of a body sent in signed chunks; each covers the one before. Not task-safe."""

    def __init__(self, key: bytes, stamp: str, scope: Scope, seed: str) -> None:
        """``seed``: the signature of the request's headers."""
        self._key = key
        self._context = f"{stamp}\n{scope}"
        self._previous = seed

    def chunk(self, sha256: str) -> str:
        """The next chunk's signature, given the digest of its bytes."""
        return self._next(f"{ALGORITHM}-PAYLOAD\n{self._context}\n{self._previous}\n{EMPTY_SHA256}\n{sha256}")

    def trailer(self, sha256: str) -> str:
        """The signature of the trailing headers, given the digest of their lines."""
        return self._next(f"{ALGORITHM}-TRAILER\n{self._context}\n{self._previous}\n{sha256}")

    def _next(self, text: str) -> str:
        self._previous = keyed_hash(self._key, text.encode())
        return self._previous


def same(one: str, other: str) -> bool:
    """Constant-time comparison; ``other`` may be any text."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))
