"""A server that answers as it is told, for the load client."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

Script = Callable[[bytes], bytes]


class ScriptedServer:
    """Answers each request's head by a function; an empty answer closes the connection."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as stream:
            while True:
                head = b""
                try:
                    while not head.endswith(b"\r\n\r\n"):
                        line = stream.readline()
                        if not line:
                            return
                        head += line
                    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    stream.read(int(lengths[0].split(b":")[1]) if lengths else 0)
                    answer = self._script(head)
                    if not answer:
                        return
                    sock.sendall(answer)
                except OSError:
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], tuple[str, int]]]:
    """Start a server that answers by a function; gives its address."""
    servers = []

    def start(script: Script) -> tuple[str, int]:
        servers.append(ScriptedServer(script))
        return servers[-1].address

    yield start
    for server in servers:
        server.close()
