"""What a cell asks of a server, in the words of its protocol: requests ready to be sent."""

import base64
import dataclasses
import http.client
from abc import ABC, abstractmethod
from dataclasses import dataclass
from urllib.parse import quote

from bench.failures import BenchError
from bench.payload import Pool
from bench.peers import ACCESS_KEY, SECRET_KEY
from bench.servers import Address
from bench.sigv4 import EMPTY_SHA256, UNSIGNED, Signer, encode_path, encode_query
from bench.wire import Request

BUCKET = "bench"
# rclone answers a range with 200 and the right bytes; the length tells them apart.
_PARTIAL = (b"206", b"200")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer read whole."""

    status: int
    headers: dict[str, str]
    body: bytes


class Site(ABC):
    """A server's endpoint for one protocol. Names are paths below one bucket or collection."""

    protocol: str

    def __init__(self, address: Address, pool: Pool) -> None:
        self.address = address
        self.host = f"{address[0]}:{address[1]}"
        self.pool = pool

    @abstractmethod
    def refresh(self) -> None:
        """Start a new validity period of signatures; call it before each cell."""

    @abstractmethod
    def put(self, name: str, size_bytes: int) -> Request:
        """Write the first ``size_bytes`` of the pool."""

    @abstractmethod
    def get(self, name: str, size_bytes: int) -> Request:
        """Read an object of ``size_bytes``."""

    @abstractmethod
    def get_range(self, name: str, offset: int, length: int) -> Request:
        """Read part of an object."""

    @abstractmethod
    def delete(self, name: str) -> Request:
        """Remove an object."""

    @abstractmethod
    def listing(self, folder: str) -> Request:
        """The first 1000 entries below a folder."""

    @abstractmethod
    def move(self, folder: str, target: str) -> Request:
        """Rename a folder with all that is in it.

        Raises:
            BenchError: The protocol has no such request.
        """

    @abstractmethod
    def make_folders(self, names: list[str]) -> None:
        """Make the bucket or collection, and folders where the protocol needs them."""

    def ask(self, request: Request) -> Answer:
        """Send one request and read its answer whole, outside of any measurement."""
        line, _, rest = request.head.partition(b"\r\n")
        method, target, _ = line.decode("ascii").split(" ")
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for header in rest.decode("latin-1").split("\r\n"):
                if header:
                    name, _, value = header.partition(":")
                    connection.putheader(name, value.strip())
            connection.endheaders()
            if request.pool is not None:
                connection.send(request.pool.view[: request.body_bytes])
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def expect(self, request: Request, *statuses: int) -> Answer:
        """Like :meth:`ask`, and the status must be one of ``statuses``.

        Raises:
            BenchError: It is not.
        """
        answer = self.ask(request)
        if answer.status not in statuses:
            line = request.head.split(b"\r\n", 1)[0].decode()
            raise BenchError(f"{line}: {answer.status} {answer.body[:300].decode(errors='replace')}")
        return answer


def _head(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


class S3Site(Site):
    """Path-style S3, every request signed in its header."""

    protocol = "s3"

    def __init__(self, address: Address, pool: Pool, *, sign_payload: bool = True) -> None:
        super().__init__(address, pool)
        self._sign_payload = sign_payload
        self.refresh()

    def refresh(self) -> None:
        self.signer = Signer(ACCESS_KEY, SECRET_KEY, self.host)

    def _request(
        self,
        method: str,
        name: str,
        *,
        query: str = "",
        body_bytes: int | None = None,
        headers: dict[str, str] | None = None,
        statuses: tuple[bytes, ...] = (b"200",),
        answer_bytes: int | None = None,
    ) -> Request:
        path = f"/{BUCKET}/{encode_path(name)}" if name else f"/{BUCKET}"
        digest = EMPTY_SHA256
        if body_bytes is not None:
            digest = self.pool.sha256(body_bytes) if self._sign_payload else UNSIGNED
        signed = self.signer.sign(method, path, query, headers=headers, payload_sha256=digest)
        if body_bytes is not None:
            signed["content-length"] = str(body_bytes)
        target = f"{path}?{query}" if query else path
        pool = self.pool if body_bytes is not None else None
        return Request(_head(method, target, signed), pool, body_bytes or 0, statuses, answer_bytes)

    def put(self, name: str, size_bytes: int) -> Request:
        return self._request("PUT", name, body_bytes=size_bytes)

    def get(self, name: str, size_bytes: int) -> Request:
        return self._request("GET", name, answer_bytes=size_bytes)

    def get_range(self, name: str, offset: int, length: int) -> Request:
        headers = {"range": f"bytes={offset}-{offset + length - 1}"}
        return self._request("GET", name, headers=headers, statuses=_PARTIAL, answer_bytes=length)

    def delete(self, name: str) -> Request:
        return self._request("DELETE", name, statuses=(b"204",))

    def listing(self, folder: str) -> Request:
        return self.page({"prefix": f"{folder}/"})

    def page(self, asked: dict[str, str]) -> Request:
        """ListObjectsV2 of 1000, with these parameters."""
        return self._request("GET", "", query=encode_query({"list-type": "2", "max-keys": "1000"} | asked))

    def move(self, folder: str, target: str) -> Request:
        raise BenchError(f"S3 cannot rename {folder} to {target} in one request")

    def make_folders(self, names: list[str]) -> None:
        del names  # S3 has none
        self.expect(self._request("PUT", "", body_bytes=0), 200, 409)


class DavSite(Site):
    """WebDAV with Basic authentication on every request."""

    protocol = "webdav"

    def __init__(self, address: Address, pool: Pool) -> None:
        super().__init__(address, pool)
        login = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
        self._headers = {"host": self.host, "authorization": f"Basic {login}"}

    def refresh(self) -> None:
        """Nothing is signed."""

    def _request(self, method: str, name: str, *statuses: bytes, **extra: str) -> Request:
        headers = self._headers | {key.replace("_", "-"): value for key, value in extra.items()}
        return Request(_head(method, f"/{BUCKET}/{quote(name)}", headers), statuses=statuses)

    def put(self, name: str, size_bytes: int) -> Request:
        plain = self._request("PUT", name, b"201", b"204", content_length=str(size_bytes))
        return dataclasses.replace(plain, pool=self.pool, body_bytes=size_bytes)

    def get(self, name: str, size_bytes: int) -> Request:
        return dataclasses.replace(self._request("GET", name, b"200"), answer_bytes=size_bytes)

    def get_range(self, name: str, offset: int, length: int) -> Request:
        ranged = self._request("GET", name, *_PARTIAL, range=f"bytes={offset}-{offset + length - 1}")
        return dataclasses.replace(ranged, answer_bytes=length)

    def delete(self, name: str) -> Request:
        return self._request("DELETE", name, b"204")

    def listing(self, folder: str) -> Request:
        return self._request("PROPFIND", f"{folder}/", b"207", depth="1", content_length="0")

    def move(self, folder: str, target: str) -> Request:
        destination = f"http://{self.host}/{BUCKET}/{quote(target)}"  # rclone refuses slashes at the ends
        return self._request("MOVE", folder, b"201", b"204", destination=destination, content_length="0")

    def make_folders(self, names: list[str]) -> None:
        for name in ["", *(f"{name}/" for name in names)]:
            self.expect(self._request("MKCOL", name, b"201"), 201, 405)
