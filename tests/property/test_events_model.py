"""Events agree with what is there: whoever only hears them knows which objects, or versions, a bucket has."""

import asyncio
import contextlib
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.buckets.event_rows import WaitingEvent
from noisefs.core.domain.buckets.notification import WILDCARDS, Rule
from noisefs.core.domain.requests import Doomed
from noisefs.core.errors import NoisefsError
from noisefs.core.services.events import queue
from tests.support.namespace import ALICE, ROOT, World
from tests.support.receivers import MemorySink

KEYS = st.sampled_from(["a", "a/", "a/b", "a/b/c", "a/b-c", "b", "b/", "b/c", "c/d", "ä"])
TREES = st.sampled_from(["a/", "a/b/", "b/", "c/"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, KEYS),
    st.tuples(st.just("put"), KEYS, KEYS),
    st.tuples(st.just("copy"), KEYS, KEYS),
    st.tuples(st.just("rename"), KEYS, KEYS),
    st.tuples(st.just("delete"), KEYS, KEYS),
    st.tuples(st.just("delete many"), KEYS, KEYS),
    st.tuples(st.just("delete oldest"), KEYS, KEYS),
    st.tuples(st.just("delete object"), KEYS, KEYS),
    st.tuples(st.just("make"), TREES, TREES),
    st.tuples(st.just("move"), KEYS, KEYS),
    st.tuples(st.just("move"), TREES, TREES),
    st.tuples(st.just("copy tree"), TREES, TREES),
    st.tuples(st.just("delete tree"), TREES, TREES),
)
Steps = Sequence[tuple[str, str, str]]


async def do(world: World, number: int, what: str, one: str, other: str) -> None:
    """One request."""
    objects, trees = world.objects, world.trees
    match what:
        case "put":
            await world.put(one, bytes(number))
        case "copy":
            await objects.copy(ALICE, "bucket", one, "bucket", other)
        case "rename":
            await world.renames.rename(ALICE, "bucket", one, other)
        case "delete":
            await objects.delete(ALICE, "bucket", one)
        case "delete many":
            await objects.delete_many(ALICE, "bucket", [Doomed(one), Doomed(other), Doomed(one)])
        case "delete oldest":
            page = await objects.list_history(ALICE, "bucket", prefix=one)
            if page.entries:
                entry = page.entries[-1]
                await objects.delete(ALICE, "bucket", entry.key, version_id=entry.version_id)
        case "delete object":
            await trees.delete_object(ALICE, "bucket", one)
        case "make":
            await trees.make(ALICE, "bucket", one)
        case "move":
            await trees.move(ALICE, "bucket", one, "bucket", other, overwrite=number % 2 == 0)
        case "copy tree":
            await trees.copy(ALICE, "bucket", one, "bucket", other, overwrite=number % 2 == 0)
        case "delete tree":
            await trees.delete(ALICE, "bucket", one)


async def played(steps: Steps, *, versions: bool) -> tuple[World, list[WaitingEvent]]:
    """A bucket after these requests, and what was told of them."""
    world = await World(sinks={"hook": MemorySink()}).start()
    await world.store.events.start()
    if versions:
        await world.versions.configure(ALICE, "bucket", enabled=True)
    await world.store.notifications.put(ALICE, "bucket", [Rule("r", "hook", WILDCARDS)], b"")
    for number, (what, one, other) in enumerate(steps):
        world.clock.advance(0.001)
        with contextlib.suppress(NoisefsError):
            await do(world, number, what, one, other)
    told = [event for _, event in world.index.read(lambda tx: queue.head(tx, "hook", 100_000))]
    return world, told[1:]  # behind the test event


async def check_objects(steps: Steps) -> None:
    world, told = await played(steps, versions=False)
    known: dict[str, tuple[int, str]] = {}
    for event in told:
        if event.event.startswith("s3:ObjectCreated:"):
            known[event.key] = event.size, event.etag
        else:
            del known[event.key]  # which was there: nothing else is told to be gone
    page = await world.objects.list(ROOT, "bucket", limit=100_000)
    assert known == {key: (version.size, version.etag) for key, version in page.entries}
    await world.close()


async def check_versions(steps: Steps) -> None:
    world, told = await played(steps, versions=True)
    known: set[tuple[str, str]] = set()
    for event in told:
        place = event.key, event.version_id
        if event.event.endswith(":Delete"):
            known.remove(place)
        else:
            assert place not in known
            known.add(place)
    page = await world.objects.list_history(ROOT, "bucket", limit=100_000)
    assert known == {(entry.key, entry.version_id) for entry in page.entries}
    await world.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_whoever_hears_all_events_knows_all_objects(steps: Steps) -> None:
    asyncio.run(check_objects(steps))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_where_there_are_versions_they_know_all_of_them(steps: Steps) -> None:
    asyncio.run(check_versions(steps))
