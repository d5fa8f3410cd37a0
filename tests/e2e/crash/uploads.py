"""Multipart uploads that live on over crashes: one step at a time."""

from tests.e2e.crash.clients import S3, Answer, Unexpected, parse, text_of
from tests.e2e.crash.content import Piece
from tests.e2e.crash.desk import SEGMENT, Desk, Upload


class UploadSteps:
    """Begin, part, part again, complete, abort."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def step(self) -> None:
        """One step of an upload: begin, send a part (again), complete, abort."""
        uploads = self._desk.owned.uploads
        if len(uploads) < 3 and self._desk.draw.random() < 0.3:
            self._begin()
            return
        if not uploads:
            return
        upload = self._desk.draw.choice(uploads)
        if upload.ending is not None or upload.aborting:
            return
        if len(upload.parts) < 2 or self._desk.draw.random() < 0.5:
            self._part(upload)
        elif self._desk.draw.random() < 0.8:
            self.complete(upload)
        else:
            self.abort(upload)

    def _begin(self) -> None:
        key = self._desk.key()
        self._desk.tally.count("begin upload")
        self._desk.owned.beginning = key
        answer = self._desk.s3.ask("POST", key, query={"uploads": ""})
        self._desk.owned.beginning = None
        if answer.status == 200:
            self._desk.owned.uploads.append(Upload(key, text_of(parse(answer.body), "UploadId")))
        elif not self._desk.refuses(answer):
            raise Unexpected(f"begin upload {key}: {answer.status} {answer.body[:300]!r}")

    def _part(self, upload: Upload) -> None:
        number = self._desk.draw.randint(1, 4)
        piece = Piece(
            self._desk.model.serial(), self._desk.draw.choice((16, 5000, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 1 << 20))
        )
        self._desk.tally.count("part")
        upload.doubtful = (number, piece)
        query = {"partNumber": str(number), "uploadId": upload.upload_id}
        answer = self._desk.s3.ask("PUT", upload.key, query=query, body=self._desk.pool.bytes_of(piece))
        upload.doubtful = None
        if answer.status == 200:
            assert answer.etag is not None
            upload.parts[number] = (piece, answer.etag)
        elif not self._desk.refuses(answer):
            raise Unexpected(f"part {number} of {upload.key}: {answer.status} {answer.body[:300]!r}")

    def complete(self, upload: Upload) -> None:
        """Complete with every answered part."""
        self._desk.tally.count("complete")
        upload.ending = self._desk.model.sent("complete", {upload.key: upload.content})
        answer = send_complete(self._desk.s3, upload)
        request, upload.ending = upload.ending, None
        if answer.status == 200 and b"<Error>" not in answer.body:
            self._desk.model.done(request)
            self._desk.owned.uploads.remove(upload)
            return
        self._desk.model.refused(request)
        if not self._desk.refuses(answer):
            raise Unexpected(f"complete {upload.key}: {answer.status} {answer.body[:300]!r}")

    def abort(self, upload: Upload) -> None:
        """Abort; the upload is gone with its parts."""
        self._desk.tally.count("abort")
        upload.aborting = True
        answer = self._desk.s3.ask("DELETE", upload.key, query={"uploadId": upload.upload_id})
        upload.aborting = False
        if answer.status == 204:
            self._desk.owned.uploads.remove(upload)
        elif not self._desk.refuses(answer):
            raise Unexpected(f"abort {upload.key}: {answer.status} {answer.body[:300]!r}")


def send_complete(s3: S3, upload: Upload) -> Answer:
    """Complete an upload with its answered parts."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, (_, etag) in sorted(upload.parts.items())
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return s3.ask("POST", upload.key, query={"uploadId": upload.upload_id}, body=body)
