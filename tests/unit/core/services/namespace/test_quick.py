"""Quick reads: what is at hand, within their bound, and nothing that was true before."""

import pytest

from noisefs.core.domain.records import Version
from noisefs.core.errors import AccessDenied, BucketNotFound, InvalidKey, ObjectNotFound
from tests.support.namespace import ALICE, BOB, World

S = 131072
MOST = 1 << 20


def data_of(world: World, key: str, most_bytes: int = MOST) -> bytes | None:
    """What a quick read gives."""
    read = world.objects.quick.read(ALICE, "bucket", key, None, most_bytes)
    return None if read is None else bytes(read.data)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, S - 1, S, 2 * S])
async def test_a_small_object_is_read_without_a_lane(world: World, size: int) -> None:
    """Once by way of the index, and again from memory."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    await world.put("key", data)
    for _ in range(3):
        found = data_of(world, "key")
        if found is None:  # its cells are in a pack: the first reader who waits brings them
            assert size >= S
            assert await world.read("key") == data
        else:
            assert found == data
    assert data_of(world, "key") == data


async def test_what_is_longer_than_asked_for_is_not_read(world: World) -> None:
    """Whoever answers with it wants to watch the client take it."""
    await world.put("key", b"x" * 100)
    for _ in range(2):
        assert data_of(world, "key", 99) is None
        assert data_of(world, "key", 100) == b"x" * 100


async def test_a_range_is_all_that_is_read(world: World) -> None:
    """And what a range is refused with comes through."""

    def wanted(version: Version) -> tuple[int, int]:
        if version.size < 50:
            raise InvalidKey("range", "10-20", "within the object")
        return 10, 20

    await world.put("key", bytes(range(100)))
    for _ in range(2):
        read = world.objects.quick.read(ALICE, "bucket", "key", wanted, 10)
        assert read is not None
        assert (read.start, read.end, bytes(read.data)) == (10, 20, bytes(range(10, 20)))
    await world.put("key", b"short")
    with pytest.raises(InvalidKey):
        world.objects.quick.read(ALICE, "bucket", "key", wanted, 10)


async def test_every_change_is_seen_by_the_next_read(world: World) -> None:
    """Of the object, of its bucket, and of who may use it."""
    quick = world.objects.quick
    for data in (b"one", b"two"):
        await world.put("key", data)
        assert data_of(world, "key") == data
        assert quick.look(ALICE, "bucket", "key").size == 3
    with pytest.raises(AccessDenied):
        quick.look(BOB, "bucket", "key")
    await world.objects.delete(ALICE, "bucket", "key")
    for _ in range(2):
        with pytest.raises(ObjectNotFound):
            data_of(world, "key")
    await world.buckets.delete(ALICE, "bucket")
    for _ in range(2):
        with pytest.raises(BucketNotFound):
            data_of(world, "key")
    await world.buckets.create(BOB, "bucket")
    with pytest.raises(AccessDenied):
        data_of(world, "key")
    await world.buckets.delete(BOB, "bucket")
    await world.buckets.create(ALICE, "bucket")
