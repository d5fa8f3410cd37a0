"""Basic authentication (RFC 7617): what a client says it is."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

MAX_CREDENTIALS_CHARS: Final = 4096
"""Longest ``Authorization`` value that is looked at: names and secrets are far shorter."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says it is. ``password`` is never logged."""

    name: str
    password: str


def parse_basic(header: str) -> Login | None:
    """Name and password of an ``Authorization`` header; ``None`` where it is another scheme or malformed.

    UTF-8 as announced in the challenge, ISO 8859-1 from clients that ignore it.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_CREDENTIALS_CHARS:
        return None
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, separator, password = text.partition(":")
    if not separator or not name or not text.isprintable():
        return None
    return Login(name, password)
