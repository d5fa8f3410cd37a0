"""Responses: whole ones, and streams that never look complete when they are not."""

import time
from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.text import NAMESPACE, XML_DECLARATION
from noisefs.adapters.inbound.sending.outgoing import UNWATCHED_MOST, Outgoing, Source

__all__ = ["SERVER", "UNWATCHED_MOST", "Answer", "empty", "refusal", "stream", "whole", "xml"]

SERVER: Final = "NoiseFS"


class Answer(Outgoing):
    """A response."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """``body``: all of it, for a response that is returned; a stream is written by :func:`stream`."""
        super().__init__(status=status, headers=headers)
        self._rest = body

    @property
    def rest_bytes(self) -> int:
        """Bytes of the body that leave at the end."""
        return len(self._rest)

    async def write_eof(self, data: bytes | memoryview = b"") -> None:
        """End the response with what is left of its body."""
        await super().write_eof(data or self._rest)  # type: ignore[arg-type]  # aiohttp takes views, its annotation does not


def whole(
    ids: Mapping[str, str], status: int, headers: Mapping[str, str], body: bytes = b"", *, head: bool = False
) -> Answer:
    """A response in one piece. ``head``: the request was a HEAD, so the body is only counted."""
    fields = {**ids, **headers}
    if status not in (204, 304):
        fields.setdefault("Content-Length", str(len(body)))
    return Answer(status, fields, b"" if head else body)


def empty(call: Call, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A response without a body."""
    return whole(call.ids, status, headers or {}, head=call.is_head)


def xml(
    call: Call, root: str, content: str, *, headers: Mapping[str, str] | None = None, namespace: bool = True
) -> Answer:
    """An XML document: ``content`` is escaped already."""
    begin = f'{root} xmlns="{NAMESPACE}"' if namespace else root
    body = f"{XML_DECLARATION}<{begin}>{content}</{root}>".encode("utf-8", "replace")
    return whole(call.ids, 200, {"Content-Type": "application/xml", **(headers or {})}, body, head=call.is_head)


def refusal(error: S3Error, resource: str, ids: Mapping[str, str], *, head: bool) -> Answer:
    """The response to a request that was refused."""
    if error.status == 304:
        return whole(ids, 304, error.headers)
    body = b"" if head else error.xml(resource, ids["x-amz-request-id"], ids["x-amz-id-2"])
    return whole(ids, error.status, {**error.headers, "Content-Type": "application/xml"}, body, head=head)


async def stream(
    call: Call, status: int, headers: Mapping[str, str], source: Source, size: int, timeout_s: float
) -> Answer:
    """Send a response's body of ``size`` bytes as it comes; see :meth:`.outgoing.Outgoing.pour`.

    Raises:
        Whatever ``source`` raises. ``ConnectionError``: the client is gone, or was cut off.
    """
    response = Answer(status, {**call.ids, **headers})
    call.sending_s = time.monotonic()
    try:
        await response.pour(call.request, source, size, timeout_s)
    finally:
        call.sent_bytes = response.body_length
    return response
