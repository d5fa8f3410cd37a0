"""The lifecycle of objects: what rules of their buckets say is done, in the background, again and again.

Promise: nothing goes that no rule names at the moment of its commit: rules, row and lock are looked at in there once
more. What cannot go because a lock keeps it stays, and is looked at again. A pass holds no state that a restart would
miss; two passes at a time do no harm.

Failure: a row that cannot be decoded ends the pass of its bucket, not those of others.

Cost: some 2 us an object and pass in the background lane, and one commit for :data:`BATCH` that go. A bucket is gone
through when a day begins, when its rules change, and at start; with a shortened day, at every step.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import lifecycle
from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.buckets.lifecycle import DAY_US, KIND, Rule
from noisefs.core.domain.ids import ID_BYTES
from noisefs.core.domain.records import Bucket, Upload, Version, decode
from noisefs.core.domain.requests import Cause
from noisefs.core.errors import NoisefsError, ObjectLocked
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.objects import publishing
from noisefs.core.services.namespace.rows import uploads as upload_rows
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Found

log = logging.getLogger(__name__)

SLICE: Final = 1000
"""Rows of one read transaction."""
BATCH: Final = 100
"""Things that go in one commit."""
_BASE_BYTES: Final = 8
"""What stands before an object's key: the bucket's id."""
_CAUSE: Final = Cause(None)
_TAIL_BYTES: Final = keyspace.VERSION_TAIL_BYTES


class _Due(NamedTuple):
    """Something that seemed due. ``table``: ``OBJECTS``, ``VERSIONS`` or ``UPLOADS``."""

    table: Table
    row_key: bytes
    raw: bytes
    since_us: int
    newer: int = 0


@dataclass(slots=True)
class _Above:
    """What lies above the next version of a key: when it came, and how many noncurrent ones there were so far."""

    object_key: bytes = b""
    came_us: int = 0
    noncurrent: int = 0


class Lifecycle:
    """Carries rules out. Task-safe; belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        day_s: float = DAY_US / 1e6,
    ) -> None:
        """``day_s``: length of a day, for carrying out only: to try rules."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._mint = versions.minter(entropy)
        self._day_us = int(day_s * 1e6)
        self._done: dict[int, tuple[int, bytes]] = {}
        """By bucket id: the day of its last whole pass, and the configuration at that time."""

    async def run(self) -> int:
        """Do what is due; returns how many things went."""
        gone = 0
        now_us = self._clock.now_us()
        day = now_us // DAY_US if self._day_us == DAY_US else now_us
        buckets = await self._workers.run(Lane.BACKGROUND, self._configured)
        for name, bucket in buckets:
            raw = bucket.config[KIND]
            if self._done.get(bucket.bucket_id) == (day, raw):
                continue
            try:
                gone += await self._pass(name, bucket, lifecycle.decode_rules(raw).rules)
            except (NoisefsError, msgspec.MsgspecError) as exc:
                log.error("lifecycle.failed", extra={"bucket_id": bucket.bucket_id, "cause": str(exc)})
                continue
            self._done[bucket.bucket_id] = day, raw
        configured = {bucket.bucket_id for _, bucket in buckets}
        self._done = {bucket_id: done for bucket_id, done in self._done.items() if bucket_id in configured}
        return gone

    def _configured(self) -> list[tuple[str, Bucket]]:
        rows = self._rows(Table.BUCKETS, b"", b"\xff")
        found = ((key.decode(), decode(Bucket, raw)) for key, raw in rows)
        return [(name, bucket) for name, bucket in found if KIND in bucket.config]

    async def _pass(self, name: str, bucket: Bucket, rules: Sequence[Rule]) -> int:
        about = lifecycle.grouped(rules)
        gone = 0
        if about["current"]:
            gone += await self._gone_through(name, bucket, rules, Table.OBJECTS, self._current_due(rules))
        if about["older"] and bucket.versioning:
            gone += await self._gone_through(name, bucket, rules, Table.VERSIONS, self._older_due(rules))
        if about["uploads"]:
            gone += await self._gone_through(name, bucket, rules, Table.UPLOADS, self._uploads_due(rules))
        return gone

    async def _gone_through(
        self,
        name: str,
        bucket: Bucket,
        rules: Sequence[Rule],
        table: Table,
        due: Callable[[Reading, Sequence[tuple[bytes, bytes]]], list[_Due]],
    ) -> int:
        gone = 0
        start, end = keyspace.bucket_range(bucket.bucket_id)

        def look(tx: Reading) -> tuple[list[_Due], bytes | None]:
            rows = tx.scan(table, at, end, SLICE)
            return due(tx, rows), rows[-1][0] + b"\0" if len(rows) == SLICE else None

        at = start
        following: bytes | None = start
        while following is not None:
            at = following
            found, following = await self._workers.run(Lane.BACKGROUND, self._index.read, look)
            for begin in range(0, len(found), BATCH):
                some = found[begin : begin + BATCH]
                remove = partial(self._remove, name=name, bucket=bucket, rules=rules, due=some)
                went = await self._commits.run(remove)
                gone += sum(went.values())
                for action, count in went.items():
                    self._telemetry.count(Counter.LIFECYCLE, count, (action,))
        return gone

    # ------------------------------------------------------------------ what is due

    def _current_due(self, rules: Sequence[Rule]) -> Callable[[Reading, Sequence[tuple[bytes, bytes]]], list[_Due]]:
        def due(_tx: Reading, rows: Sequence[tuple[bytes, bytes]]) -> list[_Due]:
            now_us = self._clock.now_us()
            found: list[_Due] = []
            for row_key, raw in rows:
                version = decode(Version, raw)
                if self._expires(rules, row_key[_BASE_BYTES:].decode(), version, now_us):
                    found.append(_Due(Table.OBJECTS, row_key, raw, 0))
            return found

        return due

    def _older_due(self, rules: Sequence[Rule]) -> Callable[[Reading, Sequence[tuple[bytes, bytes]]], list[_Due]]:
        above = _Above()

        def due(tx: Reading, rows: Sequence[tuple[bytes, bytes]]) -> list[_Due]:
            now_us = self._clock.now_us()
            found: list[_Due] = []
            for row_key, raw in rows:
                version = decode(Version, raw)
                object_key = row_key[:-_TAIL_BYTES]
                key = object_key[_BASE_BYTES:].decode()
                if object_key != above.object_key:
                    current = versions.current(tx, object_key)
                    above.object_key, above.noncurrent = object_key, 0
                    above.came_us = 0 if current is None else lifecycle.taken_us(current.version)
                since_us, newer = above.came_us, above.noncurrent
                above.came_us = lifecycle.taken_us(version)
                if not since_us:  # the newest of all: a delete marker that is current
                    if self._marker_goes(tx, rules, object_key, key, version, now_us):
                        found.append(_Due(Table.VERSIONS, row_key, raw, 0))
                    continue
                above.noncurrent += 1
                if lifecycle.noncurrent_goes(rules, key, version, since_us, newer, now_us, self._day_us):
                    found.append(_Due(Table.VERSIONS, row_key, raw, since_us, newer))
            return found

        return due

    def _uploads_due(self, rules: Sequence[Rule]) -> Callable[[Reading, Sequence[tuple[bytes, bytes]]], list[_Due]]:
        def due(_tx: Reading, rows: Sequence[tuple[bytes, bytes]]) -> list[_Due]:
            now_us = self._clock.now_us()
            found: list[_Due] = []
            for row_key, raw in rows:
                key = row_key[_BASE_BYTES : -1 - ID_BYTES].decode()
                begun_us = decode(Upload, raw).created_us
                if lifecycle.upload_goes(rules, key, begun_us, now_us, self._day_us):
                    found.append(_Due(Table.UPLOADS, row_key, raw, begun_us))
            return found

        return due

    def _expires(self, rules: Sequence[Rule], key: str, version: Version, now_us: int) -> bool:
        expiry = lifecycle.expiry_of(rules, key, version, lifecycle.taken_us(version), self._day_us)
        return expiry is not None and expiry.at_us <= now_us

    def _marker_goes(
        self, tx: Reading, rules: Sequence[Rule], object_key: bytes, key: str, marker: Version, now_us: int
    ) -> bool:
        """Whether a delete marker that is the current version goes: only one below which nothing is left."""
        if not lifecycle.marker_goes(rules, key, lifecycle.taken_us(marker), now_us, self._day_us):
            return False
        return self._is_alone(tx, object_key)

    # ------------------------------------------------------------------ what goes

    def _remove(
        self, tx: Writing, *, name: str, bucket: Bucket, rules: Sequence[Rule], due: Sequence[_Due]
    ) -> dict[str, int]:
        """Remove what is still as it was when it seemed due, under rules that are still those; how many, by action."""
        raw = tx.get(Table.BUCKETS, name.encode())
        row = None if raw is None else decode(Bucket, raw)
        went: dict[str, int] = {}
        if row is None or row.bucket_id != bucket.bucket_id or row.config.get(KIND) != bucket.config[KIND]:
            return went
        if row.durability != bucket.durability or row.versioning != bucket.versioning:
            return went  # the next pass finds it anew
        tally = Tally()
        now_us = self._clock.now_us()
        for one in due:
            if tx.get(one.table, one.row_key) != one.raw:
                continue
            try:
                action = self._remove_one(tx, row, rules, one, now_us, tally)
            except ObjectLocked:
                continue
            if action:
                went[action] = went.get(action, 0) + 1
        tally.apply(tx, row)
        if went and row.durability != LOCAL:
            tx.demand(row.durability)
        return went

    def _remove_one(
        self, tx: Writing, bucket: Bucket, rules: Sequence[Rule], due: _Due, now_us: int, tally: Tally
    ) -> str:
        """The action; empty: none, since what is above or below it has changed."""
        if due.table is Table.UPLOADS:
            upload_rows.discard(tx, due.row_key, now_us)
            return "abort"
        version = decode(Version, due.raw)
        if due.table is Table.OBJECTS:
            publishing.remove(tx, bucket, due.row_key, version, now_us, self._mint, tally, _CAUSE)
            return "expire"
        object_key = due.row_key[:-_TAIL_BYTES]
        found = Found(due.table, due.row_key, due.raw, version)
        if not due.since_us:
            if tx.get(Table.OBJECTS, object_key) is not None or not self._is_alone(tx, object_key):
                return ""
            publishing.remove_version(tx, bucket, object_key, found, now_us, tally, _CAUSE, bypass=False)
            return "expire_marker"
        start, _ = keyspace.versions_range(object_key)
        newer = len(tx.scan(Table.VERSIONS, start, due.row_key, due.newer + 2))
        if tx.get(Table.OBJECTS, object_key) is None:
            newer -= 1  # the newest is a delete marker, and current
        key = object_key[_BASE_BYTES:].decode()
        if newer < due.newer and not lifecycle.noncurrent_goes(
            rules, key, version, due.since_us, newer, now_us, self._day_us
        ):
            return ""
        publishing.remove_version(tx, bucket, object_key, found, now_us, tally, _CAUSE, bypass=False)
        return "expire_noncurrent"

    @staticmethod
    def _is_alone(tx: Reading, object_key: bytes) -> bool:
        return len(tx.scan(Table.VERSIONS, *keyspace.versions_range(object_key), 2)) == 1

    def _rows(self, table: Table, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        while True:
            rows = self._index.read(lambda tx, start=start: tx.scan(table, start, end, SLICE))  # type: ignore[misc]  # default binds the loop's value
            yield from rows
            if len(rows) < SLICE:
                return
            start = rows[-1][0] + b"\0"
