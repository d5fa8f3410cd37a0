"""Heads of answers that leave the short way: whole, in one piece, with the date."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.rules.preconditions import http_date
from noisefs.core.ports.clock import Clock

_STATUS_LINES: Final = {200: "200 OK", 201: "201 Created", 204: "204 No Content", 206: "206 Partial Content"}
_OWN_LINES: Final = 3
"""Lines besides those of the fields, the empty one included."""


class Prompt(NamedTuple):
    """A whole answer: its head, with the empty line, and its body, which may be empty."""

    status: int
    head: bytes
    body: bytes | memoryview


def head(status: int, fields: Mapping[str, str], clock: Clock) -> bytes:
    """The head's bytes, with the empty line.

    Raises:
        ValueError: A field's value has a line break or NUL.
    """
    named = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
    text = f"HTTP/1.1 {_STATUS_LINES[status]}\r\n{named}Date: {http_date(clock.now_us())}\r\n\r\n"
    lines = len(fields) + _OWN_LINES
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise ValueError("a header's value has a line break")
    return text.encode()
