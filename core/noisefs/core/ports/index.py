"""Port ``Index``: an ordered, transactional map of tables, encrypted at rest.

What the rows mean is core's business (``core.domain.records``); an adapter keeps bytes in order, atomically and
durably. So every rule of the namespace is written once, and SQLite, PostgreSQL and memory behave alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Table(Enum):
    """Closed set of tables; the value is the name on disk and never changes."""

    META = "meta"
    USERS = "users"
    USER_NAMES = "user_names"
    ACCESS_KEYS = "access_keys"
    BUCKETS = "buckets"
    BUCKET_OWNERS = "bucket_owners"
    OBJECTS = "objects"
    LAYOUTS = "layouts"
    BODIES = "bodies"
    RUNS = "runs"
    TINY = "tiny"
    INLINE = "inline"
    SLICES = "slices"
    PLACEMENTS = "placements"
    PACKS = "packs"
    PACK_LIVE = "pack_live"
    DEAD = "dead"
    UPLOADS = "uploads"
    PARTS = "parts"
    COMPLETED = "completed"
    USAGE = "usage"
    LOCKS = "locks"
    PROPERTIES = "properties"
    COPIES = "copies"
    INTERIMS = "interims"
    UNPINS = "unpins"
    VERSIONS = "versions"
    POLICIES = "policies"


SECRETS: Final = frozenset({Table.BODIES, Table.ACCESS_KEYS, Table.USERS})
"""Tables whose rows hold keys: what is deleted there leaves no copy behind, see :meth:`Index.checkpoint`."""


class Reading(ABC):
    """One consistent view of the index. Valid only inside the function it was handed to."""

    @abstractmethod
    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value under ``key``, or ``None``."""

    @abstractmethod
    def scan(
        self, table: Table, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Up to ``limit`` pairs with ``start <= key < end``, ascending by key bytes (descending: ``reverse``)."""

    def exists(self, table: Table, start: bytes, end: bytes) -> bool:
        """Whether there is a key with ``start <= key < end``. An adapter may have a quicker way than a scan."""
        return bool(self.scan(table, start, end, 1))

    @abstractmethod
    def count(self, table: Table) -> int:
        """Rows of the table. May cost a scan: not for hot paths."""


class Writing(Reading):
    """A view that can change; reads see the function's own writes."""

    @property
    @abstractmethod
    def sequence(self) -> int:
        """The u64 number of the commit this function will be part of: the last one's plus 1. Never reused."""

    @abstractmethod
    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set the value under ``key``."""

    @abstractmethod
    def delete(self, table: Table, key: bytes) -> None:
        """Remove ``key``; nothing happens where it is not there."""

    def put_all(self, table: Table, rows: Mapping[bytes, bytes | None]) -> None:
        """Set the values under many keys; ``None`` removes a key. An adapter may have a quicker way than one by one."""
        for key, value in rows.items():
            if value is None:
                self.delete(table, key)
            else:
                self.put(table, key, value)

    @abstractmethod
    def demand(self, durability: str) -> None:
        """Say that whoever waits for this function is answered only once its writes have this durability class.

        May be called several times; the commit itself does not wait. See :attr:`Outcome.demands`.
        """


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one function of a batch came to: ``error`` is ``None`` exactly when its writes were committed.

    ``demands``: the durability classes that its writes have to get before anybody is told. ``sequence``: the commit
    that holds them, or, where the function wrote nothing, the last one that it saw.
    """

    value: T | None
    error: BaseException | None
    demands: frozenset[str] = frozenset()
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """The keys that one commit wrote or deleted: what an incremental snapshot has to copy."""

    sequence: int
    keys: tuple[tuple[Table, bytes], ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """Rows as they are now (``None``: there is none) under keys that commits up to ``upto`` changed.

    ``complete``: ``upto`` is the last commit, so that these rows are exactly as that commit left them.
    """

    upto: int
    rows: list[tuple[Table, bytes, bytes | None]]
    complete: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """What one commit wrote: per table the keys in order, each with its value, or ``None`` where it was deleted."""

    sequence: int
    tables: list[tuple[Table, list[tuple[bytes, bytes | None]]]]


class Index(ABC):
    """The map. All methods block: call them from a worker lane, except ``read`` of a few point lookups.

    Safe to call from several threads; ``transact`` calls exclude each other, across processes too. A cancelled
    caller leaves either all or nothing of a batch.
    """

    @abstractmethod
    def read(self, work: Callable[[Reading], T]) -> T:
        """Run ``work`` on one consistent view and return its result. ``work`` must end within 5 s.

        Raises:
            IndexDamaged: A page cannot be decrypted or read.
        """

    def read_pair(self, table: Table, key: bytes, other: Table, other_key: bytes) -> tuple[bytes | None, bytes | None]:
        """The values under two keys, in one consistent view. For hot paths: an adapter may have a quicker way.

        Raises:
            IndexDamaged: As :meth:`read`.
        """
        return self.read(lambda tx: (tx.get(table, key), tx.get(other, other_key)))

    @abstractmethod
    def transact(self, batch: Sequence[Callable[[Writing], object]], *, wipe: bool = True) -> list[Outcome[object]]:
        """Run the functions in order inside **one** durable commit with one sequence number.

        A function that raises has its own writes undone; the others are not touched. The returned list has one
        outcome a function, in order; once it is returned, the writes survive power loss (``sync = fsync``).
        A batch in which nothing was written uses no sequence number.

        Args:
            batch: At most 256 functions. Each may run again if the adapter retries: no side effects outside.
            wipe: Overwrite what deletions free (never the sealed values of ``INLINE``: without its key one is noise).
                ``False`` only where nothing but sealed bytes and places is deleted; ``SECRETS`` are wiped always.

        Raises:
            DiskFull, ReadOnlyStore: Nothing was committed; later calls may succeed.
            IndexClosed: A sync failed, now or before: the outcome of this batch is unknown, writing has stopped.
        """

    @abstractmethod
    def sequence(self) -> int:
        """Number of the last commit; 0 for a new index."""

    @abstractmethod
    def skip_to(self, sequence: int) -> None:
        """Let the last commit's number be at least this, durably: once, after a restore, so that none is reused."""

    @abstractmethod
    def changes(self, after: int, limit: int) -> list[Change]:
        """Changes of commits with a higher number, ascending, at most ``limit``."""

    @abstractmethod
    def changed_rows(self, after: int, limit: int) -> Changed:
        """What the commits after ``after`` changed, each key once, read in one consistent view.

        Whole commits, in order, until ``limit`` keys are reached. Applying the answers in order, beginning with a
        copy made at any time after commit ``after``, gives the index as of ``upto`` of the first complete answer.
        """

    @abstractmethod
    def follow(self, sink: Callable[[Committed], None] | None) -> None:
        """Hand what this object commits from now on to ``sink``, in order, once it is durable; ``None`` ends that.

        It is called by the thread that commits, before ``transact`` returns: it must be quick and must not raise.
        """

    @abstractmethod
    def forget_changes(self, upto: int) -> None:
        """Drop the record of changes up to and including this number."""

    @abstractmethod
    def checkpoint(self) -> None:
        """Make deletions physical: afterwards no deleted or replaced value of ``SECRETS`` is in the file or its log.

        Of other tables it is overwritten where it lay; a copy that the store once moved may outlive it for a while.
        """

    @abstractmethod
    def verify(self) -> None:
        """Check the whole index.

        Raises:
            IndexDamaged: With what is wrong.
        """

    @abstractmethod
    def size_bytes(self) -> int:
        """Bytes the index occupies, its log included."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; further calls are errors."""
