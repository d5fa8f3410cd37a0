"""Trees: collections made, removed, moved and copied in one commit, with what belongs to them."""

import pytest

from noisefs.core.domain.keyspace import object_key
from noisefs.core.domain.records import Usage, encode
from noisefs.core.domain.requests import CompletedPart
from noisefs.core.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidKey,
    KeyTooLong,
    ObjectNotFound,
    PreconditionFailed,
)
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.namespace.objects import publishing
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import usage
from tests.support.namespace import ALICE, BOB, PLAIN, ROOT, World, stream

P = "{http://example.com/}p"


async def fill(world: World, *keys: str, bucket: str = "bucket") -> None:
    for key in keys:
        await world.put(key, key.encode() * 300, bucket)


async def move(world: World, source: str, target: str, *, overwrite: bool = False, to: str = "bucket") -> bool:
    return await world.trees.move(ALICE, "bucket", source, to, target, overwrite=overwrite)


async def copy(
    world: World, source: str, target: str, *, overwrite: bool = False, recursive: bool = True, to: str = "bucket"
) -> bool:
    return await world.trees.copy(ALICE, "bucket", source, to, target, overwrite=overwrite, recursive=recursive)


async def note(world: World, key: str, value: bytes, bucket: str = "bucket") -> None:
    await world.properties.update(ALICE, bucket, key, {P: value})


async def noted(world: World, key: str, bucket: str = "bucket") -> bytes | None:
    return (await world.properties.get_all(ALICE, bucket, key)).get(P)


async def test_an_empty_collection_is_a_marker(world: World) -> None:
    await world.trees.make(ALICE, "bucket", "a/")
    version = await world.objects.head(ALICE, "bucket", "a/")
    assert (version.size, version.etag) == (0, "d41d8cd98f00b204e9800998ecf8427e")
    await world.trees.make(ALICE, "bucket", "a/")
    await fill(world, "b/x")
    await world.trees.make(ALICE, "bucket", "b/")
    assert await world.keys() == ["a/", "b/x"]


@pytest.mark.parametrize(("prefix", "error"), [("", InvalidArgument), ("a", InvalidArgument), ("a\0/", InvalidKey)])
async def test_prefixes_that_are_no_collection(world: World, prefix: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await world.trees.make(ALICE, "bucket", prefix)


async def test_deleting_a_tree_takes_all_below(world: World) -> None:
    await fill(world, "a", "a/", "a/b", "a/b/c", "a-b", "b")
    for key in ("a", "a/", "a/b"):
        await note(world, key, b"1")
    before = world.index.sequence()
    assert await world.trees.delete(ALICE, "bucket", "a/") == 3
    assert world.index.sequence() == before + 1
    assert await world.keys() == ["a", "a-b", "b"]
    assert len(world.rows(Table.PROPERTIES)) == 1
    assert await world.trees.delete(ALICE, "bucket", "a/") == 0


async def test_deleting_the_bucket_s_content_keeps_the_bucket_s_properties(world: World) -> None:
    await fill(world, "a", "b/c")
    await note(world, "", b"1")
    await note(world, "a", b"2")
    assert await world.trees.delete(ALICE, "bucket", "") == 2
    assert await world.keys() == []
    assert await noted(world, "") == b"1"
    assert len(world.rows(Table.PROPERTIES)) == 1


async def test_the_last_member_leaves_a_marker(world: World) -> None:
    await fill(world, "a/b/c", "a/d")
    assert await world.trees.delete_object(ALICE, "bucket", "a/b/c") is True
    assert await world.keys() == ["a/b/", "a/d"]
    assert await world.trees.delete(ALICE, "bucket", "a/b/") == 1
    assert await world.keys() == ["a/d"]
    assert await world.trees.delete_object(ALICE, "bucket", "a/d") is True
    assert await world.keys() == ["a/"]
    assert await world.trees.delete(ALICE, "bucket", "a/") == 1
    assert await world.keys() == []
    assert await world.trees.delete_object(ALICE, "bucket", "a/d") is False


async def test_moving_an_object(world: World) -> None:
    await fill(world, "a/x")
    await note(world, "a/x", b"1")
    before = await world.objects.head(ALICE, "bucket", "a/x")
    world.clock.advance(10)
    assert await move(world, "a/x", "y") is False
    assert await world.keys() == ["a/", "y"]
    assert await world.objects.head(ALICE, "bucket", "y") == before
    assert (await noted(world, "y"), await noted(world, "a/x")) == (b"1", None)


async def test_moving_a_tree(world: World) -> None:
    await fill(world, "a/", "a/x", "a/b/y", "a-b", "c/z")
    for key in ("a/", "a/b/", "a/b/y"):
        await note(world, key, key.encode())
    before = world.index.sequence()
    assert await move(world, "a/", "c/d/") is False
    assert world.index.sequence() == before + 1
    assert await world.keys() == ["a-b", "c/d/", "c/d/b/y", "c/d/x", "c/z"]
    assert await world.read("c/d/b/y") == b"a/b/y" * 300
    assert await noted(world, "c/d/") == b"a/"
    assert await noted(world, "c/d/b/") == b"a/b/"
    assert await noted(world, "c/d/b/y") == b"a/b/y"
    assert len(world.rows(Table.PROPERTIES)) == 3


async def test_moving_the_last_tree_leaves_a_marker(world: World) -> None:
    await fill(world, "a/b/x")
    await move(world, "a/b/", "c/")
    assert await world.keys() == ["a/", "c/x"]


@pytest.mark.parametrize("how", ["move", "copy"])
async def test_an_existing_target_needs_overwrite(world: World, how: str) -> None:
    act = move if how == "move" else copy
    await fill(world, "s", "t", "u/1", "v/2")
    for source, target in (("s", "t"), ("s", "u"), ("u/", "v/"), ("u/", "t/")):
        with pytest.raises(PreconditionFailed):
            await act(world, source, target)
    assert await world.keys() == ["s", "t", "u/1", "v/2"]


async def test_overwriting_replaces_what_is_shown(world: World) -> None:
    """An object onto a collection, a collection onto an object, a collection onto a collection: no merge."""
    await fill(world, "s", "u/1", "u/2", "v/3", "w", "x/4")
    await note(world, "u/1", b"gone")
    assert await move(world, "s", "u", overwrite=True) is True
    assert await world.keys() == ["u", "v/3", "w", "x/4"]
    assert world.rows(Table.PROPERTIES) == []
    assert await move(world, "v/", "w/", overwrite=True) is True
    assert await world.keys() == ["u", "w/3", "x/4"]
    assert await copy(world, "w/", "x/", overwrite=True) is True
    assert await world.keys() == ["u", "w/3", "x/3"]


async def test_a_hidden_object_stays_where_the_collection_is_replaced(world: World) -> None:
    await fill(world, "a", "a/x", "b/y")
    assert await move(world, "b/", "a/", overwrite=True) is True
    assert await world.keys() == ["a", "a/y"]


async def test_a_member_may_take_the_place_of_its_collection(world: World) -> None:
    await fill(world, "a/b/x", "a/y")
    with pytest.raises(PreconditionFailed):
        await move(world, "a/b/x", "a")
    assert await move(world, "a/b/x", "a", overwrite=True) is True
    assert await world.keys() == ["a"]


async def test_a_collection_may_take_the_place_of_its_parent(world: World) -> None:
    await fill(world, "a/b/x", "a/y")
    assert await copy(world, "a/b/", "a/", overwrite=True) is True
    assert await world.keys() == ["a/x"]
    await fill(world, "a/b/z")
    assert await move(world, "a/b/", "a/", overwrite=True) is True
    assert await world.keys() == ["a/z"]


@pytest.mark.parametrize(("source", "target"), [("a/", "a/"), ("a/", "a/b/"), ("x", "x"), ("a/", "b"), ("x", "b/")])
async def test_targets_that_cannot_be(world: World, source: str, target: str) -> None:
    await fill(world, "a/b", "x")
    for act in (move, copy):
        with pytest.raises(InvalidArgument):
            await act(world, source, target, overwrite=True)
    assert await world.keys() == ["a/b", "x"]


async def test_what_is_not_there(world: World) -> None:
    for act in (move, copy):
        for source, target in (("a", "b"), ("a/", "b/")):
            with pytest.raises(ObjectNotFound):
                await act(world, source, target)


async def test_keys_that_would_be_too_long(world: World) -> None:
    await fill(world, "a/" + "x" * 1000)
    for act in (move, copy):
        with pytest.raises(KeyTooLong):
            await act(world, "a/", "b" * 24 + "/")
        assert await act(world, "a/", "b" * 23 + "/") is False
        await world.trees.delete(ALICE, "bucket", "b" * 23 + "/")
        await fill(world, "a/" + "x" * 1000)


async def test_copying_an_object(world: World) -> None:
    await fill(world, "a/x")
    await note(world, "a/x", b"1")
    await note(world, "y", b"old")
    source = await world.objects.head(ALICE, "bucket", "a/x")
    world.clock.advance(10)
    assert await copy(world, "a/x", "y") is False
    copied = await world.objects.head(ALICE, "bucket", "y")
    assert (copied.extents, copied.modified_us) == (source.extents, world.clock.now_us())
    assert await noted(world, "y") == b"1"


async def test_copying_a_tree(world: World) -> None:
    await fill(world, "a/x", "a/b/y")
    await note(world, "a/b/", b"1")
    assert await copy(world, "a/", "c/") is False
    assert await world.keys() == ["a/b/y", "a/x", "c/b/y", "c/x"]
    assert (await noted(world, "a/b/"), await noted(world, "c/b/")) == (b"1", b"1")
    assert len(world.rows(Table.BODIES)) == 2
    await world.trees.delete(ALICE, "bucket", "a/")
    assert await world.read("c/b/y") == b"a/b/y" * 300


@pytest.mark.parametrize("marked", [True, False])
async def test_copying_only_the_collection(world: World, *, marked: bool) -> None:
    await fill(world, "a/x", *(["a/"] if marked else []))
    await note(world, "a/", b"1")
    await note(world, "a/x", b"2")
    assert await copy(world, "a/", "c/", recursive=False) is False
    assert "c/" in await world.keys()
    assert "c/x" not in await world.keys()
    assert await noted(world, "c/") == b"1"


async def test_between_buckets_and_owners(world: World) -> None:
    await world.buckets.create(BOB, "bobs")
    await world.buckets.create(ALICE, "other")
    await fill(world, "a/x", "a/y", "b")
    await note(world, "a/x", b"1")
    with pytest.raises(AccessDenied):
        await move(world, "a/", "a/", to="bobs")
    with pytest.raises(AccessDenied):
        await world.trees.move(BOB, "bucket", "a/", "bobs", "a/", overwrite=False)
    assert await move(world, "a/", "a/", to="other") is False
    assert await noted(world, "a/x", "other") == b"1"
    assert await world.buckets.usage(ALICE, "bucket") == Usage(300, 1)
    assert await world.buckets.usage(ALICE, "other") == Usage(1800, 2)
    await world.trees.copy(ROOT, "other", "a/", "bobs", "c/", overwrite=False)
    await world.trees.move(ROOT, "bucket", "b", "bobs", "b", overwrite=False)
    assert await world.buckets.usage(BOB, "bobs") == Usage(2100, 3)
    assert {entry.owner for _, entry in (await world.objects.list(BOB, "bobs")).entries} == {BOB.user_id}
    await world.objects.delete(BOB, "bobs", "c/x")
    assert len(world.rows(Table.PROPERTIES)) == 1


async def test_layouts_move_and_are_shared(world: World) -> None:
    upload_id = await world.uploads.create(ALICE, "bucket", "a/long", PLAIN)
    parts = []
    for number in range(1, 21):
        part = await world.uploads.put_part(ALICE, "bucket", "a/long", upload_id, number, stream(b"%04d" % number))
        parts.append(CompletedPart(number, part.md5.hex()))
    await world.uploads.complete(ALICE, "bucket", "a/long", upload_id, parts)
    whole = await world.read("a/long")
    await copy(world, "a/", "b/")
    world.check()
    await move(world, "b/", "c/")
    world.check()
    await world.trees.delete(ALICE, "bucket", "a/")
    assert await world.read("c/long") == whole


async def test_a_large_tree_is_one_commit(world: World) -> None:
    """Some thousands here; bench runs a hundred thousand."""

    def plant(tx: Writing) -> None:
        row = reach_bucket(tx, ALICE, "bucket")
        for number in range(3000):
            tx.put(Table.OBJECTS, object_key(row.bucket_id, f"a/{number}"), encode(publishing.marker_of(row, 1)))
        usage.adjust(tx, row, 0, 3000)

    await world.store.commits.run(plant)
    before = world.index.sequence()
    await move(world, "a/", "b/")
    await copy(world, "b/", "c/")
    assert await world.trees.delete(ALICE, "bucket", "b/") == 3000
    assert world.index.sequence() == before + 3
    assert (await world.buckets.usage(ALICE, "bucket")).objects == 3000
