"""AWS Signature Version 4 for requests that are made ahead of time.

Written for speed: the signing key is derived once, the scope is fixed, and one call costs two
SHA-256 and one HMAC. A signature stays valid for 15 minutes, so cells sign what they are going to
send before the clock starts.

Source: AWS General Reference, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
REGION = "us-east-1"


def encode_path(path: str) -> str:
    """Percent-encode an object path as S3 signs it: everything but unreserved characters and ``/``."""
    return quote(path, safe="/-_.~")


def encode_query(query: Mapping[str, str]) -> str:
    """The canonical query string: names and values encoded, sorted by name."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


class Signer:
    """Signs requests of one key pair for one host. Thread-safe: it only reads its fields.

    ``when`` fixes the time of every signature of this signer; make a new one every few minutes.
    """

    def __init__(self, access_key: str, secret_key: str, host: str, *, when: datetime | None = None) -> None:
        moment = (when or datetime.now(UTC)).astimezone(UTC)
        self.host = host
        self._stamp = moment.strftime("%Y%m%dT%H%M%SZ")
        day = self._stamp[:8]
        self._scope = f"{day}/{REGION}/s3/aws4_request"
        key = f"AWS4{secret_key}".encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key
        self._credential = f"{access_key}/{self._scope}"

    def sign(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        payload_sha256: str = EMPTY_SHA256,
    ) -> dict[str, str]:
        """All headers that the request must carry, ``headers`` included, lower-case.

        Args:
            method: HTTP method.
            path: Percent-encoded path, as it will be sent.
            query: Canonical query string, as it will be sent.
            headers: Further headers, lower-case; all of them are signed.
            payload_sha256: Hex digest of the body, or :data:`UNSIGNED`.
        """
        signed = {
            **(headers or {}),
            "host": self.host,
            "x-amz-content-sha256": payload_sha256,
            "x-amz-date": self._stamp,
        }
        names = sorted(signed)
        lines = "".join(f"{name}:{signed[name].strip()}\n" for name in names)
        listed = ";".join(names)
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{listed}\n{payload_sha256}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{self._stamp}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._credential}, SignedHeaders={listed}, Signature={signature}"
        )
        return signed
