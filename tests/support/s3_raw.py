"""Requests that no SDK would send: built by hand, signed by hand, sent over a bare socket."""

import hashlib
import hmac
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lxml import etree

from bench.sigv4 import REGION
from tests.support.s3_server import S3Server

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Reply:
    """One answer. ``closed``: the server ended the connection behind it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closed: bool = False

    @property
    def code(self) -> str:
        """The S3 error code."""
        return etree.fromstring(self.body).findtext("Code") or "" if self.body else ""

    def text(self, path: str) -> str | None:
        """An element's text, whatever its namespace."""
        root = etree.fromstring(self.body)
        for element in root.iter():
            element.tag = str(element.tag).rpartition("}")[2]
        return root.findtext(path)


class Wire:
    """One connection."""

    def __init__(self, server: S3Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)
        self._left = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(b"".join(parts))

    def receive(self, *, head: bool = False) -> Reply:
        """The next answer, an interim one included."""
        while b"\r\n\r\n" not in self._left:
            self._left += self._more()
        raw, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = 0 if head or status in (100, 204, 304) else int(headers.get("content-length", "0"))
        while len(self._left) < length:
            self._left += self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Reply(status, headers, body, headers.get("connection", "").lower() == "close")

    def receive_head(self) -> bytes:
        """Read the headers of an answer; what came of its body with them."""
        while b"\r\n\r\n" not in self._left:
            self._left += self._more()
        left, self._left = self._left.partition(b"\r\n\r\n")[2], b""
        return left

    def ended(self) -> bool:
        """Whether the server has closed the connection (waits for it)."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the connection ended before the answer did")
        return data


def head_of(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Request line and headers."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def signed_head(
    server: S3Server,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    payload: str = "UNSIGNED-PAYLOAD",
    unsigned: Mapping[str, str] | None = None,
) -> bytes:
    """Request line and headers, signed for alice. The target is sent and signed as it is."""
    path, _, query = target.partition("?")
    pairs = sorted(item.partition("=")[::2] for item in query.split("&") if item)
    canonical = "&".join(f"{name}={value}" for name, value in pairs)
    signed = server.signer().sign(method, path, canonical, headers=headers, payload_sha256=payload)
    return head_of(method, target, {**signed, **(unsigned or {})})


def request(
    server: S3Server,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    payload: str = "UNSIGNED-PAYLOAD",
) -> Reply:
    """One signed request on a connection of its own."""
    sent = {**(headers or {})}
    if body or method in ("PUT", "POST"):
        sent.setdefault("content-length", str(len(body)))
    with Wire(server) as wire:
        wire.send(signed_head(server, method, target, sent, payload), body)
        return wire.receive(head=method == "HEAD")


class ChunkWriter:
    """Frames a body in signed chunks, as the documentation says. The seed is the signature of the head."""

    def __init__(self, head: bytes, secret_key: str) -> None:
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ": " in line)
        authorization = fields["authorization"]
        self._previous = authorization.rpartition("Signature=")[2]
        self._stamp = fields["x-amz-date"]
        day = self._stamp[:8]
        self._scope = f"{day}/{REGION}/s3/aws4_request"
        key = f"AWS4{secret_key}".encode()
        for part in (day, REGION, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key

    def chunk(self, data: bytes) -> bytes:
        """One chunk; the last is empty and has no line break behind its bytes."""
        empty = hashlib.sha256(b"").hexdigest()
        digest = hashlib.sha256(data).hexdigest()
        self._sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._stamp}\n{self._scope}\n{self._previous}\n{empty}\n{digest}")
        frame = f"{len(data):x};chunk-signature={self._previous}\r\n".encode()
        return frame + data + b"\r\n" if data else frame

    def trailer(self, lines: Iterable[tuple[str, str]]) -> bytes:
        """The trailing headers and their signature."""
        text = "".join(f"{name}:{value}\n" for name, value in lines)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._sign(f"AWS4-HMAC-SHA256-TRAILER\n{self._stamp}\n{self._scope}\n{self._previous}\n{digest}")
        return (text.replace("\n", "\r\n") + f"x-amz-trailer-signature:{self._previous}\r\n\r\n").encode()

    def _sign(self, text: str) -> None:
        self._previous = hmac.digest(self._key, text.encode(), "sha256").hex()
