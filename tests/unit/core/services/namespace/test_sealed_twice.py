"""Objects sealed twice: whose key it takes, in parts and ranges, and what carries on without it."""

import hashlib

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.requests import CompletedPart, Digested
from noisefs.core.domain.sealing.inner import CUSTOMER, OuterKey
from noisefs.core.errors import (
    CustomerKeyNeeded,
    CustomerKeyUnwanted,
    InvalidArgument,
    NamedKeyExists,
    NamedKeyNotFound,
    WrongCustomerKey,
)
from tests.support.namespace import ALICE, PLAIN, World, stream

KEY = OuterKey(CUSTOMER, b"c" * 32)
OTHER = b"d" * 32
S = Geometry().segment_bytes
P = S - 16


def pattern(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"twice").digest(size)


async def read(world: World, key: str, customer_key: bytes | None, start: int = 0, end: int | None = None) -> bytes:
    """A range of an object."""
    opening = await world.objects.open(
        ALICE,
        "bucket",
        key,
        wanted=lambda version: (start, version.size if end is None else end),
        customer_key=customer_key,
    )
    async with opening as opened:
        return b"".join([bytes(chunk) async for chunk in opened.chunks()])


@pytest.mark.parametrize("size", [0, 1, P, S, 9 * P + 5])
async def test_an_object_takes_its_customers_key(world: World, size: int) -> None:
    """Its size is that of the plaintext; without the key, or with another, nothing is told."""
    data = pattern(size)
    seen: list[Digested] = []

    def noted(digested: Digested) -> dict[str, str]:
        seen.append(digested)
        return {}

    version = await world.objects.put(
        ALICE, "bucket", "k", stream(data), PLAIN, outer=KEY, digests=("SHA256",), verify=noted
    )
    assert version.size == size == seen[0].size
    assert seen[0].digests["SHA256"] == hashlib.sha256(data).digest()
    assert await read(world, "k", KEY.key) == data
    assert await read(world, "k", KEY.key, size // 3, size // 2) == data[size // 3 : size // 2]
    with pytest.raises(CustomerKeyNeeded):
        await world.read("k")
    with pytest.raises(CustomerKeyNeeded):
        world.objects.quick.look(ALICE, "bucket", "k")
    with pytest.raises(WrongCustomerKey):
        await read(world, "k", OTHER)
    await world.put("plain", b"x")
    with pytest.raises(CustomerKeyUnwanted):
        await read(world, "plain", KEY.key)
    if size:
        assert version.etag != hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("count", [2, 12])
async def test_parts_are_sealed_with_the_uploads_key(world: World, count: int) -> None:
    """Each in a stream of its own; also when there are so many that they have a layout."""
    upload_id = await world.uploads.create(ALICE, "bucket", "k", PLAIN, outer=KEY)
    pieces = [pattern(P + number) for number in range(count)]
    named = []
    for number, data in enumerate(pieces, start=1):
        for bad, error in ((None, CustomerKeyNeeded), (OTHER, WrongCustomerKey)):
            with pytest.raises(error):
                await world.uploads.put_part(ALICE, "bucket", "k", upload_id, number, stream(data), customer_key=bad)
        part = await world.uploads.put_part(ALICE, "bucket", "k", upload_id, number, stream(data), customer_key=KEY.key)
        named.append(CompletedPart(number, part.md5.hex()))
    version = await world.uploads.complete(ALICE, "bucket", "k", upload_id, named)
    whole = b"".join(pieces)
    assert version.size == len(whole)
    assert await read(world, "k", KEY.key) == whole
    for start, end in ((P - 1, P + 1), (P, len(whole)), (len(whole) - 3, len(whole))):
        assert await read(world, "k", KEY.key, start, end) == whole[start:end]


async def test_a_copy_and_a_move_keep_the_seal(world: World) -> None:
    """No key is needed to give the bytes another name."""
    await world.objects.put(ALICE, "bucket", "k", stream(b"data"), PLAIN, outer=KEY)
    await world.objects.copy(ALICE, "bucket", "k", "bucket", "copy")
    await world.trees.move(ALICE, "bucket", "k", "bucket", "moved", overwrite=False)
    for key in ("copy", "moved"):
        assert await read(world, key, KEY.key) == b"data"


async def test_parts_of_sealed_objects_are_not_shared(world: World) -> None:
    """Their bytes belong to another stream."""
    await world.objects.put(ALICE, "bucket", "k", stream(b"data"), PLAIN, outer=KEY)
    upload_id = await world.uploads.create(ALICE, "bucket", "to", PLAIN)
    with pytest.raises(InvalidArgument):
        await world.uploads.copy_part(ALICE, "bucket", "to", upload_id, 1, "bucket", "k")


async def test_named_keys(world: World) -> None:
    """Made once, found by name, and nobody who reads needs to know them."""
    keys = world.store.named_keys
    with pytest.raises(NamedKeyNotFound):
        world.objects.named_key("first")
    await keys.add("first")
    with pytest.raises(NamedKeyExists):
        await keys.add("first")
    await keys.add("first", anew=False)
    with pytest.raises(InvalidArgument):
        await keys.add("no spaces")
    await keys.add("second")
    assert [name for name, _ in await keys.list()] == ["first", "second"]
    assert keys.get("first") != keys.get("second")
    version = await world.objects.put(
        ALICE, "bucket", "k", stream(b"data"), PLAIN, outer=world.objects.named_key("first")
    )
    assert version.inner is not None
    assert version.inner.key_name == "first"
    assert await world.read("k") == b"data"
