"""One server for the module, and a fresh bucket for each test."""

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.s3_server import S3Server, serve

_names = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server with default settings."""
    with serve() as running:
        yield running


@pytest.fixture
def s3(server: S3Server) -> Any:
    """A boto3 client of alice. Any: boto3 makes its clients at run time."""
    return server.client()


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket of its own for each test."""
    name = f"test-{next(_names)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def free_port_of_module() -> int:
    """A TCP port on loopback that nobody uses now, for a program that cannot choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
