"""The hot tier: cells and sealed slices that were read lately, in memory, byte-bounded.

What lies here is ciphertext after unmasking: whoever opens it verifies the tag. A body never changes, so nothing here
is ever stale; an entry that no longer opens is dropped and read again. What is kept is for a policy to decide
(:mod:`~noisefs.core.domain.caching`); it is told of every read once. No lock is held over anything that waits.
"""

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import NamedTuple, TypeAlias, TypeVar

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.asker import STORE, Asker
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.following import Following
from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.caching.policy import CachePolicy
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import Run
from noisefs.core.services.caching.entry import ENTRY_BYTES, PREFETCH, CellKey, Kept, Outcome, PolicyOf, Why
from noisefs.core.services.caching.unread import Unread

T = TypeVar("T")

Demoted: TypeAlias = Callable[[CellKey, Kept], None]
"""Told of what came from a network and is kept no more. Quick."""


class _Cell(NamedTuple):
    run: Run
    cell: memoryview
    cold: bool


class Slice(NamedTuple):
    """A sealed slice and the generation it is sealed under. ``cold``: it came from a network."""

    sealed: bytes
    generation: int
    cold: bool = False


class HotState(NamedTuple):
    """How it stands."""

    entries: int
    bytes: int
    max_bytes: int
    policy: str
    in_charge: str
    """Whose decisions count now, where the policy chooses among others."""


class HotTier:
    """Cells by body and segment. Thread-safe."""

    def __init__(
        self,
        hot_bytes: int,
        policy_of: PolicyOf = S3Fifo,
        *,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """``hot_bytes``: all entries together; larger ones are not kept. ``now``: seconds of any clock."""
        self._most = hot_bytes
        self._lock = threading.Lock()
        self._now = now
        self._entries: dict[CellKey, _Cell | Slice] = {}
        self._policy = policy_of(max(1, hot_bytes), self._drop)
        # Only the learned one looks at more of a read than its key and size: to tell the others costs a microsecond.
        self._plain = not isinstance(self._policy, Learned)
        self._left: list[tuple[CellKey, Kept]] = []
        self._unread = Unread()
        self._ahead = self._unread.keys
        self._following = Following()
        self.demoted: Demoted | None = None

    # ------------------------------------------------------------------ readers

    def cells(
        self, body_id: BodyId, segment: int, count: int, asker: Asker = STORE
    ) -> list[tuple[Run, memoryview, int]] | None:
        """``count`` cells from ``segment`` on, each with its run and number; ``None`` unless all are there."""
        found: list[tuple[Run, memoryview, int]] = []
        entries = self._entries
        with self._lock:
            for number in range(segment, segment + count):
                entry = entries.get((body_id, number))
                if entry.__class__ is not _Cell:
                    return None
                found.append((entry[0], entry[1], number))
            if self._plain and not self._ahead:
                read = self._policy.read
                for _, cell, number in found:
                    read(Access((body_id, number), ENTRY_BYTES + len(cell)))
                return found
            now = self._now()
            for _, cell, number in found:
                self._count_read((body_id, number), len(cell), now, asker)
        return found

    def some(self, body_id: BodyId, numbers: Iterable[int], asker: Asker = STORE) -> dict[int, tuple[Run, memoryview]]:
        """Those of these cells that are here."""
        found: dict[int, tuple[Run, memoryview]] = {}
        with self._lock:
            now = self._now()
            for number in numbers:
                entry = self._entries.get((body_id, number))
                if isinstance(entry, _Cell):
                    found[number] = entry.run, entry.cell
                    self._count_read((body_id, number), len(entry.cell), now, asker)
        return found

    def slice(self, body_id: BodyId, segment: int, asker: Asker = STORE) -> Slice | None:
        """A body's slice, which has this segment number."""
        with self._lock:
            found = self._entries.get((body_id, segment))
            if isinstance(found, Slice):
                self._count_read((body_id, segment), len(found.sealed), self._now(), asker)
                return found
        return None

    def peek_slice(self, body_id: BodyId, segment: int) -> Slice | None:
        """As :meth:`slice`, and no read."""
        found = self._entries.get((body_id, segment))
        return found if isinstance(found, Slice) else None

    def holds(self, key: CellKey) -> bool:
        """Whether it is here; no read."""
        return key in self._entries

    def _count_read(self, key: CellKey, size: int, now: float, asker: Asker) -> None:
        if self._plain and not self._ahead:
            self._policy.read(Access(key, ENTRY_BYTES + size))
            return
        body_id, number = key
        before = (body_id, number - 1) if number else None
        sequential = self._following.read(body_id, number)
        if self._ahead and key in self._ahead:
            self._unread.was_read(key)
        protocol, bucket_class = asker
        self._policy.read(
            Access(key, ENTRY_BYTES + size, now, number, before, protocol, sequential, bucket_class, body_id)
        )

    # ------------------------------------------------------------------ what comes

    def keep_cells(
        self,
        body_id: BodyId,
        first: int,
        run: Run,
        cells: memoryview,
        block_bytes: int,
        *,
        cold: bool = False,
        why: Why = Why.READ,
        asker: Asker = STORE,
    ) -> None:
        """Keep those consecutive cells of one run, the first of which is segment ``first``, that are worth it.

        ``cold``: they came from a network. ``why``: what they were read or fetched for, ``asker``: by whom.
        """
        if block_bytes + ENTRY_BYTES > self._most:
            if why in PREFETCH:
                with self._lock:
                    self._unread.was_wasted(why, len(cells) // block_bytes, len(cells))
            return
        wanted: list[tuple[CellKey, int]] = []
        with self._lock:
            now = self._now()
            for at in range(0, len(cells), block_bytes):
                key = body_id, first + at // block_bytes
                if self._admits(key, block_bytes, now, why, asker):
                    wanted.append((key, at))
        # Copies: a view of one cell would keep the whole window in memory, and nobody would count it. They are made
        # without the lock, which readers on the event loop take.
        copies = [(key, _Cell(run, memoryview(bytes(cells[at : at + block_bytes])), cold)) for key, at in wanted]
        with self._lock:
            for key, cell in copies:
                if key in self._policy:
                    self._entries[key] = cell
            left, self._left = self._left, []
        self._demote(left)

    def keep_slice(
        self, body_id: BodyId, segment: int, held: Slice, *, why: Why = Why.READ, asker: Asker = STORE
    ) -> None:
        """Keep a slice, if it is worth it."""
        size = len(held.sealed)
        if size + ENTRY_BYTES > self._most:
            return
        with self._lock:
            if self._admits((body_id, segment), size, self._now(), why, asker):
                self._entries[body_id, segment] = held
            left, self._left = self._left, []
        self._demote(left)

    def _admits(self, key: CellKey, size: int, now: float, why: Why, asker: Asker) -> bool:
        if why is Why.READ:
            self._count_read(key, size, now, asker)
            return key in self._policy
        if key in self._entries:
            return False
        body_id, number = key
        before = (body_id, number - 1) if number else None
        admitted = self._policy.admit(Access(key, ENTRY_BYTES + size, now, number, before, group=body_id))
        if why in PREFETCH:
            if admitted:
                self._unread.came(key, why, size)
            else:
                self._unread.was_wasted(why, 1, size)
        return admitted

    # ------------------------------------------------------------------ what goes

    def forget(self, body_id: BodyId, segment: int, count: int) -> None:
        """Drop what is bad."""
        with self._lock:
            for number in range(segment, segment + count):
                self._policy.discard((body_id, number))
                self._entries.pop((body_id, number), None)
                self._unread.is_bad((body_id, number))

    def _drop(self, known: object) -> None:
        """The policy keeps it no more. Under the lock."""
        key: CellKey = known  # type: ignore[assignment]  # its keys are those that it was given
        if self._ahead and key in self._ahead:
            self._unread.has_gone(key)
        entry = self._entries.pop(key, None)
        if entry is not None and entry.cold and self.demoted is not None:
            if isinstance(entry, _Cell):
                kept = Kept(entry.cell, entry.run.generation, cold=True)
            else:
                kept = Kept(entry.sealed, entry.generation, cold=True)
            self._left.append((key, kept))

    def _demote(self, left: list[tuple[CellKey, Kept]]) -> None:
        if self.demoted is not None:
            for key, kept in left:
                self.demoted(key, kept)

    # ------------------------------------------------------------------ who looks

    def outcome(self, why: Why) -> Outcome:
        """What became of cells that were fetched ahead."""
        return self._unread.outcome(why)

    def is_ahead(self, key: CellKey) -> bool:
        """Whether it was fetched ahead, and nobody has read it yet."""
        return key in self._ahead

    def best(self, most: int) -> list[tuple[CellKey, bool]]:
        """Keys of what came from a network, those most worth keeping first, and whether each is a slice."""
        found: list[tuple[CellKey, bool]] = []
        with self._lock:
            keys = list(self._policy)
        for known in keys:  # without the lock: readers on the event loop take it
            key: CellKey = known  # type: ignore[assignment]  # as above
            entry = self._entries.get(key)
            if entry is not None and entry.cold:
                found.append((key, isinstance(entry, Slice)))
                if len(found) == most:
                    break
        return found

    def with_policy(self, work: Callable[[CachePolicy], T]) -> T:
        """What ``work`` returns, while nobody else uses the policy."""
        with self._lock:
            return work(self._policy)

    def state(self) -> HotState:
        """How it stands."""
        with self._lock:
            policy = self._policy
            return HotState(len(self._entries), policy.resident_bytes, self._most, policy.name, policy.in_charge)
