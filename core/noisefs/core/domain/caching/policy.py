"""The policy port: what a cache asks of whoever decides what it keeps."""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from noisefs.core.domain.caching.access import Access, Key

Dropped = Callable[[Key], object]
"""Told each key that the policy stops keeping, at the moment it does."""


def nobody(key: Key) -> None:
    """Listen to dropped keys and do nothing: for shadows, which hold no bytes."""


class CachePolicy(abc.ABC):
    """Decides what a byte-bounded cache keeps. Not thread-safe; the caller serialises.

    A cache calls :meth:`read` for every read, hit or miss, at the moment it is asked. On a miss the policy decides at
    once whether the key will be kept, and makes room: from then on the key counts as resident, and the caller
    puts the bytes there when they have come (or calls :meth:`discard` when they do not). So the bytes held are
    never more than ``resident_bytes``, which is never more than ``capacity_bytes``.

    An access larger than the capacity is never kept. A resident key whose size changed is counted with its new size
    only after a ``discard``; sizes of immutable cells do not change.
    """

    name: ClassVar[str]

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody) -> None:
        """``dropped`` hears of every key that leaves, except by :meth:`discard`; it must not call the policy."""
        if capacity_bytes < 1:
            raise ValueError(f"a cache of {capacity_bytes} bytes keeps nothing: at least 1 is needed")
        self._capacity = capacity_bytes
        self._dropped = dropped

    @property
    def capacity_bytes(self) -> int:
        """The bound."""
        return self._capacity

    @property
    def in_charge(self) -> str:
        """Whose decisions count now: of a policy that chooses among others, one of these."""
        return self.name

    @property
    @abc.abstractmethod
    def resident_bytes(self) -> int:
        """The sizes of all resident keys together."""

    @abc.abstractmethod
    def read(self, access: Access) -> bool:
        """Count one read; whether its key was resident before.

        After ``False``, ``access.key in policy`` tells whether it is to be kept. Cost: O(1) amortised.
        """

    def admit(self, access: Access) -> bool:
        """Offer a key nobody has read (a written or a prefetched cell); whether it is resident now.

        It does not count as a read: no frequency grows, nothing is promoted.
        """
        if access.key not in self:
            self._insert(access.key, access.size_bytes)
        return access.key in self

    @abc.abstractmethod
    def _insert(self, key: Key, size: int) -> None:
        """Take in a key that is not resident, if it is worth it."""

    @abc.abstractmethod
    def discard(self, key: Key) -> None:
        """Stop keeping a key, because it is gone or bad. Unknown keys are ignored; ``dropped`` is not told."""

    def adopt(self, contents: Sequence[tuple[Key, int]]) -> bool:  # noqa: ARG002 - for those that can
        """Hold just these keys, of these bytes, from now on, those read last at the end; ``dropped`` is not told.

        Returns:
            Whether this policy can do that without losing what makes it what it is. If not, nothing has changed.
        """
        return False

    @abc.abstractmethod
    def __contains__(self, key: object) -> bool:
        """Whether a key is resident."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many keys are resident."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Key]:
        """Resident keys, roughly the ones most worth keeping first: the order to warm a cache in. A snapshot costs
        O(n); the policy must not be used while iterating."""
