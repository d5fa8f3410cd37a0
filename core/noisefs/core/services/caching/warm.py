"""The warm tier: cells and slices that only nodes have, in one file on this disk, within a budget of bytes.

Promise: it takes at most ``max_bytes`` of the disk, its list included. What lies in the file is noise: cells, which are
ciphertext already, sealed once more under a key of this process's life. It gives the bytes that were put in or
nothing: a record that is torn, lost, overwritten or of a deleted body is a miss. It survives a restart, also a kill:
then what was written since the last list is forgotten. A disk that is full, read-only or failing only turns it off,
and its space is given back; after :data:`REST_S` it is tried again.

No lock is held while the disk is waited for. Cost of a read: one piece of the file read, one AES-GCM; of a cell that is
kept: the same, on a background lane. Memory: some 600 bytes a record, which weighs at least :data:`LEAST_BYTES`.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.asker import STORE, Asker
from noisefs.core.domain.caching.following import Following
from noisefs.core.domain.caching.policy import CachePolicy
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import DiskFull, FileMissing, NoisefsError, ReadOnlyStore, StorageFailed
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.disk import Disk, File
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.services.caching.catalogue import Catalogue, Record
from noisefs.core.services.caching.entry import CellKey, Kept, PolicyOf, Why
from noisefs.core.services.caching.epochs import Epochs, units_of
from noisefs.core.services.caching.room import UNIT_BYTES, Room

T = TypeVar("T")

log = logging.getLogger(__name__)

LEAST_BYTES: Final = 16 * 1024
"""What a record weighs at least: so that memory and the list stay small against the budget."""

LIST_SHARE: Final = 64
"""The list gets this part of the budget: it is written beside the old one, 70 bytes for a record..."""
LIST_LEAST_BYTES: Final = 64 * 1024
"""...but at least this."""

PENDING_BYTES: Final = 32 << 20
"""Cells that wait to be written; more are passed over."""

SAVE_EVERY_S: Final = 60.0
"""Between two lists: what a kill forgets."""

REST_S: Final = 600.0
"""After the disk refused."""


class WarmState(NamedTuple):
    """How it stands."""

    enabled: bool
    reason: str
    entries: int
    bytes: int
    max_bytes: int
    policy: str
    in_charge: str


class WarmTier:
    """Cells by body and segment. Thread-safe; but one thread at a time opens, works, saves and closes."""

    def __init__(
        self,
        *,
        disk: Disk,
        path: str,
        max_bytes: int,
        policy_of: PolicyOf,
        keys: StoreKeys,
        entropy: Entropy,
        clock: Clock,
        telemetry: Telemetry,
        room_left: Callable[[], int],
    ) -> None:
        """Touch nothing yet.

        Args:
            path: Of the file; its list lies beside it.
            max_bytes: At least 1 MiB.
            policy_of: Who decides what is kept.
            room_left: Bytes that the disk can spare: where there are none, this gives its own back.
        """
        self._disk = disk
        self._path = path
        self.max_bytes = max_bytes
        self._units = max(1, (max_bytes - max(LIST_LEAST_BYTES, max_bytes // LIST_SHARE)) // UNIT_BYTES)
        self._policy_of = policy_of
        self._keys = keys
        self._entropy = entropy
        self._clock = clock
        self._telemetry = telemetry
        self._room_left = room_left
        self._catalogue = Catalogue(disk, f"{path}.list", keys, entropy)
        self._lock = threading.Lock()
        self._file: File | None = None
        self._off = "not open yet"
        self._again_s = 0.0
        self.wake: Callable[[], None] = lambda: None
        """Told that there is something to write; quick, on any thread."""
        self._empty()

    def _empty(self) -> None:
        self._epochs = Epochs(self._keys, self._entropy)
        self._room = Room(self._units)
        self._policy = self._policy_of(self._units * UNIT_BYTES, self._dropped)
        self._records: dict[CellKey, Record] = {}
        self._pending: OrderedDict[CellKey, Kept] = OrderedDict()
        self._pending_bytes = 0
        self._segments: dict[BodyId, set[int]] = {}
        self._following = Following()
        self._changed = False
        self._saved_s = self._clock.monotonic_s()

    # ------------------------------------------------------------------ readers

    def get(self, key: CellKey, asker: Asker = STORE) -> Kept | None:
        """What is kept under this key; it counts as a read of it by ``asker``.

        Blocks for a read of the disk.
        """
        with self._lock:
            found = self._pending.get(key)
            record = None if found is not None else self._records.get(key)
            if found is None and record is None:
                return None
            self._policy.read(self._access(key, _weight_of(found, record), asker))
            file, epochs = self._file, self._epochs
        if found is not None:
            return found
        if record is None or file is None:
            return None
        sealed = self._read(file, epochs, key, record)
        if sealed is not None:
            self._telemetry.count(Counter.CACHE_READ_BYTES, len(sealed))
            return Kept(sealed, record.generation, cold=True)
        with self._lock:
            damaged = self._records.get(key) is record
            if damaged:  # else it was overwritten meanwhile, as it may be
                self._policy.discard(key)
                self._forget(key)
        if damaged and record.salt == epochs.current:
            self._telemetry.count(Counter.INTEGRITY_ERRORS, 1, ("cache",))
            log.warning("cache.record_damaged", extra={"hint": "it is read from a node again"})
        elif damaged:  # written over, or never on the disk, before the kill that ended the life it is from
            log.debug("cache.record_lost")
        return None

    def _read(self, file: File, epochs: Epochs, key: CellKey, record: Record) -> memoryview | None:
        raw = memoryview(bytearray(sum(count for _, count in record.pieces) * UNIT_BYTES))
        at = 0
        try:
            for first, count in record.pieces:
                size = count * UNIT_BYTES
                if file.read([raw[at : at + size]], first * UNIT_BYTES) != size:
                    return None
                at += size
        except (StorageFailed, ValueError):  # the disk fails, or the file was just closed
            return None
        return epochs.open(key, record.generation, record.length, record.salt, record.number, raw)

    def holds(self, key: CellKey) -> bool:
        """Whether it is there, or on its way."""
        return key in self._records or key in self._pending

    def offer(self, key: CellKey, kept: Kept, *, why: Why = Why.READ, asker: Asker = STORE) -> None:
        """It came from a node: keep it if it is worth it. ``asker``: for whom it came. Quick, on any thread."""
        with self._lock:
            if self._off or key in self._records or key in self._pending:
                return
            size = len(kept.sealed)
            if self._pending_bytes + size > PENDING_BYTES:
                self._telemetry.count(Counter.CACHE_WRITES, 1, ("passed over",))
                return
            access = self._access(key, _weight(units_of(size)), asker)
            if why is Why.READ:
                self._policy.read(access)
            else:
                self._policy.admit(access)
            if key not in self._policy:
                self._telemetry.count(Counter.CACHE_WRITES, 1, ("refused",))
                return
            self._pending[key] = kept
            self._pending_bytes += size
        self.wake()

    def demote(self, key: CellKey, kept: Kept) -> None:
        """Memory has no more room for it: it was in use until now."""
        with self._lock:
            record = self._records.get(key)
            if record is not None or key in self._pending:
                self._policy.read(self._access(key, _weight_of(self._pending.get(key), record), STORE))
                return
        self.offer(key, kept)

    def forget(self, bodies: Iterable[BodyId]) -> None:
        """These bodies are gone: their space is free at once."""
        with self._lock:
            for body_id in bodies:
                for segment in tuple(self._segments.get(body_id, ())):
                    self._drop((body_id, segment))
                for key in [key for key in self._pending if key[0] == body_id]:
                    self._drop(key)

    def drop(self, key: CellKey) -> None:
        """It is bad."""
        with self._lock:
            self._drop(key)

    def bodies(self) -> list[BodyId]:
        """Whose cells are there."""
        with self._lock:
            return list(self._segments)

    def with_policy(self, work: Callable[[CachePolicy], T]) -> T:
        """What ``work`` returns, while nobody else uses the policy."""
        with self._lock:
            return work(self._policy)

    def state(self) -> WarmState:
        """How it stands."""
        with self._lock:
            return WarmState(
                not self._off,
                self._off,
                len(self._records),
                (self._units - self._room.free) * UNIT_BYTES,
                self.max_bytes,
                self._policy.name,
                self._policy.in_charge,
            )

    # ------------------------------------------------------------------ under the lock

    def _access(self, key: CellKey, weight: int, asker: Asker) -> Access:
        body_id, number = key
        before = (body_id, number - 1) if number else None
        sequential = self._following.read(body_id, number)
        now, (protocol, bucket_class) = self._clock.monotonic_s(), asker
        return Access(key, weight, now, number, before, protocol, sequential, bucket_class, body_id)

    def _drop(self, key: CellKey) -> None:
        self._policy.discard(key)
        self._forget(key)

    def _dropped(self, key: object) -> None:
        """The policy keeps it no more."""
        self._forget(key)  # type: ignore[arg-type]  # its keys are those that it was given

    def _forget(self, key: CellKey) -> None:
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._pending_bytes -= len(pending.sealed)
        record = self._records.pop(key, None)
        if record is not None:
            self._room.give(record.pieces)
            self._changed = True
            segments = self._segments[key[0]]
            segments.discard(key[1])
            if not segments:
                del self._segments[key[0]]

    def _note(self, key: CellKey, record: Record) -> None:
        self._records[key] = record
        self._segments.setdefault(key[0], set()).add(key[1])
        self._changed = True

    # ------------------------------------------------------------------ on a background lane

    def open(self) -> None:
        """Take up what an earlier life left. Never fails: where the disk refuses, the tier is off."""
        try:
            file = self._open_file()
        except NoisefsError as exc:
            self._turn_off(exc)
            return
        if not file.try_lock():
            file.close()
            self._turn_off(StorageFailed("another process has the cache's file"))
            return
        listed = self._catalogue.load()
        with self._lock:
            self._empty()
            self._file, self._off = file, ""
            length = file.size()
            for key, record in reversed(listed):  # the best last, as the newest
                inside = all((first + count) * UNIT_BYTES <= length for first, count in record.pieces)
                if inside and key not in self._records and self._room.claim(record.pieces):
                    record = record._replace(salt=self._epochs.know(record.salt))  # noqa: PLW2901 - one salt for all
                    self._note(key, record)
                    if not self._policy.admit(self._access(key, _weight(units_of(record.length)), STORE)):
                        self._forget(key)
            self._changed = False
        log.info("cache.opened", extra={"entries": len(self._records), "listed": len(listed)})

    def _open_file(self) -> File:
        folder = self._path.rpartition("/")[0]
        self._disk.make_folder(folder)
        try:
            file = self._disk.open(self._path, write=True)
        except FileMissing:
            return self._disk.create(self._path)
        if file.size() > self._units * UNIT_BYTES:
            file.truncate(self._units * UNIT_BYTES)
        return file

    def work(self) -> None:
        """Write what waits, and now and then the list. Never fails."""
        if self._off:
            if self._clock.monotonic_s() >= self._again_s:
                self.open()
            return
        try:
            while self._write_one():
                self._save_in_time()
            self._save_in_time()
        except (DiskFull, ReadOnlyStore, StorageFailed) as exc:
            self._turn_off(exc)
        self._telemetry.gauge(Gauge.CACHE_BYTES, (self._units - self._room.free) * UNIT_BYTES, ("warm",))

    def _save_in_time(self) -> None:
        if self._changed and self._clock.monotonic_s() - self._saved_s >= SAVE_EVERY_S:
            self.save()

    def _write_one(self) -> bool:
        with self._lock:
            if not self._pending or self._file is None:
                return False
            key, kept = next(iter(self._pending.items()))
            units = units_of(len(kept.sealed))
            pieces = self._room.take(units)
            if pieces is None:  # too scattered
                self._drop(key)
                return True
            file = self._file
        if self._room_left() < units * UNIT_BYTES:
            raise DiskFull("no space is left on the disk beyond the reserve")
        out, number = self._epochs.seal(key, kept.generation, kept.sealed)
        at = 0
        for first, count in pieces:
            file.write([out[at : at + count * UNIT_BYTES]], first * UNIT_BYTES)
            at += count * UNIT_BYTES
        self._telemetry.count(Counter.CACHE_WRITES, 1, ("written",))
        self._telemetry.count(Counter.CACHE_WRITTEN_BYTES, len(out))
        record = Record(pieces, len(kept.sealed), kept.generation, self._epochs.current, number)
        with self._lock:
            if self._pending.get(key) is kept:
                self._pending_bytes -= len(kept.sealed)
                del self._pending[key]
                self._note(key, record)
            else:  # dropped meanwhile
                self._room.give(pieces)
        return True

    def save(self) -> None:
        """Write the list, the best first. Raises as ``atomic_write``."""
        with self._lock:
            keys = list(self._policy)
            self._changed = False
        listed: list[tuple[CellKey, Record]] = []
        for known in keys:  # without the lock: whoever reads or reclaims takes it
            key: CellKey = known  # type: ignore[assignment]  # its keys are those that it was given
            record = self._records.get(key)
            if record is not None:
                listed.append((key, record))
        self._catalogue.save(listed)
        self._saved_s = self._clock.monotonic_s()

    def close(self) -> None:
        """Write what is to be there after a restart, and let go of the file. Never fails."""
        if self._off:
            return
        try:
            while self._write_one():
                pass
            self.save()
        except NoisefsError as exc:
            self._turn_off(exc)
            return
        with self._lock:
            file, self._file, self._off = self._file, None, "closed"
            self._again_s = float("inf")
        if file is not None:
            file.close()

    def _turn_off(self, error: NoisefsError) -> None:
        """The disk refuses: keep nothing, and give the space back, as far as it lets us."""
        if self._off != str(error):
            log.warning("cache.off", extra={"cause": str(error), "again_s": REST_S})
        with self._lock:
            file, self._file = self._file, None
            self._empty()
            self._off = str(error)
            self._again_s = self._clock.monotonic_s() + REST_S
        if file is not None:
            try:
                file.truncate(0)
            except NoisefsError as exc:
                log.debug("cache.not_emptied", extra={"cause": str(exc)})
            file.close()


def _weight(units: int) -> int:
    return max(LEAST_BYTES, units * UNIT_BYTES)


def _weight_of(pending: Kept | None, record: Record | None) -> int:
    if pending is not None:
        return _weight(units_of(len(pending.sealed)))
    assert record is not None
    return _weight(units_of(record.length))
