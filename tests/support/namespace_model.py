"""What the namespace should do, in plain dictionaries: slow, obvious, and written from the promises alone."""

import hashlib
from dataclasses import dataclass, field, replace

from noisefs.core.domain.requests import WriteCondition
from noisefs.core.errors import (
    BucketNotEmpty,
    BucketStateConflict,
    DeleteMarkerNamed,
    InvalidArgument,
    InvalidPart,
    LockNotConfigured,
    ObjectLocked,
    ObjectNotFound,
    PreconditionFailed,
    UploadNotFound,
)

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Thing:
    """An object."""

    data: bytes
    etag: str
    content_type: str
    modified_us: int
    parts: tuple[tuple[int, int, int], ...] = ()


@dataclass
class Entry:
    """A version, or (without a thing) a delete marker."""

    thing: Thing | None
    null: bool
    mode: str = ""
    until_us: int = 0
    hold: str = ""

    def is_locked(self, now_us: int, *, bypass: bool) -> bool:
        if self.hold == "ON":
            return True
        return self.until_us > now_us and not (self.mode == "GOVERNANCE" and bypass)


@dataclass
class Sending:
    """An open upload."""

    bucket: str
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


def etag_of(data: bytes) -> str:
    """Of an object put at once."""
    return hashlib.md5(data).hexdigest()


class Model:
    """Buckets of objects, dead properties, uploads. Methods do what the services promise, or raise what they raise."""

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, list[Entry]]] = {}
        """Of each bucket: of each key all versions, the newest first."""
        self.states: dict[str, str] = {}
        self.rules: dict[str, tuple[str, int]] = {}
        """Of buckets with object lock: the mode (or none) and days of new versions."""
        self.notes: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, Sending] = {}
        self.completed: dict[str, str] = {}
        self.now_us = 0

    @property
    def buckets(self) -> dict[str, dict[str, Thing]]:
        """What each key names."""
        return {
            bucket: {key: stack[0].thing for key, stack in stacks.items() if stack[0].thing is not None}
            for bucket, stacks in self.stacks.items()
        }

    # ------------------------------------------------------------ buckets and objects

    def make_bucket(self, bucket: str) -> None:
        self.stacks[bucket] = {}
        self.states[bucket] = "never"

    def delete_bucket(self, bucket: str) -> None:
        if self.stacks[bucket]:
            raise BucketNotEmpty(bucket)
        del self.stacks[bucket]
        self.rules.pop(bucket, None)
        self.notes = {place: value for place, value in self.notes.items() if place[0] != bucket}
        self.uploads = {name: one for name, one in self.uploads.items() if one.bucket != bucket}

    def configure(self, bucket: str, state: str) -> None:
        if state == "suspended" and bucket in self.rules:
            raise BucketStateConflict
        self.states[bucket] = state

    def set_lock(self, bucket: str, mode: str, days: int) -> None:
        if self.states[bucket] != "enabled":
            raise BucketStateConflict
        self.rules[bucket] = mode, days

    def lay(self, bucket: str, key: str, entry: Entry) -> None:
        """A new newest version."""
        older = self.stacks[bucket].get(key, [])
        if entry.null:
            older = [one for one in older if not one.null]
        self.stacks[bucket][key] = [entry, *older]

    def name(self, bucket: str, key: str, thing: Thing) -> None:
        """Let the key name this."""
        entry = Entry(thing, self.states[bucket] != "enabled")
        entry.mode, days = self.rules.get(bucket, ("", 0))
        entry.until_us = self.now_us + days * DAY_US if entry.mode else 0
        self.lay(bucket, key, entry)

    def drop(self, bucket: str, key: str) -> None:
        """Let the key name nothing."""
        if key in self.buckets[bucket]:
            self.notes.pop((bucket, key), None)
        if self.states[bucket] == "never":
            self.stacks[bucket].pop(key, None)
        else:
            self.lay(bucket, key, Entry(None, self.states[bucket] != "enabled"))

    def put(self, bucket: str, key: str, data: bytes, content_type: str, condition: WriteCondition) -> None:
        self.judge(bucket, key, condition)
        self.name(bucket, key, Thing(data, etag_of(data), content_type, self.now_us))

    def delete_version(self, bucket: str, key: str, number: int, *, bypass: bool) -> None:
        stack = self.stacks[bucket][key]
        if stack[number].is_locked(self.now_us, bypass=bypass):
            raise ObjectLocked
        was_named = stack[0].thing is not None
        del stack[number]
        if not stack:
            del self.stacks[bucket][key]
        if was_named and key not in self.buckets[bucket]:
            self.notes.pop((bucket, key), None)

    def version(self, bucket: str, key: str, number: int) -> Thing:
        thing = self.stacks[bucket][key][number].thing
        if thing is None:
            raise DeleteMarkerNamed(bucket, key, "", 0)
        return thing

    def retain(self, bucket: str, key: str, number: int, mode: str, until_us: int, *, bypass: bool) -> None:
        if bucket not in self.rules:
            raise LockNotConfigured
        self.version(bucket, key, number)
        if bool(mode) != bool(until_us) or (mode and until_us <= self.now_us):
            raise InvalidArgument("", "", "")
        entry = self.stacks[bucket][key][number]
        weaker = mode != entry.mode or until_us < entry.until_us
        if entry.until_us > self.now_us and weaker and not (entry.mode == "GOVERNANCE" and bypass):
            raise ObjectLocked
        entry.mode, entry.until_us = mode, until_us

    def put_hold(self, bucket: str, key: str, number: int, status: str) -> None:
        if bucket not in self.rules:
            raise LockNotConfigured
        self.version(bucket, key, number)
        self.stacks[bucket][key][number].hold = status

    def judge(self, bucket: str, key: str, condition: WriteCondition) -> None:
        present = self.buckets[bucket].get(key)
        if present is None:
            if condition.if_match:
                raise ObjectNotFound(bucket, key)
            return
        if condition.if_match and not {"*", present.etag} & set(condition.if_match):
            raise PreconditionFailed("If-Match")
        if {"*", present.etag} & set(condition.if_none_match):
            raise PreconditionFailed("If-None-Match")

    def delete(self, bucket: str, key: str, condition: WriteCondition) -> bool:
        self.judge(bucket, key, condition)
        existed = key in self.buckets[bucket]
        self.drop(bucket, key)
        return existed

    def get(self, bucket: str, key: str) -> Thing:
        if key not in self.buckets[bucket]:
            raise ObjectNotFound(bucket, key)
        return self.buckets[bucket][key]

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], content_type: str | None, condition: WriteCondition
    ) -> None:
        self.copy_thing(self.get(*source), target, content_type, condition)

    def copy_thing(
        self, thing: Thing, target: tuple[str, str], content_type: str | None, condition: WriteCondition
    ) -> None:
        self.judge(*target, condition)
        self.name(*target, replace(thing, modified_us=self.now_us, content_type=content_type or thing.content_type))

    def listing(self, bucket: str, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        return self._grouped(list(self.buckets[bucket]), prefix, delimiter)

    def history(
        self, bucket: str, prefix: str, delimiter: str
    ) -> tuple[list[tuple[str, str | None, bool, bool]], list[str]]:
        """Key, ETag (none of a delete marker), whether it is the null version and whether it is the newest."""
        keys, groups = self._grouped(list(self.stacks[bucket]), prefix, delimiter)
        entries = [
            (key, None if entry.thing is None else entry.thing.etag, entry.null, number == 0)
            for key in keys
            for number, entry in enumerate(self.stacks[bucket][key])
        ]
        return entries, groups

    def _grouped(self, names: list[str], prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        keys: list[str] = []
        groups: list[str] = []
        for key in sorted(names, key=str.encode):
            if not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            group = key[: cut + len(delimiter)]
            if cut < 0:
                keys.append(key)
            elif group not in groups:
                groups.append(group)
        return keys, groups

    # ------------------------------------------------------------ uploads

    def sending(self, upload_id: str, bucket: str, key: str) -> Sending:
        one = self.uploads.get(upload_id)
        if one is None or (one.bucket, one.key) != (bucket, key):
            raise UploadNotFound(upload_id)
        return one

    def complete(self, upload_id: str, bucket: str, key: str, numbers: list[int], condition: WriteCondition) -> str:
        if upload_id in self.completed and self.completed[upload_id].startswith(f"{bucket} {key} "):
            return self.completed[upload_id].rpartition(" ")[2]
        one = self.sending(upload_id, bucket, key)
        if not numbers:
            raise InvalidArgument("parts", 0, "")
        if any(number not in one.parts for number in numbers):
            raise InvalidPart(0)
        self.judge(bucket, key, condition)
        table = []
        data = b""
        for number in numbers:
            table.append((number, len(data), len(one.parts[number])))
            data += one.parts[number]
        md5s = b"".join(hashlib.md5(one.parts[number]).digest() for number in numbers)
        etag = f"{hashlib.md5(md5s).hexdigest()}-{len(numbers)}"
        self.name(bucket, key, Thing(data, etag, "binary/octet-stream", self.now_us, tuple(table)))
        del self.uploads[upload_id]
        self.completed[upload_id] = f"{bucket} {key} {etag}"
        return etag

    # ------------------------------------------------------------ trees

    def members(self, bucket: str, prefix: str) -> list[str]:
        return [key for key in self.buckets[bucket] if key.startswith(prefix)]

    def marker(self) -> Thing:
        return Thing(b"", etag_of(b""), "application/x-directory", self.now_us)

    def keep_parent(self, bucket: str, key: str) -> None:
        parent = key[: key[:-1].rfind("/") + 1]
        if parent and not self.members(bucket, parent):
            self.name(bucket, parent, self.marker())

    def make(self, bucket: str, prefix: str) -> None:
        if not self.members(bucket, prefix):
            self.name(bucket, prefix, self.marker())

    def delete_tree(self, bucket: str, prefix: str) -> int:
        gone = self.members(bucket, prefix)
        self.clear_tree(bucket, prefix)
        if gone:
            self.keep_parent(bucket, prefix)
        return len(gone)

    def clear_tree(self, bucket: str, prefix: str, keep: set[str] | None = None) -> None:
        for key in self.members(bucket, prefix):
            if key not in (keep or set()):
                self.drop(bucket, key)
        for place in [place for place in self.notes if place[0] == bucket and place[1].startswith(prefix)]:
            if prefix or place[1]:
                del self.notes[place]

    def relocate(
        self, source: tuple[str, str], target: tuple[str, str], *, overwrite: bool, move: bool, recursive: bool
    ) -> bool:
        (from_bucket, from_key), (to_bucket, to_key) = source, target
        tree = from_key.endswith("/")
        if tree != to_key.endswith("/"):
            raise InvalidArgument("target", "", "")
        if from_bucket == to_bucket and (to_key.startswith(from_key) if tree else to_key == from_key):
            raise InvalidArgument("target", "", "")
        things, notes = self._taken(from_bucket, from_key, recursive=recursive)
        bare = to_key.rstrip("/") if tree else to_key
        shows_tree = bool(self.members(to_bucket, bare + "/"))
        shows_object = bare in self.buckets[to_bucket] and not (tree and shows_tree)
        if (shows_tree or shows_object) and not overwrite:
            raise PreconditionFailed("Overwrite")
        if move:
            for rest in things:
                self.drop(from_bucket, from_key + rest)
            for rest in notes:
                self.notes.pop((from_bucket, from_key + rest), None)
        placed = {to_key + rest for rest in things}  # what is replaced needs no delete marker
        if shows_tree:
            self.clear_tree(to_bucket, bare + "/", placed)
        if shows_object:
            self.notes.pop((to_bucket, bare), None)
            if bare not in placed:
                self.drop(to_bucket, bare)
        for rest, thing in things.items():
            self.name(to_bucket, to_key + rest, thing if move else replace(thing, modified_us=self.now_us))
        for rest, value in notes.items():
            self.notes[to_bucket, to_key + rest] = value
        hides = from_bucket == to_bucket and not tree and from_key.startswith(to_key + "/")
        if move and not hides:
            self.keep_parent(from_bucket, from_key)
        return shows_tree or shows_object

    def _taken(self, bucket: str, key: str, *, recursive: bool) -> tuple[dict[str, Thing], dict[str, bytes]]:
        cut = len(key)
        if key.endswith("/") and recursive:
            things = {name[cut:]: self.buckets[bucket][name] for name in self.members(bucket, key)}
            notes = {
                at[1][cut:]: value for at, value in self.notes.items() if at[0] == bucket and at[1].startswith(key)
            }
        else:
            thing = self.buckets[bucket].get(key)
            if thing is None and key.endswith("/") and self.members(bucket, key):
                thing = self.marker()
            things = {} if thing is None else {"": thing}
            notes = {"": self.notes[bucket, key]} if (bucket, key) in self.notes else {}
        if not things:
            raise ObjectNotFound(bucket, key)
        return things, notes
