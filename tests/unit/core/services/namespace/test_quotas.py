"""Quotas: exact however many write at once, and never in the way of what shrinks."""

import asyncio
from collections.abc import Awaitable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Usage
from noisefs.core.domain.requests import CompletedPart
from noisefs.core.errors import AccessDenied, BucketNotFound, InvalidArgument, QuotaExceeded, UserNotFound
from noisefs.core.services.namespace.rows import usage
from tests.support.namespace import ALICE, PLAIN, ROOT, World, stream

SIZES = st.integers(0, 60)


def held(world: World, bucket: str = "bucket") -> Usage:
    """The bucket's counters."""
    return world.store.quotas.of_bucket(ROOT, bucket)


async def limit(world: World, size: int | None = None, objects: int | None = None) -> None:
    """Limit the bucket."""
    await world.store.quotas.set_bucket(ROOT, "bucket", max_bytes=size, max_objects=objects)


async def count(tries: list[Awaitable[object]]) -> int:
    """How many of the writes that are sent at once are taken; the others find the quota used up."""
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, QuotaExceeded) for one in outcomes if isinstance(one, BaseException)), outcomes
    return sum(not isinstance(one, BaseException) for one in outcomes)


async def test_of_many_writes_at_once_exactly_as_many_are_taken_as_fit(world: World) -> None:
    await limit(world, size=1000)
    assert await count([world.put(f"k{number}", b"x" * 90) for number in range(50)]) == 11
    assert (held(world).bytes, held(world).objects) == (990, 11)
    await world.put("last", b"x" * 10)
    with pytest.raises(QuotaExceeded):
        await world.put("more", b"x")
    assert "more" not in await world.keys()


async def test_objects_are_counted_too(world: World) -> None:
    await limit(world, objects=7)
    assert await count([world.put(f"k{number}") for number in range(20)]) == 7
    await world.put((await world.keys())[0], b"larger, not more")


async def test_what_shrinks_is_taken_above_the_quota(world: World) -> None:
    await world.put("a", b"x" * 100)
    await world.put("b", b"x" * 100)
    await limit(world, size=50, objects=1)
    await world.put("a", b"x" * 99)
    with pytest.raises(QuotaExceeded):
        await world.put("a", b"x" * 100)
    await world.objects.delete(ALICE, "bucket", "b")
    with pytest.raises(QuotaExceeded):
        await world.put("c")
    assert (held(world).bytes, held(world).objects) == (99, 1)
    await limit(world, size=0, objects=0)
    await world.put("c", b"x" * 1000)


async def test_copies_and_completed_uploads_count_and_open_ones_do_not(world: World) -> None:
    await world.put("a", b"x" * 60)
    await limit(world, size=100)
    with pytest.raises(QuotaExceeded):
        await world.objects.copy(ALICE, "bucket", "a", "bucket", "b")
    uploads = [await world.uploads.create(ALICE, "bucket", f"u{number}", PLAIN) for number in range(3)]
    parts = [
        await world.uploads.put_part(ALICE, "bucket", f"u{number}", upload, 1, stream(b"x" * 20))
        for number, upload in enumerate(uploads)
    ]
    assert held(world).bytes == 60
    completes: list[Awaitable[object]] = [
        world.uploads.complete(ALICE, "bucket", f"u{number}", upload, [CompletedPart(1, part.md5.hex())])
        for number, (upload, part) in enumerate(zip(uploads, parts, strict=True))
    ]
    assert await count(completes) == 2
    assert held(world).bytes == 100
    upload = await world.uploads.create(ALICE, "bucket", "v", PLAIN)
    with pytest.raises(QuotaExceeded):
        await world.uploads.put_part(ALICE, "bucket", "v", upload, 1, stream(b"x"))


async def test_a_quota_of_a_user_is_over_all_their_buckets(world: World) -> None:
    await world.accounts.add_user("someone")
    someone = await world.accounts.principal_of_name("someone")
    for name in ("one", "two"):
        await world.buckets.create(someone, name)
    await world.store.quotas.set_user(ROOT, "someone", max_bytes=100)
    tries: list[Awaitable[object]] = [
        world.objects.put(someone, bucket, str(number), stream(b"x" * 30), PLAIN)
        for number in range(4)
        for bucket in ("one", "two")
    ]
    assert await count(tries) == 3
    assert world.store.quotas.of_user(ROOT, "someone") == Usage(90, 3, 100, 0)
    source = "one" if await world.keys("one") else "two"
    target = "two" if source == "one" else "one"
    key = (await world.keys(source))[0]
    await world.trees.move(someone, source, key, target, "moved", overwrite=True)
    assert world.store.quotas.of_user(ROOT, "someone").bytes == 90


async def test_only_administrators_set_them_and_only_of_what_is_there(world: World) -> None:
    quotas = world.store.quotas
    with pytest.raises(AccessDenied):
        await quotas.set_bucket(ALICE, "bucket", max_bytes=1)
    with pytest.raises(BucketNotFound):
        await quotas.set_bucket(ROOT, "none", max_bytes=1)
    with pytest.raises(UserNotFound):
        await quotas.set_user(ROOT, "none", max_bytes=1)
    with pytest.raises(InvalidArgument):
        await quotas.set_bucket(ROOT, "bucket", max_bytes=-1)


async def test_a_counter_of_before_quotas_is_read(world: World) -> None:
    await world.put("k", b"x" * 5)
    row = await world.buckets.get(ALICE, "bucket")
    raw = world.index.read(lambda tx: usage.of(tx, keyspace.bucket_usage_key(row.bucket_id)))
    assert raw == Usage(5, 1)


Act = tuple[str, str, int]
_ACTS: st.SearchStrategy[list[Act]] = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "copy", "bytes", "objects"]), st.sampled_from("abcd"), SIZES),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(_ACTS)
def test_writes_are_refused_exactly_when_they_grow_beyond_the_quota(acts: list[Act]) -> None:
    """Against a model of three lines: a dictionary of sizes, and two numbers."""
    asyncio.run(_follow(acts))


async def _follow(acts: list[Act]) -> None:
    world = await World().start()
    sizes: dict[str, int] = {}
    most = {"bytes": 0, "objects": 0}
    for kind, key, number in acts:
        after = dict(sizes)
        if kind in most:
            most[kind] = number
            await limit(world, size=most["bytes"], objects=most["objects"])
            continue
        if kind == "delete":
            after.pop(key, None)
            act: Awaitable[object] = world.objects.delete(ALICE, "bucket", key)
        elif kind == "put":
            after[key] = number
            act = world.put(key, b"x" * number)
        elif "a" in sizes:
            after[key] = sizes["a"]
            act = world.objects.copy(ALICE, "bucket", "a", "bucket", key)
        else:
            continue
        grown, more = sum(after.values()) - sum(sizes.values()), len(after) - len(sizes)
        too_large = grown > 0 and 0 < most["bytes"] < sum(after.values())
        too_many = more > 0 and 0 < most["objects"] < len(after)
        if too_large or too_many:
            with pytest.raises(QuotaExceeded):
                await act
        else:
            await act
            sizes = after
        assert (held(world).bytes, held(world).objects) == (sum(sizes.values()), len(sizes))
    world.check()
    await world.close()
