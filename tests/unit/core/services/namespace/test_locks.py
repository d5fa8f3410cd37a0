"""WebDAV locks: what goes together, what is found, and when it ends."""

from functools import partial

import pytest

from noisefs.core.domain.records import Lock
from noisefs.core.errors import InvalidArgument, ResourceLocked, TooMany
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.namespace.trees.locks import Locks
from tests.support.namespace import ALICE, LIMITS, World


def a_lock(
    world: World, token: str, path: str, *, exclusive: bool = True, deep: bool = True, for_s: float | None = 60
) -> Lock:
    now_us = world.clock.now_us()
    return Lock(
        token=token,
        path=path,
        owner=ALICE.user_id,
        created_us=now_us,
        expires_us=0 if for_s is None else now_us + int(for_s * 1e6),
        exclusive=exclusive,
        deep=deep,
        data=b'{"owner": "<href/>"}',
    )


async def test_a_lock_is_kept_and_found(world: World) -> None:
    lock = await world.locks.create(a_lock(world, "t1", "/bucket/a"))
    assert await world.locks.get("t1") == lock
    assert await world.locks.get("t2") is None
    assert await world.locks.find("/bucket/a") == [lock]
    assert await world.locks.find("/bucket/ab") == []
    assert await world.locks.find("/bucket/a-b", below=True) == []


async def test_above_and_below(world: World) -> None:
    for token, path in (("r", "/"), ("b", "/bucket"), ("d", "/bucket/d"), ("x", "/bucket/d/x"), ("y", "/bucket/d-y")):
        await world.locks.create(a_lock(world, token, path, exclusive=False, deep=False))

    async def tokens(path: str, **how: bool) -> list[str]:
        return [lock.token for lock in await world.locks.find(path, **how)]

    assert await tokens("/bucket/d") == ["r", "b", "d"]
    assert await tokens("/bucket/d", above=False) == ["d"]
    assert await tokens("/bucket/d", above=False, below=True) == ["d", "x"]
    assert await tokens("/bucket/d/x/y/z") == ["r", "b", "d", "x"]
    assert await tokens("/", below=True) == ["r", "b", "d", "y", "x"]


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        ({"exclusive": True}, {"exclusive": True}, False),
        ({"exclusive": True}, {"exclusive": False}, False),
        ({"exclusive": False}, {"exclusive": True}, False),
        ({"exclusive": False}, {"exclusive": False}, True),
    ],
)
@pytest.mark.parametrize(
    ("one", "other"), [("/b/a", "/b/a"), ("/b", "/b/a"), ("/b/a", "/b"), ("/", "/b/a/c"), ("/b/a/c", "/")]
)
async def test_only_shared_locks_go_together(
    world: World, one: str, other: str, first: dict[str, bool], second: dict[str, bool], goes: bool
) -> None:
    await world.locks.create(a_lock(world, "t1", one, **first))
    if goes:
        await world.locks.create(a_lock(world, "t2", other, **second))
    else:
        with pytest.raises(ResourceLocked) as caught:
            await world.locks.create(a_lock(world, "t2", other, **second))
        assert caught.value.path == one


@pytest.mark.parametrize(("one", "other"), [("/b", "/b/a"), ("/b/a", "/b")])
async def test_shallow_locks_do_not_reach_below(world: World, one: str, other: str) -> None:
    await world.locks.create(a_lock(world, "t1", one, deep=False))
    await world.locks.create(a_lock(world, "t2", other, deep=False))


async def test_an_expired_lock_is_not_there(world: World) -> None:
    await world.locks.create(a_lock(world, "t1", "/b/a", for_s=10))
    world.clock.advance(10)
    assert await world.locks.get("t1") is None
    assert await world.locks.find("/b/a") == []
    assert await world.locks.refresh("t1", 0) is None
    assert await world.locks.delete("t1") is False
    await world.locks.create(a_lock(world, "t2", "/b/a"))


async def test_a_refresh_prolongs(world: World) -> None:
    lock = await world.locks.create(a_lock(world, "t1", "/b/a", for_s=10))
    world.clock.advance(5)
    renewed = await world.locks.refresh("t1", lock.expires_us + 10_000_000, b"new")
    assert renewed is not None
    assert renewed.data == b"new"
    world.clock.advance(14)
    assert await world.locks.get("t1") == renewed
    assert (await world.locks.refresh("t1", 0)) is not None
    world.clock.advance(1e6)
    assert await world.locks.get("t1") is not None


async def test_deleting(world: World) -> None:
    await world.locks.create(a_lock(world, "t1", "/b/a"))
    await world.locks.create(a_lock(world, "t2", "/b/c"))
    await world.locks.create(a_lock(world, "t3", "/b-c"))
    assert await world.locks.delete("t1") is True
    assert await world.locks.delete("t1") is False


async def test_what_goes_takes_its_locks_with_it_in_one_commit(world: World) -> None:
    """And a lock that is looked at in there forbids it as a whole."""
    await world.put("a/x")
    await world.locks.create(a_lock(world, "t2", "/bucket/a/x"))
    await world.locks.create(a_lock(world, "t3", "/b-c"))

    def refuse(tx: Writing) -> None:
        found = world.locks.around(tx, "/bucket/a", below=True)
        world.locks.drop(tx, found)
        raise ResourceLocked(found[0].path)

    with pytest.raises(ResourceLocked):
        await world.trees.delete(ALICE, "bucket", "a/", first=refuse)
    assert await world.keys() == ["a/x"]
    assert await world.locks.get("t2") is not None
    let_go = partial(_let_go, world.locks)
    await world.trees.delete(ALICE, "bucket", "a/", first=let_go)
    assert await world.locks.find("/", below=True) == [await world.locks.get("t3")]


def _let_go(locks: Locks, tx: Writing) -> None:
    locks.drop(tx, locks.around(tx, "/bucket/a", below=True))


async def test_there_is_a_maximum_and_expired_ones_make_room(world: World) -> None:
    for number in range(LIMITS.max_locks):
        await world.locks.create(a_lock(world, f"t{number}", f"/b/{number}", for_s=10))
    with pytest.raises(TooMany):
        await world.locks.create(a_lock(world, "more", "/b/more"))
    world.clock.advance(10)
    await world.locks.create(a_lock(world, "more", "/b/more"))
    assert len(world.rows(Table.LOCKS)) == 3


async def test_expired_locks_are_forgotten(world: World) -> None:
    await world.locks.create(a_lock(world, "t1", "/b/1", for_s=10))
    await world.locks.create(a_lock(world, "t2", "/b/2", for_s=None))
    world.clock.advance(10)
    assert await world.locks.expire() == 1
    assert await world.locks.expire() == 0
    assert await world.locks.get("t2") is not None


async def test_a_token_is_used_once(world: World) -> None:
    await world.locks.create(a_lock(world, "t1", "/b/1"))
    with pytest.raises(InvalidArgument):
        await world.locks.create(a_lock(world, "t1", "/b/2"))


@pytest.mark.parametrize("path", ["", "b", "/b/", "/b\0", "/\ud800"])
async def test_paths_that_are_none(world: World, path: str) -> None:
    with pytest.raises(InvalidArgument):
        await world.locks.find(path)


@pytest.mark.parametrize("token", ["", "a\0b"])
async def test_tokens_that_are_none(world: World, token: str) -> None:
    with pytest.raises(InvalidArgument):
        await world.locks.get(token)
