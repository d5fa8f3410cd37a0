"""GET and HEAD: files as they are, collections as a page for browsers."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.sending.outgoing import Outgoing
from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.files.claims import checksums_of
from noisefs.adapters.inbound.webdav.files.several import SeveralRanges, content_range
from noisefs.adapters.inbound.webdav.page.rendering import Page
from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Guard
from noisefs.adapters.inbound.webdav.rules.preconditions import byte_ranges, http_date, read_condition
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.core.domain.records import Version
from noisefs.core.errors import NotModified, ObjectNotFound
from noisefs.core.services.bodies.windows import Take
from noisefs.core.services.namespace.objects.service import Objects

_FILE_POLICY: Final = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
"""A user's file opened in a browser runs no script with the login of whoever opens it."""


WHOLE_BYTES: Final = 32 * 1024
"""Up to so many bytes are sent in one write with the headers: they fit the socket's buffers, so nothing waits for the
client."""


class Reading:
    """Answers GET and HEAD. Task-safe."""

    def __init__(self, *, nodes: Nodes, guard: Guard, objects: Objects, settings: WebdavSettings) -> None:
        self._nodes = nodes
        self._guard = guard
        self._objects = objects
        self._settings = settings

    async def answer(self, request: web.BaseRequest, caller: Caller, place: Place) -> tuple[web.StreamResponse, int]:
        """The answer, and how many bytes of it were sent already. A file costs one index transaction.

        Raises:
            Refused: 304, 404, 412.
            NoisefsError: Whatever the services raise, also after the answer began: then the connection is cut.
        """
        if place.key and not place.slash and "If" not in caller.headers:
            try:
                return await self.file(request, caller, place)
            except ObjectNotFound:
                pass  # perhaps a collection
        node = await self._nodes.find(caller.who, place)
        if node is None:
            raise Refused(404, f"{place.path!r} does not exist")
        await self._guard.check_if(caller, place, node)
        if node.is_collection:
            return await self.collection(request, self._page(caller, node), self._nodes.members(caller.who, node))
        return await self.file(request, caller, place)

    async def file(
        self, request: web.BaseRequest, caller: Caller, place: Place, version_id: str | None = None
    ) -> tuple[web.StreamResponse, int]:
        """A file's bytes, or those of one of its versions. Raises as :meth:`answer`."""
        headers = caller.headers
        condition = read_condition(headers)
        try:
            if request.method == "HEAD":
                version = await self._objects.head(
                    caller.who, place.bucket, place.key, condition=condition, version_id=version_id
                )
                response = web.StreamResponse(headers=described(version))  # a Range means nothing here
                response.content_length = version.size
                return response, await answers.stream(request, response, _nothing(), self._settings.body_timeout_s)
            opening = await self._objects.open(
                caller.who,
                place.bucket,
                place.key,
                condition=condition,
                version_id=version_id,
                wanted=lambda version: _around(byte_ranges(headers, version), version),
            )
        except NotModified as exc:
            fields = {"ETag": f'"{exc.etag}"', "Last-Modified": http_date(exc.modified_us)}
            raise Refused(304, "", headers=fields) from exc
        async with opening as opened:
            version = opened.version
            fields = described(version)
            spans = byte_ranges(headers, version)
            size = opened.end - opened.start
            several: SeveralRanges | None = None

            def source(take: Take | None) -> AsyncIterator[memoryview]:
                return opened.chunks(take=take) if several is None else several.pieces(opened)

            if len(spans) == 1:
                fields["Content-Range"] = content_range(spans[0], version)
            elif spans:
                several = SeveralRanges(version, fields["Content-Type"], spans)
                fields["Content-Type"], size = several.content_type, several.size_bytes
            status = 206 if spans else 200
            if size <= WHOLE_BYTES:
                body = b"".join([bytes(piece) async for piece in source(None)]) if size else b""
                return web.Response(status=status, headers=fields, body=body), 0
            sent = Outgoing(status=status, headers=fields)
            answers.add_own(request, sent)
            await sent.pour(request, source, size, self._settings.body_timeout_s)
            return sent, sent.body_length

    async def collection(
        self, request: web.BaseRequest, page: Page, members: AsyncIterator[Sequence[Node]]
    ) -> tuple[web.StreamResponse, int]:
        """A page for people."""
        response = web.StreamResponse(headers={**answers.COMMON, **page.headers})
        return response, await answers.stream(request, response, page.pieces(members), self._settings.body_timeout_s)

    def _page(self, caller: Caller, node: Node) -> Page:
        links: tuple[tuple[str, Place], ...] = ()
        is_top = node.place.is_bucket or (node.place.key != "" and caller.view.is_top(node.place))
        if is_top and node.bucket is not None and node.bucket.versioning:
            settings = self._settings
            names = (("Deleted files", settings.trash_name), ("Versions", settings.versions_name))
            links = tuple((label, node.place.child(name)) for label, name in names if name)
        return Page(node, caller.view, links, removable=not node.place.is_root)


def described(version: Version) -> dict[str, str]:
    """Headers of the answer to a GET or HEAD of a file, but for its length and range."""
    fields = {
        **answers.COMMON,
        **{name: value for name, value in version.headers.items() if _is_field_value(value)},
        "Content-Type": version.content_type if _is_field_value(version.content_type) else "application/octet-stream",
        "Content-Security-Policy": _FILE_POLICY,
        "Last-Modified": http_date(version.modified_us),
        "ETag": f'"{version.etag}"',
        "Accept-Ranges": "bytes",
    }
    if version.checksums and (known := checksums_of(version)):
        fields["OC-Checksum"] = known
    return fields


def _around(spans: Sequence[tuple[int, int]], version: Version) -> tuple[int, int]:
    """What is opened: all that lies between the first and the last byte wanted, of which only that is read."""
    return (min(spans)[0], max(spans)[1]) if spans else (0, version.size)


def _is_field_value(value: str) -> bool:
    """Whether a stored text, which another protocol may have put there, can be sent as a header."""
    return bool(value) and value.isprintable()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # what makes it a generator
