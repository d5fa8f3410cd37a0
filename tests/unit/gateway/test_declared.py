"""What the configuration declares."""

from collections.abc import AsyncIterator

import pytest

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.schema import BucketDeclaration, Config, UserDeclaration
from noisefs.gateway.declared import apply
from tests.support.namespace import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    await world.close()


def declared(root: str | None) -> Config:
    """A user with this root, and a bucket."""
    user, bucket = UserDeclaration(name="alice", root=root), BucketDeclaration(name="photos", owner="alice")
    return Config(users=(user,), buckets=(bucket,))


async def test_a_root_is_set_once_and_stays(world: World) -> None:
    """Its collection is made; without a root what is there stays, and an empty one removes it."""
    await apply(world.store, declared("photos/2026/"))
    first = world.store.identities.find("alice")[1]
    assert first.root == "photos/2026"
    assert await world.keys("photos") == ["2026/"]
    await apply(world.store, declared("photos/2026"))
    await apply(world.store, declared(None))
    assert world.store.identities.find("alice")[1] == first
    await apply(world.store, declared(""))
    assert world.store.identities.find("alice")[1].root == ""


@pytest.mark.parametrize("root", ["none", "none/x", "/photos", "photos/../x"])
async def test_a_root_that_cannot_be_is_refused(world: World, root: str) -> None:
    """By name, and the user has none."""
    with pytest.raises(ConfigError, match="alice: root"):
        await apply(world.store, declared(root))
    assert world.store.identities.find("alice")[1].root == ""
