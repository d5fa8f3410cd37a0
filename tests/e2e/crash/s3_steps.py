"""Single requests over S3."""

import base64
import hashlib

from tests.e2e.crash.clients import Unexpected
from tests.e2e.crash.desk import Desk


class S3Steps:
    """Each method sends one request of a kind."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def put(self) -> None:
        """Write an object, new or not; its ETag is its MD5."""
        key, piece = self._desk.key(), self._desk.piece()
        body = self._desk.pool.bytes_of(piece)
        answer = self._desk.write("put", {key: (piece,)}, lambda: self._desk.s3.ask("PUT", key, body=body), {200})
        if answer is not None and answer.etag != hashlib.md5(body).hexdigest():
            raise Unexpected(f"put {key}: ETag {answer.etag} is not the MD5")

    def delete(self) -> None:
        """Remove an object that may not exist."""
        key = self._desk.key()
        self._desk.write("delete", {key: None}, lambda: self._desk.s3.ask("DELETE", key), {204})

    def delete_many(self) -> None:
        """Each key of DeleteObjects is a promise of its own."""
        keys = sorted({self._desk.key() for _ in range(4)})
        listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{listed}</Delete>".encode()
        self._desk.tally.count("delete many")
        digest = hashlib.sha256(body).digest()
        headers = {"x-amz-checksum-sha256": _base64(digest), "content-md5": _base64(hashlib.md5(body).digest())}
        requests = [self._desk.model.sent("delete many", {key: None}) for key in keys]
        answer = self._desk.s3.ask("POST", query={"delete": ""}, body=body, headers=headers)
        for request in requests:
            self._desk.settle(request, answer, {200})
        if answer.status == 200 and b"<Error>" in answer.body:
            raise Unexpected(f"delete many: {answer.body[:300]!r}")

    def copy(self) -> None:
        """Copy an object, often over another one."""
        source = self._desk.existing()
        if source is None:
            return
        target = self._desk.key()
        if target == source[0]:
            return
        headers = {"x-amz-copy-source": f"/crash/{source[0]}"}
        answer = self._desk.write(
            "copy", {target: source[1]}, lambda: self._desk.s3.ask("PUT", target, headers=headers), {200}
        )
        if answer is not None and b"<Error>" in answer.body:
            raise Unexpected(f"copy {source[0]} {target}: {answer.body[:300]!r}")

    def get(self) -> None:
        """Read an object and compare every byte."""
        found = self._desk.existing()
        if found is None:
            return
        key, content = found
        self._desk.tally.count("get")
        answer = self._desk.s3.ask("GET", key)
        if answer.status != 503 and (answer.status != 200 or answer.body != self._desk.pool.bytes_of_all(content)):
            raise Unexpected(f"get {key}: {answer.status}, {len(answer.body)} bytes, not what was written")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
