"""Clients that stop in the middle: whoever else comes gets all of it, while they still stand there."""

import base64
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.dav_requests import DavClient
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

pytestmark = pytest.mark.e2e

CLIENTS = 32
SIZE = 64 << 20
OBJECTS = 4
FIRST = 3 << 20
"""What a client sends of a file before it stops: more than all buffers on the way."""
LOGIN = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()


@pytest.fixture(scope="module")
def blob() -> bytes:
    """Bytes of a large file."""
    return os.urandom(1 << 20) * (SIZE >> 20)


@pytest.fixture
def server(tmp_path: Path, blob: bytes) -> Iterator[RunningServer]:
    """The program, with some large files."""
    with RunningServer(tmp_path / "data") as running:
        dav = DavClient(running)
        assert dav("MKCOL", "/bucket").status == 201
        for number in range(OBJECTS):
            assert dav("PUT", f"/bucket/{number}", blob).status == 201
        yield running


def connected(server: RunningServer, stack: contextlib.ExitStack) -> socket.socket:
    """A connection of a client that reads little ahead."""
    wire = stack.enter_context(socket.socket())
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    at = urlsplit(server.webdav)
    wire.connect((at.hostname, at.port))
    return wire


def head(method: str, path: str, *fields: str) -> bytes:
    """The head of a request."""
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Basic {LOGIN}", *fields, "", ""]
    ).encode()


def test_readers_that_stop_hold_up_nobody(server: RunningServer, blob: bytes) -> None:
    """Each has begun to get a large file and takes no more of it; others read all of theirs, and go on writing."""
    dav = DavClient(server)
    with contextlib.ExitStack() as stack:
        stalled = [connected(server, stack) for _ in range(CLIENTS)]
        for number, wire in enumerate(stalled):
            wire.sendall(head("GET", f"/bucket/{number % OBJECTS}"))
            assert wire.recv(12) == b"HTTP/1.1 200"
        for number in range(OBJECTS):
            assert dav("GET", f"/bucket/{number}").body == blob
        assert dav("PUT", "/bucket/new", blob).status == 201
        assert dav("GET", "/bucket/new", Range=f"bytes=-{FIRST}").body == blob[-FIRST:]


def test_writers_that_stop_hold_up_nobody(server: RunningServer, blob: bytes) -> None:
    """Each has sent some of a large file and sends no more; others write and read all of theirs."""
    dav = DavClient(server)
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS):
            wire = connected(server, stack)
            wire.sendall(head("PUT", f"/bucket/stalled-{number}", f"Content-Length: {SIZE}") + blob[:FIRST])
        assert dav("PUT", "/bucket/new", blob).status == 201
        assert dav("PUT", "/bucket/chunked", iter([blob[:FIRST], blob[FIRST:]])).status == 201
        assert dav("GET", "/bucket/chunked").body == blob
        assert dav("GET", "/bucket/0").body == blob
    listing = dav("PROPFIND", "/bucket", Depth="1").body
    assert b"stalled" not in listing
