"""Asking a running server over its socket. The other end is :mod:`.socket`."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import msgspec

from noisefs.adapters.inbound.admin.failures import CommandFailed, Failure
from noisefs.core.errors import Unavailable

_PATH_MOST: Final = 100
"""Bytes that a socket's address may have on every system (Linux: 108 with the end)."""


class _Answer(msgspec.Struct):
    result: object = None
    error: Failure | None = None


class NoServer(Unavailable):
    """Nobody listens on the socket."""


def ask(path: Path, operation: str, parameters: Mapping[str, object]) -> object:
    """Run an operation in the server that listens on ``path``, however long it takes, and return its answer.

    Raises:
        NoServer: There is none.
        CommandFailed: It says that the operation failed.
        Unavailable: It went away meanwhile.
    """
    with _connected(path) as connection:
        try:
            connection.request("POST", f"/{operation}", msgspec.json.encode(parameters), {"Host": "localhost"})
            raw = connection.getresponse().read()
            answer = msgspec.json.decode(raw, type=_Answer)
        except (OSError, HTTPException, msgspec.DecodeError) as exc:
            raise Unavailable(f"the server went away before it answered {operation}: {exc}") from exc
    if answer.error is not None:
        raise CommandFailed(answer.error)
    return answer.result


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """The socket's path, short enough for a socket's address however deep the data folder lies."""
    if len(os.fsencode(path)) <= _PATH_MOST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextmanager
def _connected(path: Path) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("localhost")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            with short_path(path) as short:
                sock.connect(short)
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NoServer(f"no server listens on {str(path)!r}") from exc
        except OSError as exc:
            raise Unavailable(f"the server's socket {str(path)!r} cannot be used: {exc.strerror}") from exc
        connection.sock = sock
        yield connection
