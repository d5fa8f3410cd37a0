"""A server for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.webdav_server import WebdavServer, serve


@pytest.fixture
async def dav() -> AsyncIterator[WebdavServer]:
    """A fresh server with one bucket."""
    async with serve() as server:
        yield server
