"""Heads of answers that leave the short way: whole, in one piece, with what every S3 answer carries."""

from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.answers import SERVER
from noisefs.adapters.inbound.s3.headers import http_time
from noisefs.core.ports.clock import Clock

_STATUS_LINES: Final = {
    200: "200 OK",
    204: "204 No Content",
    206: "206 Partial Content",
    503: "503 Service Unavailable",
}
_OWN_LINES: Final = 6
"""Lines besides those of the fields, the empty one included."""


class ShortHeads:
    """Makes heads. Belongs to the event loop."""

    def __init__(self, host_id: str, clock: Clock) -> None:
        """``host_id`` is told as ``x-amz-id-2``."""
        self.host_id = host_id
        self._clock = clock

    def head(self, status: int, fields: Mapping[str, str], request_id: str) -> bytes:
        """The head's bytes, with the empty line.

        Raises:
            ValueError: A field's value has a line break or NUL.
        """
        named = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        text = (
            f"HTTP/1.1 {_STATUS_LINES[status]}\r\nx-amz-request-id: {request_id}\r\nx-amz-id-2: {self.host_id}\r\n"
            f"Server: {SERVER}\r\n{named}"
            f"Date: {http_time(self._clock.now_us())}\r\n\r\n"
        )
        lines = len(fields) + _OWN_LINES
        if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
            raise ValueError("a header's value has a line break")
        return text.encode()
