"""Uploads in named chunks. References and counters are checked after every test (conftest)."""

import hashlib

import pytest

from noisefs.core.domain import keyspace
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.requests import Attributes, Digested, Principal, WriteCondition
from noisefs.core.errors import (
    AccessDenied,
    BucketNotFound,
    DigestMismatch,
    InvalidArgument,
    PreconditionFailed,
    QuotaExceeded,
    UploadNotFound,
)
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.namespace.rows import usage
from tests.support.namespace import ALICE, BOB, PLAIN, World, stream

S = 131072


async def begun(world: World, chunks: dict[str, bytes], name: str = "up", who: Principal = ALICE) -> None:
    """An upload with these chunks, sent in this order."""
    assert await world.store.chunked.begin(who, name)
    for chunk, data in chunks.items():
        await world.store.chunked.put_chunk(who, name, chunk, stream(data))


async def test_chunks_are_joined_in_the_order_of_their_names(world: World) -> None:
    """Numbers count as such, in whichever order they came; no byte is moved."""
    chunks = {"10": b"c" * 5, "2": b"b" * S, "1": b"a" * (S + 7)}
    await begun(world, chunks)
    bodies = world.rows(Table.BODIES)
    shown = [(chunk.name, chunk.size) for chunk in await world.store.chunked.chunks(ALICE, "up")]
    assert shown == [("1", S + 7), ("2", S), ("10", 5)]
    version = await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN, expected_size=2 * S + 12)
    assert await world.read("key") == chunks["1"] + chunks["2"] + chunks["10"]
    assert version.parts_count == 3
    assert [key for key, _ in world.rows(Table.BODIES)] == [key for key, _ in bodies]
    with pytest.raises(UploadNotFound):
        await world.store.chunked.chunks(ALICE, "up")


async def test_offsets_as_names(world: World) -> None:
    """As rclone has them."""
    await begun(world, {f"{5:015}-{9:015}": b"world", f"{0:015}-{4:015}": b"hello"})
    await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert await world.read("key") == b"helloworld"


async def test_a_chunk_that_comes_again_replaces_the_first_one(world: World) -> None:
    """The other one is let go of."""
    await begun(world, {"1": b"x" * S, "2": b"y"})
    await world.store.chunked.put_chunk(ALICE, "up", "1", stream(b"z"))
    assert [chunk.size for chunk in await world.store.chunked.chunks(ALICE, "up")] == [1, 1]
    await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert await world.read("key") == b"zy"


async def test_a_chunk_may_be_dropped(world: World) -> None:
    """All of that name."""
    await begun(world, {"1": b"x", "2": b"y"})
    await world.store.chunked.put_chunk(ALICE, "up", "1", stream(b"z"))
    assert await world.store.chunked.drop_chunk(ALICE, "up", "1")
    assert not await world.store.chunked.drop_chunk(ALICE, "up", "1")
    await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert await world.read("key") == b"y"


async def test_more_chunks_than_fit_a_row(world: World) -> None:
    """They get a layout of their own."""
    await begun(world, {str(number): bytes([number % 251]) * 3 for number in range(80)})
    version = await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert version.layout is not None
    assert await world.read("key") == b"".join(bytes([number % 251]) * 3 for number in range(80))


async def test_what_goes_wrong_leaves_everything_as_it_was(world: World) -> None:
    """The old version, and the upload, so that the client may try once more."""
    await world.put("key", b"old")
    await begun(world, {"1": b"new"})
    publish = world.store.chunked.publish

    def refuse(_tx: Reading, _bucket: Bucket, _old: object) -> Attributes:
        raise AccessDenied("no")

    def mismatch(digested: Digested) -> dict[str, str]:
        assert digested.digests["SHA1"] == hashlib.sha1(b"new").digest()
        raise DigestMismatch("SHA1")

    with pytest.raises(InvalidArgument):
        await publish(ALICE, "up", "bucket", "key", PLAIN, expected_size=4)
    with pytest.raises(PreconditionFailed):
        await publish(ALICE, "up", "bucket", "key", PLAIN, condition=WriteCondition(if_none_match=("*",)))
    with pytest.raises(BucketNotFound):
        await publish(ALICE, "up", "none", "key", PLAIN)
    with pytest.raises(AccessDenied):
        await publish(ALICE, "up", "bucket", "key", refuse)
    with pytest.raises(DigestMismatch):
        await publish(ALICE, "up", "bucket", "key", PLAIN, digests=("SHA1",), verify=mismatch)
    assert await world.read("key") == b"old"
    await publish(ALICE, "up", "bucket", "key", PLAIN, verify=lambda found: {"SHA1": "x"} if found.size == 3 else {})
    assert await world.read("key") == b"new"
    assert (await world.objects.head(ALICE, "bucket", "key")).checksums == {"SHA1": "x"}


async def test_an_empty_upload_makes_nothing(world: World) -> None:
    """It has no chunk."""
    await begun(world, {})
    with pytest.raises(InvalidArgument):
        await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)


async def test_names_belong_to_users(world: World) -> None:
    """Another user's upload of the same name is another one, and a name is taken once."""
    await begun(world, {"1": b"a"})
    assert not await world.store.chunked.begin(ALICE, "up")
    with pytest.raises(UploadNotFound):
        await world.store.chunked.chunks(BOB, "up")
    await begun(world, {"1": b"b"}, who=BOB)
    with pytest.raises(UploadNotFound):
        await world.store.chunked.chunks(ALICE, "u")
    await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert await world.read("key") == b"a"
    with pytest.raises(AccessDenied):
        await world.store.chunked.publish(BOB, "up", "bucket", "key", PLAIN)


async def test_an_upload_is_forgotten(world: World) -> None:
    """By its client, or when it is old."""
    await begun(world, {"1": b"a" * S})
    await world.store.chunked.abort(ALICE, "up")
    assert not world.rows(Table.PARTS)
    await begun(world, {"1": b"a" * S})
    world.clock.advance(world.limits.upload_expiry_s + 1)
    assert await world.uploads.expire() == 1
    assert not world.rows(Table.PARTS)
    with pytest.raises(UploadNotFound):
        await world.store.chunked.abort(ALICE, "up")


async def test_a_chunk_of_an_upload_that_ended_meanwhile(world: World) -> None:
    """It is refused, also when a new upload has the name."""

    async def slow() -> object:
        yield b"a" * S
        await world.store.chunked.abort(ALICE, "up")
        await world.store.chunked.begin(ALICE, "up")
        yield b"b"

    await begun(world, {})
    with pytest.raises(UploadNotFound):
        await world.store.chunked.put_chunk(ALICE, "up", "1", slow())  # type: ignore[arg-type]  # a generator
    assert not await world.store.chunked.chunks(ALICE, "up")


async def test_quotas(world: World) -> None:
    """A chunk that cannot fit where it is to go is refused at once, chunks that do not fit together when they are
    joined; the user's own quota has no say in somebody else's bucket.
    """
    await world.put("other", b"12345678")
    await world.store.commits.run(
        lambda tx: usage.limit(tx, keyspace.user_usage_key(ALICE.user_id), max_bytes=20, max_objects=None)
    )
    await begun(world, {"1": b"1234567", "2": b"1234567"})
    with pytest.raises(QuotaExceeded):
        await world.store.chunked.put_chunk(
            ALICE, "up", "3", stream(b"1234567890123"), bucket="bucket", declared_bytes=13
        )
    await world.store.chunked.put_chunk(ALICE, "up", "3", stream(b"1234567890123"))
    with pytest.raises(QuotaExceeded):
        await world.store.chunked.publish(ALICE, "up", "bucket", "key", PLAIN)
    assert await world.keys() == ["other"]
