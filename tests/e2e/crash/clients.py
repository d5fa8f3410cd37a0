"""Blocking clients that know whether a request was answered. One thread each."""

import base64
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from lxml import etree

from bench.peers import ACCESS_KEY, SECRET_KEY
from bench.servers import Address
from bench.sigv4 import EMPTY_SHA256, UNSIGNED, Signer, encode_path, encode_query

BUCKET = "crash"
_TIMEOUT_S = 60.0


class Unanswered(Exception):
    """The connection ended before the answer was complete: nobody knows what the request did."""


class Unexpected(Exception):
    """An answer that this request must never get."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str | None:
        """The ETag without its quotes."""
        value = self.headers.get("etag")
        return value.strip('"') if value else None


class _Wire:
    """One keep-alive connection, made anew after a failure."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
        try:
            self._connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                self._connection.putheader(name, value)
            self._connection.putheader("content-length", str(len(body)))
            self._connection.endheaders()
            if body:
                self._connection.send(body)
            response = self._connection.getresponse()
            answer = Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            if isinstance(exc, socket.timeout):
                raise Unexpected(f"{method} {target}: no answer for {_TIMEOUT_S:.0f} s") from exc
            raise Unanswered(f"{method} {target}: {type(exc).__name__} {exc}") from exc
        if response.will_close:
            self.close()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a listing."""

    size_bytes: int
    etag: str


class S3:
    """S3 by path style; the caller decides what an answer means."""

    def __init__(self, address: Address) -> None:
        self._wire = _Wire(address)
        self._signer = Signer(ACCESS_KEY, SECRET_KEY, f"{address[0]}:{address[1]}")

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def ask(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one signed request."""
        path = f"/{BUCKET}/{encode_path(key)}" if key else f"/{BUCKET}"
        listed = encode_query(query or {})
        digest = UNSIGNED if body else EMPTY_SHA256
        signed = self._signer.sign(method, path, listed, headers=headers, payload_sha256=digest)
        return self._wire.send(method, f"{path}?{listed}" if listed else path, signed, body)

    def listing(self) -> dict[str, Entry]:
        """Every key of the bucket, in the server's order."""
        found: dict[str, Entry] = {}
        query = {"list-type": "2", "max-keys": "100"}
        while True:
            answer = self.ask("GET", query=query)
            if answer.status != 200:
                raise Unexpected(f"listing: {answer.status} {answer.body[:200]!r}")
            root = parse(answer.body)
            for item in root.findall("{*}Contents"):
                key = text_of(item, "Key")
                if key in found:
                    raise Unexpected(f"listing shows {key} twice")
                found[key] = Entry(int(text_of(item, "Size")), text_of(item, "ETag").strip('"'))
            if text_of(root, "IsTruncated") != "true":
                return found
            query["continuation-token"] = text_of(root, "NextContinuationToken")

    def uploads(self) -> set[tuple[str, str]]:
        """Key and id of every open upload."""
        answer = self.ask("GET", query={"uploads": "", "max-uploads": "1000"})
        if answer.status != 200:
            raise Unexpected(f"listing of uploads: {answer.status} {answer.body[:200]!r}")
        return {(text_of(item, "Key"), text_of(item, "UploadId")) for item in parse(answer.body).findall("{*}Upload")}

    def parts(self, key: str, upload_id: str) -> dict[int, Entry]:
        """Number, size and ETag of an upload's parts."""
        answer = self.ask("GET", key, query={"uploadId": upload_id, "max-parts": "1000"})
        if answer.status != 200:
            raise Unexpected(f"parts of {key}: {answer.status} {answer.body[:200]!r}")
        return {
            int(text_of(item, "PartNumber")): Entry(int(text_of(item, "Size")), text_of(item, "ETag").strip('"'))
            for item in parse(answer.body).findall("{*}Part")
        }


class Dav:
    """WebDAV on the same bucket."""

    def __init__(self, address: Address) -> None:
        self._wire = _Wire(address)
        login = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
        self._host = f"{address[0]}:{address[1]}"
        self._headers = {"host": self._host, "authorization": f"Basic {login}"}

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def ask(self, method: str, key: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request."""
        return self._wire.send(method, f"/{BUCKET}/{quote(key)}", {**self._headers, **(headers or {})}, body)

    def destination(self, key: str) -> dict[str, str]:
        """Headers of MOVE and COPY that may replace their target."""
        return {"destination": f"http://{self._host}/{BUCKET}/{quote(key)}", "overwrite": "T"}

    def members(self, folder: str) -> dict[str, int]:
        """Key and size of every file in a collection; an empty mapping where there is no collection."""
        answer = self.ask("PROPFIND", folder, headers={"depth": "1"})
        if answer.status == 404:
            return {}
        if answer.status != 207:
            raise Unexpected(f"PROPFIND {folder}: {answer.status} {answer.body[:200]!r}")
        found = {}
        for item in parse(answer.body).findall("{DAV:}response"):
            path = unquote(urlsplit(text_of(item, "href")).path)
            size = item.find(".//{DAV:}getcontentlength")
            if not path.endswith("/") and size is not None and size.text:
                found[path.removeprefix(f"/{BUCKET}/")] = int(size.text)
        return found


def parse(body: bytes) -> etree._Element:
    """XML of a server that is trusted only as far as a test trusts."""
    return etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))


def text_of(element: etree._Element, name: str) -> str:
    """Text of a child in any namespace, or nothing."""
    found = element.find(f"{{*}}{name}")
    return (found.text or "") if found is not None else ""
