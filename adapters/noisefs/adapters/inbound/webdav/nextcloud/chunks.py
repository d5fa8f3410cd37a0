"""Chunked uploads: ``/remote.php/dav/uploads/USER/ID/``, of the second kind and of the first.

MKCOL begins one, PUT brings a chunk, MOVE of ``.file`` joins them at the ``Destination``, DELETE forgets it. The
join is a PUT like any other: the same locks, conditions and rights, looked at once more in its commit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.auth.asking import asking_for
from noisefs.adapters.inbound.webdav.files.claims import claims_of
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.writing import Writing
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.listing.multistatus import Renderer
from noisefs.adapters.inbound.webdav.listing.scene import Scene
from noisefs.adapters.inbound.webdav.listing.wanted import parse_propfind
from noisefs.adapters.inbound.webdav.nextcloud.alias import UploadPlace
from noisefs.adapters.inbound.webdav.nextcloud.properties import file_id
from noisefs.adapters.inbound.webdav.places.nodes import Node
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.places.view import View
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version
from noisefs.core.errors import QuotaExceeded
from noisefs.core.ports.clock import Clock
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.uploads.chunked import Chunk, ChunkedUploads

JOINED: Final = ".file"
"""What all chunks together are called."""
_ABOUT_THE_FILE: Final = ("X-OC-Mtime", "OC-Checksum")
"""Headers of a MOVE that tell about the file; the others (a content type) tell about the request."""
_LENGTH_DIGITS: Final = 20


class Chunks:
    """Answers requests about chunked uploads. Task-safe."""

    def __init__(
        self, *, chunked: ChunkedUploads, buckets: Buckets, writing: Writing, clock: Clock, settings: WebdavSettings
    ) -> None:
        self._chunked = chunked
        self._buckets = buckets
        self._writing = writing
        self._clock = clock
        self._settings = settings

    async def answer(
        self, request: web.BaseRequest, caller: Caller, where: UploadPlace, incoming: Incoming
    ) -> web.Response:
        """The answer.

        Raises:
            Refused: 400, 404, 405, 409, 412, 423, 502.
            NoisefsError: Whatever the services raise.
        """
        method, who = request.method, caller.who
        if method == "PUT" and where.chunk and where.chunk != JOINED:
            return await self._put(caller, where, incoming)
        await incoming.whole(self._settings.max_xml_bytes) if method not in ("PROPFIND", "PUT") else None
        match method, where.chunk:
            case "MKCOL", "":
                await self._check_destination(request, caller)
                if not await self._chunked.begin(who, where.upload):
                    raise Refused(405, "an upload of this name is open already")
                return answers.whole(201, "", b"")
            case "DELETE", "":
                await self._chunked.abort(who, where.upload)
                return answers.whole(204, "", b"")
            case "DELETE", chunk if chunk != JOINED:
                if not await self._chunked.drop_chunk(who, where.upload, chunk):
                    raise Refused(404, "the upload has no such chunk")
                return answers.whole(204, "", b"")
            case "PROPFIND", _:
                return await self._list(caller, where, incoming)
            case "MOVE", chunk if chunk == JOINED:
                return await self._join(request, caller, where)
        raise Refused(405, f"{method} is nothing that can be done to a chunked upload")

    async def _put(self, caller: Caller, where: UploadPlace, incoming: Incoming) -> web.Response:
        claims = claims_of(caller.headers)
        url = caller.headers.get("Destination")
        target = None if url is None else caller.place_of(url.strip())
        part = await self._chunked.put_chunk(
            caller.who,
            where.upload,
            where.chunk,
            incoming.pieces(),
            digests=claims.algorithms,
            verify=claims.verify,
            bucket="" if target is None else target.bucket,
            declared_bytes=incoming.expected_bytes or 0,
        )
        return answers.whole(201, "", b"", {"ETag": f'"{part.md5.hex()}"', "OC-ETag": f'"{part.md5.hex()}"'})

    async def _list(self, caller: Caller, where: UploadPlace, incoming: Incoming) -> web.Response:
        wanted = parse_propfind(await incoming.whole(self._settings.max_xml_bytes))
        depth = caller.headers.get("Depth", "infinity").strip().lower()
        chunks = await self._chunked.chunks(caller.who, where.upload)
        folder = Place(where.upload, "", slash=True)
        if where.chunk:
            nodes = [_node(folder, chunk) for chunk in chunks if chunk.name == where.chunk]
            if not nodes:
                raise Refused(404, "the upload has no such chunk")
        else:
            nodes = [Node(folder), *(_node(folder, chunk) for chunk in chunks if depth != "0")]
        renderer = Renderer(wanted, Scene(now_us=self._clock.now_us(), view=View(base=where.above)))
        xml = b"".join((multistatus.HEAD, renderer.page(nodes, _NO_DEAD), multistatus.TAIL))
        return answers.whole(207, multistatus.CONTENT_TYPE, xml)

    async def _join(self, request: web.BaseRequest, caller: Caller, where: UploadPlace) -> web.Response:
        total = _length(caller.headers)
        caller, place = self._target(request, caller)
        about = {name: caller.headers[name] for name in _ABOUT_THE_FILE if name in caller.headers}
        overwrite = caller.headers.get("Overwrite", "T").strip().upper() != "F"
        version, status, fields = await self._writing.join(
            caller, place, self._chunked, where.upload, about, expected_size=total, overwrite=overwrite
        )
        bucket = await self._buckets.get(caller.who, place.bucket)
        fields |= {"OC-ETag": f'"{version.etag}"', "OC-FileId": file_id(Node(place, version, bucket))}
        fields.pop("Content-Type", None)
        return answers.whole(status, "", b"", fields)

    def _target(self, request: web.BaseRequest, caller: Caller) -> tuple[Caller, Place]:
        """Where the file goes, and the caller asking to write there."""
        url = caller.headers.get("Destination")
        if url is None:
            raise Refused(400, "a Destination is missing")
        place = caller.place_of(url.strip())
        if place is None:
            raise Refused(502, "the Destination is on another server")
        asking = asking_for(caller.who, request, "PUT", place, None, self._clock.now_us())
        return replace(caller, who=caller.who.who_asks(asking)), place

    async def _check_destination(self, request: web.BaseRequest, caller: Caller) -> None:
        """Refuse at once what could never be joined, where the client tells already (the second kind)."""
        if "Destination" not in caller.headers:
            return
        total = _length(caller.headers)
        caller, place = self._target(request, caller)
        await self._writing.check_target(caller, place)
        left = None if total is None else await self._buckets.room(caller.who, place.bucket)
        if total is not None and left is not None and left < total:
            raise QuotaExceeded("bucket or its owner", f"{left} more bytes")


_NO_DEAD: Final[Mapping[str, Mapping[str, bytes]]] = {}
"""Chunks have no dead properties."""


def _node(folder: Place, chunk: Chunk) -> Node:
    version = Version(size=chunk.size, etag=chunk.etag, modified_us=chunk.modified_us, owner=UserId(""))
    return Node(folder.child(chunk.name), version)


def _length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the whole file, if the client tells."""
    text = headers.get("OC-Total-Length")
    if text is None:
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > _LENGTH_DIGITS:
        raise Refused(400, f"OC-Total-Length is {text[:40]!r}: a number of bytes")
    return int(text)
