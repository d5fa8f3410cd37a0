"""Versions in the namespace: collections, counters, audits, reads that take their time."""

import pytest

from noisefs.core.domain.buckets.object_lock import COMPLIANCE, NO_WISH, Wish
from noisefs.core.domain.keyspace import versions_range
from noisefs.core.domain.records import LockRule, Usage
from noisefs.core.domain.requests import CompletedPart, Doomed, Removed
from noisefs.core.errors import (
    BucketNotEmpty,
    BucketStateConflict,
    DeleteMarkerNamed,
    InvalidArgument,
    LockNotConfigured,
    NoisefsError,
    ObjectDeleted,
    ObjectLocked,
    ObjectNotFound,
    VersionNotFound,
)
from noisefs.core.ports.index import Table
from noisefs.core.services.maintenance.names import objects_of_bodies
from tests.support.namespace import ALICE, PLAIN, World, stream

HOUR_US = 3_600_000_000


@pytest.fixture
async def kept(world: World) -> World:
    """The bucket keeps versions."""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    return world


async def shown(world: World, bucket: str = "bucket") -> list[tuple[str, bool, bool]]:
    """Key, whether it is a delete marker, whether it is the latest."""
    page = await world.objects.list_history(ALICE, bucket)
    return [(entry.key, entry.version.delete_marker, entry.latest) for entry in page.entries]


async def test_bytes_of_all_versions_count(kept: World) -> None:
    for size in (1000, 2000):
        await kept.put("k", b"x" * size)
    await kept.objects.delete(ALICE, "bucket", "k")
    assert await kept.buckets.usage(ALICE, "bucket") == Usage(3000, 2)
    with pytest.raises(BucketNotEmpty):
        await kept.buckets.delete(ALICE, "bucket")


async def test_a_read_of_a_deleted_object_names_its_delete_marker(kept: World) -> None:
    await kept.put("k", b"x")
    marker = (await kept.objects.delete(ALICE, "bucket", "k")).version_id
    with pytest.raises(ObjectDeleted) as deleted:
        await kept.objects.head(ALICE, "bucket", "k")
    assert deleted.value.version_id == marker
    with pytest.raises(DeleteMarkerNamed):
        await kept.objects.open(ALICE, "bucket", "k", version_id=marker)
    with pytest.raises(VersionNotFound):
        await kept.objects.head(ALICE, "bucket", "k", version_id="null")
    with pytest.raises(ObjectNotFound):
        await kept.objects.head(ALICE, "bucket", "never there")


async def test_a_read_at_once_tells_the_id_too(world: World) -> None:
    await world.put("k", b"old")
    assert world.objects.quick.look(ALICE, "bucket", "k").version_id == ""
    await world.versions.configure(ALICE, "bucket", enabled=True)
    for _ in range(2):
        assert world.objects.quick.look(ALICE, "bucket", "k").version_id == "null"
    new = await world.put("k", b"new")
    assert new.version_id
    assert world.objects.quick.look(ALICE, "bucket", "k").version_id == new.version_id


async def test_an_object_of_many_parts_is_read_while_it_becomes_an_older_version(kept: World) -> None:
    """It moves to another table meanwhile; named by its id it is found again."""
    upload = await kept.uploads.create(ALICE, "bucket", "k", PLAIN)
    parts = []
    for number in range(1, 41):
        part = await kept.uploads.put_part(ALICE, "bucket", "k", upload, number, stream(b"%04d" % number * 300))
        parts.append(CompletedPart(number, part.md5.hex()))
    version = await kept.uploads.complete(ALICE, "bucket", "k", upload, parts)
    opening = await kept.objects.open(ALICE, "bucket", "k", version_id=version.version_id)
    await kept.put("k", b"new")
    async with opening as opened:
        data = b"".join([bytes(chunk) async for chunk in opened.chunks()])
    async with await kept.objects.open(ALICE, "bucket", "k", version_id=version.version_id) as opened:
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == data
    assert data == b"".join(b"%04d" % number * 300 for number in range(1, 41))
    _, parts_kept = await kept.objects.part_table(ALICE, "bucket", "k", version_id=version.version_id)
    assert len(parts_kept) == 40


async def test_in_a_batch_what_is_refused_leaves_the_others_alone(kept: World) -> None:
    await kept.versions.set_lock(ALICE, "bucket", LockRule())
    until_us = kept.clock.now_us() + HOUR_US
    ids = []
    for lock in (NO_WISH, Wish(COMPLIANCE, until_us), NO_WISH):
        version = await kept.objects.put(ALICE, "bucket", "k", stream(b"x"), PLAIN, lock=lock)
        ids.append(version.version_id)
    outcomes = await kept.objects.delete_many(
        ALICE, "bucket", [*(Doomed("k", version_id) for version_id in ids), Doomed("k", "impossible")], bypass=True
    )
    assert outcomes[0] == Removed(existed=True, version_id=ids[0])
    assert isinstance(outcomes[1], ObjectLocked)
    assert outcomes[2] == Removed(existed=True, version_id=ids[2])
    assert isinstance(outcomes[3], InvalidArgument)
    assert (await kept.objects.head(ALICE, "bucket", "k")).version_id == ids[1]
    kept.clock.advance(3600)
    assert (await kept.objects.delete(ALICE, "bucket", "k", version_id=ids[1])).existed


async def test_no_way_of_removing_collections_touches_a_locked_version(kept: World) -> None:
    await kept.versions.set_lock(ALICE, "bucket", LockRule(COMPLIANCE, days=1))
    for key in ("a/x", "a/y", "b/x"):
        await kept.put(key, key.encode() * 600)
    await kept.trees.move(ALICE, "bucket", "a/x", "bucket", "b/x", overwrite=True)
    await kept.trees.move(ALICE, "bucket", "a/", "bucket", "c/", overwrite=True)
    await kept.trees.delete_object(ALICE, "bucket", "b/x")
    await kept.trees.delete(ALICE, "bucket", "")
    assert await kept.keys() == []
    assert len(kept.rows(Table.BODIES)) == 3
    page = await kept.objects.list_history(ALICE, "bucket")
    removed = [
        await kept.objects.delete_many(ALICE, "bucket", [Doomed(entry.key, entry.version_id)], bypass=True)
        for entry in page.entries
    ]
    refused = [
        entry.version.delete_marker
        for entry, (one,) in zip(page.entries, removed, strict=True)
        if isinstance(one, NoisefsError)
    ]
    assert refused
    assert not any(refused)
    assert len(kept.rows(Table.BODIES)) == 3


async def test_a_collection_moved_over_another_leaves_all_versions(kept: World) -> None:
    for key in ("a/1", "a/2", "b/2", "b/3"):
        await kept.put(key, key.encode() * 400)
    await kept.trees.move(ALICE, "bucket", "a/", "bucket", "b/", overwrite=True)
    assert await kept.keys() == ["b/1", "b/2"]
    assert await shown(kept) == [
        ("a/1", True, True),
        ("a/1", False, False),
        ("a/2", True, True),
        ("a/2", False, False),
        ("b/1", False, True),
        ("b/2", False, True),
        ("b/2", False, False),
        ("b/3", True, True),
        ("b/3", False, False),
    ]
    assert await kept.read("b/2") == b"a/2" * 400


@pytest.mark.parametrize(("from_kept", "to_kept"), [(True, False), (False, True), (True, True)])
async def test_a_move_between_buckets(world: World, from_kept: bool, to_kept: bool) -> None:
    await world.buckets.create(ALICE, "other")
    if from_kept:
        await world.versions.configure(ALICE, "bucket", enabled=True)
    if to_kept:
        await world.versions.configure(ALICE, "other", enabled=True)
    await world.put("a/x", b"moved" * 300)
    await world.put("a/x", b"there" * 300, "other")
    await world.trees.move(ALICE, "bucket", "a/", "other", "a/", overwrite=True)
    assert await world.read("a/x", "other") == b"moved" * 300
    assert await world.keys() == []
    assert (await world.buckets.usage(ALICE, "bucket")).objects == from_kept
    assert (await world.buckets.usage(ALICE, "other")).objects == 1 + to_kept
    moved = await world.objects.head(ALICE, "other", "a/x")
    assert bool(moved.version_id) is to_kept


async def test_audits_see_older_versions(kept: World) -> None:
    body = (await kept.put("k", b"x" * 3000)).extents[0].body_id
    new = (await kept.put("k", b"y" * 3000)).extents[0].body_id
    await kept.objects.delete(ALICE, "bucket", "k")
    assert kept.store.auditor.orphans().clean
    space = kept.store.auditor.space()
    assert (space.objects, space.object_bytes) == (2, 6000)
    (named,) = objects_of_bodies(kept.index, {body})
    assert named.startswith("bucket/k (version ")
    assert len(objects_of_bodies(kept.index, {body, new})) == 2


async def test_locks_are_for_buckets_that_have_them(kept: World) -> None:
    wish = Wish(COMPLIANCE, kept.clock.now_us() + HOUR_US)
    with pytest.raises(LockNotConfigured):
        await kept.objects.put(ALICE, "bucket", "k", stream(b"x"), PLAIN, lock=wish)
    small = kept.objects.put_small(ALICE, "bucket", "k", b"x", PLAIN, lock=wish)
    assert small is not None
    with pytest.raises(LockNotConfigured):
        await small
    with pytest.raises(LockNotConfigured):
        await kept.uploads.create(ALICE, "bucket", "k", PLAIN, lock=wish)
    await kept.put("k", b"x")
    with pytest.raises(LockNotConfigured):
        await kept.versions.hold(ALICE, "bucket", "k", "ON")
    await kept.versions.configure(ALICE, "bucket", enabled=False)
    with pytest.raises(BucketStateConflict):
        await kept.versions.set_lock(ALICE, "bucket", LockRule())
    locked = await kept.buckets.create(ALICE, "locked", lock=True)
    assert locked.lock == LockRule()
    with pytest.raises(BucketStateConflict):
        await kept.versions.configure(ALICE, "locked", enabled=False)
    for rule in (LockRule("X", 1), LockRule(COMPLIANCE), LockRule(COMPLIANCE, 1, 1), LockRule("", 1)):
        with pytest.raises(InvalidArgument):
            await kept.versions.set_lock(ALICE, "locked", rule)


async def test_the_null_version_is_found_among_many(world: World) -> None:
    """By a note in the newest one, not by looking through them."""
    await world.put("k", b"null")
    await world.versions.configure(ALICE, "bucket", enabled=True)
    for number in range(50):
        await world.put("k", b"%d" % number)
    assert (await world.objects.head(ALICE, "bucket", "k", version_id="null")).size == 4
    await world.versions.configure(ALICE, "bucket", enabled=False)
    await world.put("k", b"new null")
    assert (await world.objects.head(ALICE, "bucket", "k", version_id="null")).size == 8
    row_key = world.rows(Table.OBJECTS)[0][0]
    assert len(world.index.read(lambda tx: tx.scan(Table.VERSIONS, *versions_range(row_key), 1000))) == 50
