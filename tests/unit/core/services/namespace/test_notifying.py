"""Which changes are told: every one, in its own commit, as what it is, and only where a rule says so."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from noisefs.core.domain.buckets.lifecycle import KIND as LIFECYCLE
from noisefs.core.domain.buckets.lifecycle import Filter, encode_rules
from noisefs.core.domain.buckets.lifecycle import Rule as LifecycleRule
from noisefs.core.domain.buckets.notification import POST, WILDCARDS, Rule
from noisefs.core.domain.keyspace import object_key
from noisefs.core.domain.records import LockRule
from noisefs.core.domain.requests import Asking, CompletedPart, Doomed, WriteCondition
from noisefs.core.domain.rights.acl import AclWish, private
from noisefs.core.domain.rights.ownership import KIND as OWNERSHIP
from noisefs.core.errors import EntityTooLarge, InvalidArgument, PreconditionFailed, QuotaExceeded
from noisefs.core.ports.index import Table
from noisefs.core.services.events import queue
from tests.support.namespace import ALICE, PLAIN, ROOT, World, stream
from tests.support.receivers import MemorySink

EVERYTHING = Rule("all", "hook", (*WILDCARDS, "s3:ObjectAcl:Put"))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ALICE's ``bucket`` over memory, with a target called ``hook``, and rules for everything."""
    world = await World(sinks={"hook": MemorySink(), "other": MemorySink()}).start()
    await world.store.events.start()
    await world.store.notifications.put(ALICE, "bucket", [EVERYTHING], b"<x/>")
    taken(world)
    yield world
    world.check()
    await world.close()


def waiting(world: World, target: str = "hook") -> list[Any]:
    return [event for _, event in world.index.read(lambda tx: queue.head(tx, target, 1000))]


def taken(world: World, target: str = "hook") -> list[tuple[str, str]]:
    """What waits, as (event, key) without the common beginning; it waits no more."""
    found = [(event.event.removeprefix("s3:"), event.key) for event in waiting(world, target)]
    world.index.transact([lambda tx: queue.take_off(tx, target, 1 << 40)])
    return found


async def versioned(world: World) -> None:
    await world.versions.configure(ALICE, "bucket", enabled=True)


async def test_writes_are_told_as_what_they_are(world: World) -> None:
    await world.put("a", b"xy")
    await world.objects.put(ALICE, "bucket", "b", stream(b""), PLAIN, made=POST)
    await world.objects.copy(ALICE, "bucket", "a", "bucket", "c")
    upload = await world.uploads.create(ALICE, "bucket", "d", PLAIN)
    part = await world.uploads.put_part(ALICE, "bucket", "d", upload, 1, stream(b"part"))
    await world.uploads.complete(ALICE, "bucket", "d", upload, [CompletedPart(1, part.md5.hex())])
    assert taken(world) == [
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Post", "b"),
        ("ObjectCreated:Copy", "c"),
        ("ObjectCreated:CompleteMultipartUpload", "d"),
    ]


async def test_an_event_tells_what_was_made_by_whom_and_from_where(world: World) -> None:
    who = ALICE.who_asks(Asking((), lambda key: ("10.0.0.1",) if key == "aws:sourceip" else None, request_id="REQUEST"))
    who = replace(who, trusted=True)
    version = await world.objects.put(who, "bucket", "a", stream(b"xyz"), PLAIN)
    (event,) = waiting(world)
    assert (event.size, event.etag, event.version_id) == (3, version.etag, "")
    assert (event.requester, event.source_ip, event.request_id) == ("alice", "10.0.0.1", "REQUEST")
    assert (event.bucket, event.owner, event.rule_id) == ("bucket", ALICE.user_id, "all")
    assert event.sequence == world.index.sequence()


async def test_removals_are_told_only_where_there_was_something(world: World) -> None:
    await world.put("a")
    await world.put("b")
    taken(world)
    await world.objects.delete(ALICE, "bucket", "a")
    await world.objects.delete(ALICE, "bucket", "a")
    await world.objects.delete_many(ALICE, "bucket", [Doomed("b"), Doomed("nothing")])
    assert taken(world) == [("ObjectRemoved:Delete", "a"), ("ObjectRemoved:Delete", "b")]


async def test_where_there_are_versions_a_delete_marker_is_told_and_a_version_that_goes(world: World) -> None:
    await versioned(world)
    version = await world.put("a")
    marker = await world.objects.delete(ALICE, "bucket", "a")
    await world.objects.delete(ALICE, "bucket", "a", version_id=version.version_id)
    await world.objects.delete(ALICE, "bucket", "a", version_id=version.version_id)
    ids = [event.version_id for event in waiting(world)]
    assert ids == [version.version_id, marker.version_id, version.version_id]
    assert [event for event, _ in taken(world)] == [
        "ObjectCreated:Put",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]


async def test_what_is_refused_is_not_told(world: World) -> None:
    await world.put("a")
    await world.store.quotas.set_bucket(ROOT, "bucket", max_objects=1)
    taken(world)
    with pytest.raises(PreconditionFailed):
        await world.put("a", condition=WriteCondition(if_none_match=("*",)))
    with pytest.raises(QuotaExceeded):
        await world.put("b")
    assert taken(world) == []


async def test_a_locked_version_that_stays_is_not_told(world: World) -> None:
    await versioned(world)
    await world.versions.set_lock(ALICE, "bucket", LockRule("COMPLIANCE", days=1))
    version = await world.put("a")
    free = await world.objects.delete(ALICE, "bucket", "b")
    taken(world)
    doomed = [Doomed("a", version.version_id), Doomed("b", free.version_id)]
    await world.objects.delete_many(ALICE, "bucket", doomed)
    assert taken(world) == [("ObjectRemoved:Delete", "b")]


@pytest.mark.parametrize("versions", [False, True])
async def test_a_rename_is_a_copy_and_a_removal(world: World, versions: bool) -> None:
    if versions:
        await versioned(world)
    await world.put("a", b"xy")
    taken(world)
    await world.renames.rename(ALICE, "bucket", "a", "b")
    removal = "ObjectRemoved:DeleteMarkerCreated" if versions else "ObjectRemoved:Delete"
    assert taken(world) == [(removal, "a"), ("ObjectCreated:Copy", "b")]


@pytest.mark.parametrize("versions", [False, True])
async def test_a_move_of_a_tree_tells_of_each_object(world: World, versions: bool) -> None:
    if versions:
        await versioned(world)
    await world.put("a/x", b"1")
    await world.put("a/y", b"2")
    taken(world)
    await world.trees.move(ALICE, "bucket", "a/", "bucket", "b/", overwrite=False)
    removal = "ObjectRemoved:DeleteMarkerCreated" if versions else "ObjectRemoved:Delete"
    assert taken(world) == [
        (removal, "a/x"),
        (removal, "a/y"),
        ("ObjectCreated:Copy", "b/x"),
        ("ObjectCreated:Copy", "b/y"),
    ]


async def test_a_move_to_another_bucket_is_told_to_the_targets_of_each(world: World) -> None:
    await world.buckets.create(ALICE, "second")
    await world.store.notifications.put(ALICE, "second", [Rule("s", "other", ("s3:ObjectCreated:*",))], b"")
    await world.put("a", b"xy")
    taken(world)
    taken(world, "other")
    await world.trees.move(ALICE, "bucket", "a", "second", "a", overwrite=False)
    assert taken(world) == [("ObjectRemoved:Delete", "a")]
    (event,) = waiting(world, "other")
    assert (event.event, event.bucket, event.size) == ("s3:ObjectCreated:Copy", "second", 2)


async def test_collections_that_are_made_removed_and_copied_are_told(world: World) -> None:
    await world.trees.make(ALICE, "bucket", "a/")
    await world.put("a/x")
    await world.trees.copy(ALICE, "bucket", "a/", "bucket", "b/", overwrite=False)
    await world.trees.delete_object(ALICE, "bucket", "b/x")
    await world.trees.delete(ALICE, "bucket", "a/")
    assert taken(world) == [
        ("ObjectCreated:Put", "a/"),
        ("ObjectCreated:Put", "a/x"),
        ("ObjectCreated:Copy", "b/"),
        ("ObjectCreated:Copy", "b/x"),
        ("ObjectRemoved:Delete", "b/x"),
        ("ObjectRemoved:Delete", "a/"),
        ("ObjectRemoved:Delete", "a/x"),
    ]


async def test_what_lifecycle_removes_is_told_as_expired(world: World) -> None:
    await world.put("a")
    taken(world)
    rules = [LifecycleRule("r", True, Filter(), expire_days=1)]
    await world.buckets.configure(ALICE, "bucket", LIFECYCLE, encode_rules(b"", rules))
    world.clock.advance(3 * 86_400)
    await world.store.lifecycle.run()
    (event,) = waiting(world)
    assert event.requester == "s3.amazonaws.com"
    assert taken(world) == [("LifecycleExpiration:Delete", "a")]
    await versioned(world)
    await world.put("b")
    taken(world)
    world.clock.advance(3 * 86_400)
    await world.store.lifecycle.run()
    assert taken(world) == [("LifecycleExpiration:DeleteMarkerCreated", "b")]


async def test_tags_and_lists_are_told(world: World) -> None:
    await world.put("a")
    taken(world)
    await world.store.tagging.set(ALICE, "bucket", "a", {"k": "v"})
    await world.store.tagging.set(ALICE, "bucket", "a", {})
    assert taken(world) == [("ObjectTagging:Put", "a"), ("ObjectTagging:Delete", "a")]
    await world.store.object_acls.put(ALICE, "bucket", "a", None, AclWish(grants=private(ALICE.user_id)))
    assert taken(world) == [], "nothing changes where lists do not count"
    await world.buckets.configure(ALICE, "bucket", OWNERSHIP, b"ObjectWriter")
    trusted = replace(ALICE, trusted=True)
    await world.store.object_acls.put(trusted, "bucket", "a", None, AclWish("public-read"))
    assert taken(world) == [("ObjectAcl:Put", "a")]


async def test_only_what_a_rule_takes_is_told(world: World) -> None:
    rules = [Rule("r", "hook", ("s3:ObjectCreated:Put",), "in/", ".jpg")]
    await world.store.notifications.put(ALICE, "bucket", rules, b"")
    for key in ("in/a.jpg", "in/a.png", "a.jpg"):
        await world.put(key)
    await world.objects.delete(ALICE, "bucket", "in/a.jpg")
    assert taken(world) == [("ObjectCreated:Put", "in/a.jpg")]


async def test_new_targets_get_a_test_event(world: World) -> None:
    rules = [EVERYTHING, Rule("o", "other", ("s3:ObjectCreated:Put",), "never/")]
    with pytest.raises(InvalidArgument):
        await world.store.notifications.put(ALICE, "bucket", rules, b"")
    rules = [Rule("a", "hook", ("s3:ObjectCreated:*",)), Rule("o", "other", ("s3:ObjectRemoved:*",))]
    await world.store.notifications.put(ALICE, "bucket", rules, b"")
    assert taken(world) == []
    assert taken(world, "other") == [("TestEvent", "")]


async def test_only_targets_of_the_configuration_can_be_named(world: World) -> None:
    with pytest.raises(InvalidArgument, match="arn:noisefs:sqs::hook:webhook"):
        await world.store.notifications.put(ALICE, "bucket", [Rule("r", "elsewhere", ("s3:ObjectCreated:*",))], b"")


async def test_rules_have_a_bounded_size(world: World) -> None:
    with pytest.raises(EntityTooLarge):
        await world.store.notifications.put(ALICE, "bucket", [EVERYTHING], b"x" * (64 * 1024))


async def test_nothing_is_told_any_more_once_the_rules_are_gone(world: World) -> None:
    await world.store.notifications.put(ALICE, "bucket", [], b"")
    await world.put("a")
    assert taken(world) == []
    assert await world.store.notifications.get(ALICE, "bucket") == b""


async def test_an_event_lies_in_the_commit_of_its_change(world: World) -> None:
    before = world.index.sequence()
    await world.put("a")
    (change,) = [one for one in world.index.changes(before, 10) if (Table.META, b"events/queue/hook") in one.keys]
    row = world.index.read(lambda tx: tx.scan(Table.BUCKETS, b"bucket", b"bucket\0", 1))
    assert row
    assert any(table is Table.OBJECTS and key.endswith(b"a") for table, key in change.keys)
    assert object_key(1, "a") in [key for table, key in change.keys if table is Table.OBJECTS]
