"""Users, access keys and logins."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from noisefs.core.domain.requests import Principal
from noisefs.core.errors import (
    AccessKeyExists,
    AccessKeyNotFound,
    InvalidArgument,
    SlowDown,
    UserExists,
    UserNotFound,
)
from noisefs.core.ports.index import Table
from noisefs.core.services import accounts
from tests.support.namespace import ACCOUNT, World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()


async def test_users_are_made_and_listed(world: World) -> None:
    second = await world.accounts.add_user("second")
    first = await world.accounts.add_user("first", admin=True)
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert [(user_id, user.name, user.admin) for user_id, user in await world.accounts.list_users()] == [
        (first, "first", True),
        (second, "second", False),
    ]
    assert await world.accounts.principal_of_name("first") == Principal(
        first, "first", admin=True, account=ACCOUNT, trusted=True
    )
    with pytest.raises(UserExists):
        await world.accounts.add_user("first")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 65, "a\n"])
async def test_names_that_cannot_be(world: World, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await world.accounts.add_user(name)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "with\nnewline", "\ud800" * 10])
async def test_passwords_that_cannot_be_are_not_shown(world: World, password: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.accounts.add_user("user", password=password)
    assert not password or password not in str(caught.value)
    assert await world.accounts.list_users() == []


async def test_keys_look_like_aws_s(world: World) -> None:
    await world.accounts.add_user("user")
    made = await world.accounts.add_key("user")
    assert re.fullmatch(r"[A-Z2-7]{20}", made.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", made.secret)
    assert made.secret not in repr(made)
    other = await world.accounts.add_key("user")
    assert (other.access_key_id, other.secret) != (made.access_key_id, made.secret)
    assert world.accounts.credential(made.access_key_id) == made


async def test_secrets_are_wrapped_at_rest(world: World) -> None:
    await world.accounts.add_user("user")
    made = await world.accounts.add_key("user")
    assert all(made.secret.encode() not in row for _, row in world.rows(Table.ACCESS_KEYS))


async def test_importing_a_pair_is_idempotent(world: World) -> None:
    await world.accounts.add_user("user")
    await world.accounts.add_user("other")
    pair = {"access_key_id": "imported", "secret": "secret-secret"}
    first = await world.accounts.add_key("user", **pair)
    before = world.index.sequence()
    assert await world.accounts.add_key("user", **pair) == first
    assert world.index.sequence() == before
    with pytest.raises(AccessKeyExists):
        await world.accounts.add_key("user", access_key_id="imported", secret="another-secret")
    with pytest.raises(AccessKeyExists):
        await world.accounts.add_key("other", **pair)
    with pytest.raises(UserNotFound):
        await world.accounts.add_key("nobody")


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [
        *(("ab", "secret-secret"), ("x" * 129, "secret-secret"), ("a/b", "secret-secret")),
        *(("good", "short"), ("good", "x" * 257), ("good", "new\nline-secret")),
    ],
)
async def test_pairs_that_cannot_be(world: World, key_id: str, secret: str) -> None:
    await world.accounts.add_user("user")
    with pytest.raises(InvalidArgument) as caught:
        await world.accounts.add_key("user", access_key_id=key_id, secret=secret)
    assert secret not in str(caught.value)


async def test_listing_keys(world: World) -> None:
    for user in ("one", "two"):
        await world.accounts.add_user(user)
        await world.accounts.add_key(user, access_key_id=f"{user}-key", secret="secret-secret")
    assert [key_id for key_id, _ in await world.accounts.list_keys()] == ["one-key", "two-key"]
    assert [key_id for key_id, _ in await world.accounts.list_keys("two")] == ["two-key"]
    with pytest.raises(UserNotFound):
        await world.accounts.list_keys("nobody")


async def test_a_revoked_key_is_out_within_a_second(world: World) -> None:
    await world.accounts.add_user("user")
    made = await world.accounts.add_key("user")
    assert world.accounts.credential(made.access_key_id) == made
    await world.accounts.revoke_key(made.access_key_id)
    world.clock.advance(accounts.FRESH_S)
    assert world.accounts.credential(made.access_key_id) is None
    assert await world.accounts.principal_of_password(made.access_key_id, made.secret) is None
    await world.accounts.add_key("user", access_key_id=made.access_key_id, secret=made.secret)
    assert world.accounts.credential(made.access_key_id) is None
    with pytest.raises(AccessKeyNotFound):
        await world.accounts.revoke_key("nothing")


async def test_a_disabled_user_is_out_within_a_second_and_may_come_back(world: World) -> None:
    await world.accounts.add_user("user", password="pass-word")
    made = await world.accounts.add_key("user")
    assert world.accounts.credential(made.access_key_id) == made
    assert await world.accounts.principal_of_password("user", "pass-word") == made.principal
    await world.accounts.disable_user("user")
    world.clock.advance(accounts.FRESH_S)
    assert world.accounts.credential(made.access_key_id) is None
    assert await world.accounts.principal_of_password("user", "pass-word") is None
    await world.accounts.disable_user("user", disabled=False)
    world.clock.advance(accounts.FRESH_S)
    assert world.accounts.credential(made.access_key_id) == made
    assert await world.accounts.principal_of_password("user", "pass-word") == made.principal


@pytest.mark.parametrize("access_key_id", ["", "unknown", "\ud800", "a\0b"])
async def test_unknown_keys(world: World, access_key_id: str) -> None:
    assert world.accounts.credential(access_key_id) is None


async def test_logins_by_password_and_by_secret(world: World) -> None:
    user_id = await world.accounts.add_user("user", password="pass-wörd")
    await world.accounts.add_user("without")
    made = await world.accounts.add_key("user")
    expected = Principal(user_id, "user", admin=False, account=ACCOUNT)
    assert await world.accounts.principal_of_password("user", "pass-wörd") == expected
    assert await world.accounts.principal_of_password(made.access_key_id, made.secret) == expected
    for login, password in (
        ("user", "wrong-word"),
        ("user", ""),
        ("nobody", "pass-wörd"),
        ("without", ""),
        ("without", "pass-word"),
        (made.access_key_id, "pass-wörd"),
        ("user", made.secret),
        ("user", "x" * 5000),
        ("user", "\ud800pass-word"),
        ("\ud800", "pass-word"),
    ):
        assert await world.accounts.principal_of_password(login, password) is None


async def test_a_changed_password_is_out_within_a_second(world: World) -> None:
    await world.accounts.add_user("user", password="first-word")
    assert await world.accounts.principal_of_password("user", "first-word") is not None
    await world.accounts.set_password("user", "second-word")
    world.clock.advance(accounts.FRESH_S)
    assert await world.accounts.principal_of_password("user", "first-word") is None
    assert await world.accounts.principal_of_password("user", "second-word") is not None
    await world.accounts.set_password("user", None)
    world.clock.advance(accounts.FRESH_S)
    assert await world.accounts.principal_of_password("user", "second-word") is None
    with pytest.raises(UserNotFound):
        await world.accounts.set_password("nobody", "pass-word")


async def test_the_slow_hash_is_paid_once(world: World) -> None:
    """Also by ten requests that come at the same time."""
    await world.accounts.add_user("user", password="pass-word")
    before = world.workers_runs()
    results = await asyncio.gather(*(world.accounts.principal_of_password("user", "pass-word") for _ in range(10)))
    assert len(set(results)) == 1
    assert world.workers_runs() == before + 1
    world.clock.advance(5)
    assert await world.accounts.principal_of_password("user", "pass-word") == results[0]
    assert world.workers_runs() == before + 1


async def test_logins_that_wait_are_bounded() -> None:
    world = World(logins=accounts.LoginLimits(waiting=2))
    results = await asyncio.gather(
        *(world.accounts.principal_of_password("nobody", f"password-{n}") for n in range(4)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), type(None), SlowDown, SlowDown]


async def test_caches_are_bounded() -> None:
    world = World(logins=accounts.LoginLimits(remembered=2))
    await world.accounts.add_user("user")
    made = [await world.accounts.add_key("user") for _ in range(4)]
    for _ in range(2):
        assert [world.accounts.credential(one.access_key_id) for one in made] == made
    assert len(world.accounts._keys) == 2
