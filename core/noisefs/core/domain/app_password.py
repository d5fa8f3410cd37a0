"""Passwords of devices: how they are spelled, and what one that is narrowed may do.

``abcd-efgh-ijkl-mnop-qrst-uvwx``: 24 letters and digits, of which the first 8 say which row is meant, so that a login
costs one slow hash however many devices there are. The other 16 are the secret: 80 random bits.
"""

import json
from typing import Final

from noisefs.core.domain.records import Record

_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
ID_CHARACTERS: Final = 8
CHARACTERS: Final = 24
_GROUP: Final = 4
_ARN: Final = "arn:aws:s3:::"


class AppPassword(Record, frozen=True, array_like=True):
    """A device's password (Row in ``META``; key: ``app-password/``, user id, ``/`` and the password's id)."""

    name: str
    envelope: bytes
    """Of a slow hash of its secret."""
    created_us: int
    used_us: int = 0
    """To the hour; 0: never."""
    policy: bytes = b""
    """What must allow all that is done with it; empty: everything that the user may do."""
    root: str = ""
    """What ``/`` is with it, and all that it reaches; empty: the user's own root."""
    read_only: bool = False


def spelled(letters: str) -> str:
    """The password as it is shown, from its 24 letters."""
    return "-".join(letters[at : at + _GROUP] for at in range(0, CHARACTERS, _GROUP))


def letters_of(password: str) -> str | None:
    """The 24 letters of what somebody typed, with or without hyphens and blanks; ``None``: it is no such password."""
    if len(password) > 2 * CHARACTERS:
        return None
    letters = password.replace("-", "").replace(" ", "").lower()
    return letters if len(letters) == CHARACTERS and _ALPHABET.issuperset(letters) else None


def narrowing_policy(root: str, *, read_only: bool) -> bytes:
    """The policy of a device that may only read, or only below ``root`` (a bucket, perhaps with a key), or both.

    Nothing where it is not narrowed at all.
    """
    if not root and not read_only:
        return b""
    reads, writes = ["s3:GetObject*"], ["s3:PutObject*", "s3:DeleteObject*"]
    statements: list[dict[str, object]]
    if root:
        bucket, _, key = root.partition("/")
        prefix = f"{_literal(key)}/" if key else ""
        arn = f"{_ARN}{_literal(bucket)}"
        listing: dict[str, object] = {"Action": "s3:ListBucket*", "Resource": arn}
        if prefix:
            listing["Condition"] = {"StringLike": {"s3:prefix": f"{prefix}*"}}
        actions = reads if read_only else reads + writes
        statements = [{"Action": actions, "Resource": f"{arn}/{prefix}*"}, listing]
    else:
        statements = [{"Action": [*reads, "s3:List*"], "Resource": "*"}]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
    return json.dumps(document).encode()


def _literal(text: str) -> str:
    """Text in which no character stands for others."""
    return "".join(f"${{{letter}}}" if letter in "*?$" else letter for letter in text)
