"""Amazon S3's REST API over the namespace: the one entry for every request."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.access_log.heard import Heard, Told
from noisefs.adapters.inbound.s3.access_log.recorder import Recorder
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.context import Context
from noisefs.adapters.inbound.s3.asking.needs import needs_of
from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper, Session
from noisefs.adapters.inbound.s3.body.incoming import Incoming
from noisefs.adapters.inbound.s3.call import Call, headers_of, hoist
from noisefs.adapters.inbound.s3.encryption import Encryptions
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of
from noisefs.adapters.inbound.s3.headers import check_built
from noisefs.adapters.inbound.s3.management.desk import Desk
from noisefs.adapters.inbound.s3.management.iam import Iam
from noisefs.adapters.inbound.s3.management.roles import RoleActions
from noisefs.adapters.inbound.s3.management.sts import Sts
from noisefs.adapters.inbound.s3.management.summary import Summary
from noisefs.adapters.inbound.s3.operations.access_logs import AccessLogOperations
from noisefs.adapters.inbound.s3.operations.acls import AclOperations
from noisefs.adapters.inbound.s3.operations.buckets import BucketOperations
from noisefs.adapters.inbound.s3.operations.configurations import DefaultEncryption, RequestPayment
from noisefs.adapters.inbound.s3.operations.copying import Copying, source_of
from noisefs.adapters.inbound.s3.operations.cors import Cors
from noisefs.adapters.inbound.s3.operations.lifecycle import LifecycleOperations
from noisefs.adapters.inbound.s3.operations.listing import Listing
from noisefs.adapters.inbound.s3.operations.locking import Locking
from noisefs.adapters.inbound.s3.operations.multipart import Multipart
from noisefs.adapters.inbound.s3.operations.notifications import NotificationOperations
from noisefs.adapters.inbound.s3.operations.posting import Posting
from noisefs.adapters.inbound.s3.operations.reading import Reading
from noisefs.adapters.inbound.s3.operations.renaming import Renaming
from noisefs.adapters.inbound.s3.operations.rights import RightsOperations
from noisefs.adapters.inbound.s3.operations.settings import Settings
from noisefs.adapters.inbound.s3.operations.sosapi import Sosapi
from noisefs.adapters.inbound.s3.operations.tagging import TaggingOperations
from noisefs.adapters.inbound.s3.operations.versioning import VersionOperations
from noisefs.adapters.inbound.s3.operations.writing import Writing
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.prompt import Prompt, PromptReads
from noisefs.adapters.inbound.s3.routing import UNKNOWN, Operation, Operations, Routes
from noisefs.adapters.inbound.s3.settings import S3Settings
from noisefs.adapters.inbound.s3.small_writes import MOST_BYTES, Done, SmallWrites
from noisefs.adapters.inbound.s3.subresources import subresource_of
from noisefs.adapters.inbound.s3.target import Target, decode, target_of
from noisefs.adapters.inbound.s3.website.configuration import WebsiteOperations
from noisefs.core.domain.requests import Asking
from noisefs.core.domain.rights.identity import canonical_id
from noisefs.core.domain.rights.ownership import Ownership
from noisefs.core.errors import (
    AccessDenied,
    CapacityExceeded,
    IntegrityError,
    NoisefsError,
    RequestTimeout,
    Unavailable,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Gauge, Histogram, Telemetry
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.identities import Identities
from noisefs.core.services.named_keys import NamedKeys
from noisefs.core.services.namespace.background.access_logs import AccessLogs
from noisefs.core.services.namespace.buckets.notifications import Notifications
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.acls import ObjectAcls
from noisefs.core.services.namespace.objects.renaming import Renames
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.objects.tagging import Tagging
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights
from noisefs.core.services.namespace.uploads.service import Uploads
from noisefs.core.services.namespace.versions.versioning import Versions
from noisefs.core.services.roles import Roles
from noisefs.core.services.tokens import Tokens
from noisefs.core.services.user_policies import UserPolicies

log = logging.getLogger(__name__)

DRAIN_BYTES: Final = 1 << 20
"""A refused body of up to this size is read and dropped, and the connection lives on; with a larger one the client is
told that the connection ends, so that it stops sending."""

_WRONG_IN_ITSELF: Final = (400, 501)
"""Statuses of requests of which that may have been found before anybody asked for rights."""


class S3Adapter:
    """Answers S3 requests of an ``aiohttp.web.Server`` with ``auto_decompress=False``. Task-safe."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        buckets: Buckets,
        objects: Objects,
        uploads: Uploads,
        versions: Versions,
        renames: Renames,
        bucket_rights: BucketRights,
        object_acls: ObjectAcls,
        identities: Identities,
        user_policies: UserPolicies,
        roles: Roles,
        tokens: Tokens,
        named_keys: NamedKeys,
        tagging: Tagging,
        access_logs: AccessLogs,
        notifications: Notifications,
        telemetry: Telemetry,
        clock: Clock,
        settings: S3Settings,
        free_bytes: Callable[[], int],
    ) -> None:
        """``free_bytes``: asked (in a thread) for what Veeam is told."""
        self._buckets = buckets
        self._sosapi = Sosapi(buckets=buckets, clock=clock, free_bytes=free_bytes, enabled=settings.sosapi)
        self._rights = bucket_rights
        self._telemetry = telemetry
        self._clock = clock
        self._settings = settings
        self._gatekeeper = Gatekeeper(accounts, tokens, telemetry, clock, settings)
        iam = Iam(accounts=accounts, identities=identities, policies=user_policies)
        self._desk = Desk(
            gatekeeper=self._gatekeeper,
            iam=iam,
            roles=RoleActions(roles=roles),
            summary=Summary(accounts=accounts, roles=roles),
            sts=Sts(tokens=tokens, roles=roles),
        )
        self._domain = None if settings.virtual_host_domain is None else settings.virtual_host_domain.lower()
        self._host_id = os.urandom(16).hex()
        self._open = 0
        self.access_log = Recorder(logs=access_logs, clock=clock, telemetry=telemetry, settings=settings)
        self._prompt = PromptReads(
            gatekeeper=self._gatekeeper,
            objects=objects,
            telemetry=telemetry,
            clock=clock,
            domain=self._domain,
            host_id=self._host_id,
        )
        self._small_writes = SmallWrites(
            gatekeeper=self._gatekeeper,
            objects=objects,
            telemetry=telemetry,
            clock=clock,
            domain=self._domain,
            host_id=self._host_id,
            max_put_bytes=settings.max_put_bytes,
            count_open=self._count_open,
        )
        bodies = XmlBodies(settings.max_xml_bytes, settings.body_timeout_s)
        limit = settings.max_put_bytes
        self.cors = Cors(buckets=buckets, bodies=bodies)
        """What browsers are told; for the web site endpoint too."""
        encryptions = Encryptions(buckets=buckets, rights=bucket_rights, named=named_keys)
        self._routes = Routes(
            Operations(
                access_logs=AccessLogOperations(logs=access_logs, bodies=bodies, region=settings.region),
                acls=AclOperations(rights=bucket_rights, acls=object_acls, bodies=bodies),
                buckets=BucketOperations(
                    buckets=buckets,
                    rights=bucket_rights,
                    bodies=bodies,
                    region=settings.region,
                    ownership=Ownership(settings.ownership),
                ),
                payment=RequestPayment(buckets=buckets, bodies=bodies),
                encryption=DefaultEncryption(buckets=buckets, bodies=bodies),
                copying=Copying(objects=objects, uploads=uploads, encryptions=encryptions),
                cors=self.cors,
                lifecycle=LifecycleOperations(buckets=buckets, objects=objects, bodies=bodies),
                listing=Listing(buckets=buckets, objects=objects, region=settings.region),
                locking=Locking(buckets=buckets, objects=objects, versions=versions, bodies=bodies),
                multipart=Multipart(
                    accounts=accounts, uploads=uploads, bodies=bodies, encryptions=encryptions, max_put_bytes=limit
                ),
                notifications=NotificationOperations(notifications=notifications, bodies=bodies),
                posting=Posting(
                    objects=objects,
                    gatekeeper=self._gatekeeper,
                    clock=clock,
                    ask=lambda call, session: self._asking(
                        session,
                        call.request,
                        call.target,
                        call.headers,
                        call.ids["x-amz-request-id"],
                    ),
                    encryptions=encryptions,
                    max_put_bytes=limit,
                ),
                reading=Reading(objects=objects, timeout_s=settings.body_timeout_s),
                renaming=Renaming(renames=renames),
                rights=RightsOperations(rights=bucket_rights, bodies=bodies),
                settings=Settings(buckets=buckets),
                tagging=TaggingOperations(buckets=buckets, objects=objects, tagging=tagging, bodies=bodies),
                versioning=VersionOperations(buckets=buckets, objects=objects, versions=versions, bodies=bodies),
                website=WebsiteOperations(buckets=buckets, bodies=bodies),
                writing=Writing(
                    objects=objects,
                    rights=bucket_rights,
                    bodies=bodies,
                    encryptions=encryptions,
                    max_put_bytes=limit,
                ),
            )
        )

    async def start(self) -> None:
        """Be ready for requests."""
        self.access_log.start()

    async def close(self) -> None:
        """Deliver what access logs still hold. Call it when no request is under way any more."""
        await self.access_log.close()

    def answer_at_once(self, message: RawRequestMessage, request_id: str) -> Prompt | None:
        """The whole answer to a read whose bytes are at hand; see :class:`.prompt.PromptReads`."""
        return self._prompt.answer(message, request_id)

    def begin_at_once(self, message: RawRequestMessage, body: bytes, request_id: str, done: Done) -> bool:
        """Begin a small write whose body is at hand; see :class:`.small_writes.SmallWrites`."""
        return self._small_writes.begin(message, body, request_id, done)

    begin_most_bytes = MOST_BYTES
    """The longest body that :meth:`begin_at_once` takes."""

    def invites(self, message: RawRequestMessage) -> bool:
        """Whether a PUT may be told to send its small body; see :meth:`.small_writes.SmallWrites.invites`."""
        return self._small_writes.invites(message)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Never raises but ``CancelledError``."""
        started_s = self._clock.monotonic_s()
        head = request.method == "HEAD"
        headers = headers_of(request.headers)
        incoming = Incoming(request, headers, self._settings.body_timeout_s)
        ids = self._ids(request)
        operation = UNKNOWN
        call: Call | None = None
        response: Answer
        told = Told()
        heard: Heard | None = None
        self._count_open(1)
        try:
            target = target_of(request.raw_path, headers.get("host", ""), self._domain)
            heard = self.access_log.hears(request, target, headers)
            if self._desk.takes(request.method, target, headers):
                operation, response = await self._desk.answer(
                    target, headers, incoming, ids, _client_of(request), self._keys_of(request, target, headers)
                )
            elif request.method == "OPTIONS":
                operation = "Preflight"
                response = self.cors.preflight(target, headers, ids)
            else:
                if "origin" in headers:
                    ids |= self.cors.headers_for(request.method, target, headers)
                call, found = self._admitted(request, target, headers, incoming, ids)
                operation = found.name
                call.logged = heard is not None
                await self._check_owners(call, found)
                response = await found.handler(call)
        except NoisefsError as exc:
            error = failure_of(exc)
            if error.status in _WRONG_IN_ITSELF:
                error = self._denied(call) or error
            _log_failure(operation, exc, error)
            told.error = error.code
            response = answers.refusal(error, _resource_of(request), ids, head=head)
        except ConnectionError:
            told.error = "RequestTimeout"
            response = answers.refusal(S3Error("RequestTimeout"), _resource_of(request), ids, head=head)
            response.force_close()
        except Exception:
            log.exception("s3.bug", extra={"operation": operation})
            told.error = "InternalError"
            response = answers.refusal(S3Error("InternalError"), _resource_of(request), ids, head=head)
        finally:
            self._count_open(-1)
        _settle_body(request, incoming, response)
        sent = response.rest_bytes if call is None or not call.sent_bytes else call.sent_bytes
        count = self._telemetry.count
        count(Counter.REQUESTS, labels=("s3", operation, str(response.status)))
        if incoming.received_bytes:
            count(Counter.BYTES_IN, incoming.received_bytes, ("s3",))
        if sent:
            count(Counter.BYTES_OUT, sent, ("s3",))
        seconds = self._clock.monotonic_s() - started_s
        self._telemetry.observe(Histogram.LATENCY, seconds, ("s3", operation))
        if heard is not None:
            told.sent_bytes, told.seconds, told.received_s = sent, seconds, incoming.ended_s or started_s
            self.access_log.note(heard, call, response, ids, told)
        return response

    def _admitted(
        self,
        request: web.BaseRequest,
        target: Target,
        headers: dict[str, str],
        incoming: Incoming,
        ids: Mapping[str, str],
    ) -> tuple[Call, Operation]:
        """Who wants what. Raises ``S3Error`` where nobody may, or nothing is."""
        client = _client_of(request)
        session = self._gatekeeper.admit(request.method, target, headers, client, request._message)
        if session.presigned:
            hoist(headers, target.params)
        session = self._asking(session, request, target, headers, ids["x-amz-request-id"])
        try:
            check_built(headers)
        except S3Error:
            if target.bucket:  # who may not do it at all is told that
                self._rights.check(session.principal, target.bucket)
            raise
        found = self._sosapi.beside(target, self._routes.find(request.method, target, headers))
        return Call(request, target, headers, session, incoming, ids), found

    def _asking(
        self,
        session: Session,
        request: web.BaseRequest,
        target: Target,
        headers: Mapping[str, str],
        request_id: str,
    ) -> Session:
        """The session of somebody who says what for."""
        context = self._keys_of(request, target, headers)(session)
        sub = subresource_of(target) if target.params else ""
        asking = Asking(needs_of(request.method, target, sub, headers), context, request_id=request_id)
        return msgspec.structs.replace(session, principal=session.principal.who_asks(asking))

    def _keys_of(
        self, request: web.BaseRequest, target: Target, headers: Mapping[str, str]
    ) -> Callable[[Session], Context]:
        """Gives the condition keys of a request, once it is known who asks."""
        return lambda session: Context(
            target,
            headers,
            session,
            client=_client_of(request),
            secure=(request.get("scheme") or request.scheme) == "https",
            region=self._settings.region,
            now_us=self._clock.now_us(),
        )

    def _denied(self, call: Call | None) -> S3Error | None:
        """The answer to a malformed request of somebody who may not do it anyway: that comes first, as on S3."""
        asking = None if call is None else call.who.asking
        if call is None or asking is None or not asking.needs:
            return None
        try:
            self._rights.check(call.who, call.bucket)
        except AccessDenied as exc:
            return failure_of(exc)
        except NoisefsError:
            pass
        return None

    async def _check_owners(self, call: Call, operation: Operation) -> None:
        """Refuse a request that expects somebody else to own a bucket."""
        expected = call.headers.get("x-amz-expected-bucket-owner")
        if expected and call.bucket and operation.name != "CreateBucket":
            await self._check_owner(call, call.bucket, expected)
        expected = call.headers.get("x-amz-source-expected-bucket-owner")
        if expected and "x-amz-copy-source" in call.headers:
            await self._check_owner(call, source_of(call.headers["x-amz-copy-source"]).bucket, expected)

    async def _check_owner(self, call: Call, name: str, expected: str) -> None:
        bucket = await self._buckets.get(call.who, name)
        if expected not in (bucket.owner, canonical_id(bucket.owner), call.who.account):
            raise S3Error("AccessDenied")

    def _ids(self, request: web.BaseRequest) -> dict[str, str]:
        """The headers that every answer carries. The gateway names a request; without it the adapter does."""
        name = request.get("request_id") or os.urandom(8).hex().upper()
        return {"x-amz-request-id": str(name), "x-amz-id-2": self._host_id, "Server": answers.SERVER}

    def _count_open(self, change: int) -> None:
        self._open += change
        self._telemetry.gauge(Gauge.OPEN_REQUESTS, self._open, ("s3",))


def _client_of(request: web.BaseRequest) -> str:
    return str(request.get("client") or request.remote or "")


def _settle_body(request: web.BaseRequest, incoming: Incoming, response: Answer) -> None:
    """Decide what becomes of a connection whose request body was not read to its end.

    aiohttp reads and drops the rest for some seconds, so that a client that sends first and reads later gets to see the
    answer. Where the client waits for ``100 Continue`` nobody can tell whether a body still follows: then, and for a
    large rest, the connection ends.
    """
    if response.prepared or request.content.is_eof():
        return
    if incoming.timed_out or incoming.waits_for_invitation or incoming.remaining_bytes > DRAIN_BYTES:
        response.force_close()


def _resource_of(request: web.BaseRequest) -> str:
    """What an error answer says it is about."""
    path = request.raw_path.partition("?")[0]
    try:
        return decode(path)
    except S3Error:
        return path


def _log_failure(operation: str, error: NoisefsError, answer: S3Error) -> None:
    """A line for errors that are the server's, with what is broken and never with the name of what it belongs to."""
    if isinstance(error, IntegrityError) or answer.status == 500:
        log.error("s3.failed", extra={"operation": operation}, exc_info=error)
    elif isinstance(error, Unavailable | CapacityExceeded) and not isinstance(error, RequestTimeout):
        log.warning("s3.failed", extra={"operation": operation, "error": type(error).__name__})
