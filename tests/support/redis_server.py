"""A real Redis server on a socket of its own."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.support.receivers import told
from tools import components

READY = "Ready to accept connections"
STREAM = "events"
LIMIT_MS = 30_000


@dataclass
class RedisServer:
    """A running server. ``url``: of its socket."""

    url: str
    client: Any  # Any: its types are those of the blocking and the asynchronous client at once

    def entries(self, stream: str = STREAM) -> int:
        """Entries of a stream."""
        return int(self.client.xlen(stream))

    def messages(self, stream: str = STREAM) -> list[dict[bytes, bytes]]:
        """Fields of all entries."""
        return [fields for _, fields in self.client.xrange(stream)]

    def wait_for(self, count: int, stream: str) -> list[tuple[str, str]]:
        """Event and key of the first records of a stream, once there are so many."""
        found: list[tuple[str, str]] = []
        last: bytes | str = "0"
        while len(found) < count:
            came = self.client.xread({stream: last}, block=LIMIT_MS)
            assert came, found
            last = came[0][1][-1][0]
            for _, fields in came[0][1]:
                found += told(json.loads(fields[b"body"]).get("Records", []))
        return found

    def refuse(self) -> None:
        """Have no memory for anything."""
        self.client.config_set("maxmemory", "1")

    def relent(self) -> None:
        """Have memory again."""
        self.client.config_set("maxmemory", "0")


@contextmanager
def redis_server(*flags: str, password: str | None = None) -> Iterator[RedisServer]:
    """A server that keeps nothing, until the block ends."""
    program = components.find("redis-server")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        socket = Path(folder) / "socket"
        quiet = ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", str(socket), "--dir", folder]
        secret = ["--requirepass", password] if password else []
        process = subprocess.Popen([str(program), *quiet, *secret, *flags], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if READY in line or "ready to accept" in line:
                    break
            client = redis.Redis(unix_socket_path=str(socket), password=password)
            yield RedisServer(f"unix://{socket}", client)
            client.close()
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
