"""Recording what is read, for a trace: who listens gets keyed hashes in place of bodies, with a key of their own.

Promise: readers pay a lock and an append, and nothing once nobody listens. Memory is bounded: what is not taken in time
is counted as lost. A listener that stays away for :data:`LEASE_S` is none any more.
"""

import threading
from collections import deque
from hashlib import blake2b
from typing import Final, NamedTuple

from noisefs.core.domain.caching.asker import Asker
from noisefs.core.domain.caching.following import Following
from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import Conflict, NotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.services.bodies.windows import Windows

MOST_HEARD: Final = 65_536
"""Reads that wait to be taken: some 15 MB."""
ROWS_A_TURN: Final = 4000
"""Cells given at a time: 300 KB of text."""
LEASE_S: Final = 15.0
_HASH_BYTES: Final = 8
_CELL: Final = b"cell"
_OBJECT: Final = b"object"
_US: Final = 1_000_000


class _Heard(NamedTuple):
    time_us: int
    body_id: BodyId
    first: int
    cells: int
    size_bytes: int
    asker: Asker


class Turn(NamedTuple):
    """What was read, in order.

    Attributes:
        rows: A line for each cell: microseconds of this machine's monotonic clock, id, size, object, position,
            protocol, sequential.
        until_us: All that was read before was given by now.
        lost: Cells that were read and could not be remembered, since the last turn.
        more: There is more at once.
    """

    rows: str
    until_us: int
    lost: int
    more: bool


class Recording:
    """What one listener hears. Thread-safe; one thread at a time takes."""

    def __init__(self, name: str, key: bytes, clock: Clock) -> None:
        """``key``: of the hashes, for this recording only."""
        self.name = name
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: deque[_Heard] = deque()
        self._lost = 0
        self._following = Following()
        self._seen_us = self._now_us()

    def hear(self, body_id: BodyId, first: int, count: int, size_bytes: int, asker: Asker) -> None:
        """Cells were read."""
        with self._lock:
            if len(self._heard) >= MOST_HEARD:
                self._lost += count
            else:
                self._heard.append(_Heard(self._now_us(), body_id, first, count, size_bytes, asker))

    @property
    def is_over(self) -> bool:
        """Whether nobody listened for too long."""
        return self._now_us() - self._seen_us > LEASE_S * _US

    def take(self) -> Turn:
        """What was heard since the last time, or the first of it. Costs 3 us a cell: not for the event loop."""
        with self._lock:
            some: list[_Heard] = []
            cells = 0
            while self._heard and cells < ROWS_A_TURN:
                some.append(self._heard.popleft())
                cells += some[-1].cells
            more = bool(self._heard)
            self._seen_us = self._now_us()
            until_us = some[-1].time_us if more else self._seen_us
            lost, self._lost = self._lost, 0
        return Turn("".join(self._rows(heard) for heard in some), until_us, lost, more)

    def _rows(self, heard: _Heard) -> str:
        time_us, body_id, first, count, size_bytes, asker = heard
        name = self._hash(body_id, _OBJECT)
        protocol = asker.protocol.name.lower()
        return "".join(
            f"{time_us},{self._hash(body_id + position.to_bytes(8, 'big'), _CELL)},{size_bytes},{name},{position},"
            f"{protocol},{self._following.read(body_id, position):d}\n"
            for position in range(first, first + count)
        )

    def _hash(self, what: bytes, kind: bytes) -> str:
        return blake2b(what, digest_size=_HASH_BYTES, key=self._key, person=kind).hexdigest()

    def _now_us(self) -> int:
        return int(self._clock.monotonic_s() * _US)


class Recordings:
    """The recording of a process's reads, if there is one. Belongs to the event loop, but for :meth:`take`."""

    def __init__(self, windows: Windows, clock: Clock) -> None:
        """Nobody listens."""
        self._windows = windows
        self._clock = clock
        self._recording: Recording | None = None

    def begin(self, name: str, key: bytes) -> Turn:
        """Listen from now on.

        Raises:
            Conflict: Somebody else does.
        """
        if self._recording is not None and not self._recording.is_over:
            raise Conflict("another recording of this server's reads is under way")
        self._recording = recording = Recording(name, key, self._clock)

        def hear(body_id: BodyId, first: int, count: int, size_bytes: int, asker: Asker) -> None:
            if recording.is_over:
                self._stop(recording)
            else:
                recording.hear(body_id, first, count, size_bytes, asker)

        self._windows.recorder = hear
        return recording.take()

    def take(self, name: str) -> Turn:
        """As :meth:`Recording.take`.

        Raises:
            NotFound: There is no recording of this name, or not any more.
        """
        recording = self._recording
        if recording is None or recording.name != name:
            raise NotFound("there is no such recording, or not any more")
        return recording.take()

    def end(self, name: str) -> None:
        """Listen no more; forgets the key. Without effect where there is no such recording."""
        if self._recording is not None and self._recording.name == name:
            self._stop(self._recording)

    def _stop(self, recording: Recording) -> None:
        """On any thread."""
        if self._recording is recording:
            self._windows.recorder = None
            self._recording = None
