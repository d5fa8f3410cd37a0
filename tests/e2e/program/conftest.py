"""A running server for tests that change nothing others look at."""

from collections.abc import Iterator

import pytest

from tests.support.server import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the module."""
    with RunningServer(tmp_path_factory.mktemp("server") / "data") as running:
        yield running
