"""The mixed load: threads that write, copy, move and delete until the server is gone.

Each worker owns a folder and uses both protocols on it, so that its keys have one order of requests;
two more fight for the same few keys. Each worker draws from a generator of its own, so a seed gives
every worker the same wishes again (not the same interleaving: that is the machine's).
"""

import base64
import hashlib
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.servers import Server
from tests.e2e.crash.clients import S3, Answer, Dav, Unanswered, Unexpected, parse, text_of
from tests.e2e.crash.content import Content, Piece, Pool
from tests.e2e.crash.model import Model, Request

SEGMENT = 131072
SIZES = (0, 1, 16, 100, 1024, 1025, 4096, 70_000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 7, 1 << 20, 5 << 20)
_WEIGHTS = (3, 3, 3, 6, 3, 3, 12, 10, 5, 5, 5, 6, 4, 1)
_NAMES = 16
SHARED = "shared"
_REFUSALS = {409, 412, 429, 503, 507}  # try later; nothing was done


@dataclass(slots=True)
class Upload:
    """A multipart upload that lives on over crashes."""

    key: str
    upload_id: str
    parts: dict[int, tuple[Piece, str]] = field(default_factory=dict)  # answered
    doubtful: tuple[int, Piece] | None = None  # sent, not answered
    ending: Request | None = None  # Complete, sent and not answered
    aborting: bool = False  # Abort, sent and not answered

    @property
    def content(self) -> Content:
        """What Complete of the answered parts would publish."""
        return tuple(piece for _, (piece, _) in sorted(self.parts.items()))


@dataclass(slots=True)
class Owned:
    """What one worker carries from one life of the server to the next."""

    folder: str
    draw: random.Random
    uploads: list[Upload] = field(default_factory=list)
    beginning: str | None = None  # key of an upload whose begin was sent and not answered


@dataclass(slots=True)
class Tally:
    """What went on, over all workers. Numbers only grow."""

    requests: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """One more request of a kind."""
        with self.lock:
            self.requests[what] = self.requests.get(what, 0) + 1

    def note(self, what: str) -> None:
        """One more answer that must not be."""
        with self.lock:
            self.wrong.append(what)


class Worker:
    """Sends one request after the other until the server is gone.

    ``ending`` is set right before that: a connection lost earlier is a fault. ``small_parts`` tells that
    the server takes parts below S3's 5 MiB.
    """

    def __init__(
        self,
        owned: Owned,
        server: Server,
        model: Model,
        pool: Pool,
        *,
        tally: Tally,
        ending: threading.Event,
        small_parts: bool,
    ) -> None:
        assert server.s3 is not None
        self._owned = owned
        self._draw = owned.draw
        self._model = model
        self._pool = pool
        self._tally = tally
        self._ending = ending
        self._small_parts = small_parts
        self._s3 = S3(server.s3)
        self._dav = Dav(server.webdav) if server.webdav is not None else None

    def run(self) -> None:
        """The thread's body."""
        try:
            while True:
                self._one()
        except Unanswered as exc:
            if not self._ending.is_set():
                self._tally.note(f"connection lost while the server ran: {exc}")
        except Unexpected as exc:
            self._tally.note(str(exc))
        finally:
            self._s3.close()
            if self._dav is not None:
                self._dav.close()

    def _one(self) -> None:
        if self._owned.folder == SHARED:
            self._draw.choice((self.put, self.put, self.dav_put, self.delete))()
            return
        choices: list[tuple[Callable[[], None], int]] = [
            (self.put, 26),
            (self.delete, 8),
            (self.delete_many, 2),
            (self.copy, 8),
            (self.get, 8),
            (self.upload, 14 if self._small_parts else 0),
            (self.dav_put, 14),
            (self.dav_move, 10),
            (self.dav_copy, 4),
            (self.dav_delete, 6),
        ]
        actions, weights = zip(*choices, strict=True)
        self._draw.choices(actions, weights)[0]()

    # ---------------------------------------------------------------- helpers

    def _key(self) -> str:
        return f"{self._owned.folder}/{self._draw.randrange(_NAMES):02d}"

    def _piece(self) -> Piece:
        size = self._draw.choices(SIZES, _WEIGHTS)[0]
        if self._owned.folder == SHARED:  # only bytes that differ tell two writers apart
            size = max(size, 16)
        return Piece(self._model.serial(), size)

    def _existing(self) -> tuple[str, Content] | None:
        keys = [f"{self._owned.folder}/{number:02d}" for number in range(_NAMES)]
        self._draw.shuffle(keys)
        for key in keys:
            content = self._model.certain(key)
            if content is not None:
                return key, content
        return None

    def _write(
        self, what: str, effects: Mapping[str, Content | None], send: Callable[[], Answer], statuses: set[int]
    ) -> Answer | None:
        """Journal, send, judge the answer. None when it was refused."""
        self._tally.count(what)
        request = self._model.sent(what, effects)
        answer = send()
        return answer if self._settle(request, answer, statuses) else None

    def _settle(self, request: Request, answer: Answer, statuses: set[int]) -> bool:
        if answer.status in statuses:
            self._model.done(request, answer.etag if request.what in {"put", "dav put"} else None)
            return True
        self._model.refused(request)
        if answer.status not in _REFUSALS:
            raise Unexpected(f"{request.what} {', '.join(request.effects)}: {answer.status} {answer.body[:300]!r}")
        return False

    # ---------------------------------------------------------------- S3

    def put(self) -> None:
        key, piece = self._key(), self._piece()
        body = self._pool.bytes_of(piece)
        answer = self._write("put", {key: (piece,)}, lambda: self._s3.ask("PUT", key, body=body), {200})
        if answer is not None and answer.etag != hashlib.md5(body).hexdigest():
            raise Unexpected(f"put {key}: ETag {answer.etag} is not the MD5")

    def delete(self) -> None:
        key = self._key()
        self._write("delete", {key: None}, lambda: self._s3.ask("DELETE", key), {204})

    def delete_many(self) -> None:
        """Each key of DeleteObjects is a promise of its own."""
        keys = sorted({self._key() for _ in range(4)})
        listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete><Quiet>true</Quiet>{listed}</Delete>".encode()
        self._tally.count("delete many")
        digest = hashlib.sha256(body).digest()
        headers = {"x-amz-checksum-sha256": _base64(digest), "content-md5": _base64(hashlib.md5(body).digest())}
        requests = [self._model.sent("delete many", {key: None}) for key in keys]
        answer = self._s3.ask("POST", query={"delete": ""}, body=body, headers=headers)
        for request in requests:
            self._settle(request, answer, {200})
        if answer.status == 200 and b"<Error>" in answer.body:
            raise Unexpected(f"delete many: {answer.body[:300]!r}")

    def copy(self) -> None:
        source = self._existing()
        if source is None:
            return
        target = self._key()
        if target == source[0]:
            return
        headers = {"x-amz-copy-source": f"/crash/{source[0]}"}
        answer = self._write("copy", {target: source[1]}, lambda: self._s3.ask("PUT", target, headers=headers), {200})
        if answer is not None and b"<Error>" in answer.body:
            raise Unexpected(f"copy {source[0]} {target}: {answer.body[:300]!r}")

    def get(self) -> None:
        found = self._existing()
        if found is None:
            return
        key, content = found
        self._tally.count("get")
        answer = self._s3.ask("GET", key)
        if answer.status != 503 and (answer.status != 200 or answer.body != self._pool.bytes_of_all(content)):
            raise Unexpected(f"get {key}: {answer.status}, {len(answer.body)} bytes, not what was written")

    # ---------------------------------------------------------------- multipart

    def upload(self) -> None:
        """One step of an upload: begin, send a part (again), complete, abort."""
        uploads = self._owned.uploads
        if len(uploads) < 3 and self._draw.random() < 0.3:
            self._begin()
            return
        if not uploads:
            return
        upload = self._draw.choice(uploads)
        if upload.ending is not None or upload.aborting:
            return
        if len(upload.parts) < 2 or self._draw.random() < 0.5:
            self._part(upload)
        elif self._draw.random() < 0.8:
            self.complete(upload)
        else:
            self.abort(upload)

    def _begin(self) -> None:
        key = self._key()
        self._tally.count("begin upload")
        self._owned.beginning = key
        answer = self._s3.ask("POST", key, query={"uploads": ""})
        self._owned.beginning = None
        if answer.status == 200:
            self._owned.uploads.append(Upload(key, text_of(parse(answer.body), "UploadId")))
        elif answer.status not in _REFUSALS:
            raise Unexpected(f"begin upload {key}: {answer.status} {answer.body[:300]!r}")

    def _part(self, upload: Upload) -> None:
        number = self._draw.randint(1, 4)
        piece = Piece(self._model.serial(), self._draw.choice((16, 5000, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 1 << 20)))
        self._tally.count("part")
        upload.doubtful = (number, piece)
        query = {"partNumber": str(number), "uploadId": upload.upload_id}
        answer = self._s3.ask("PUT", upload.key, query=query, body=self._pool.bytes_of(piece))
        upload.doubtful = None
        if answer.status == 200:
            assert answer.etag is not None
            upload.parts[number] = (piece, answer.etag)
        elif answer.status not in _REFUSALS:
            raise Unexpected(f"part {number} of {upload.key}: {answer.status} {answer.body[:300]!r}")

    def complete(self, upload: Upload) -> None:
        """Complete with every answered part."""
        self._tally.count("complete")
        upload.ending = self._model.sent("complete", {upload.key: upload.content})
        answer = send_complete(self._s3, upload)
        request, upload.ending = upload.ending, None
        if answer.status == 200 and b"<Error>" not in answer.body:
            self._model.done(request)
            self._owned.uploads.remove(upload)
            return
        self._model.refused(request)
        if answer.status not in _REFUSALS:
            raise Unexpected(f"complete {upload.key}: {answer.status} {answer.body[:300]!r}")

    def abort(self, upload: Upload) -> None:
        """Abort; the upload is gone with its parts."""
        self._tally.count("abort")
        upload.aborting = True
        answer = self._s3.ask("DELETE", upload.key, query={"uploadId": upload.upload_id})
        upload.aborting = False
        if answer.status == 204:
            self._owned.uploads.remove(upload)
        elif answer.status not in _REFUSALS:
            raise Unexpected(f"abort {upload.key}: {answer.status} {answer.body[:300]!r}")

    # ---------------------------------------------------------------- WebDAV

    def dav_put(self) -> None:
        if (dav := self._dav) is None:
            return
        key, piece = self._key(), self._piece()
        body = self._pool.bytes_of(piece)
        self._write("dav put", {key: (piece,)}, lambda: dav.ask("PUT", key, body=body), {200, 201, 204})

    def dav_move(self) -> None:
        self._transfer("MOVE")

    def dav_copy(self) -> None:
        self._transfer("COPY")

    def _transfer(self, method: str) -> None:
        dav, source, target = self._dav, self._existing(), self._key()
        if dav is None or source is None or source[0] == target:
            return
        effects: dict[str, Content | None] = {target: source[1]}
        if method == "MOVE":
            effects[source[0]] = None
        headers = dav.destination(target)
        self._write(f"dav {method.lower()}", effects, lambda: dav.ask(method, source[0], headers=headers), {201, 204})

    def dav_delete(self) -> None:
        found = self._existing()
        if (dav := self._dav) is None or found is None:
            return
        self._write("dav delete", {found[0]: None}, lambda: dav.ask("DELETE", found[0]), {204})


def send_complete(s3: S3, upload: Upload) -> Answer:
    """Complete an upload with its answered parts."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, (_, etag) in sorted(upload.parts.items())
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return s3.ask("POST", upload.key, query={"uploadId": upload.upload_id}, body=body)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
