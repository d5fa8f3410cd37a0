"""Receivers of events: one in memory, and a real one on the loopback."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from noisefs.core.errors import EventRefused, EventRejected
from noisefs.core.ports.events import EventSink

Json = dict[str, Any]  # Any: a document
LIMIT_S = 30.0


class MemorySink(EventSink):
    """Keeps messages; refuses them while ``down``."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Json]] = []
        self.attempts: list[str] = []
        self.down = False
        self.rejects = ""
        """Key of an object that it will never hear of."""

    async def send(self, message_id: str, body: bytes) -> None:
        """Keep it."""
        self.attempts.append(message_id)
        if self.down:
            raise EventRefused("hook", "it is down")
        if self.rejects and any(
            record["s3"]["object"]["key"] == self.rejects for record in json.loads(body)["Records"]
        ):
            raise EventRejected("hook", "it answered 400")
        self.messages.append((message_id, json.loads(body)))

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def records(self) -> list[Json]:
        """All records so far."""
        return [record for _, body in self.messages for record in body.get("Records", ())]


def told(records: list[Json]) -> list[tuple[str, str]]:
    """Event and key of records."""
    return [(record["eventName"], record["s3"]["object"]["key"]) for record in records]


@dataclass
class Received:
    """A message as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """A real receiver. ``statuses``: what it answers next, one a message; then 204."""

    url: str = ""
    messages: list[Received] = field(default_factory=list)
    """What it took."""
    refused: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def records(self) -> list[Json]:
        """All records so far."""
        return [record for one in self.messages for record in json.loads(one.body).get("Records", ())]

    def wait_for(self, count: int) -> list[Json]:
        """The first records, once there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.records()) >= count, LIMIT_S), self.records()
            return self.records()

    def wait_for_refusals(self, count: int) -> None:
        """Return once so many messages were refused."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.refused) >= count, LIMIT_S)

    def take(self, message: Received) -> int:
        """What to answer a message."""
        with self.changed:
            status = self.statuses.pop(0) if self.statuses else 204
            (self.messages if status < 300 else self.refused).append(message)
            self.changed.notify_all()
            return status


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(Received(self.path, dict(self.headers.items()), body))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
