"""WebDAV requests to a program that runs, for tests in threads."""

import base64
import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer


@dataclass(frozen=True)
class DavReply:
    """What came back; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class DavClient:
    """Sends one request after another, each on a connection of its own: so to any of the server's processes."""

    def __init__(self, server: RunningServer) -> None:
        self._address = urlsplit(server.webdav).netloc
        login = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
        self._login = {"Authorization": f"Basic {login}"}

    def __call__(
        self, method: str, path: str, body: bytes | str | Iterator[bytes] | None = None, **headers: str
    ) -> DavReply:
        """One request; header names have ``_`` for ``-``. An iterator is sent in chunks."""
        connection = http.client.HTTPConnection(self._address, timeout=60)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, self._login | fields, encode_chunked=isinstance(body, Iterator))
            answer = connection.getresponse()
            return DavReply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()
