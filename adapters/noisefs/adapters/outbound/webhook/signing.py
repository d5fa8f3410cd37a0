"""Signatures of webhooks, as receivers' libraries check them.

Source: Standard Webhooks specification 1.0.0, *Signature scheme*, *Signature format*: HMAC-SHA256 under the secret over
id, time and body, separated by dots.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from noisefs.core.errors import InvalidArgument

_MARK: Final = "whsec_"
_LEAST_BYTES: Final = 16


def key_of(secret: str) -> bytes:
    """The key in a secret: behind ``whsec_`` it is in base64, otherwise the text is the key.

    Raises:
        InvalidArgument: It is no base64, or shorter than 16 bytes.
    """
    if not secret.startswith(_MARK):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(_MARK), validate=True)
        except binascii.Error as exc:
            raise InvalidArgument("secret", "(hidden)", f"base64 behind {_MARK}") from exc
    if len(key) < _LEAST_BYTES:
        raise InvalidArgument("secret", "(hidden)", f"at least {_LEAST_BYTES} bytes")
    return key


def signed_headers(key: bytes, message_id: str, now_s: int, body: bytes) -> Mapping[str, str]:
    """The headers that tell who sent a message, and when."""
    digest = hmac.digest(key, f"{message_id}.{now_s}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
