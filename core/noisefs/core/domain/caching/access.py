"""One read as a policy sees it: the key, its size, and what else is known at that moment."""

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

Key: TypeAlias = Hashable
"""Opaque to every policy; equal keys are the same thing. Integers, bytes and small tuples are the quick ones."""


class Access(NamedTuple):
    """One read. A tuple, since one is made for every cell that is read.

    What a caller does not know stays at its default; fixed policies look at ``key`` and ``size_bytes`` only.
    """

    key: Key
    size_bytes: int = 1
    """At least 1. What the policy counts against its capacity, so entries' overhead belongs in here."""
    time_s: float = 0.0
    """Any clock that does not go backwards; only differences count."""
    position: int = 0
    """Number of the cell in its object."""
    neighbour: Key | None = None
    """The cell before it in its object, or whichever cell is likeliest to be read together with it."""
    protocol: int = 0
    """A small number for who asks: the same for the same protocol, chosen by the caller."""
    sequential: bool = False
    """Whether the reader was just at the cell before it."""
    bucket_class: int = 0
    """A small number for the kind of bucket, chosen by the caller."""
    group: Key | None = None
    """The object the cell belongs to, or whatever else is read together."""
