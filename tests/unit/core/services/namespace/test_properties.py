"""Dead properties: by resource, bounded, and gone with what they belong to."""

import pytest

from noisefs.core.domain.requests import Doomed
from noisefs.core.errors import AccessDenied, EntityTooLarge, InvalidArgument, TooMany
from noisefs.core.ports.index import Table
from tests.support.namespace import ALICE, BOB, LIMITS, World

A, B = "{http://example.com/}a", "{http://example.com/}b"


async def test_properties_belong_to_one_resource(world: World) -> None:
    await world.properties.update(ALICE, "bucket", "key", {A: b"1", B: b"2"})
    await world.properties.update(ALICE, "bucket", "key/", {A: b"3"})
    await world.properties.update(ALICE, "bucket", "", {A: b"4"})
    assert await world.properties.get_all(ALICE, "bucket", "key") == {A: b"1", B: b"2"}
    assert await world.properties.get_all(ALICE, "bucket", "key/") == {A: b"3"}
    assert await world.properties.get_all(ALICE, "bucket", "") == {A: b"4"}
    assert await world.properties.get_all(ALICE, "bucket", "ke") == {}


@pytest.mark.parametrize("names", [1, LIMITS.max_properties])
async def test_many_resources_are_asked_for_at_once(world: World, names: int) -> None:
    """Each its own, however many rows lie between them; one read transaction."""
    noted = {f"{{x}}{number}": b"%d" % number for number in range(names)}
    members = ["a", "a/", "b", "c/", *(f"f{number}" for number in range(40)), "z"]
    for key in ["", *members, *(f"c/{number}" for number in range(300))]:
        await world.properties.update(
            ALICE, "bucket", key, {name: key.encode() + value for name, value in noted.items()}
        )
    wanted = [*members, "b-", "a!", "zz", "c"]
    found = await world.properties.get_many(ALICE, "bucket", wanted)
    assert found == {key: await world.properties.get_all(ALICE, "bucket", key) for key in members}
    assert await world.properties.get_many(ALICE, "bucket", ["", "c/7"]) == {
        key: await world.properties.get_all(ALICE, "bucket", key) for key in ("", "c/7")
    }
    assert await world.properties.get_many(ALICE, "bucket", []) == {}
    with pytest.raises(AccessDenied):
        await world.properties.get_many(BOB, "bucket", ["a"])


async def test_several_changes_are_one(world: World) -> None:
    await world.properties.update(ALICE, "bucket", "key", {A: b"1"})
    await world.properties.update(ALICE, "bucket", "key", {A: None, B: b"2", "{x}none": None})
    assert await world.properties.get_all(ALICE, "bucket", "key") == {B: b"2"}
    with pytest.raises(EntityTooLarge):
        await world.properties.update(ALICE, "bucket", "key", {B: None, A: b"x" * LIMITS.max_property_bytes})
    assert await world.properties.get_all(ALICE, "bucket", "key") == {B: b"2"}


async def test_a_resource_has_a_maximum(world: World) -> None:
    await world.properties.update(ALICE, "bucket", "key", {f"{{x}}{n}": b"" for n in range(LIMITS.max_properties)})
    with pytest.raises(TooMany):
        await world.properties.update(ALICE, "bucket", "key", {A: b""})
    await world.properties.update(ALICE, "bucket", "key", {"{x}0": None, A: b""})
    assert A in await world.properties.get_all(ALICE, "bucket", "key")


@pytest.mark.parametrize("name", ["", "a\0b"])
async def test_names_that_cannot_be_kept(world: World, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await world.properties.update(ALICE, "bucket", "key", {name: b""})


async def test_who_may(world: World) -> None:
    with pytest.raises(AccessDenied):
        await world.properties.update(BOB, "bucket", "key", {A: b""})
    with pytest.raises(AccessDenied):
        await world.properties.get_all(BOB, "bucket", "key")


async def test_an_overwrite_keeps_them_and_a_deletion_takes_them(world: World) -> None:
    """Also one through S3: a new object of the name must not inherit them."""
    await world.put("key", b"1")
    await world.properties.update(ALICE, "bucket", "key", {A: b"1"})
    await world.put("key", b"2")
    assert await world.properties.get_all(ALICE, "bucket", "key") == {A: b"1"}
    await world.objects.delete(ALICE, "bucket", "key")
    assert world.rows(Table.PROPERTIES) == []
    await world.put("key", b"3")
    await world.properties.update(ALICE, "bucket", "key", {A: b"1"})
    await world.objects.delete_many(ALICE, "bucket", [Doomed("key")])
    assert world.rows(Table.PROPERTIES) == []
