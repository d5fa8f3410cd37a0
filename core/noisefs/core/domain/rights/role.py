"""Roles: rights that somebody takes on for a while, whom the role's trust policy lets.

Source: IAM user guide, *IAM roles*; STS API Reference, *AssumeRole*.
"""

from typing import Final, NamedTuple

import msgspec

PREFIX: Final = b"role/"
"""Rows in ``META``, by name in lower case: two names do not differ by case alone."""
SHORTEST_S: Final = 3600
LONGEST_S: Final = 43_200
"""What the longest session of a role may be set to."""


class Role(msgspec.Struct, frozen=True, array_like=True):
    """A role's row.

    Attributes:
        role_id: Never used again; sessions are of this id.
        name: As it was given.
        path: ``/``, or a path that begins and ends with a slash.
        created_us: When it was made.
        trust: Who may take it on: a policy, as it was put.
        description: Free text.
        max_session_s: Longest session.
        policies: Its own, by name, as they were put.
        attached: ARNs of managed policies.
        tags: Free.
    """

    role_id: str
    name: str
    path: str
    created_us: int
    trust: bytes
    description: str = ""
    max_session_s: int = SHORTEST_S
    policies: dict[str, bytes] = {}
    attached: tuple[str, ...] = ()
    tags: dict[str, str] = {}


class RoleSession(NamedTuple):
    """Who took on a role."""

    role_id: str
    role: str
    path: str
    session: str

    def arn(self, account: str) -> str:
        """Of the session."""
        return f"arn:aws:sts::{account}:assumed-role/{self.role}/{self.session}"


def role_arn(account: str, path: str, name: str) -> str:
    """The ARN of a role."""
    return f"arn:aws:iam::{account}:role{path}{name}"


def role_key(name: str) -> bytes:
    """The row of a role."""
    return PREFIX + name.lower().encode("utf-8", "replace")
