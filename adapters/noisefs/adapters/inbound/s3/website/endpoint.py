"""The web site endpoint: pages of buckets for browsers, which never say who they are.

Every object is read with an anonymous caller's rights, the index and error documents too: what a policy or a list does
not open to everybody is not shown, and no answer tells more than S3's own would.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from aiohttp import web

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.context import Context
from noisefs.adapters.inbound.s3.auth.gatekeeper import UNSIGNED, Session
from noisefs.adapters.inbound.s3.call import headers_of
from noisefs.adapters.inbound.s3.conditions import byte_range, read_condition
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of
from noisefs.adapters.inbound.s3.headers import REDIRECT, described
from noisefs.adapters.inbound.s3.operations.cors import Cors
from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.website import pages
from noisefs.adapters.inbound.s3.website.configuration import KIND, site_kept
from noisefs.adapters.inbound.s3.website.place import Place, place_of
from noisefs.adapters.inbound.s3.website.site import MOVED, Origin, Site
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ANONYMOUS, ANY, Asking, Need, Principal
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects

log = logging.getLogger(__name__)

PROTOCOL: Final = "website"
"""Label of metrics."""
_OPERATIONS: Final = {"GET": "GetPage", "HEAD": "HeadPage", "OPTIONS": "Preflight"}
_IN_QUERIES: Final = "!$&'()*+,;=:@/?%[]"
"""Characters of a query that stay as they came, beside letters, digits and ``-._~``."""
_FOUND: Final = 302
_HIDDEN: Final = (403, 404)
"""Errors behind which there may be a folder of that name."""


@dataclass(frozen=True, slots=True)
class WebsiteSettings:
    """Settings of the endpoint.

    Attributes:
        domain: ``bucket.<domain>`` is a bucket's site.
        region: For policies that ask for it.
        body_timeout_s: A client that takes nothing for so long is cut off.
    """

    domain: str | None = None
    region: str = "us-east-1"
    body_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request on its way. ``headers``: lower-case names; ``ids``: headers that every answer carries."""

    request: web.BaseRequest
    place: Place
    headers: Mapping[str, str]
    ids: dict[str, str]
    who: Principal
    context: Context
    origin: Origin

    @property
    def head(self) -> bool:
        """Whether only headers are wanted."""
        return self.request.method == "HEAD"

    def reader(self, key: str) -> Principal:
        """Who asks, for leave to read this object."""
        return self.who.who_asks(Asking((Need("s3:GetObject", self.place.bucket, key),), self.context))


class WebsiteEndpoint:
    """Answers browsers on an ``aiohttp.web.Server``. Task-safe."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        buckets: Buckets,
        objects: Objects,
        cors: Cors,
        telemetry: Telemetry,
        clock: Clock,
        settings: WebsiteSettings,
    ) -> None:
        self._accounts = accounts
        self._buckets = buckets
        self._objects = objects
        self._cors = cors
        self._telemetry = telemetry
        self._clock = clock
        self._settings = settings
        self._domain = None if settings.domain is None else settings.domain.lower()
        self._host_id = os.urandom(16).hex()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Never raises but ``CancelledError``."""
        started_s = self._clock.monotonic_s()
        head = request.method == "HEAD"
        operation = _OPERATIONS.get(request.method, "Unknown")
        name = request.get("request_id") or os.urandom(8).hex().upper()
        ids = {"x-amz-request-id": str(name), "x-amz-id-2": self._host_id, "Server": answers.SERVER}
        response: Answer
        try:
            response = await self._answer(self._visit(request, ids))
        except NoisefsError as exc:
            error = failure_of(exc)
            if error.status == 500:
                log.error("website.failed", extra={"operation": operation}, exc_info=exc)
            elif error.status > 500:
                log.warning("website.failed", extra={"operation": operation, "error": type(exc).__name__})
            response = _refusal(error, ids, head=head)
        except ConnectionError:
            response = _refusal(S3Error("RequestTimeout"), ids, head=head)
            response.force_close()
        except Exception:
            log.exception("website.bug", extra={"operation": operation})
            response = _refusal(S3Error("InternalError"), ids, head=head)
        if not response.prepared and not request.content.is_eof():
            response.force_close()  # a body that nobody asked for
        sent = response.body_length if response.prepared else response.rest_bytes
        self._telemetry.count(Counter.REQUESTS, labels=(PROTOCOL, operation, str(response.status)))
        if sent:
            self._telemetry.count(Counter.BYTES_OUT, sent, (PROTOCOL,))
        self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - started_s, (PROTOCOL, operation))
        return response

    def _visit(self, request: web.BaseRequest, ids: dict[str, str]) -> _Visit:
        headers = headers_of(request.headers)
        host = headers.get("host", "")
        place = place_of(request.raw_path, host, self._domain)
        who = replace(ANONYMOUS, account=self._accounts.account)
        scheme = str(request.get("scheme") or request.scheme)
        target = Target(request.raw_path, "", place.bucket, place.key, {}, frozenset())
        if "origin" in headers and request.method in ("GET", "HEAD"):
            ids |= self._cors.headers_for(request.method, target, headers)
        context = Context(
            target,
            headers,
            Session(who, UNSIGNED, False, None),
            client=str(request.get("client") or request.remote or ""),
            secure=scheme == "https",
            region=self._settings.region,
            now_us=self._clock.now_us(),
        )
        return _Visit(request, place, headers, ids, who, context, Origin(scheme, host, place.base))

    async def _answer(self, visit: _Visit) -> Answer:
        place, method = visit.place, visit.request.method
        if method == "OPTIONS":
            target = Target(visit.request.raw_path, "", place.bucket, place.key, {}, frozenset())
            return self._cors.preflight(target, visit.headers, visit.ids)
        if method not in ("GET", "HEAD"):
            allow = {"Allow": "GET, HEAD, OPTIONS"}
            raise S3Error("MethodNotAllowed", headers=allow, Method=method[:20], ResourceType="OBJECT")
        site = self._site(place.bucket)
        if site.everything is not None:
            return _sent_on(visit, site.everything.status, site.everything.location(place.key, "", visit.origin))
        if place.bare:
            return _sent_on(visit, _FOUND, f"{place.base}/")
        return self._ruled(visit, site, 0) or await self._page(visit, site)

    def _site(self, bucket: str) -> Site:
        """A bucket's site. One without a site, and one that does not exist, look alike."""
        kept = self._buckets.peek(bucket, KIND) if bucket else None
        if kept is None:
            raise S3Error("NoSuchWebsiteConfiguration", BucketName=bucket[:200])
        return site_kept(kept)

    def _ruled(self, visit: _Visit, site: Site, error: int) -> Answer | None:
        """The redirection that a rule says, if any does."""
        key = visit.place.key
        rule = site.rule(key, error)
        if rule is None:
            return None
        return _sent_on(visit, rule.redirect.status, rule.redirect.location(key, rule.prefix, visit.origin))

    async def _page(self, visit: _Visit, site: Site) -> Answer:
        key = visit.place.key
        folder = not key or key.endswith("/")
        try:
            return await self._send(visit, key + site.index if folder else key)
        except NoisefsError as exc:
            failed, error = exc, failure_of(exc)
        if error.status == 304:
            return answers.whole(visit.ids, 304, error.headers)
        if not folder and error.status in _HIDDEN and await self._is_there(visit, f"{key}/{site.index}"):
            return _sent_on(visit, _FOUND, visit.origin.path_of(quote(f"{key}/")))
        ruled = self._ruled(visit, site, error.status)
        if ruled is None and error.status >= 500:
            raise failed
        return ruled or await self._refused(visit, site, error)

    async def _refused(self, visit: _Visit, site: Site, error: S3Error) -> Answer:
        """The site's own page about an error of the client's; else, and where that cannot be read, ours."""
        second = None
        if site.error:
            try:
                return await self._send(visit, site.error, error)
            except NoisefsError as exc:
                second = failure_of(exc)
        return _refusal(error, visit.ids, head=visit.head, second=second)

    async def _is_there(self, visit: _Visit, key: str) -> bool:
        try:
            await self._objects.head(visit.reader(key), visit.place.bucket, key)
        except NoisefsError:
            return False
        return True

    async def _send(self, visit: _Visit, key: str, error: S3Error | None = None) -> Answer:
        """An object as a page; with ``error``: all of it, whatever was asked for, as the page about that."""
        headers = visit.headers if error is None else {}
        condition = ANY if error is not None else read_condition(headers)
        if visit.head:
            version = await self._objects.head(visit.reader(key), visit.place.bucket, key, condition=condition)
            self._objects.check_key(version, None)
            span = byte_range(headers, version)
            start, end = span or (0, version.size)
            status, fields = _described(version, span, error)
            fields["Content-Length"] = str(end - start)
            return self._moved_object(visit, version, error) or answers.whole(visit.ids, status, fields, head=True)
        opening = await self._objects.open(
            visit.reader(key),
            visit.place.bucket,
            key,
            condition=condition,
            wanted=(lambda version: byte_range(headers, version) or (0, version.size)) if "range" in headers else None,
        )
        async with opening as opened:
            version = opened.version
            moved = self._moved_object(visit, version, error)
            if moved is not None:
                return moved
            status, fields = _described(version, byte_range(headers, version), error)
            size = opened.end - opened.start
            if size == 0:
                return answers.whole(visit.ids, status, fields)
            response = Answer(status, {**visit.ids, **fields})
            await response.pour(
                visit.request, lambda take: opened.chunks(take=take), size, self._settings.body_timeout_s
            )
            return response

    def _moved_object(self, visit: _Visit, version: Version, error: S3Error | None) -> Answer | None:
        location = version.headers.get(REDIRECT)
        if not location or error is not None:
            return None
        return _moved(visit, MOVED, visit.origin.url_of(location))


def _described(version: Version, span: tuple[int, int] | None, error: S3Error | None) -> tuple[int, dict[str, str]]:
    """Status and headers of a page."""
    status, fields = described({}, version, span)
    fields.pop(REDIRECT, None)
    if error is None:
        return status, fields
    return error.status, {**fields, **_told(error)}


def _told(error: S3Error) -> dict[str, str]:
    return {**error.headers, "x-amz-error-code": error.code, "x-amz-error-message": pages.line(str(error))}


def _moved(visit: _Visit, status: int, location: str) -> Answer:
    return answers.whole(visit.ids, status, {"Location": location}, head=visit.head)


def _sent_on(visit: _Visit, status: int, location: str) -> Answer:
    """A redirection that the site's configuration says: whatever was asked goes along."""
    query = visit.request.raw_path.partition("#")[0].partition("?")[2]
    if query:
        location += ("&" if "?" in location else "?") + quote(query, safe=_IN_QUERIES, errors="replace")
    return _moved(visit, status, location)


def _refusal(error: S3Error, ids: Mapping[str, str], *, head: bool, second: S3Error | None = None) -> Answer:
    body = b"" if head else pages.refusal(error, ids, second)
    return answers.whole(ids, error.status, {**_told(error), "Content-Type": pages.TYPE}, body, head=head)
