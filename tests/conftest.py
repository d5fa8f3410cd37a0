"""What every test may rely on: components of the machine, hypothesis profiles, free ports."""

import os
import socket

import pytest
from hypothesis import HealthCheck, settings

from tools import components

settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes a file stays in one of them, with its fixtures, unless its tests name groups."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """``needs(name, ...)``: skip with the reason why a component is missing; with ``CI=true`` that is a failure."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if components.find(name):
                continue
            reason = components.reason_missing(name)
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody uses now. Prefer port 0 wherever the program can tell which it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
