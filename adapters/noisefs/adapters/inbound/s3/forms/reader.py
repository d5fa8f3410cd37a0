"""Takes a ``multipart/form-data`` body apart while it comes in: fields first, then the one file.

Only the field called ``file`` is the file, whatever other fields come with a file name. What follows it is read and
ignored, as S3 does. Source: RFC 7578; S3 User Guide, *Browser-based uploads using POST*. Cost: a search through the
bytes at memory speed, and no copy but of some bytes between two pieces.
"""

import re
from collections.abc import AsyncIterator
from typing import Final

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument

FILE: Final = "file"
FIELDS_MOST_BYTES: Final = 20 * 1024
"""Everything before the file's bytes (S3 API Reference, *POST Object*)."""
_BOUNDARY_MOST: Final = 70
_MALFORMED: Final = "MalformedPOSTRequest"
_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^;,"\s]{1,70}))', re.IGNORECASE)
_PARAMETER: Final = re.compile(r';\s*(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))', re.IGNORECASE)
_ESCAPED: Final = re.compile(r'\\(["\\])')


def boundary_of(content_type: str) -> bytes:
    """What separates the parts of a form.

    Raises:
        S3Error: ``PreconditionFailed``: it is no form, or has none.
    """
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise S3Error(
            "PreconditionFailed",
            "Bucket POST must be of the enclosure-type multipart/form-data",
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    return (found[1] or found[2]).encode("utf-8", "surrogateescape")


class FormReader:
    """One form. First :meth:`fields`, then :meth:`file`. Not task-safe."""

    def __init__(self, pieces: AsyncIterator[bytes], boundary: bytes) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"
        """Bytes that came and were not taken; so that the first boundary looks like all others."""
        self._left = FIELDS_MOST_BYTES
        self.filename = ""
        """Of the file, without folders, as the browser gave it."""

    async def fields(self) -> dict[str, str]:
        """The fields before the file, by lower-case name; the first of equal names counts.

        Raises:
            S3Error: ``MalformedPOSTRequest``; ``MaxPostPreDataLengthExceededError``; ``InvalidArgument``: no file.
            IncompleteBody, RequestTimeout: It did not come.
        """
        found: dict[str, str] = {}
        await self._until(self._delimiter)
        while True:
            if await self._ended():
                raise invalid_argument(FILE, "0", "POST requires exactly one file upload per request.")
            name, filename = _names_of(await self._until(b"\r\n\r\n"))
            if name.lower() == FILE:
                self.filename = re.split(r"[/\\]", filename)[-1]
                return found
            value = await self._until(self._delimiter)
            try:
                found.setdefault(name.lower(), value.decode())
            except UnicodeDecodeError as exc:
                raise S3Error(_MALFORMED) from exc

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes as they come. Ends only when the form has ended as it should.

        Raises:
            S3Error: ``MalformedPOSTRequest``: the file has no end.
            IncompleteBody, RequestTimeout: It did not come.
        """
        delimiter = self._delimiter
        data = self._held
        self._held = b""
        while True:
            at = data.find(delimiter)
            if at >= 0:
                if at:
                    yield data[:at]
                break
            begin = data.rfind(b"\r", max(0, len(data) - len(delimiter) + 1))
            safe = len(data) if begin < 0 else begin
            if safe:
                yield data[:safe] if safe < len(data) else data
            piece = await anext(self._pieces, None)
            if piece is None:
                raise S3Error(_MALFORMED)
            data = data[safe:] + piece if safe < len(data) else piece
        async for _ in self._pieces:
            pass

    async def _until(self, mark: bytes) -> bytes:
        """What comes before the mark, which is left behind."""
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > self._left:
                raise S3Error("MaxPostPreDataLengthExceededError")
            await self._more()
        found, self._held = self._held[:at], self._held[at + len(mark) :]
        self._left -= at + len(mark)
        if self._left < 0:
            raise S3Error("MaxPostPreDataLengthExceededError")
        return found

    async def _ended(self) -> bool:
        """Whether the boundary just read was the last one; reads what is left of its line."""
        while len(self._held) < 2:
            await self._more()
        if self._held.startswith(b"--"):
            return True
        rest = await self._until(b"\r\n")
        if rest.strip(b" \t"):
            raise S3Error(_MALFORMED)
        return False

    async def _more(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            raise S3Error(_MALFORMED)
        self._held += piece


def _names_of(head: bytes) -> tuple[str, str]:
    """Name and file name of a part."""
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError as exc:
        raise S3Error(_MALFORMED) from exc
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition" and value.strip().lower().startswith("form-data"):
            given = {
                match[1].lower(): _ESCAPED.sub(r"\1", match[2]) if match[2] is not None else match[3]
                for match in _PARAMETER.finditer(value)
            }
            if given.get("name"):
                return given["name"], given.get("filename", "")
    raise S3Error(_MALFORMED)
