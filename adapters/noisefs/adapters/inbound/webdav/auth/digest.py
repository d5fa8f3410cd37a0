"""Digest authentication (RFC 7616): for access keys, whose secrets the store can read as it must for S3's signatures.

Nothing more is stored for it. It needs the secret itself, or what is as good as it; users' passwords and devices' are
kept as slow hashes, from which no digest can be made, so they log in by Basic alone. That is why it is off by default:
with it on, a client that prefers Digest fails with such a password, and over TLS it protects nothing that Basic does
not. It is for clients that refuse Basic over plain HTTP.

Nonces are this process's: another worker, or the next start, answers ``stale`` and the client tries again at once.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from noisefs.core.domain.requests import Principal
from noisefs.core.ports.clock import Clock
from noisefs.core.services.accounts import Accounts

NONCE_S: Final = 300
"""How long a nonce is good for."""
_WINDOW: Final = 256
"""How far behind the highest count of a nonce another one may be: requests on several connections overtake."""
_REMEMBERED: Final = 10_000
"""Nonces whose counts are kept; older ones are stale."""
_STAMP_BYTES: Final = 8
_RANDOM_BYTES: Final = 8
_TAG_BYTES: Final = 16
_ALGORITHMS: Final = {"SHA-256": "sha256", "MD5": "md5"}
"""In order of preference."""
_FIELD: Final = re.compile(r'([A-Za-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)\s*')
_ESCAPED: Final = re.compile(r"\\(.)")
_COUNT: Final = re.compile("[0-9a-fA-F]{8}")
_MOST_CHARS: Final = 8192


class Stale(Exception):
    """The answer was right, for a nonce that is not good any more."""


class Digest:
    """Makes challenges and checks answers. Not thread-safe: it belongs to the event loop."""

    def __init__(self, accounts: Accounts, clock: Clock, realm: str) -> None:
        self._accounts = accounts
        self._clock = clock
        self._realm = realm
        self._key = os.urandom(32)
        self._counts: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """By nonce: the highest count, and which of those below it came, a bit each."""
        self._forgotten = b""
        """The youngest nonce whose counts were forgotten: it and older ones are stale."""

    def challenges(self, *, stale: bool) -> list[str]:
        """Values of ``WWW-Authenticate``, the best one first."""
        nonce = base64.b64encode(self._nonce()).decode()
        more = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", qop="auth", algorithm={name}, nonce="{nonce}", charset=UTF-8{more}'
            for name in _ALGORITHMS
        ]

    def principal(self, fields: Mapping[str, str], method: str, target: str) -> Principal | None:
        """Who sent this answer; ``None``: it is wrong. Blocks for two point reads at most.

        Raises:
            Stale: It is right, but the nonce is too old or another process's, or its count was used before.
        """
        algorithm = _ALGORITHMS.get(fields.get("algorithm", "MD5").upper())
        count = fields.get("nc", "")
        if algorithm is None or fields.get("qop") != "auth" or not _COUNT.fullmatch(count) or not fields.get("cnonce"):
            return None
        if fields.get("realm") != self._realm or fields.get("uri") != target:
            return None

        def digested(text: str) -> str:
            return hashlib.new(algorithm, text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()

        credential = self._accounts.credential(fields.get("username", ""))
        secret = "" if credential is None else credential.secret
        first = digested(f"{fields.get('username', '')}:{self._realm}:{secret}")
        second = digested(f"{method}:{target}")
        nonce = fields.get("nonce", "")
        expected = digested(f"{first}:{nonce}:{count}:{fields['cnonce']}:auth:{second}")
        right = hmac.compare_digest(expected.encode(), fields.get("response", "").lower().encode("utf-8", "replace"))
        if credential is None or not right:
            return None
        self._use(nonce, int(count, 16))
        return credential.principal

    def _nonce(self) -> bytes:
        stamped = self._clock.now_us().to_bytes(_STAMP_BYTES, "big") + os.urandom(_RANDOM_BYTES)
        return stamped + self._tag(stamped)

    def _tag(self, stamped: bytes) -> bytes:
        return hmac.digest(self._key, stamped, hashlib.sha256)[:_TAG_BYTES]

    def _use(self, text: str, count: int) -> None:
        """Take this count of a nonce, once."""
        try:
            nonce = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Stale from exc
        stamped, tag = nonce[: _STAMP_BYTES + _RANDOM_BYTES], nonce[_STAMP_BYTES + _RANDOM_BYTES :]
        age_us = self._clock.now_us() - int.from_bytes(stamped[:_STAMP_BYTES], "big")
        if not hmac.compare_digest(tag, self._tag(stamped)) or not 0 <= age_us <= NONCE_S * 1_000_000:
            raise Stale
        if stamped <= self._forgotten:
            raise Stale
        highest, came = self._counts.get(stamped, (0, 0))
        if count > highest:
            came = (came << (count - highest) | 1) & ((1 << _WINDOW) - 1) if count - highest < _WINDOW else 1
            highest = count
        else:
            bit = 1 << (highest - count)
            if highest - count >= _WINDOW or came & bit:
                raise Stale
            came |= bit
        self._counts[stamped] = highest, came
        if len(self._counts) > _REMEMBERED:
            gone, _ = self._counts.popitem(last=False)
            self._forgotten = max(self._forgotten, gone)


def parse_digest(header: str) -> dict[str, str] | None:
    """The fields of a Digest answer, names in lower case; ``None``: it is another scheme, or malformed."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "digest" or len(rest) > _MOST_CHARS:
        return None
    fields: dict[str, str] = {}
    at, rest = 0, rest.strip()
    while at < len(rest):
        match = _FIELD.match(rest, at)
        if match is None or match[1].lower() in fields:
            return None
        quoted = match[2]
        fields[match[1].lower()] = match[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = match.end()
    return fields
