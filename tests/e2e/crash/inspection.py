"""What a restarted server shows, read through both protocols, and what is wrong with it."""

import hashlib
from collections.abc import Sequence

from tests.e2e.crash.clients import S3, Dav, Entry, Unexpected
from tests.e2e.crash.content import Content, Piece, Pool
from tests.e2e.crash.desk import Owned, Upload
from tests.e2e.crash.model import Model
from tests.e2e.crash.uploads import send_complete


class Inspection:
    """One look at everything. Faults are collected in ``faults``, one line each."""

    def __init__(self, s3: S3, dav: Dav | None, model: Model, pool: Pool) -> None:
        self._s3 = s3
        self._dav = dav
        self._model = model
        self._pool = pool
        self.faults: list[str] = []
        self.objects = 0
        self.bytes = 0

    def objects_and_folders(self, folders: Sequence[str]) -> None:
        """Listing, every byte of every object, ETags, and the same through WebDAV; then judge."""
        listed = self._s3.listing()
        if list(listed) != sorted(listed, key=str.encode):
            self.faults.append("the listing is out of order")
        seen: dict[str, Content | None] = {key: self._recognise(key, entry) for key, entry in listed.items()}
        self.objects = len(seen)
        if self._dav is not None:
            for folder in folders:
                below = {key: entry.size_bytes for key, entry in listed.items() if key.rpartition("/")[0] == folder}
                shown = self._dav.members(f"{folder}/")
                if shown != below:
                    self.faults.append(f"{folder}/: WebDAV shows {sorted(shown.items() ^ below.items())} otherwise")
        missing = [key for key in self._model.written() if key not in listed]
        for key in missing:  # what the listing leaves out must not be readable either
            if (status := self._s3.ask("GET", key).status) != 404:
                self.faults.append(f"{key}: not listed, but GET answers {status}")
        self.faults.extend(str(violation) for violation in self._model.judge(seen))

    def _recognise(self, key: str, entry: Entry) -> Content:
        answer = self._s3.ask("GET", key)
        self.bytes += len(answer.body)
        if answer.status != 200:
            self.faults.append(f"{key}: listed, but GET answers {answer.status} {answer.body[:200]!r}")
        elif entry.size_bytes != len(answer.body) or entry.etag != answer.etag:
            self.faults.append(
                f"{key}: listed with {entry.size_bytes} bytes and {entry.etag}, "
                f"GET gives {len(answer.body)} and {answer.etag}"
            )
        for content in self._model.allowed(key):
            if content is not None and self._pool.bytes_of_all(content) == answer.body:
                known = self._model.etag_of(key, content)
                if known is not None and known != answer.etag:
                    self.faults.append(f"{key}: ETag was {known}, is {answer.etag}")
                return content
        return self._stranger(answer.body)

    def _stranger(self, body: bytes) -> Content:
        """Which request wrote bytes that may not be here; serial 0 where none did."""
        for serial in range(1, self._model.serial() if len(body) >= 16 else 1):
            piece = Piece(serial, len(body))
            if body.startswith(self._pool.bytes_of(Piece(serial, 16))):
                return (piece,) if self._pool.bytes_of(piece) == body else (Piece(serial, 16), Piece(0, len(body) - 16))
        return (Piece(0, len(body)),)

    def uploads(self, owners: Sequence[Owned]) -> None:
        """Open uploads and their parts; call it after :meth:`objects_and_folders`."""
        listed = self._s3.uploads()
        known = set()
        for owned in owners:
            for upload in list(owned.uploads):
                known.add((upload.key, upload.upload_id))
                if not self._upload(upload, open_now=(upload.key, upload.upload_id) in listed):
                    owned.uploads.remove(upload)
        begun = [owned.beginning for owned in owners if owned.beginning is not None]
        for owned in owners:
            owned.beginning = None
        for key, upload_id in sorted(listed - known):
            if key in begun:
                begun.remove(key)
            else:
                self.faults.append(f"{key}: an upload is open that nobody began: {upload_id}")
            status = self._s3.ask("DELETE", key, query={"uploadId": upload_id}).status
            if status != 204:
                self.faults.append(f"{key}: Abort of an unanswered begin answers {status}")

    def _upload(self, upload: Upload, *, open_now: bool) -> bool:
        """Judge one upload; False when it is over."""
        if upload.ending is not None:
            published = self._model.certain(upload.key) == upload.content
            upload.ending = None
            if published:
                if open_now:
                    self.faults.append(f"{upload.key}: completed, and the upload is still open")
                answer = send_complete(self._s3, upload)
                if answer.status != 200 or b"<Error>" in answer.body:
                    self.faults.append(f"{upload.key}: Complete again answers {answer.status} {answer.body[:200]!r}")
                return False
        aborting, upload.aborting = upload.aborting, False
        if not open_now:
            if not aborting:
                self.faults.append(f"{upload.key}: upload {upload.upload_id} is lost")
            return False
        self._parts(upload)
        return True

    def _parts(self, upload: Upload) -> None:
        shown = self._s3.parts(upload.key, upload.upload_id)
        doubtful, upload.doubtful = upload.doubtful, None
        if doubtful is not None:
            number, piece = doubtful
            etag = hashlib.md5(self._pool.bytes_of(piece)).hexdigest()
            if shown.get(number) == Entry(piece.size_bytes, etag):
                upload.parts[number] = (piece, etag)
        expected = {number: Entry(piece.size_bytes, etag) for number, (piece, etag) in upload.parts.items()}
        if shown != expected:
            self.faults.append(f"{upload.key}: parts are {shown}, must be {expected}")
            upload.parts = {number: part for number, part in upload.parts.items() if number in shown}


def put_first(s3: S3, model: Model, pool: Pool, key: str) -> None:
    """Write the object that keeps a folder from ever being empty."""
    piece = Piece(model.serial(), 100)
    request = model.sent("put", {key: (piece,)})
    answer = s3.ask("PUT", key, body=pool.bytes_of(piece))
    if answer.status != 200:
        raise Unexpected(f"put {key}: {answer.status} {answer.body[:300]!r}")
    model.done(request, answer.etag)
