"""A fresh namespace for every test; what must add up is checked at the end of each."""

from collections.abc import AsyncIterator

import pytest

from tests.support.namespace import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """ALICE's ``bucket`` over memory."""
    world = await World().start()
    yield world
    world.check()
    assert not world.store.readers.reads(), "a reader was not closed"
    await world.close()
