"""Names of users: account id, ARNs, canonical ids.

A store is one account, its id derived from the store's. Users are its IAM users, and at the same time what S3 calls
owners, each with a canonical id of its own. Both are arithmetic on ids, so nothing is kept and nothing can differ.
"""

import hashlib
import re
from typing import Final

from noisefs.core.domain.ids import StoreId, UserId

ANONYMOUS_ID: Final = "65a011a29cdf8ec533ec3d1ccaae921c"
"""Canonical id of whoever writes without a name: S3's own."""
ROOT_ARN: Final = re.compile(r"arn:aws:iam::([A-Za-z0-9-]*):root")
USER_ARN: Final = re.compile(r"arn:aws:(?:iam|sts)::([A-Za-z0-9-]*):(user|role|assumed-role|federated-user)/(\S+)")
PATH: Final = re.compile(r"/|/[\x21-\x7e]{1,510}/", re.ASCII)
"""What may stand before a user's or role's name in its ARN."""
PATH_ALLOWED: Final = "/, or a path that begins and ends with /"
ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)
_CANONICAL_LENGTH: Final = 64
_USER_LENGTH: Final = 32


def account_of(store_id: StoreId) -> str:
    """The account id of a store: 12 digits, the first of which is not 0."""
    number = int.from_bytes(hashlib.sha256(b"noisefs account" + store_id).digest()[:8], "big")
    return str(100_000_000_000 + number % 900_000_000_000)


def user_arn(account: str, name: str, path: str = "/") -> str:
    """The ARN of a user."""
    return f"arn:aws:iam::{account}:user{path}{name}"


def canonical_id(user_id: UserId) -> str:
    """The 64 hex digits that S3 calls a user's canonical id: the user id, and digits that tell a mistyped one."""
    if not user_id:
        return ANONYMOUS_ID
    return user_id + hashlib.sha256(b"noisefs canonical id" + user_id.encode()).hexdigest()[:_USER_LENGTH]


def user_of_canonical(text: str) -> UserId | None:
    """The user id in a canonical id, or a user id as it is; ``None``: it is neither."""
    user_id = UserId(text[:_USER_LENGTH])
    if len(text) == _CANONICAL_LENGTH and canonical_id(user_id) == text:
        return user_id
    return user_id if re.fullmatch(r"[0-9a-f]{32}", text, re.ASCII) else None
