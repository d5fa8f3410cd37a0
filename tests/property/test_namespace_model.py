"""A stateful model of the namespace: random requests against real services and against plain dictionaries.

After every step the whole content is compared, and references, layouts and counters are recounted from the rows.
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.domain.buckets.object_lock import MODES
from noisefs.core.domain.records import LockRule, Usage
from noisefs.core.domain.requests import Attributes, CompletedPart, Doomed, Removed, WriteCondition
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Index
from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.namespace import ALICE, PLAIN, World, stream
from tests.support.namespace_model import DAY_US, Model, Sending, Thing, etag_of

pytestmark = pytest.mark.timeout(900)  # a failing run is shrunk for minutes

T = TypeVar("T")

BUCKETS = st.sampled_from(["one", "one", "one", "two"])
OBJECT_KEYS = ["a", "a/b", "a/b/c", "a/b-c", "a//x", "b", "b/c", "ä"]
TREE_KEYS = ["a/", "a/b/", "b/", "c/"]
ANY_KEYS = st.sampled_from([*OBJECT_KEYS, *TREE_KEYS])
SOURCES = st.tuples(ANY_KEYS, st.integers(0, 20))
"""A key, and which of the present ones to take instead (odd numbers): most requests should meet something."""
SIZES = st.sampled_from([0, 1, 900, 1500, 1500, 20_000, 131_073])
CONDITIONS = st.sampled_from(["always", "always", "new", "any", "current", "wrong", "not wrong"])
PROPERTY = "{http://example.com/}p"

GOALS = st.tuples(st.sampled_from(["a", "a/b", "b", "c", "c/d", "ä", "a/b/c"]), st.sampled_from([False] * 9 + [True]))
"""Where to, and whether to be wrong about what is a collection."""


PATTERN = bytes(range(251)) * 523
"""As long as the largest size; no stretch of it looks like a shifted one."""


def content(seed: int, size: int) -> bytes:
    return PATTERN[seed : seed + size]


class NamespaceMachine(RuleBasedStateMachine):
    """Each rule does one request on both sides and compares what came of it."""

    uploads = Bundle("uploads")

    def make_index(self) -> Index:
        return MemoryIndex()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.index = self.make_index()
        self.model = Model()
        self.world = self.run(self.begin())

    async def begin(self) -> World:
        world = World(index=self.index, limits=NamespaceLimits(min_part_bytes=0, delete_batch=2))
        await world.store.start(background=False)
        return world

    def teardown(self) -> None:
        self.run(self.world.close())
        self.index.close()
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def both(self, work: Coroutine[Any, Any, T], expected: Callable[[], T]) -> T | None:
        """The same on both sides; the same kind of error if one raises."""
        self.model.now_us = self.world.clock.now_us()
        before = self.index.sequence()
        try:
            wanted = expected()
        except NoisefsError as exc:
            with pytest.raises(type(exc)):
                self.run(work)
            assert self.index.sequence() == before, "a refused request changed something"
            return None
        found = self.run(work)
        assert found == wanted
        return found

    def condition(self, kind: str, bucket: str, key: str) -> WriteCondition:
        present = self.model.buckets.get(bucket, {}).get(key)
        etag = present.etag if present else "none"
        return {
            "always": WriteCondition(),
            "new": WriteCondition(if_none_match=("*",)),
            "any": WriteCondition(if_match=("*",)),
            "current": WriteCondition(if_match=("x", etag)),
            "wrong": WriteCondition(if_match=("wrong",)),
            "not wrong": WriteCondition(if_none_match=("wrong",)),
        }[kind]

    @initialize(
        keys=st.lists(ANY_KEYS, min_size=4, max_size=8, unique=True),
        states=st.lists(st.sampled_from(["never", "enabled", "suspended", "locked"]), min_size=2, max_size=2),
    )
    def make_buckets(self, keys: list[str], states: list[str]) -> None:
        for name in ("one", "two"):
            self.run(self.world.buckets.create(ALICE, name))
            self.model.make_bucket(name)
        for name, state in zip(("one", "two"), states, strict=True):
            if state != "never":
                self.configure_versioning(name, enabled=state != "suspended")
            if state == "locked":
                self.lock_bucket(name, "", 1)
        for number, key in enumerate(keys):
            self.put("one", key, number, 1500 * (number % 2), "always")
            self.put("one", key, number, 900 * (number % 3), "always")
            self.write_note("one", key, b"first")

    # ------------------------------------------------------------ objects

    @rule(bucket=BUCKETS, key=ANY_KEYS, seed=st.integers(0, 9), size=SIZES, kind=CONDITIONS)
    def put(self, bucket: str, key: str, seed: int, size: int, kind: str) -> None:
        data = content(seed, size)
        condition = self.condition(kind, bucket, key)

        async def work() -> None:
            await self.world.objects.put(
                ALICE, bucket, key, stream(data), Attributes(content_type=f"x/{seed}"), condition=condition
            )

        self.both(work(), lambda: self.model.put(bucket, key, data, f"x/{seed}", condition))

    @rule(bucket=BUCKETS, keys=st.lists(ANY_KEYS, min_size=3, max_size=6), size=st.sampled_from([1, 1500]))
    def put_many(self, bucket: str, keys: list[str], size: int) -> None:
        for number, key in enumerate(keys):
            self.put(bucket, key, number, size, "always")

    def present(self, bucket: str, source: tuple[str, int]) -> str:
        key, number = source
        keys = sorted(self.model.buckets[bucket])
        return keys[number % len(keys)] if number % 2 and keys else key

    @rule(bucket=BUCKETS, source=SOURCES, kind=CONDITIONS)
    def delete(self, bucket: str, source: tuple[str, int], kind: str) -> None:
        key = self.present(bucket, source)
        condition = self.condition(kind, bucket, key)

        async def work() -> bool:
            return (await self.world.objects.delete(ALICE, bucket, key, condition=condition)).existed

        self.both(work(), lambda: self.model.delete(bucket, key, condition))

    @rule(bucket=BUCKETS, keys=st.lists(ANY_KEYS, max_size=3))
    def delete_many(self, bucket: str, keys: list[str]) -> None:
        def expected() -> list[bool]:
            return [self.model.delete(bucket, key, WriteCondition()) for key in keys]

        async def work() -> list[bool]:
            outcomes = await self.world.objects.delete_many(ALICE, bucket, [Doomed(key) for key in keys])
            return [isinstance(outcome, Removed) and outcome.existed for outcome in outcomes]

        self.both(work(), expected)

    @rule(bucket=BUCKETS, source=SOURCES, to=BUCKETS, goal=ANY_KEYS, fresh=st.booleans(), kind=CONDITIONS)
    def copy(self, bucket: str, source: tuple[str, int], to: str, goal: str, fresh: bool, kind: str) -> None:
        key = self.present(bucket, source)
        condition = self.condition(kind, to, goal)
        attributes = Attributes(content_type="x/copied") if fresh else None

        async def work() -> None:
            await self.world.objects.copy(ALICE, bucket, key, to, goal, attributes=attributes, condition=condition)

        self.both(work(), lambda: self.model.copy((bucket, key), (to, goal), "x/copied" if fresh else None, condition))

    @rule(bucket=BUCKETS, source=SOURCES, start=st.integers(0, 2000), length=st.integers(0, 140_000))
    def read_range(self, bucket: str, source: tuple[str, int], start: int, length: int) -> None:
        key = self.present(bucket, source)

        async def work() -> bytes:
            async with await self.world.objects.open(
                ALICE,
                bucket,
                key,
                wanted=lambda version: (min(start, version.size), min(start + length, version.size)),
            ) as opened:
                return b"".join([bytes(chunk) async for chunk in opened.chunks()])

        self.both(work(), lambda: self.model.get(bucket, key).data[start : start + length])

    @rule(
        bucket=BUCKETS,
        prefix=st.sampled_from(["", "a", "a/", "a/b", "b/", "x"]),
        delimiter=st.sampled_from(["", "/", "b"]),
        limit=st.integers(1, 20),
    )
    def list_pages(self, bucket: str, prefix: str, delimiter: str, limit: int) -> None:
        async def work() -> tuple[list[str], list[str]]:
            keys: list[str] = []
            groups: list[str] = []
            after: str | None = ""
            while after is not None:
                page = await self.world.objects.list(
                    ALICE, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
                )
                keys += [key for key, _ in page.entries]
                groups += page.prefixes
                after = page.next_after
            return keys, groups

        self.both(work(), lambda: self.model.listing(bucket, prefix, delimiter))

    @rule(seconds=st.integers(1, 100) | st.integers(1, 3).map(lambda days: days * 86_400))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: len(self.model.buckets["two"]) < 2)
    @rule()
    def delete_and_make_bucket(self) -> None:
        bucket = "two"
        self.both(self.world.buckets.delete(ALICE, bucket), lambda: self.model.delete_bucket(bucket))
        if bucket not in self.model.buckets:
            self.run(self.world.buckets.create(ALICE, bucket))
            self.model.make_bucket(bucket)

    # ------------------------------------------------------------ versions and locks

    @rule(bucket=BUCKETS, enabled=st.sampled_from([True, True, False]))
    def configure_versioning(self, bucket: str, enabled: bool) -> None:
        self.both(
            self.world.versions.configure(ALICE, bucket, enabled=enabled),
            lambda: self.model.configure(bucket, "enabled" if enabled else "suspended"),
        )

    @rule(bucket=BUCKETS, mode=st.sampled_from(["", *MODES]), days=st.integers(1, 3))
    def lock_bucket(self, bucket: str, mode: str, days: int) -> None:
        self.both(
            self.world.versions.set_lock(ALICE, bucket, LockRule(mode, days if mode else 0)),
            lambda: self.model.set_lock(bucket, mode, days),
        )

    def a_version(self, bucket: str, source: tuple[str, int]) -> tuple[str, int, str] | None:
        """One that is there: its key, which of the key's it is, and its id."""
        keys = sorted(self.model.stacks[bucket])
        if not keys:
            return None
        key = keys[source[1] % len(keys)]
        page = self.run(self.world.objects.list_history(ALICE, bucket, prefix=key))
        ids = [entry.version_id for entry in page.entries if entry.key == key]
        number = len(source[0]) % len(ids)
        return key, number, ids[number]

    @rule(bucket=BUCKETS, source=SOURCES, bypass=st.booleans(), many=st.booleans())
    def delete_version(self, bucket: str, source: tuple[str, int], bypass: bool, many: bool) -> None:
        chosen = self.a_version(bucket, source)
        if chosen is None:
            return
        key, number, version_id = chosen

        async def work() -> None:
            if many:
                doomed = [Doomed(key, version_id)]
                (outcome,) = await self.world.objects.delete_many(ALICE, bucket, doomed, bypass=bypass)
                if isinstance(outcome, NoisefsError):
                    raise outcome
                removed = outcome
            else:
                removed = await self.world.objects.delete(ALICE, bucket, key, version_id=version_id, bypass=bypass)
            assert removed.existed
            assert removed.version_id == version_id

        self.both(work(), lambda: self.model.delete_version(bucket, key, number, bypass=bypass))

    @rule(bucket=BUCKETS, source=SOURCES)
    def read_version(self, bucket: str, source: tuple[str, int]) -> None:
        chosen = self.a_version(bucket, source)
        if chosen is None:
            return
        key, number, version_id = chosen

        async def work() -> bytes:
            async with await self.world.objects.open(ALICE, bucket, key, version_id=version_id) as opened:
                return b"".join([bytes(chunk) async for chunk in opened.chunks()])

        self.both(work(), lambda: self.model.version(bucket, key, number).data)

    @rule(bucket=BUCKETS, source=SOURCES, to=BUCKETS, goal=ANY_KEYS)
    def copy_version(self, bucket: str, source: tuple[str, int], to: str, goal: str) -> None:
        chosen = self.a_version(bucket, source)
        if chosen is None:
            return
        key, number, version_id = chosen

        async def work() -> None:
            await self.world.objects.copy(ALICE, bucket, key, to, goal, source_version=version_id)

        def expected() -> None:
            self.model.copy_thing(self.model.version(bucket, key, number), (to, goal), None, WriteCondition())

        self.both(work(), expected)

    @rule(
        bucket=BUCKETS,
        source=SOURCES,
        mode=st.sampled_from(["", *MODES]),
        days=st.integers(-1, 4),
        bypass=st.booleans(),
    )
    def retain(self, bucket: str, source: tuple[str, int], mode: str, days: int, bypass: bool) -> None:
        chosen = self.a_version(bucket, source)
        if chosen is None:
            return
        key, number, version_id = chosen
        until_us = self.world.clock.now_us() + days * DAY_US if mode else 0
        self.both(
            self.world.versions.retain(ALICE, bucket, key, mode, until_us, version_id=version_id, bypass=bypass),
            lambda: self.model.retain(bucket, key, number, mode, until_us, bypass=bypass),
        )

    @rule(bucket=BUCKETS, source=SOURCES, status=st.sampled_from(["ON", "OFF", "OFF"]))
    def hold(self, bucket: str, source: tuple[str, int], status: str) -> None:
        chosen = self.a_version(bucket, source)
        if chosen is None:
            return
        key, number, version_id = chosen
        self.both(
            self.world.versions.hold(ALICE, bucket, key, status, version_id=version_id),
            lambda: self.model.put_hold(bucket, key, number, status),
        )

    @rule(
        bucket=BUCKETS,
        prefix=st.sampled_from(["", "a", "a/", "a/b", "b/", "x"]),
        delimiter=st.sampled_from(["", "/", "b"]),
        limit=st.integers(1, 20),
    )
    def list_history_pages(self, bucket: str, prefix: str, delimiter: str, limit: int) -> None:
        self.both(self.history(bucket, prefix, delimiter, limit), lambda: self.model.history(bucket, prefix, delimiter))

    async def history(
        self, bucket: str, prefix: str, delimiter: str, limit: int
    ) -> tuple[list[tuple[str, str | None, bool, bool]], list[str]]:
        entries: list[tuple[str, str | None, bool, bool]] = []
        groups: list[str] = []
        marker: tuple[str, str] | None = ("", "")
        while marker is not None:
            page = await self.world.objects.list_history(
                ALICE,
                bucket,
                prefix=prefix,
                delimiter=delimiter,
                key_marker=marker[0],
                version_marker=marker[1],
                limit=limit,
            )
            for entry in page.entries:
                etag = None if entry.version.delete_marker else entry.version.etag
                entries.append((entry.key, etag, entry.version_id == "null", entry.latest))
            groups += page.prefixes
            marker = page.next_after
        return entries, groups

    # ------------------------------------------------------------ uploads

    @rule(target=uploads, bucket=BUCKETS, key=ANY_KEYS)
    def begin_upload(self, bucket: str, key: str) -> tuple[str, str, str]:
        return self.begin_one(bucket, key)

    def begin_one(self, bucket: str, key: str) -> tuple[str, str, str]:
        upload_id = self.run(self.world.uploads.create(ALICE, bucket, key, PLAIN))
        self.model.uploads[upload_id] = Sending(bucket, key)
        return upload_id, bucket, key

    @rule(target=uploads, bucket=BUCKETS, key=ANY_KEYS, parts=st.integers(7, 11), size=st.sampled_from([0, 3, 1500]))
    def upload_many_parts(self, bucket: str, key: str, parts: int, size: int) -> tuple[str, str, str]:
        one = self.begin_one(bucket, key)
        for number in range(1, parts + 1):
            self.send(one, number, content(number, size))
        if size:
            self.complete(one, leave_out=3, kind="always")
        return one

    def send(self, one: tuple[str, str, str], number: int, data: bytes) -> None:
        upload_id, bucket, key = one

        async def work() -> str:
            part = await self.world.uploads.put_part(ALICE, bucket, key, upload_id, number, stream(data))
            return part.md5.hex()

        def expected() -> str:
            self.model.sending(upload_id, bucket, key).parts[number] = data
            return etag_of(data)

        self.both(work(), expected)

    @rule(one=uploads, number=st.integers(1, 4), seed=st.integers(0, 9), size=SIZES)
    def put_part(self, one: tuple[str, str, str], number: int, seed: int, size: int) -> None:
        self.send(one, number, content(seed, size))

    @rule(
        one=uploads, number=st.integers(1, 12), bucket=BUCKETS, source_key=SOURCES, cut=st.none() | st.integers(0, 1600)
    )
    def copy_part(
        self, one: tuple[str, str, str], number: int, bucket: str, source_key: tuple[str, int], cut: int | None
    ) -> None:
        key = self.present(bucket, source_key)
        source = self.model.buckets[bucket].get(key)
        byte_range = None
        if source is not None and cut is not None and len(source.data) > 0:
            first = cut % len(source.data)
            byte_range = (first, min(len(source.data) - 1, first + 700))
        self.copy_range(one, number, bucket, key, byte_range)

    def copy_range(
        self, one: tuple[str, str, str], number: int, bucket: str, key: str, byte_range: tuple[int, int] | None
    ) -> None:
        upload_id, to, target = one

        async def work() -> str:
            part, _ = await self.world.uploads.copy_part(
                ALICE, to, target, upload_id, number, bucket, key, byte_range=byte_range
            )
            return part.md5.hex()

        def expected() -> str:
            sending = self.model.sending(upload_id, to, target)
            data = self.model.get(bucket, key).data
            if byte_range is not None:
                data = data[byte_range[0] : byte_range[1] + 1]
            sending.parts[number] = data
            return etag_of(data)

        self.both(work(), expected)

    @rule(target=uploads, bucket=BUCKETS, key=ANY_KEYS, source=SOURCES, step=st.integers(100, 800))
    def copy_in_parts(self, bucket: str, key: str, source: tuple[str, int], step: int) -> tuple[str, str, str]:
        """As clients copy large objects: neighbouring ranges, one part each."""
        one = self.begin_one(bucket, key)
        size = len(self.model.buckets[bucket].get(self.present(bucket, source), Thing(b"", "", "", 0)).data)
        for number, first in enumerate(range(0, min(size, 3000), step)):
            self.copy_range(one, number + 1, bucket, self.present(bucket, source), (first, min(size, first + step) - 1))
        self.complete(one, leave_out=0, kind="always")
        return one

    @rule(one=uploads, leave_out=st.integers(0, 12), kind=CONDITIONS)
    def complete(self, one: tuple[str, str, str], leave_out: int, kind: str) -> None:
        upload_id, bucket, key = one
        sending = self.model.uploads.get(upload_id)
        parts = {} if sending is None else sending.parts
        numbers = sorted(set(parts) - {leave_out})
        condition = self.condition(kind, bucket, key)
        named = [CompletedPart(number, etag_of(parts[number])) for number in numbers]

        async def work() -> str:
            version = await self.world.uploads.complete(ALICE, bucket, key, upload_id, named, condition=condition)
            return version.etag

        self.both(work(), lambda: self.model.complete(upload_id, bucket, key, numbers, condition))

    @rule(one=uploads)
    def abort(self, one: tuple[str, str, str]) -> None:
        upload_id, bucket, key = one

        def expected() -> None:
            self.model.sending(upload_id, bucket, key)
            del self.model.uploads[upload_id]

        self.both(self.world.uploads.abort(ALICE, bucket, key, upload_id), expected)

    # ------------------------------------------------------------ trees and properties

    @rule(bucket=BUCKETS, prefix=st.sampled_from(TREE_KEYS))
    def make_collection(self, bucket: str, prefix: str) -> None:
        self.both(self.world.trees.make(ALICE, bucket, prefix), lambda: self.model.make(bucket, prefix))

    @rule(bucket=BUCKETS, prefix=st.sampled_from(["a/b/", "b/", "c/", "a/", "a/b/", "b/", ""]))
    def delete_tree(self, bucket: str, prefix: str) -> None:
        self.both(self.world.trees.delete(ALICE, bucket, prefix), lambda: self.model.delete_tree(bucket, prefix))

    @rule(bucket=BUCKETS, source=SOURCES)
    def delete_member(self, bucket: str, source: tuple[str, int]) -> None:
        key = self.present(bucket, source)

        def expected() -> bool:
            if key not in self.model.buckets[bucket]:
                return False
            self.model.drop(bucket, key)
            self.model.keep_parent(bucket, key)
            return True

        self.both(self.world.trees.delete_object(ALICE, bucket, key), expected)

    @rule(bucket=BUCKETS, wanted=SOURCES, to=BUCKETS, goal=GOALS, overwrite=st.booleans())
    def move(self, bucket: str, wanted: tuple[str, int], to: str, goal: tuple[str, bool], overwrite: bool) -> None:
        self.relocate(bucket, wanted, to, goal, overwrite, "move")

    @rule(
        bucket=BUCKETS,
        wanted=SOURCES,
        to=BUCKETS,
        goal=GOALS,
        overwrite=st.booleans(),
        how=st.sampled_from(["copy", "copy", "copy only the collection"]),
    )
    def copy_tree(
        self, bucket: str, wanted: tuple[str, int], to: str, goal: tuple[str, bool], overwrite: bool, how: str
    ) -> None:
        self.relocate(bucket, wanted, to, goal, overwrite, how)

    def relocate(
        self, bucket: str, wanted: tuple[str, int], to: str, aim: tuple[str, bool], overwrite: bool, how: str
    ) -> None:
        source = self.present(bucket, wanted)
        if wanted[1] % 3 == 0 and "/" in source:
            source = source[: source.index("/") + 1]
        goal = aim[0] + "/" * (source.endswith("/") is not aim[1])
        if how == "move":
            work = self.world.trees.move(ALICE, bucket, source, to, goal, overwrite=overwrite)
        else:
            work = self.world.trees.copy(ALICE, bucket, source, to, goal, overwrite=overwrite, recursive=how == "copy")
        self.both(
            work,
            lambda: self.model.relocate(
                (bucket, source),
                (to, goal),
                overwrite=overwrite,
                move=how == "move",
                recursive=how != "copy only the collection",
            ),
        )

    @rule(bucket=BUCKETS, source=SOURCES, of_bucket=st.booleans(), value=st.none() | st.integers(0, 9))
    def note(self, bucket: str, source: tuple[str, int], of_bucket: bool, value: int | None) -> None:
        key = "" if of_bucket and source[1] % 4 == 0 else self.present(bucket, source)
        self.write_note(bucket, key, None if value is None else b"%d" % value)

    def write_note(self, bucket: str, key: str, raw: bytes | None) -> None:
        def expected() -> None:
            if raw is None:
                self.model.notes.pop((bucket, key), None)
            else:
                self.model.notes[bucket, key] = raw

        self.both(self.world.properties.update(ALICE, bucket, key, {PROPERTY: raw}), expected)

    # ------------------------------------------------------------ after every step

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        self.world.check()
        self.run(self.compare())

    async def compare(self) -> None:
        for bucket, things in self.model.buckets.items():
            page = await self.world.objects.list_versions(ALICE, bucket, limit=1000)
            assert [key for key, _ in page.entries] == sorted(things, key=str.encode)
            for key, version in page.entries:
                thing = things[key]
                assert (version.etag, version.size, version.content_type, version.modified_us) == (
                    thing.etag,
                    len(thing.data),
                    thing.content_type,
                    thing.modified_us,
                )
                assert version.parts_count == len(thing.parts)
                assert await self.world.read(key, bucket) == thing.data
                if thing.parts:
                    _, table = await self.world.objects.parts(ALICE, bucket, key)
                    assert tuple(table) == thing.parts
            noted = {key: value for (where, key), value in self.model.notes.items() if where == bucket}
            for key in {"", *things, *noted}:
                found = await self.world.properties.get_all(ALICE, bucket, key)
                assert found.get(PROPERTY) == noted.get(key)
            folders = await self.world.objects.list(ALICE, bucket, delimiter="/")
            shown = ([key for key, _ in folders.entries], folders.prefixes)
            assert shown == self.model.listing(bucket, "", "/")
            kept = [one.thing for stack in self.model.stacks[bucket].values() for one in stack if one.thing is not None]
            usage = Usage(sum(len(thing.data) for thing in kept), len(kept))
            assert await self.world.buckets.usage(ALICE, bucket) == usage
            assert await self.history(bucket, "", "", 1000) == self.model.history(bucket, "", "")
            uploads, _, _ = await self.world.uploads.list(ALICE, bucket)
            assert {upload_id for _, upload_id, _ in uploads} == {
                upload_id for upload_id, one in self.model.uploads.items() if one.bucket == bucket
            }
        assert not self.world.store.readers.reads()


class SqliteNamespaceMachine(NamespaceMachine):
    """The same over the encrypted index on disk."""

    def make_index(self) -> Index:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteIndex.open(Path(self.folder.name) / "index.db", b"k" * 32, create=True, sync="os")

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


BOUNDS = settings(max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestNamespaceInMemory = NamespaceMachine.TestCase
TestNamespaceInMemory.settings = BOUNDS
TestNamespaceInSqlite = SqliteNamespaceMachine.TestCase
TestNamespaceInSqlite.settings = settings(BOUNDS, max_examples=40)
