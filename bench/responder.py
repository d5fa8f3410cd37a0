"""The client's own ceiling: a server that does nothing but answer, in a process of its own.

``GET /n/<bytes>`` answers that many bytes; anything else is read to its end, dropped,
and answered with an empty 200. Run as ``python -m bench.responder``; prints its port.
"""

import select
import socket
import sys

from bench.payload import Pool

_BUFFER_BYTES = 1 << 20
_EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Peer:
    __slots__ = ("data", "left", "sock", "to_send", "total")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.left = 0  # bytes of a request's body still to be dropped
        self.total = 0  # bytes of the answer's body
        self.to_send = 0


class Responder:
    """One thread, one epoll. ``serve`` runs until the process is ended."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._poll = select.epoll()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._peers: dict[int, _Peer] = {}
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def serve(self) -> None:
        """Answer for ever."""
        while True:
            for fileno, event in self._poll.poll():
                if fileno == self._listener.fileno():
                    sock, _ = self._listener.accept()
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._peers[sock.fileno()] = _Peer(sock)
                    self._poll.register(sock.fileno(), select.EPOLLIN)
                    continue
                peer = self._peers[fileno]
                try:
                    if event & select.EPOLLOUT:
                        self._push(peer)
                    elif not self._pull(peer):
                        self._drop(peer)
                except BlockingIOError:
                    continue
                except OSError:
                    self._drop(peer)

    def _drop(self, peer: _Peer) -> None:
        del self._peers[peer.sock.fileno()]
        self._poll.unregister(peer.sock.fileno())
        peer.sock.close()

    def _pull(self, peer: _Peer) -> bool:
        if peer.left:
            received = peer.sock.recv_into(self._buffer, min(peer.left, _BUFFER_BYTES), socket.MSG_TRUNC)
            peer.left -= received
            if received and not peer.left:
                peer.sock.send(_EMPTY)
            return bool(received)
        received = peer.sock.recv_into(self._buffer)
        if not received:
            return False
        peer.data += self._buffer[:received].tobytes()
        end = peer.data.find(b"\r\n\r\n")
        if end < 0:
            return True
        head, body = peer.data[:end].lower(), len(peer.data) - end - 4
        peer.data = b""
        if head.startswith(b"get /n/"):
            peer.total = peer.to_send = int(head[7 : head.index(b" ", 7)])
            peer.sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % peer.total, socket.MSG_MORE)
            self._push(peer)
            return True
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        peer.left = length - body
        if not peer.left:
            peer.sock.send(_EMPTY)
        return True

    def _push(self, peer: _Peer) -> None:
        try:
            while peer.to_send:
                offset = peer.total - peer.to_send
                end = min(offset + _BUFFER_BYTES, peer.total)
                peer.to_send -= peer.sock.send(self._pool.view[offset:end])
        except BlockingIOError:
            self._poll.modify(peer.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
            return
        self._poll.modify(peer.sock.fileno(), select.EPOLLIN)


def main() -> None:
    """Serve answers of up to 64 MiB on a free port, printed as the only line."""
    responder = Responder(Pool(64 << 20))
    sys.stdout.write(f"{responder.port}\n")
    sys.stdout.flush()
    responder.serve()


if __name__ == "__main__":
    main()
