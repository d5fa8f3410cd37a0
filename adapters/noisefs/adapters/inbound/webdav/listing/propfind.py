"""PROPFIND: what is there, streamed page by page from one listing query a page (RFC 4918 section 9.1).

It runs on the loop and hands only the rendering of long pages to a thread, so a slow client holds none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.listing.brevity import brevity_of
from noisefs.adapters.inbound.webdav.listing.dated import current
from noisefs.adapters.inbound.webdav.listing.multistatus import Dead, Renderer
from noisefs.adapters.inbound.webdav.listing.scene import Scene
from noisefs.adapters.inbound.webdav.listing.wanted import Mode, Wanted, parse_propfind
from noisefs.adapters.inbound.webdav.nextcloud.properties import PERMISSIONS
from noisefs.adapters.inbound.webdav.places.nodes import Members, Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import FINITE_DEPTH, Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Guard
from noisefs.adapters.inbound.webdav.rules.locking import LockMap
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.core.domain.records import Lock
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.errors import AccessDenied
from noisefs.core.ports.clock import Clock
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.trees.properties import Properties

INLINE_NODES: Final = 100
"""Resources that are rendered on the loop, most folders: they hold it for a sixth of a millisecond (for three quarters
if they all have properties of their own), and a hop to a thread costs as much."""
INLINE_XML_BYTES: Final = 4096
"""Bodies that are parsed on the loop: clients' own have some hundred bytes."""


class Listing:
    """Answers PROPFIND. Task-safe."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        guard: Guard,
        buckets: Buckets,
        locks: Locks,
        properties: Properties,
        clock: Clock,
        settings: WebdavSettings,
        pool: Executor,
        free_bytes: Callable[[], int] | None,
    ) -> None:
        self._nodes = nodes
        self._guard = guard
        self._buckets = buckets
        self._locks = locks
        self._properties = properties
        self._clock = clock
        self._settings = settings
        self._pool = pool
        self._free_bytes = free_bytes

    async def answer(
        self, request: web.BaseRequest, caller: Caller, place: Place, incoming: Incoming
    ) -> tuple[web.StreamResponse, int]:
        """The 207 answer, and how many bytes of it were sent already.

        Raises:
            Refused: 400, 403 (``Depth: infinity`` on too large a tree), 404, 412, 413.
        """
        header = caller.headers.get("Depth", "infinity").lower()
        depth, _, others = (part.strip() for part in header.partition(","))
        if depth not in ("0", "1", "infinity") or others not in ("", "noroot"):
            raise Refused(400, f"Depth is {header[:20]!r}: 0, 1 or infinity")
        wanted = await self._wanted(await incoming.whole(self._settings.max_xml_bytes))
        caller, node = await self._found(caller, place, depth)
        if node is None:
            raise Refused(404, f"{place.path!r} does not exist")
        await self._guard.check_if(caller, place, node)
        scene = await self._scene(caller, wanted, node, deep=depth != "0")
        pages = self._pages(caller.who, node, depth)
        first: Sequence[Node] = await anext(pages, [])
        # Microsoft's extension: members only ([MS-WDVSE] 2.2.1.2)
        top = [] if others and depth != "0" and node.is_collection else [node]
        shown = len(top) + len(first)
        renderer = Renderer(wanted, scene, brevity_of(caller.headers, wanted, shown, locked=bool(scene.locks)))
        body = await self._rendered(caller.who, renderer, wanted, top, first)
        short = shown < self._settings.list_page  # what follows a long page is not waited for
        following = await anext(pages, None) if short else None
        if short and following is None:
            return answers.whole(207, multistatus.CONTENT_TYPE, b"".join((multistatus.HEAD, body, multistatus.TAIL))), 0
        response = web.StreamResponse(status=207, headers={**answers.COMMON, "Content-Type": multistatus.CONTENT_TYPE})

        async def pieces() -> AsyncIterator[bytes]:
            yield multistatus.HEAD + body
            if following is not None:
                yield await self._rendered(caller.who, renderer, wanted, following)
            async for page in pages:
                yield await self._rendered(caller.who, renderer, wanted, page)
            yield multistatus.TAIL

        return response, await answers.stream(request, response, pieces(), self._settings.body_timeout_s)

    async def _found(self, caller: Caller, place: Place, depth: str) -> tuple[Caller, Node | None]:
        """What is there. Who may read a file may know its properties too, and need not be allowed to list."""
        try:
            return caller, await self._nodes.find(caller.who, place)
        except AccessDenied:
            asking = caller.who.asking
            if depth != "0" or not place.key or place.slash or asking is None:
                raise
            needs = (Need("s3:GetObject", place.bucket, place.key),)
            caller = replace(caller, who=caller.who.who_asks(asking._replace(needs=needs)))
            return caller, await self._nodes.find(caller.who, place)

    async def _wanted(self, body: bytes) -> Wanted:
        if len(body) <= INLINE_XML_BYTES:
            return parse_propfind(body)
        return await asyncio.get_running_loop().run_in_executor(self._pool, parse_propfind, body)

    async def _pages(self, who: Principal, node: Node, depth: str) -> AsyncIterator[Sequence[Node]]:
        """What is below the resource, as deep as it is wanted."""
        if depth == "0" or not node.is_collection:
            return
        if depth == "1":
            async for page in self._nodes.members(who, node):
                if page:
                    yield page
            return
        limit = self._settings.infinity_members
        below = await self._nodes.descendants(who, node, limit) if limit else None
        if below is None:
            raise Refused(403, "Depth: infinity is refused here: ask for Depth: 1", condition=FINITE_DEPTH)
        yield below

    async def _scene(self, caller: Caller, wanted: Wanted, node: Node, *, deep: bool) -> Scene:
        who = caller.who
        locks: Sequence[Lock] = ()
        if wanted.mode is Mode.ALL or multistatus.LOCKDISCOVERY in wanted.names:
            locks = await self._locks.find(node.place.path, below=deep and node.is_collection)
        used_bytes = free_bytes = None
        if multistatus.QUOTA_USED in wanted.names or multistatus.QUOTA_FREE in wanted.names:
            used_bytes, free_bytes = await self._quota(who, node)
        may_write = may_delete = True
        if PERMISSIONS in wanted.names and node.bucket is not None:
            may_write = await self._buckets.may(who, Need("s3:PutObject", node.place.bucket, _probe(node)))
            may_delete = await self._buckets.may(who, Need("s3:DeleteObject", node.place.bucket, _probe(node)))
        return Scene(
            LockMap(locks),
            self._clock.now_us(),
            used_bytes,
            free_bytes,
            caller.view,
            of_root=node.place.is_root,
            may_write=may_write,
            may_delete=may_delete,
            state=f"{self._buckets.state():x}" if caller.view.base else "",
        )

    async def _quota(self, who: Principal, node: Node) -> tuple[int, int | None]:
        """How many bytes are there and may still come, by the limits of the bucket (of the root: of the user's own
        ones) and of the disk.
        """
        if node.bucket is None:
            usage = await self._buckets.usage_of_owner(who)
            room = max(0, usage.max_bytes - usage.bytes) if usage.max_bytes else None
        else:
            usage = await self._buckets.usage(who, node.place.bucket)
            room = await self._buckets.room(who, node.place.bucket)
        left = [] if room is None else [room]
        if self._free_bytes is not None:
            left.append(await asyncio.get_running_loop().run_in_executor(self._pool, self._free_bytes))
        return usage.bytes, min(left, default=None)

    async def _rendered(self, who: Principal, renderer: Renderer, wanted: Wanted, *pages: Sequence[Node]) -> bytes:
        dead: dict[str, Dead] = {}
        if wanted.mode is not Mode.SOME or _wants_dead(wanted):
            for page in pages:
                dead |= await self._dead(who, renderer, page)
        if sum(map(len, pages)) <= INLINE_NODES:
            return _joined(renderer, pages, dead)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _joined, renderer, pages, dead)

    async def _dead(self, who: Principal, renderer: Renderer, nodes: Sequence[Node]) -> dict[str, Dead]:
        """Dead properties by path, from one query a page, where the bucket has any."""
        keys: dict[str, list[Node]] = {}
        if isinstance(nodes, Members) and not (nodes.parent.bucket and nodes.parent.bucket.properties):
            return {}
        for node in nodes:
            if node.bucket is not None and node.bucket.properties:
                keys.setdefault(node.place.bucket, []).append(node)
        found: dict[str, Dead] = {}
        for bucket, noted in keys.items():
            properties = await self._properties.get_many(who, bucket, [node.key for node in noted])
            for node in noted:
                if node.key in properties:
                    found[node.place.path] = renderer.brevity.kept(current(properties[node.key], node.version))
        return found


def _joined(renderer: Renderer, pages: Iterable[Sequence[Node]], dead: Mapping[str, Dead]) -> bytes:
    return b"".join([renderer.page(page, dead) for page in pages])


def _probe(node: Node) -> str:
    """A key that stands for all that are below a collection."""
    return f"{node.place.prefix}*" if node.is_collection else node.place.key


def _wants_dead(wanted: Wanted) -> bool:
    return any(name == multistatus.DISPLAYNAME or name not in multistatus.LIVE for name in wanted.names)
