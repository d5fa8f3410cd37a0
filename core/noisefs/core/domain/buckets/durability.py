"""Durability classes of buckets: what an answered write has outlived."""

import re
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

LOCAL: Final = "local"
IPFS: Final = "ipfs"
HIGHEST: Final = "highest"
"""No class of a bucket: the highest that any has, for what belongs to no bucket or to many."""
MOST_COPIES: Final = 16
_REPLICATED: Final = re.compile(r"replicated:([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Durability:
    """A parsed class.

    Attributes:
        waits: Whether a write is answered only when nodes have confirmed it; else the upload follows.
        copies: Nodes that shall hold it; ``None``: as many as the store says.
    """

    waits: bool
    copies: int | None = None


def parse_durability(text: str) -> Durability:
    """The class of this name.

    Raises:
        InvalidArgument: There is none.
    """
    if text == LOCAL:
        return Durability(waits=False)
    if text == IPFS:
        return Durability(waits=True)
    match = _REPLICATED.fullmatch(text)
    if match is None or int(match[1]) > MOST_COPIES:
        raise InvalidArgument("durability", text, f"{LOCAL}, {IPFS}, or replicated:n with n from 1 to {MOST_COPIES}")
    return Durability(waits=True, copies=int(match[1]))
