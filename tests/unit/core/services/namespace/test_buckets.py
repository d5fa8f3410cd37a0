"""Buckets: names, owners, limits, and what goes with a bucket."""

import pytest

from noisefs.core.domain.records import Usage
from noisefs.core.errors import (
    AccessDenied,
    BucketExists,
    BucketNotEmpty,
    BucketNotFound,
    EntityTooLarge,
    InvalidBucketName,
    TooMany,
    UploadNotFound,
)
from noisefs.core.ports.index import Table
from tests.support.namespace import ALICE, BOB, LIMITS, PLAIN, ROOT, World, stream


async def test_a_bucket_belongs_to_who_made_it(world: World) -> None:
    """The owner and an administrator reach it, nobody else does."""
    assert (await world.buckets.get(ALICE, "bucket")).owner == ALICE.user_id
    assert (await world.buckets.get(ROOT, "bucket")).owner == ALICE.user_id
    with pytest.raises(AccessDenied):
        await world.buckets.get(BOB, "bucket")


async def test_a_missing_bucket_is_told_before_whose_it_is(world: World) -> None:
    """Everybody may know that a name is free."""
    with pytest.raises(BucketNotFound):
        await world.buckets.get(BOB, "nothing-here")


@pytest.mark.parametrize(("who", "owned"), [(ALICE, True), (BOB, False)])
async def test_a_taken_name_tells_whether_it_is_ones_own(world: World, who: object, owned: bool) -> None:
    """S3 answers 200 or 409 after that."""
    with pytest.raises(BucketExists) as caught:
        await world.buckets.create(ALICE if owned else BOB, "bucket")
    assert caught.value.owned is owned


async def test_an_illegal_name_makes_nothing(world: World) -> None:
    """The rules themselves are tested with the domain."""
    with pytest.raises(InvalidBucketName):
        await world.buckets.create(ALICE, "Bucket")


async def test_a_user_has_a_maximum_of_buckets(world: World) -> None:
    """The limit is per user, and deleting one makes room."""
    for number in range(LIMITS.max_buckets - 1):
        await world.buckets.create(ALICE, f"more-{number}")
    with pytest.raises(TooMany):
        await world.buckets.create(ALICE, "one-too-many")
    await world.buckets.create(BOB, "bobs-own")
    await world.buckets.delete(ALICE, "more-0")
    await world.buckets.create(ALICE, "one-too-many")


async def test_a_bucket_with_an_object_is_kept(world: World) -> None:
    """Nothing of it changes."""
    await world.put("key", b"data")
    with pytest.raises(BucketNotEmpty):
        await world.buckets.delete(ALICE, "bucket")
    assert await world.read("key") == b"data"


async def test_only_the_owner_deletes(world: World) -> None:
    """AccessDenied for others, BucketNotFound once it is gone."""
    with pytest.raises(AccessDenied):
        await world.buckets.delete(BOB, "bucket")
    await world.buckets.delete(ALICE, "bucket")
    with pytest.raises(BucketNotFound):
        await world.buckets.delete(ALICE, "bucket")


async def test_deleting_aborts_open_uploads_and_leaves_no_row(world: World) -> None:
    """As S3: parts are no objects; their bodies go with the bucket."""
    upload_id = await world.uploads.create(ALICE, "bucket", "key", PLAIN)
    await world.uploads.put_part(ALICE, "bucket", "key", upload_id, 1, stream(b"part"))
    await world.properties.update(ALICE, "bucket", "", {"{DAV:}x": b"1"})
    await world.buckets.delete(ALICE, "bucket")
    for table in (Table.UPLOADS, Table.PARTS, Table.BODIES, Table.TINY, Table.PROPERTIES, Table.BUCKET_OWNERS):
        assert world.rows(table) == []
    await world.buckets.create(ALICE, "bucket")
    with pytest.raises(UploadNotFound):
        await world.uploads.put_part(ALICE, "bucket", "key", upload_id, 1, stream(b"part"))


async def test_a_new_bucket_of_an_old_name_is_empty(world: World) -> None:
    """Ids are never reused."""
    before = await world.buckets.get(ALICE, "bucket")
    await world.buckets.delete(ALICE, "bucket")
    after = await world.buckets.create(BOB, "bucket")
    assert after.bucket_id > before.bucket_id
    assert await world.buckets.usage(BOB, "bucket") == Usage(0, 0)


async def test_users_see_their_own_buckets_and_administrators_all(world: World) -> None:
    """By name, with prefix, marker and limit."""
    for name in ("abc", "abd", "zzz"):
        await world.buckets.create(BOB, name)
    assert [name for name, _ in await world.buckets.list(ALICE)] == ["bucket"]
    assert [name for name, _ in await world.buckets.list(BOB)] == ["abc", "abd", "zzz"]
    assert [name for name, _ in await world.buckets.list(ROOT)] == ["abc", "abd", "bucket", "zzz"]
    assert [name for name, _ in await world.buckets.list(BOB, prefix="ab", after="abc")] == ["abd"]
    assert [name for name, _ in await world.buckets.list(ROOT, after="abd", limit=1)] == ["bucket"]
    assert await world.buckets.list(BOB, prefix="ab", after="x") == []


async def test_configurations_are_kept_as_they_were_put(world: World) -> None:
    """By kind; removed by None; bounded."""
    await world.buckets.configure(ALICE, "bucket", "cors", b"<cors/>")
    await world.buckets.configure(ALICE, "bucket", "tags", b"<tags/>")
    await world.buckets.configure(ALICE, "bucket", "tags", None)
    assert (await world.buckets.get(ALICE, "bucket")).config == {"cors": b"<cors/>"}
    with pytest.raises(EntityTooLarge):
        await world.buckets.configure(ALICE, "bucket", "cors", b"x" * (LIMITS.max_config_bytes + 1))
    with pytest.raises(AccessDenied):
        await world.buckets.configure(BOB, "bucket", "cors", b"")


async def test_usage_is_exact(world: World) -> None:
    """Overwrites count once, deletions count back."""
    await world.put("a", b"12345")
    await world.put("a", b"123")
    await world.put("b", b"1")
    assert await world.buckets.usage(ALICE, "bucket") == Usage(4, 2)
    await world.objects.delete(ALICE, "bucket", "a")
    assert await world.buckets.usage(ALICE, "bucket") == Usage(1, 1)
