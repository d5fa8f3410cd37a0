"""Responses: whole ones, refusals, and streams that never look complete when they are not."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav.refusal import Refused

ALLOW: Final = "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK"
METHODS: Final = frozenset(ALLOW.split(", "))
COMMON: Final = {"Server": "NoiseFS", "X-Content-Type-Options": "nosniff"}
"""Headers of every answer."""


def whole(status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response in one piece. Without a content type it has no body at all."""
    response = web.Response(status=status, body=body or None, headers={**COMMON, **(headers or {})})
    if content_type:
        response.headers["Content-Type"] = content_type
    else:
        response.headers.popall("Content-Type", None)
    return response


def add_own(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add what belongs to every answer of this request, whatever it is (``request["own_headers"]``)."""
    response.headers.update(request.get("own_headers", {}))


def refusal(refused: Refused) -> web.Response:
    """The response to a request that was refused."""
    content_type, body = refused.body
    headers = dict(refused.headers)
    if refused.status == 405:
        headers["Allow"] = ALLOW
    response = whole(refused.status, content_type, body, headers)
    for challenge in refused.challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response


async def stream(
    request: web.BaseRequest, response: web.StreamResponse, pieces: AsyncIterator[bytes | memoryview], timeout_s: float
) -> int:
    """Send a response's body as it comes; returns how many bytes were sent.

    A client that takes nothing for ``timeout_s``, and any exception of ``pieces``, cuts the connection: what was sent
    by then never looks like the whole.

    Raises:
        Whatever ``pieces`` raises. ``ConnectionError``: the client is gone, or was cut off.
    """
    add_own(request, response)
    await response.prepare(request)
    if request.method == "HEAD":
        return 0
    sent = 0
    try:
        async for piece in pieces:
            async with asyncio.timeout(timeout_s):
                await response.write(piece)
            sent += len(piece)
        await response.write_eof()
    except TimeoutError as exc:
        _cut(request)
        raise ConnectionAbortedError(f"the client took nothing for {timeout_s:g} s") from exc
    except BaseException:
        _cut(request)
        raise
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    return sent


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
