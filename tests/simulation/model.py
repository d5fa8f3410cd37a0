"""What a client may expect to see: the namespace as the answers of the store define it.

Each key has a history of writes with the times at which they were asked for and answered. A write that was not
answered, or answered "outcome unknown", may have happened until the power failed. A read may return any write that
nothing surely replaced before the read began. After a restart everything has settled: one value a key.
"""

import hashlib
import itertools
from dataclasses import dataclass, field

ABSENT = ""
"""The value of a key without an object; every other value is an ETag."""


@dataclass(slots=True, eq=False)
class Write:
    """One change of a key. ``end`` is ``None`` while it may still happen.

    ``source``: what it is a copy of, until the store has said which value that was.
    """

    start: int
    value: str
    end: int | None = None
    sure: bool = False
    source: "Register | None" = None

    def values(self) -> set[str]:
        """What the key may hold after it."""
        return {self.value} if self.source is None else self.source.ever


@dataclass(slots=True)
class Register:
    """One key."""

    writes: list[Write] = field(default_factory=lambda: [Write(0, ABSENT, 0, sure=True)])
    ever: set[str] = field(default_factory=set)
    """Every ETag it may ever have had."""

    def possible(self, start: int) -> set[str]:
        """Values that a read which began at ``start`` and ends now may return."""
        replaced_before = max(
            (w.start for w in self.writes if w.sure and w.end is not None and w.end < start), default=0
        )
        return set().union(*(w.values() for w in self.writes if w.end is None or w.end >= replaced_before))

    def settle(self, value: str, now: int) -> None:
        """From here on it is known what the key holds."""
        self.writes = [Write(now, value, now, sure=True)]


@dataclass(slots=True)
class UploadModel:
    """An open multipart upload: possible ETags of each part, and whether it may be gone."""

    bucket: str
    key: str
    parts: dict[int, set[str]] = field(default_factory=dict)
    may_be_gone: bool = False
    busy: bool = False


class Model:
    """All keys, contents and uploads of one history."""

    def __init__(self) -> None:
        self._time = itertools.count(1)
        self.registers: dict[tuple[str, str], Register] = {}
        self.contents: dict[str, bytes] = {}
        self.uploads: dict[str, UploadModel] = {}
        self.acknowledged = 0

    def now(self) -> int:
        """A new moment."""
        return next(self._time)

    def register(self, bucket: str, key: str) -> Register:
        """The history of one key."""
        return self.registers.setdefault((bucket, key), Register())

    def content(self, data: bytes) -> str:
        """Remember some bytes; returns their ETag."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.contents[etag] = data
        return etag

    def joined(self, etags: list[str]) -> str:
        """Remember an object made of parts; returns its ETag."""
        raw = b"".join(bytes.fromhex(etag) for etag in etags)
        etag = f"{hashlib.md5(raw, usedforsecurity=False).hexdigest()}-{len(etags)}"
        self.contents[etag] = b"".join(self.contents[part] for part in etags)
        return etag

    def begin(self, bucket: str, key: str, value: str, source: Register | None = None) -> Write:
        """A write is asked for."""
        write = Write(self.now(), value, source=source)
        register = self.register(bucket, key)
        register.writes.append(write)
        register.ever |= write.values() - {ABSENT}
        return write

    def answered(self, bucket: str, key: str, write: Write, value: str | None = None) -> None:
        """The store said yes (``value``: what it said the key holds now, where only it knows)."""
        write.end, write.sure = self.now(), True
        register = self.register(bucket, key)
        if value is not None:
            write.value, write.source = value, None
            register.ever.add(value)
        self.acknowledged += 1

    def refused(self, bucket: str, key: str, write: Write) -> None:
        """The store said no: it must never be seen."""
        self.register(bucket, key).writes.remove(write)

    def restarted(self) -> None:
        """The process is gone: what was not answered can happen no more, but may have."""
        moment = self.now()
        for register in self.registers.values():
            for write in register.writes:
                if write.end is None:
                    write.end = moment
        for upload in self.uploads.values():
            upload.busy = False
