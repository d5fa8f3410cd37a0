"""PUT: all of the body or nothing of it, under the same locks and conditions as every other change."""

import mimetypes
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.guard import Caller, Change, Guard
from noisefs.adapters.inbound.webdav.incoming import Incoming
from noisefs.adapters.inbound.webdav.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.place import Place
from noisefs.adapters.inbound.webdav.preconditions import http_date, write_condition
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.turnstile import Turnstile
from noisefs.core.domain.requests import Attributes
from noisefs.core.errors import ObjectNotFound
from noisefs.core.services.namespace.objects import Objects

_SECOND_US: Final = 1_000_000
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999: no HTTP date goes further."""
_KEPT: Final = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
_BINARY: Final = "application/octet-stream"


def empty_file(place: Place) -> tuple[AsyncIterator[bytes], Attributes]:
    """Body and attributes of a file that a LOCK makes."""
    return _no_pieces(), _attributes({}, place, None, None)


async def _no_pieces() -> AsyncIterator[bytes]:
    return
    yield b""  # what makes it a generator


class Writing:
    """Answers PUT. Task-safe."""

    def __init__(self, *, nodes: Nodes, guard: Guard, objects: Objects, turnstile: Turnstile) -> None:
        self._nodes = nodes
        self._guard = guard
        self._objects = objects
        self._turnstile = turnstile

    async def answer(self, caller: Caller, place: Place, incoming: Incoming) -> web.Response:
        """Store the body and answer 201 or 204. On any error the old version stays.

        Everything that can refuse the request does so before the client is told to send its body. Locks are looked at
        once more when the last byte is in, since a large body takes its time.

        Raises:
            Refused: 400, 403, 405, 409, 412, 423.
            NoisefsError: Whatever the services raise.
        """
        if "Content-Range" in caller.headers:
            raise Refused(400, "a PUT with Content-Range would replace the whole file by a part of it")
        modified_us = _modified_us(caller.headers)
        node = await self._target(caller, place)
        condition = write_condition(caller.headers)
        tokens = await self._guard.check_if(caller, place, node)
        change = Change(place, membership=node is None, tree=False)
        await self._guard.check_locks(caller.who, tokens, change)

        async with AsyncExitStack() as until_commit:

            async def source() -> AsyncIterator[bytes]:
                async for piece in incoming.pieces():
                    yield piece
                await until_commit.enter_async_context(self._turnstile.change(place.path))
                await self._guard.check_locks(caller.who, tokens, change)

            try:
                version = await self._objects.put(
                    caller.who,
                    place.bucket,
                    place.key,
                    source(),
                    _attributes(caller.headers, place, node, modified_us),
                    condition=condition,
                )
            except ObjectNotFound as exc:
                raise Refused(412, "If-Match does not hold: there is no such file") from exc
        headers = {"ETag": f'"{version.etag}"', "Last-Modified": http_date(version.modified_us)}
        if modified_us is not None:
            headers["X-OC-MTime"] = "accepted"
        if node is None:
            return answers.whole(201, "text/plain; charset=utf-8", b"Created\n", headers)
        return answers.whole(204, "", b"", headers)

    async def _target(self, caller: Caller, place: Place) -> Node | None:
        """The file that is to be replaced, or ``None`` where one is to be made."""
        if place.is_root:
            raise Refused(403, "the root holds buckets only")
        node = await self._nodes.find(caller.who, place)
        if node is not None and node.is_collection:
            raise Refused(405, "a collection is there: it has no content")
        if place.is_bucket:
            raise Refused(403, "the root holds buckets only: make one with MKCOL")
        if place.slash:
            raise Refused(405, "the name of a file does not end in '/'")
        if node is None and not await self._nodes.has_collection(caller.who, place.parent):
            raise Refused(409, f"the collection {place.parent.path!r} does not exist")
        return node


def _modified_us(headers: Mapping[str, str]) -> int | None:
    """Time of the last change that the client names (ownCloud's ``X-OC-Mtime``: seconds, perhaps with a fraction)."""
    text = headers.get("X-OC-Mtime")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LAST_SECOND:
        raise Refused(400, f"X-OC-Mtime is {text[:40]!r}: seconds since 1970")
    return int(seconds * _SECOND_US)


def _attributes(headers: Mapping[str, str], place: Place, node: Node | None, modified_us: int | None) -> Attributes:
    content_type = headers.get("Content-Type") or mimetypes.guess_type(place.name)[0] or _BINARY
    created_us = None
    if node is not None and node.version is not None:
        created_us = node.version.created_us or node.version.modified_us
    return Attributes(
        content_type=content_type,
        headers={name: headers[name] for name in _KEPT if name in headers},
        modified_us=modified_us,
        created_us=created_us,
    )
