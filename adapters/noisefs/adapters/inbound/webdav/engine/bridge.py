"""From a request on the loop to WsgiDAV in a worker thread, and back.

A thread is held only while WsgiDAV computes: request bodies (XML, bounded) are in before it is taken, answers go out
after it is given back, and what has no bound (files, listings) never comes here. So a stalled client holds no thread.
What can be found out on the loop is: places, the If header, locks in the way. WsgiDAV keeps the protocol's order,
its status codes and its XML; but for PROPPATCH (:mod:`.proppatch`).
"""

import asyncio
import io
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Final
from urllib.parse import quote

from aiohttp import web
from lxml import etree
from wsgidav.dav_error import DAVError
from wsgidav.request_server import RequestServer

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.engine import proppatch
from noisefs.adapters.inbound.webdav.engine.errand import Errand, Services, refused_of, wsgi_path
from noisefs.adapters.inbound.webdav.engine.provider import Environ, RequestProvider
from noisefs.adapters.inbound.webdav.engine.token_book import LockedBelow
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.replacing import modified_us_of
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Change, Guard, check_conditions, place_of_path
from noisefs.adapters.inbound.webdav.xml_input import parse_xml, xml_bytes
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import CommitConflict
from noisefs.core.ports.index import Writing

_XML: Final = frozenset(("PROPPATCH", "LOCK"))
"""Methods whose body is XML. One of MKCOL is refused, since it would mean something; of others it means nothing."""
_PASSED: Final = ("Depth", "Overwrite", "Timeout", "Lock-Token")
"""Headers that WsgiDAV reads."""
_SPELLED: Final = {"Depth": str.lower, "Overwrite": str.upper}
"""Values that are the same in any case, as WsgiDAV knows them."""
_DEEP: Final = frozenset(("COPY", "MOVE", "DELETE", "LOCK"))
"""Methods that a ``Depth`` means something for; with the others some clients send one, and WsgiDAV would mind."""
_KNOWN: Final = {
    "{DAV:}lockinfo": frozenset(("{DAV:}lockscope", "{DAV:}locktype", "{DAV:}owner")),
}
"""Elements that WsgiDAV expects in others: it refuses unknown ones, which RFC 4918 section 17 says to ignore."""


_ATTEMPTS: Final = 10
"""How often a request is answered anew because others came between: each time somebody got on."""

StartResponse = Callable[[str, list[tuple[str, str]]], None]


class Bridge:
    """Answers MKCOL, DELETE, COPY, MOVE, PROPPATCH, LOCK and UNLOCK. Task-safe."""

    def __init__(self, *, nodes: Nodes, guard: Guard, services: Services, pool: Executor) -> None:
        self._nodes = nodes
        self._guard = guard
        self._services = services
        self._pool = pool
        self._threads = asyncio.Semaphore(services.settings.threads)

    async def answer(self, request: web.BaseRequest, caller: Caller, place: Place, incoming: Incoming) -> web.Response:
        """The answer.

        Raises:
            Refused: Whatever refuses the request, WsgiDAV included.
            NoisefsError: What the services raise.
        """
        method = request.method
        if place.is_root and method != "UNLOCK":
            raise Refused(405 if method == "MKCOL" else 403, "the root is always there, and holds buckets only")
        if method in ("DELETE", "MOVE") and caller.view.is_top(place):
            raise Refused(403, "the root of this share stays where it is")
        body = await incoming.whole(self._services.settings.max_xml_bytes)
        if method == "MKCOL" and body:
            raise Refused(415, "the body of a MKCOL is not understood")
        if method in ("MKCOL", "LOCK"):
            place = Place(place.bucket, place.key)  # clients end it in a slash: a file of that name is meant too
        for _ in range(_ATTEMPTS):
            errand = self._errand(method, caller, place)
            environ = _environ(errand, caller, method, body if method in _XML else b"")
            environ["wsgidav.ifLockTokenList"] = await self._prepare(errand, caller, method)
            async with self._threads:
                context = copy_context()  # logs name the request from the thread too
                with suppress(_Overtaken):
                    return await errand.loop.run_in_executor(self._pool, context.run, _run, errand, environ)
        raise CommitConflict("others change the same resources all the time")

    def _errand(self, method: str, caller: Caller, place: Place) -> Errand:
        return Errand(
            loop=asyncio.get_running_loop(),
            services=self._services,
            who=caller.who,
            place=place,
            target=_destination(caller, place) if method in ("COPY", "MOVE") else None,
            overwrite=caller.headers.get("Overwrite", "T").strip().upper() != "F",
            modified_us=modified_us_of(caller.headers) if method in ("COPY", "MOVE") else None,
            ghost=method == "UNLOCK",
            view=caller.view,
        )

    async def _prepare(self, errand: Errand, caller: Caller, method: str) -> list[str]:
        """Find out what WsgiDAV will ask for, and whether conditions and locks let the request pass.

        Returns the submitted lock tokens.
        """
        place, target, who = errand.place, errand.target, caller.who
        node = errand.found[place.path] = await self._nodes.find(who, place)
        if node is not None and node.is_collection:
            errand.modified_us = None
        await self._find_parent(errand, who, place)
        tokens = await self._guard.check_if(caller, place, node)
        check_conditions(caller.headers, node)
        changes = _changes(method, place, node)
        if target is not None:
            there = errand.found[target.path] = await self._nodes.find(who, target)
            await self._find_parent(errand, who, target)
            if node is not None and (there is None or errand.overwrite):
                tree = there is not None and there.is_collection
                changes.append(Change(target, membership=there is None, tree=tree))
        for change in changes:
            await self._guard.check_locks(who, tokens, change)
        goes = place.path if method in ("DELETE", "MOVE") else ""
        errand.first = partial(self._begin, errand=errand, caller=caller, tokens=tokens, changes=changes, goes=goes)
        return sorted(tokens)

    def _begin(
        self,
        tx: Writing,
        *,
        errand: Errand,
        caller: Caller,
        tokens: frozenset[str],
        changes: list[Change],
        goes: str,
    ) -> None:
        """What a change begins with, in its commit: everything that let it pass is looked at once more, and locks go
        away that are on what goes away. They do not outlive it (RFC 4918 section 9.6), nor do they move with it
        (section 7.6); one on a place that is replaced stays.
        """
        for path, node in errand.found.items():
            if _kind(Nodes.within(tx, place_of_path(path))) != _kind(node):
                raise _Overtaken
        self._guard.check_if_within(tx, caller, errand.place)
        check_conditions(caller.headers, Nodes.within(tx, errand.place))
        for change in changes:
            found = self._guard.check_within(tx, caller.who, tokens, change)
            path = change.place.path
            self._services.locks.drop(tx, [lock for lock in found if lock.path != path or path == goes])

    async def _find_parent(self, errand: Errand, who: Principal, place: Place) -> None:
        parent = place.parent
        if parent.path not in errand.found:
            exists = await self._nodes.has_collection(who, parent)
            errand.found[parent.path] = Node(parent) if exists else None


class _Overtaken(Exception):
    """Something came or went, or became something else, since it was looked for: the request is answered anew."""


def _kind(node: Node | None) -> str:
    if node is None:
        return "nothing"
    return "collection" if node.is_collection else "file"


def _changes(method: str, place: Place, node: Node | None) -> list[Change]:
    """What the request changes at the Request-URI."""
    if method == "PROPPATCH" and node is not None:
        return [Change(place, membership=False, tree=False)]
    if method in ("DELETE", "MOVE") and node is not None:
        return [Change(place, membership=True, tree=node.is_collection)]
    if method in ("MKCOL", "LOCK") and node is None:
        return [Change(place, membership=True, tree=False)]
    return []


def _destination(caller: Caller, source: Place) -> Place:
    url = caller.headers.get("Destination")
    if url is None:
        raise Refused(400, "a Destination is missing")
    place = caller.place_of(url.strip())
    if place is None:
        raise Refused(502, "the Destination is on another server")
    if not source.key or not place.key or caller.view.is_top(place):
        raise Refused(403, "a bucket can be neither moved, copied nor replaced: only what is in it")
    return Place(place.bucket, place.key)


def _cleaned(body: bytes) -> bytes:
    """The XML document without what must be ignored; nothing where there is none."""
    if not body.strip():
        return b""
    root = parse_xml(body)
    _drop_unknown(root)
    return xml_bytes(root)


def _drop_unknown(element: "etree._Element") -> None:
    known = _KNOWN.get(str(element.tag))
    if known is None:
        return
    for child in list(element):
        child.tail = None
        if str(child.tag) in known:
            _drop_unknown(child)
        else:
            element.remove(child)


def _environ(errand: Errand, caller: Caller, method: str, body: bytes) -> Environ:
    """What WsgiDAV may know of the request, and no more: no header but those it needs reaches it."""
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": wsgi_path(errand.place),
        "HTTP_HOST": "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgidav.auth.user_name": errand.who.user_id,
        "wsgidav.conditions.if": {},
        "wsgidav.config": {},
        "wsgidav.verbose": 0,
    }
    for name in _PASSED:
        if name in caller.headers and (name != "Depth" or method in _DEEP):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = _SPELLED.get(name, str)(caller.headers[name].strip())
    if errand.target is not None:
        environ["HTTP_DESTINATION"] = quote(wsgi_path(errand.target))  # WsgiDAV decodes it once
    return environ


def _locked_below(errand: Errand, path: str) -> web.Response:
    """The answer to a LOCK of a collection in which something is locked (RFC 4918 section 9.10.3)."""
    node = errand.found.get(errand.place.path)
    own = errand.place.href(collection=node is not None and node.is_collection)
    statuses = ((place_of_path(path).href(collection=False), "423 Locked"), (own, "424 Failed Dependency"))
    rows = "".join(
        f"<D:response><D:href>{errand.view.shown(href)}</D:href><D:status>HTTP/1.1 {status}</D:status></D:response>"
        for href, status in statuses
    )
    return answers.whole(207, multistatus.CONTENT_TYPE, multistatus.HEAD + rows.encode() + multistatus.TAIL)


class _Mount:
    """What WsgiDAV asks where a path belongs to: all of them to one provider."""

    def __init__(self, provider: RequestProvider) -> None:
        self._provider = provider

    def resolve_provider(self, _path: str) -> tuple[str, RequestProvider]:
        """Share and provider of a path."""
        return "/", self._provider


class _Rules(RequestServer):  # type: ignore[misc]  # WsgiDAV has no types
    """WsgiDAV's request handling, with conditions and locks left to :mod:`..rules.guard`, which saw to them before."""

    def _evaluate_if_headers(self, _res: object, _environ: Environ) -> None:
        pass

    def _check_write_permission(self, _res: object, _depth: str, _environ: Environ) -> None:
        pass

    def _send_response(
        self,
        _environ: Environ,
        start_response: StartResponse,
        _root_res: object,
        _success_code: int,
        error_list: list[tuple[str, DAVError]],
    ) -> Iterable[bytes]:
        """The answer of DELETE, COPY and MOVE. Each happened whole or not at all, so there is at most one error."""
        if error_list:
            error = error_list[0][1]
            raise error.src_exception or error
        start_response("201 Created" if self._davProvider.errand.created else "204 No Content", [])
        return [b""]


def _run(errand: Errand, environ: Environ) -> web.Response:
    """Let WsgiDAV answer the request. Runs in a worker thread."""
    provider = RequestProvider(errand)
    if environ["REQUEST_METHOD"] == "PROPPATCH":
        return proppatch.answer(errand, environ["wsgi.input"].getvalue())
    if environ["REQUEST_METHOD"] == "LOCK":
        body = _cleaned(environ["wsgi.input"].getvalue())
        environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    environ["wsgidav.provider"] = provider
    environ["wsgidav.app"] = _Mount(provider)
    status, headers = "", dict[str, str]()

    def start_response(line: str, fields: list[tuple[str, str]], _exc_info: object = None) -> None:
        nonlocal status
        status = line
        headers.update(fields)

    try:
        answer = b"".join(_Rules(provider)(environ, start_response))
    except LockedBelow as exc:
        return _locked_below(errand, exc.path)
    except DAVError as exc:
        raise refused_of(exc) from exc
    content_type = headers.get("Content-Type", "")
    if content_type.startswith("text/html"):  # WsgiDAV's page about itself
        content_type, answer = "text/plain; charset=utf-8", b"Created\n"
    kept = {"Lock-Token": headers["Lock-Token"]} if "Lock-Token" in headers else {}
    if errand.modified_us is not None:
        kept["X-OC-MTime"] = "accepted"
    return answers.whole(int(status.split(" ", 1)[0]), content_type, answer, kept)
