"""WebDAV classes 1, 2 and 3 over the namespace: the one entry for every request."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.auth.asking import TWOFOLD, asking_for
from noisefs.adapters.inbound.webdav.auth.browsers import Browsers, own_hosts
from noisefs.adapters.inbound.webdav.auth.doorman import Doorman, user_named
from noisefs.adapters.inbound.webdav.engine.bridge import Bridge
from noisefs.adapters.inbound.webdav.engine.errand import Services
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.patching import CONTENT_TYPE, Patching
from noisefs.adapters.inbound.webdav.files.reading import Reading
from noisefs.adapters.inbound.webdav.files.writing import Writing
from noisefs.adapters.inbound.webdav.listing.propfind import Listing
from noisefs.adapters.inbound.webdav.nextcloud import about
from noisefs.adapters.inbound.webdav.nextcloud.alias import alias_of, upload_of
from noisefs.adapters.inbound.webdav.nextcloud.chunks import Chunks
from noisefs.adapters.inbound.webdav.nextcloud.sign_in import SignIn, may_be_sign_in
from noisefs.adapters.inbound.webdav.page.assets import asset
from noisefs.adapters.inbound.webdav.past.answering import NOT_IN_PAST, Past
from noisefs.adapters.inbound.webdav.past.finding import PastNodes
from noisefs.adapters.inbound.webdav.past.places import Kind
from noisefs.adapters.inbound.webdav.places.nodes import Nodes
from noisefs.adapters.inbound.webdav.places.place import Place, place_of, plain_host
from noisefs.adapters.inbound.webdav.places.view import view_of
from noisefs.adapters.inbound.webdav.refusal import NO_SEARCH, Refused, refusal_of
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Guard
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.adapters.inbound.webdav.short.heads import Prompt
from noisefs.adapters.inbound.webdav.short.reads import PromptReads
from noisefs.adapters.inbound.webdav.short.writes import Done, SmallWrites
from noisefs.core.errors import CapacityExceeded, IntegrityError, NoisefsError, Unavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Gauge, Histogram, Telemetry
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.rights.evaluating import permit_service
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.trees.properties import Properties
from noisefs.core.services.namespace.trees.service import Trees
from noisefs.core.services.namespace.uploads.chunked import ChunkedUploads

log = logging.getLogger(__name__)

DRAIN_BYTES: Final = 1 << 20
"""A refused body of up to this size is read and dropped, and the connection lives on; with a larger one the client is
told that the connection ends, so that it stops sending."""


STRANGER_BYTES: Final = 256 << 20
"""A body of up to this size is read and dropped before a client is asked for its password: Windows sends all of a file
first, and takes a connection that ends before for a failure."""
STRANGER_S: Final = 300.0
"""How long that may take."""


class WebdavAdapter:
    """Answers WebDAV requests of an ``aiohttp.web.Server``. Task-safe between ``start`` and ``close``."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        buckets: Buckets,
        objects: Objects,
        trees: Trees,
        properties: Properties,
        locks: Locks,
        chunked: ChunkedUploads,
        telemetry: Telemetry,
        clock: Clock,
        settings: WebdavSettings,
        free_bytes: Callable[[], int] | None = None,
    ) -> None:
        """``free_bytes``: asked (in a thread) for what clients show as free space; without it they show none."""
        self._telemetry = telemetry
        self._clock = clock
        self._settings = settings
        self._open = 0
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="webdav")
        nodes = Nodes(buckets, objects, telemetry, settings.list_page)
        guard = Guard(nodes, locks)
        self._doorman = Doorman(accounts, telemetry, clock, settings)
        self._sign_in = SignIn(accounts=accounts, doorman=self._doorman, public_url=settings.public_url)
        self._reading = Reading(nodes=nodes, guard=guard, objects=objects, settings=settings)
        self._patching = Patching(nodes=nodes, guard=guard, objects=objects, locks=locks)
        self._writing = Writing(nodes=nodes, guard=guard, objects=objects, locks=locks)
        listing = partial(
            Listing,
            guard=guard,
            buckets=buckets,
            locks=locks,
            properties=properties,
            clock=clock,
            settings=settings,
            pool=self._pool,
            free_bytes=free_bytes,
        )
        self._listing = listing(nodes=nodes)
        names = {settings.versions_name: Kind.VERSIONS, settings.trash_name: Kind.TRASH}
        self._past_nodes = PastNodes(
            buckets, objects, telemetry, settings.list_page, {name: kind for name, kind in names.items() if name}
        )
        self._past = Past(
            nodes=nodes,
            past=self._past_nodes,
            guard=guard,
            objects=objects,
            trees=trees,
            reading=self._reading,
            listing=listing(nodes=self._past_nodes),
        )
        self._chunks = Chunks(chunked=chunked, buckets=buckets, writing=self._writing, clock=clock, settings=settings)
        services = Services(buckets, objects, trees, properties, locks, clock, settings)
        self._bridge = Bridge(nodes=nodes, guard=guard, services=services, pool=self._pool)
        self._browsers = Browsers(buckets, settings.cors_origins)
        self._prompt = PromptReads(doorman=self._doorman, objects=objects, telemetry=telemetry, clock=clock)
        self._small_writes = SmallWrites(
            doorman=self._doorman,
            objects=objects,
            locks=locks,
            telemetry=telemetry,
            clock=clock,
            count_open=self._count_open,
            past_names=self._past_nodes.names,
        )
        self._hosts = frozenset(map(plain_host, settings.public_hosts))

    @property
    def open_requests(self) -> int:
        """Requests under way."""
        return self._open

    async def start(self) -> None:
        """Be ready for requests. Threads are made when they are needed."""

    async def close(self) -> None:
        """Give the threads back. Call it when no request is under way any more."""
        await asyncio.to_thread(self._pool.shutdown)

    def answer_at_once(self, message: RawRequestMessage, request_id: str) -> Prompt | None:
        """The whole answer to a read whose bytes are at hand; see :class:`.reads.PromptReads`."""
        return self._prompt.answer(message, request_id)

    def begin_at_once(self, message: RawRequestMessage, body: bytes, request_id: str, done: Done) -> bool:
        """Begin a small write whose body is at hand; see :class:`.writes.SmallWrites`."""
        return self._small_writes.begin(message, body, request_id, done)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Never raises but ``CancelledError``."""
        started_s = self._clock.monotonic_s()
        operation = request.method if request.method in answers.METHODS else "OTHER"
        incoming = Incoming(request, self._settings.body_timeout_s)
        self._count_open(1)
        sent = 0
        try:
            response, sent = await self._answer(request, incoming)
        except Refused as exc:
            response = answers.refusal(exc)
        except NoisefsError as exc:
            response = answers.refusal(refusal_of(exc))
            _log_failure(operation, exc)
        except ConnectionError:
            response = answers.refusal(Refused(408, "the client is gone"))
        except Exception:
            log.exception("webdav.bug", extra={"operation": operation})
            response = answers.refusal(Refused(503, "the request met a fault of the server; its log says more"))
        finally:
            self._count_open(-1)
        if response.status == 401:
            await incoming.drain(STRANGER_BYTES, STRANGER_S)
        if not response.prepared:
            answers.add_own(request, response)
        self._settle_body(request, incoming, response)
        if isinstance(response, web.Response):
            sent = response.content_length or 0
        self._telemetry.count(Counter.REQUESTS, labels=("webdav", operation, str(response.status)))
        self._telemetry.count(Counter.BYTES_IN, incoming.received_bytes, ("webdav",))
        self._telemetry.count(Counter.BYTES_OUT, sent, ("webdav",))
        self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - started_s, ("webdav", operation))
        return response

    async def _answer(self, request: web.BaseRequest, incoming: Incoming) -> tuple[web.StreamResponse, int]:
        client = str(request.get("client") or request.remote or "")
        incoming.check_coding()
        if request.raw_path == about.STATUS_PATH and request.method == "GET":
            return about.status(), 0
        method = request.method
        if may_be_sign_in(request.raw_path):
            signed = await self._sign_in.answer(request, incoming, client)
            if signed is not None:
                return signed, 0
        preflight = self._browsers.preflight(request)
        if preflight is not None:
            return preflight, 0
        hosts = own_hosts(request, self._hosts)
        if "Origin" in request.headers:
            request["own_headers"] = self._browsers.headers_for(request)
        who = await self._doorman.principal(request.headers.get("Authorization"), client, method, request.raw_path)
        if method == "OPTIONS":
            return _options(), 0
        known = await self._sign_in.answer_known(request, who)
        if known is not None:
            return known, 0
        document = about.document_of(request.raw_path) if method == "GET" else None
        if document is not None:
            return about.answer(request.raw_path, request.headers, document(who)), 0
        found = asset(request.raw_path) if method == "GET" else None
        if found is not None:
            return found, 0
        if method == "SEARCH":
            raise Refused(405, "searching is not supported", condition=NO_SEARCH)
        if method not in answers.METHODS:
            raise Refused(405, f"{method[:20]} is not allowed: {answers.ALLOW}")
        view = view_of(who.root)
        bare = place_of(request.raw_path)
        upload, alias = upload_of(bare), alias_of(bare)
        named = upload or alias
        if named is not None:
            if named.user and named.user not in (who.name, user_named(request.headers)):
                raise Refused(404, f"{who.name!r} has nothing under the name {named.user!r}")
            view = view._replace(base=named.base)
        place = view.place_of(request.raw_path)
        caller = Caller(who, request.headers, hosts, view)
        if "Origin" in request.headers and place.bucket != bare.bucket:
            request["own_headers"] = self._browsers.headers_for(request, place.bucket)
        target = caller.place_of(request.headers.get("Destination", "/").strip()) if method in TWOFOLD else None
        for changed in (place, target):
            if changed is not None:
                self._browsers.check_site(request, hosts, changed.bucket)
        who = who.who_asks(asking_for(who, request, method, place, target, self._clock.now_us()))
        caller = replace(caller, who=who)
        try:
            past = None if upload is not None else await self._past_nodes.place_in_past(who, place)
            if past is not None:
                return await self._past.answer(request, caller, past, incoming)
            if await self._past_nodes.place_in_past(who, target) is not None:
                raise Refused(403, NOT_IN_PAST)
            if upload is not None:
                self._browsers.check_site(request, hosts, "")
                await self._check_upload(request, caller, bare)
                return await self._chunks.answer(request, caller, upload, incoming), 0
            return await self._dispatched(request, caller, place, incoming)
        except Refused as exc:
            raise exc.seen(view.shown) if exc.hrefs else exc  # noqa: B904  # the same, in other words

    async def _check_upload(self, request: web.BaseRequest, caller: Caller, place: Place) -> None:
        """Refuse chunks of whoever may write nothing, and what would be joined where nothing is written."""
        method = request.method
        who = caller.who.who_asks(asking_for(caller.who, request, method, place, None, self._clock.now_us()))
        if method != "PROPFIND":
            permit_service(who, "s3:PutObject", f"{who.root}/chunk")
        url = request.headers.get("Destination")
        if url is not None and await self._past_nodes.place_in_past(who, caller.place_of(url.strip())) is not None:
            raise Refused(403, NOT_IN_PAST)

    async def _dispatched(
        self, request: web.BaseRequest, caller: Caller, place: Place, incoming: Incoming
    ) -> tuple[web.StreamResponse, int]:
        method = request.method
        if method in ("GET", "HEAD"):
            return await self._reading.answer(request, caller, place)
        if method == "PUT":
            return await self._writing.answer(caller, place, incoming), 0
        if method == "PATCH":
            return await self._patching.answer(caller, place, incoming), 0
        if method == "PROPFIND":
            return await self._listing.answer(request, caller, place, incoming)
        return await self._bridge.answer(request, caller, place, incoming), 0

    def _settle_body(self, request: web.BaseRequest, incoming: Incoming, response: web.StreamResponse) -> None:
        """Decide what becomes of a connection whose request body was not read to its end.

        aiohttp reads and drops the rest for some seconds, so that a client that sends first and reads later gets to
        see the answer. Where the client waits for ``100 Continue`` nobody can tell whether a body still follows: then,
        and for a large rest, the connection ends.
        """
        if response.prepared or request.content.is_eof():
            return
        if response.status == 408 or incoming.waits_for_invitation or incoming.remaining_bytes > DRAIN_BYTES:
            response.force_close()

    def _count_open(self, change: int) -> None:
        self._open += change
        self._telemetry.gauge(Gauge.OPEN_REQUESTS, self._open, ("webdav",))


def _log_failure(operation: str, error: NoisefsError) -> None:
    """A line for errors that are the server's, with what is broken and never with the name of what it belongs to."""
    if isinstance(error, IntegrityError):
        log.error("webdav.failed", extra={"operation": operation}, exc_info=error)
    elif isinstance(error, Unavailable | CapacityExceeded):
        log.warning("webdav.failed", extra={"operation": operation, "error": type(error).__name__})


def _options() -> web.Response:
    fields = {
        "DAV": "1, 2, 3, sabredav-partialupdate",  # one line: some clients see only the first one, others the last
        "MS-Author-Via": "DAV",
        "Allow": answers.ALLOW,
        "Accept-Ranges": "bytes",
        "Accept-Patch": CONTENT_TYPE,
    }
    return answers.whole(200, "", b"", fields)
