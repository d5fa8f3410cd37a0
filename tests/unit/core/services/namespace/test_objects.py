"""Objects: put, read, conditions, delete, copy. What must add up is checked after every test (conftest)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from noisefs.core.domain.records import Bucket, Usage, Version, decode, encode
from noisefs.core.domain.requests import Attributes, Digested, Doomed, ReadCondition, Removed, WriteCondition
from noisefs.core.errors import (
    AccessDenied,
    BucketNotFound,
    CommitConflict,
    DigestMismatch,
    EntityTooLarge,
    InvalidKey,
    KeyTooLong,
    NotModified,
    ObjectNotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    VersionNotFound,
)
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.namespace import ALICE, BOB, PLAIN, ROOT, World, stream

S = 131072
ATTRIBUTES = Attributes(
    content_type="text/plain",
    headers={"Cache-Control": "no-cache"},
    metadata={"colour": "grün"},
    storage_class="STANDARD_IA",
    sse="AES256",
)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 4096, S - 1, S, S + 1, 3 * S + 7])
async def test_what_was_put_is_read(world: World, size: int) -> None:
    data = bytes(i * 7 % 251 for i in range(size))
    version = await world.put("key", data)
    assert (version.size, version.etag) == (size, hashlib.md5(data).hexdigest())
    assert await world.read("key") == data


async def test_attributes_are_kept(world: World) -> None:
    await world.objects.put(ALICE, "bucket", "key", stream(b"x"), ATTRIBUTES)
    version = await world.objects.head(ALICE, "bucket", "key")
    assert version.content_type == "text/plain"
    assert version.headers == {"Cache-Control": "no-cache"}
    assert version.metadata == {"colour": "grün"}
    assert (version.storage_class, version.sse, version.owner) == ("STANDARD_IA", "AES256", ALICE.user_id)
    assert version.modified_us == world.clock.now_us()


async def test_a_given_modification_time_is_kept(world: World) -> None:
    version = await world.objects.put(
        ALICE, "bucket", "key", stream(b"x"), Attributes(modified_us=12_000_000, created_us=5_000_000)
    )
    assert (version.modified_us, version.created_us) == (12_000_000, 5_000_000)


async def test_an_administrators_object_belongs_to_the_buckets_owner(world: World) -> None:
    version = await world.objects.put(ROOT, "bucket", "key", stream(b"x"), PLAIN)
    assert version.owner == ALICE.user_id


async def test_checksums_that_the_verifier_returns_are_kept(world: World) -> None:
    def verify(digested: Digested) -> Mapping[str, str]:
        assert set(digested.digests) == {"MD5", "CRC32"}
        return {"CRC32": "abc="}

    version = await world.objects.put(ALICE, "bucket", "key", stream(b"x"), PLAIN, digests=("CRC32",), verify=verify)
    assert (version.checksums, version.checksum_type) == ({"CRC32": "abc="}, "FULL_OBJECT")


async def test_a_refused_body_leaves_the_old_version_and_no_trace(world: World) -> None:
    def refuse(digested: Digested) -> Mapping[str, str]:
        raise DigestMismatch("MD5")

    await world.put("key", b"old")
    with pytest.raises(DigestMismatch):
        await world.objects.put(ALICE, "bucket", "key", stream(b"n" * 3000), PLAIN, verify=refuse)
    assert await world.read("key") == b"old"
    assert len(world.rows(Table.BODIES)) == 1


async def test_a_cut_off_body_leaves_the_old_version_and_no_trace(world: World) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"n" * (S + 1)
        raise ConnectionResetError

    await world.put("key", b"old")
    with pytest.raises(ConnectionResetError):
        await world.objects.put(ALICE, "bucket", "key", broken(), PLAIN)
    assert await world.read("key") == b"old"
    assert len(world.rows(Table.BODIES)) == 1


async def test_the_later_commit_wins(world: World) -> None:
    await asyncio.gather(*(world.put("key", bytes([n]) * 2000) for n in range(20)))
    data = await world.read("key")
    assert data == data[:1] * 2000


async def test_one_of_many_creators_wins(world: World) -> None:
    """If-None-Match: * is compare-and-set, although all pass the early check."""
    only_new = WriteCondition(if_none_match=("*",))
    results = await asyncio.gather(
        *(world.put("key", bytes([n]), condition=only_new) for n in range(10)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, Version)]
    assert len(won) == 1
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 9
    assert (await world.objects.head(ALICE, "bucket", "key")).etag == won[0].etag


async def test_a_condition_is_checked_before_the_bytes_are_taken(world: World) -> None:
    async def untouchable() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    await world.put("key", b"old")
    for condition, error in (
        (WriteCondition(if_none_match=("*",)), PreconditionFailed),
        (WriteCondition(if_match=("other",)), PreconditionFailed),
    ):
        with pytest.raises(error):
            await world.objects.put(ALICE, "bucket", "key", untouchable(), PLAIN, condition=condition)
    with pytest.raises(ObjectNotFound):
        await world.objects.put(
            ALICE, "bucket", "none", untouchable(), PLAIN, condition=WriteCondition(if_match=("*",))
        )
    with pytest.raises(AccessDenied):
        await world.objects.put(BOB, "bucket", "key", untouchable(), PLAIN)


async def test_a_bucket_that_goes_meanwhile_takes_the_put_with_it(world: World) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await world.buckets.delete(ALICE, "bucket")
        await world.buckets.create(BOB, "bucket")

    with pytest.raises(AccessDenied):
        await world.objects.put(ALICE, "bucket", "key", slow(), PLAIN)
    assert world.rows(Table.BODIES) == []


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800"])
async def test_illegal_keys(world: World, key: str) -> None:
    with pytest.raises(InvalidKey):
        await world.put(key, b"")
    with pytest.raises(InvalidKey):
        await world.read(key)


async def test_long_keys(world: World) -> None:
    await world.put("ä" * 512, b"fits")
    assert await world.read("ä" * 512) == b"fits"
    with pytest.raises(KeyTooLong):
        await world.put("ä" * 512 + "x", b"")


async def test_objects_are_bounded() -> None:
    world = await World(limits=NamespaceLimits(max_object_bytes=10)).start()
    await world.put("key", b"0123456789")
    with pytest.raises(EntityTooLarge):
        await world.put("key", b"0123456789a")
    assert await world.read("key") == b"0123456789"
    world.check()


async def test_what_is_not_there(world: World) -> None:
    for call in (world.objects.head, world.objects.open):
        with pytest.raises(ObjectNotFound):
            await call(ALICE, "bucket", "none")
        with pytest.raises(BucketNotFound):
            await call(ALICE, "no-bucket", "none")
        with pytest.raises(AccessDenied):
            await call(BOB, "bucket", "none")


async def test_version_ids(world: World) -> None:
    await world.put("key", b"x")
    for good in (None, "", "null"):
        assert (await world.objects.head(ALICE, "bucket", "key", version_id=good)).size == 1
    for key in ("key", "none"):
        with pytest.raises(VersionNotFound):
            await world.objects.head(ALICE, "bucket", key, version_id="abc")


async def test_read_conditions(world: World) -> None:
    etag = (await world.put("key", b"x")).etag
    with pytest.raises(NotModified):
        await world.objects.open(ALICE, "bucket", "key", condition=ReadCondition(if_none_match=(etag,)))
    with pytest.raises(PreconditionFailed):
        await world.objects.head(ALICE, "bucket", "key", condition=ReadCondition(if_match=("x",)))


async def test_a_part_of_an_object(world: World) -> None:
    data = bytes(i % 251 for i in range(2 * S + 100))
    await world.put("key", data)
    async with await world.objects.open(
        ALICE, "bucket", "key", wanted=lambda version: (version.size - 200, version.size - 50)
    ) as opened:
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == data[-200:-50]
        assert b"".join([bytes(chunk) async for chunk in opened.chunks(opened.start + 1, opened.end)]) == data[-199:-50]


async def test_a_range_that_cannot_be_opens_nothing(world: World) -> None:
    def wanted(version: Version) -> tuple[int, int]:
        raise RangeNotSatisfiable(version.size)

    await world.put("key", b"x")
    with pytest.raises(RangeNotSatisfiable):
        await world.objects.open(ALICE, "bucket", "key", wanted=wanted)


async def test_an_open_object_is_readable_after_its_deletion(world: World) -> None:
    data = b"d" * (S + 5000)
    await world.put("key", data)
    async with await world.objects.open(ALICE, "bucket", "key") as opened:
        await world.objects.delete(ALICE, "bucket", "key")
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == data
    with pytest.raises(ObjectNotFound):
        await world.read("key")


async def test_delete_tells_whether_there_was_one(world: World) -> None:
    await world.put("key", b"x" * 2000)
    assert await world.objects.delete(ALICE, "bucket", "key") == Removed(existed=True)
    assert await world.objects.delete(ALICE, "bucket", "key") == Removed(existed=False)
    for table in (Table.OBJECTS, Table.BODIES, Table.TINY, Table.INLINE):
        assert world.rows(table) == []


async def test_delete_under_a_condition(world: World) -> None:
    etag = (await world.put("key", b"x")).etag
    with pytest.raises(PreconditionFailed):
        await world.objects.delete(ALICE, "bucket", "key", condition=WriteCondition(if_match=("other",)))
    assert await world.objects.delete(ALICE, "bucket", "key", condition=WriteCondition(if_match=(etag,)))
    with pytest.raises(ObjectNotFound):
        await world.objects.delete(ALICE, "bucket", "key", condition=WriteCondition(if_match=("*",)))


async def test_only_who_may_deletes(world: World) -> None:
    await world.put("key", b"x")
    with pytest.raises(AccessDenied):
        await world.objects.delete(BOB, "bucket", "key")
    with pytest.raises(AccessDenied):
        await world.objects.delete_many(BOB, "bucket", [Doomed("key")])
    assert await world.keys() == ["key"]


async def test_deleting_many_has_an_outcome_for_each(world: World) -> None:
    for number in range(5):
        await world.put(f"k{number}", b"x")
    outcomes = await world.objects.delete_many(
        ALICE,
        "bucket",
        [
            *(Doomed(key) for key in ["k0", "a\0b", "none", "k1", "k0"]),
            Doomed("k2", condition=WriteCondition(if_match=("other",))),
        ],
    )
    assert [type(outcome) for outcome in outcomes] == [
        Removed,
        InvalidKey,
        Removed,
        Removed,
        Removed,
        PreconditionFailed,
    ]
    assert await world.keys() == ["k2", "k3", "k4"]


async def test_deleting_more_than_one_commit_takes() -> None:
    world = await World(limits=NamespaceLimits(delete_batch=4)).start()
    keys = [f"k{number}" for number in range(10)]
    for key in keys:
        await world.put(key, b"x")
    before = world.index.sequence()
    outcomes = await world.objects.delete_many(ALICE, "bucket", [Doomed(key) for key in keys])
    assert outcomes == [Removed(existed=True)] * 10
    assert world.index.sequence() == before + 3
    assert await world.keys() == []
    world.check()


async def test_all_that_one_request_may_name_goes_in_one_commit() -> None:
    world = await World(limits=NamespaceLimits()).start()
    for number in range(1000):
        await world.put(f"k{number}")
    before = world.index.sequence()
    await world.objects.delete_many(ALICE, "bucket", [Doomed(f"k{number}") for number in range(1000)])
    assert world.index.sequence() == before + 1
    assert await world.keys() == []
    world.check()


async def test_a_copy_names_the_same_bytes(world: World) -> None:
    await world.objects.put(ALICE, "bucket", "a", stream(b"d" * 3000), ATTRIBUTES)
    world.clock.advance(10)
    copied, _ = await world.objects.copy(ALICE, "bucket", "a", "bucket", "b")
    source = await world.objects.head(ALICE, "bucket", "a")
    assert copied.modified_us == source.modified_us + 10_000_000
    assert (copied.etag, copied.metadata, copied.extents) == (source.etag, source.metadata, source.extents)
    assert len(world.rows(Table.BODIES)) == 1
    await world.objects.delete(ALICE, "bucket", "a")
    assert await world.read("b") == b"d" * 3000


async def test_a_copy_may_replace_attributes(world: World) -> None:
    await world.objects.put(ALICE, "bucket", "a", stream(b"d"), ATTRIBUTES)
    copied, _ = await world.objects.copy(
        ALICE, "bucket", "a", "bucket", "b", attributes=Attributes(content_type="x/y", metadata={"n": "1"})
    )
    assert (copied.content_type, copied.metadata, copied.headers) == ("x/y", {"n": "1"}, {})


async def test_a_copy_onto_itself_keeps_the_data(world: World) -> None:
    await world.put("a", b"d" * 3000)
    copied, _ = await world.objects.copy(ALICE, "bucket", "a", "bucket", "a", attributes=Attributes(content_type="x/y"))
    assert copied.content_type == "x/y"
    assert await world.read("a") == b"d" * 3000


async def test_a_copy_replaces_what_was_there(world: World) -> None:
    await world.put("a", b"d" * 3000)
    await world.put("b", b"e" * 2000)
    await world.objects.copy(ALICE, "bucket", "a", "bucket", "b")
    assert await world.read("b") == b"d" * 3000
    assert await world.buckets.usage(ALICE, "bucket") == Usage(6000, 2)
    assert len(world.rows(Table.BODIES)) == 1


async def test_a_copy_between_owners(world: World) -> None:
    """Who copies must have both; the copy belongs to the target's owner and outlives the source."""
    await world.buckets.create(BOB, "bobs")
    await world.put("a", b"d" * 2000)
    for who, source, target in ((ALICE, "bucket", "bobs"), (BOB, "bucket", "bobs"), (ALICE, "bobs", "bucket")):
        with pytest.raises(AccessDenied):
            await world.objects.copy(who, source, "a", target, "a")
    copied, _ = await world.objects.copy(ROOT, "bucket", "a", "bobs", "a")
    assert copied.owner == BOB.user_id
    await world.objects.delete(ALICE, "bucket", "a")
    assert await world.read("a", "bobs", BOB) == b"d" * 2000


async def test_copy_conditions(world: World) -> None:
    etag = (await world.put("a", b"d")).etag
    await world.put("b", b"e")
    for source_condition, condition in (
        (ReadCondition(if_none_match=(etag,)), WriteCondition()),
        (ReadCondition(if_match=("x",)), WriteCondition()),
        (ReadCondition(), WriteCondition(if_none_match=("*",))),
    ):
        with pytest.raises(PreconditionFailed):
            await world.objects.copy(
                ALICE, "bucket", "a", "bucket", "b", source_condition=source_condition, condition=condition
            )
    with pytest.raises(ObjectNotFound):
        await world.objects.copy(ALICE, "bucket", "none", "bucket", "b")
    assert await world.read("b") == b"e"


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 16384])
async def test_a_small_body_at_hand_is_stored_without_a_task(world: World, size: int) -> None:
    """Its future has what a put returns."""
    data = bytes(i * 7 % 251 for i in range(size))
    done = world.objects.put_small(ALICE, "bucket", "key", data, ATTRIBUTES)
    assert done is not None
    version = await done
    assert (version.size, version.etag) == (size, hashlib.md5(data).hexdigest())
    assert version.metadata == {"colour": "grün"}
    assert await world.read("key") == data
    assert (await world.objects.begin_delete(ALICE, "bucket", "key")).existed
    assert not (await world.objects.begin_delete(ALICE, "bucket", "key")).existed


async def test_what_a_small_body_would_have_to_wait_for_is_told(world: World) -> None:
    """Nothing is written then."""
    assert world.objects.put_small(ALICE, "bucket", "key", bytes(16385), PLAIN) is None
    world.store.gate.grant(0)
    assert world.objects.put_small(ALICE, "bucket", "key", b"x", PLAIN) is None
    world.store.gate.grant(None)
    with pytest.raises(InvalidKey):
        world.objects.put_small(ALICE, "bucket", "\0", b"x", PLAIN)
    with pytest.raises(ObjectNotFound):
        await world.objects.head(ALICE, "bucket", "key")


async def test_a_small_write_that_is_refused_writes_nothing(world: World) -> None:
    """Conditions are checked in the commit, as for others."""
    await world.put("key", b"old")
    for bucket, condition, error in (
        ("bucket", WriteCondition(if_none_match=("*",)), PreconditionFailed),
        ("none", WriteCondition(), BucketNotFound),
    ):
        done = world.objects.put_small(ALICE, bucket, "key", b"new", PLAIN, condition=condition)
        assert done is not None
        with pytest.raises(error):
            await done
    with pytest.raises(AccessDenied):
        await world.objects.begin_delete(BOB, "bucket", "key")
    assert await world.read("key") == b"old"


async def test_a_small_write_that_would_wait_for_nodes_is_not_begun(world: World) -> None:
    """Somebody has to wait for them: the ordinary way does."""

    def raise_class(tx: Writing) -> None:
        row = decode(Bucket, tx.get(Table.BUCKETS, b"bucket") or b"")
        tx.put(Table.BUCKETS, b"bucket", encode(msgspec.structs.replace(row, durability="ipfs")))

    await world.put("key", b"old")
    world.index.transact([raise_class])
    done = world.objects.put_small(ALICE, "bucket", "key", b"new", PLAIN)
    assert done is not None
    with pytest.raises(CommitConflict):
        await done
    with pytest.raises(CommitConflict):
        await world.objects.begin_delete(ALICE, "bucket", "key")
    assert await world.read("key") == b"old"
