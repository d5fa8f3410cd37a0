"""The load client: one thread, one epoll, keep-alive sockets, requests made ahead of time.

Request bodies go out by plain ``send`` from one shared buffer (measured here: 0.10 CPU seconds per GiB
against 0.17 by ``sendfile``, and the receiver's side is dearer there too), answer bodies are dropped
inside the kernel (``MSG_TRUNC``, tcp(7)), an answer's header is searched and not parsed. What this client
can reach is measured against :mod:`bench.responder` and printed with every run, so that nobody has to
believe it.
"""

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter, process_time

from bench.failures import BenchError
from bench.payload import Pool

_BUFFER_BYTES = 1 << 20
_INLINE_BODY_BYTES = 64 << 10  # up to this a body travels in the same system call as its head
_MAX_ERRORS = 200
_SILENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete: ``head`` ends with an empty line, the body is a prefix of ``pool``."""

    head: bytes
    pool: Pool | None = None
    body_bytes: int = 0
    statuses: tuple[bytes, ...] = (b"200",)
    answer_bytes: int | None = None  # the Content-Length the answer must have; None: any


@dataclass(slots=True)
class Outcome:
    """What one timed stretch gave. ``latencies_s`` holds answered requests only; ``firsts_s``: until each began."""

    latencies_s: list[float] = field(default_factory=list)
    firsts_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    client_cpu_s: float = 0.0
    errors: int = 0
    first_error: str = ""

    @property
    def count(self) -> int:
        """Requests that were answered as expected."""
        return len(self.latencies_s)


class _Connection:
    """One socket and the request under way on it. Not thread-safe."""

    __slots__ = ("_address", "_poll", "_sent", "_waits_for_room", "first", "left", "request", "sock", "started", "tail")

    def __init__(self, address: tuple[str, int], poll: select.epoll) -> None:
        self._address = address
        self._poll = poll
        self.request: Request | None = None
        self._sent = 0
        self._waits_for_room = False
        self.left = -1  # bytes of the answer's body still to come; -1: in the head; -2: chunked
        self.tail = b""
        self.started = 0.0
        self.first = 0.0  # when the answer began
        self.sock = self._connect()

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._address, timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        self._waits_for_room = False
        return sock

    def close(self) -> None:
        self._poll.unregister(self.sock.fileno())
        self.sock.close()

    def reconnect(self) -> int:
        self.close()
        self.sock = self._connect()
        return self.sock.fileno()

    def start(self, request: Request) -> None:
        """Send the head, and as much of the body as the socket takes."""
        self.request = request
        self.left, self.tail = -1, b""
        self.started = perf_counter()
        if request.pool is None:
            self.sock.send(request.head)
            self._sent = 0
        elif request.body_bytes <= _INLINE_BODY_BYTES:
            whole = len(request.head) + request.body_bytes
            sent = self.sock.sendmsg([request.head, request.pool.view[: request.body_bytes]])
            self._sent = sent - len(request.head)
            if sent < whole:
                self.push()
        else:
            self.sock.send(request.head, socket.MSG_MORE)
            self._sent = 0
            self.push()

    def push(self) -> None:
        """Send more of the body; asks to be woken when the socket has room again, if that is needed."""
        request = self.request
        assert request is not None
        assert request.pool is not None
        try:
            while self._sent < request.body_bytes:
                end = min(self._sent + _BUFFER_BYTES, request.body_bytes)
                self._sent += self.sock.send(request.pool.view[self._sent : end])
        except BlockingIOError:
            pass
        waits = self._sent < request.body_bytes
        if waits != self._waits_for_room:
            self._waits_for_room = waits
            self._poll.modify(self.sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if waits else 0))


def _length_of(head: bytes) -> int:
    """Body bytes an answer's head announces; -2 when it is chunked."""
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at >= 0:
        end = lowered.find(b"\r\n", at + 2)
        return int(lowered[at + 17 : end if end >= 0 else None])
    if b"\r\ntransfer-encoding: chunked" in lowered:
        return -2
    return 0


class Driver:
    """Drives one server with a fixed number of connections. One at a time; not thread-safe."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._poll = select.epoll()
        self._connections = {}
        for _ in range(connections):
            connection = _Connection(address, self._poll)
            self._connections[connection.sock.fileno()] = connection
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._poll.close()

    def run(
        self, requests: Iterator[Request], seconds: float, *, answered: Callable[[Request], None] | None = None
    ) -> Outcome:
        """Send ``requests`` until they end or ``seconds`` are over; requests under way are waited for.

        ``answered`` is called for each request that got the status and length it expects.

        Raises:
            BenchError: Nothing came for two minutes, or too many answers were wrong.
        """
        outcome = Outcome()
        cpu = process_time()
        begin = now = perf_counter()
        deadline = begin + seconds
        busy = 0
        for connection in list(self._connections.values()):
            request = next(requests, None)
            if request is None:
                break
            self._start(connection, request, outcome)
            busy += 1
        while busy:
            events = self._poll.poll(_SILENCE_S)
            if not events:
                raise BenchError(f"no answer for {_SILENCE_S:.0f} s on {busy} connections")
            for fileno, event in events:
                connection = self._connections[fileno]
                if event & select.EPOLLOUT:
                    # What it cannot send it does not tell: an early answer may still wait to be read.
                    with contextlib.suppress(OSError):
                        connection.push()
                if event == select.EPOLLOUT:
                    continue
                done = self._pull(connection, outcome)
                if done is None:
                    continue
                now = perf_counter()
                if done:
                    outcome.latencies_s.append(now - connection.started)
                    outcome.firsts_s.append(connection.first - connection.started)
                    if answered is not None and connection.request is not None:
                        answered(connection.request)
                connection.request = None
                following = next(requests, None) if now < deadline else None
                if following is None:
                    busy -= 1
                else:
                    self._start(connection, following, outcome)
            if outcome.errors > _MAX_ERRORS:
                raise BenchError(f"{outcome.errors} wrong answers, the first: {outcome.first_error}")
        outcome.elapsed_s = now - begin
        outcome.client_cpu_s = process_time() - cpu
        return outcome

    def _start(self, connection: _Connection, request: Request, outcome: Outcome) -> None:
        try:
            connection.start(request)
        except OSError as exc:  # the server closed an idle connection: once more on a new one
            self._wrong(outcome, f"connection lost: {exc}")
            self._reconnect(connection)
            connection.start(request)

    def _reconnect(self, connection: _Connection) -> None:
        del self._connections[connection.sock.fileno()]
        self._connections[connection.reconnect()] = connection

    @staticmethod
    def _wrong(outcome: Outcome, what: str) -> None:
        outcome.errors += 1
        outcome.first_error = outcome.first_error or what

    def _pull(self, connection: _Connection, outcome: Outcome) -> bool | None:
        """Read what there is. True: answered as expected; False: a wrong answer; None: more to come."""
        request = connection.request
        try:
            if connection.left > 0:
                # TCP drops the bytes in the kernel; the buffer is only a measure of how many.
                take = min(connection.left, _BUFFER_BYTES)
                received = connection.sock.recv_into(self._buffer, take, socket.MSG_TRUNC)
            else:
                received = connection.sock.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as exc:
            received, reason = 0, str(exc)
        else:
            reason = "closed by the server"
        if not received:
            if request is not None:
                self._wrong(outcome, f"connection lost inside an answer: {reason}")
            self._reconnect(connection)
            return None if request is None else False
        if connection.left > 0:
            connection.left -= received
            return True if connection.left == 0 else None
        data = connection.tail + self._buffer[:received].tobytes()
        if connection.left == -1:
            end = data.find(b"\r\n\r\n")
            while end >= 0 and data[9:12] == b"100":
                data = data[end + 4 :]
                end = data.find(b"\r\n\r\n")
            if end < 0:
                connection.tail = data
                return None
            return self._headed(connection, data, end, outcome)
        # Chunked, nothing pipelined: the answer ends where a read ends with the last chunk.
        connection.tail = data[-7:]
        return True if data.endswith(b"\r\n0\r\n\r\n") else None

    def _headed(self, connection: _Connection, data: bytes, end: int, outcome: Outcome) -> bool | None:
        request = connection.request
        assert request is not None
        connection.first = perf_counter()
        head = data[: end + 2]
        length = _length_of(head)
        if data[9:12] not in request.statuses or request.answer_bytes not in (None, length):
            line = request.head.split(b"\r\n", 1)[0].decode()
            self._wrong(outcome, f"{line}: {data[:400].decode(errors='replace')}")
            self._reconnect(connection)
            return False
        if length == -2:
            connection.left = -2
            connection.tail = data[-7:]
            return True if data.endswith(b"\r\n0\r\n\r\n") else None
        connection.left = length - (len(data) - end - 4)
        if connection.left > 0:
            return None
        return True
