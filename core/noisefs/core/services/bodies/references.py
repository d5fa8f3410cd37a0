"""Who refers to a body: counted in the same commit that changes it."""

from collections.abc import Iterable

from noisefs.core.domain.records import Extent
from noisefs.core.ports.index import Writing


def acquire(tx: Writing, extents: Iterable[Extent]) -> None:
    """One more reference for the body of each extent (Copy, Complete)."""
    raise NotImplementedError


def release(tx: Writing, extents: Iterable[Extent], now_us: int) -> None:
    """One reference less for the body of each extent. At none left, body row, key and inline bytes go in this commit,
    and ``DEAD`` remembers bodies that have runs or a packed slice.
    """
    raise NotImplementedError
