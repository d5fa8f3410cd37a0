"""The body of a request: whole or an error, whatever the HTTP layer lets through."""

import asyncio

import pytest
from aiohttp import streams, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.errors import IncompleteBody, RequestTimeout


def incoming(
    *pieces: bytes, end: bool = True, connected: bool = True, error: Exception | None = None, **headers: str
) -> Incoming:
    """A request whose body consists of these pieces, and may or may not end."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    if connected:
        protocol.connection_made(asyncio.Transport())
    payload = streams.StreamReader(protocol, 1 << 16, loop=loop)
    for piece in pieces:
        payload.feed_data(piece)
    if error is not None:
        payload.set_exception(error)
    elif end:
        payload.feed_eof()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    request = make_mocked_request("PUT", "/bucket/f", fields, payload=payload)
    return Incoming(request, timeout_s=0.01)


async def test_all_of_it() -> None:
    """In pieces or in one."""
    assert await incoming(b"abc", b"de", Content_Length="5").whole(5) == b"abcde"
    assert await incoming(b"abc", b"de", Transfer_Encoding="chunked").whole(5) == b"abcde"
    assert await incoming().whole(0) == b""


@pytest.mark.parametrize("length", ["4", "6"])
async def test_another_length_than_declared(length: str) -> None:
    """Shorter or longer, although the HTTP layer reported an orderly end."""
    with pytest.raises(IncompleteBody):
        await incoming(b"abc", b"de", Content_Length=length).whole(100)


@pytest.mark.parametrize("error", [ConnectionResetError(), web.RequestPayloadError("cut"), web.PayloadAccessError()])
async def test_a_body_that_breaks_off(error: Exception) -> None:
    """Whatever the HTTP layer calls it."""
    with pytest.raises(IncompleteBody):
        await incoming(b"abc", error=error, Transfer_Encoding="chunked").whole(100)


async def test_a_body_that_stalls() -> None:
    """It has its time."""
    with pytest.raises(RequestTimeout):
        await incoming(b"abc", end=False, Content_Length="5").whole(100)


async def test_a_connection_that_was_closed_before_the_body_was_looked_at() -> None:
    """As happens to requests that wait behind others."""
    with pytest.raises(IncompleteBody):
        await incoming(b"abc", end=False, connected=False, Content_Length="5").whole(100)


async def test_a_body_over_the_limit() -> None:
    """413, declared or not."""
    for body in (incoming(b"abcdef", Content_Length="6"), incoming(b"abcdef", Transfer_Encoding="chunked")):
        with pytest.raises(Refused) as caught:
            await body.whole(5)
        assert caught.value.status == 413
