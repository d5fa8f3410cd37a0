"""The short way for the most frequent writes: PUT of a small body that has arrived whole, and DELETE.

The request is checked, hashed and sealed in one go and queued for the commit; the answer leaves where the commit ends.
There is no task, no request and no response object. SDKs frame a body in chunks with a checksum behind it, and wait to
be told to send it; both are at home here. Whatever is out of the ordinary takes the long way, which answers
everything; so does a request whose commit fails: nothing of it was written, and the long way finds what to say.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper, Session
from noisefs.adapters.inbound.s3.body.checksums import declared_of
from noisefs.adapters.inbound.s3.body.chunks import ChunkDecoder
from noisefs.adapters.inbound.s3.conditions import delete_condition, write_condition
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of
from noisefs.adapters.inbound.s3.headers import attributes_of
from noisefs.adapters.inbound.s3.object_lock import wish_of
from noisefs.adapters.inbound.s3.operations.writing import removed_headers, written_headers
from noisefs.adapters.inbound.s3.prompt import Prompt
from noisefs.adapters.inbound.s3.short_heads import ShortHeads
from noisefs.adapters.inbound.s3.short_requests import plain_request
from noisefs.adapters.inbound.s3.target import Target, decode
from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.buckets.object_lock import NO_WISH
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import Removed
from noisefs.core.errors import NoisefsError, SlowDown
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.services.bodies.ingest import LOOP_BYTES
from noisefs.core.services.namespace.objects.service import Objects

log = logging.getLogger(__name__)

Done = Callable[[Prompt | None], None]
"""Is given the answer, once; ``None``: the request takes the long way after all."""

_OPERATIONS: Final = {"PUT": "PutObject", "DELETE": "DeleteObject"}
MOST_BYTES: Final = 1 << 17
"""The longest body, with its framing. What is too long to be hashed and sealed on the loop gets a task that has it done
by a worker: still a third less to do on the loop than the long way has."""
_BODIES_MOST_BYTES: Final = 16 << 20
"""Bodies of such tasks together: further ones take the long way, whose memory is bounded as a whole."""
_DIGITS_MOST: Final = 19
_UNUSUAL: Final = frozenset(
    {
        "origin",
        "x-amz-copy-source",
        "x-amz-expected-bucket-owner",
        "x-amz-rename-source",
        "x-amz-source-expected-bucket-owner",
    }
)
"""Headers with which a request takes the long way."""


class SmallWrites:
    """Begins writes at once or not at all. Belongs to the event loop."""

    def __init__(
        self,
        *,
        gatekeeper: Gatekeeper,
        objects: Objects,
        telemetry: Telemetry,
        clock: Clock,
        domain: str | None,
        host_id: str,
        max_put_bytes: int,
        count_open: Callable[[int], None],
    ) -> None:
        """``count_open`` is told when a request begins (1) and ends (-1)."""
        self._gatekeeper = gatekeeper
        self._objects = objects
        self._telemetry = telemetry
        self._clock = clock
        self._domain = domain
        self._heads = ShortHeads(host_id, clock)
        self._max_put_bytes = max_put_bytes
        self._count_open = count_open
        self._tasks: set[asyncio.Task[Version]] = set()
        self._held_bytes = 0

    def begin(self, message: RawRequestMessage, body: bytes, request_id: str, done: Done) -> bool:
        """Begin a write whose whole body is ``body``; tells whether. Only then ``done`` is called, later.

        Nothing is counted or logged of what takes the long way. Never raises. Cost: some 100 us on the loop.
        """
        operation = _OPERATIONS.get(message.method)
        if operation is None:
            return False
        began_s = self._clock.monotonic_s()
        try:
            committed = self._queued(message, body)
        except NoisefsError:
            return False  # the long way finds the same and tells it
        except Exception:
            log.exception("s3.bug", extra={"operation": operation})
            return False
        if committed is None:
            return False
        self._count_open(1)

        def ended(committed: asyncio.Future[Version] | asyncio.Future[Removed]) -> None:
            self._count_open(-1)
            found = self._answer(committed, operation, request_id, message.path)
            if found is not None:
                labels = ("s3", operation)
                self._telemetry.count(Counter.REQUESTS, 1, (*labels, str(found.status)))
                if body:
                    self._telemetry.count(Counter.BYTES_IN, len(body), ("s3",))
                self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - began_s, labels)
            done(found)

        committed.add_done_callback(ended)
        return True

    def invites(self, message: RawRequestMessage) -> bool:
        """Whether a PUT may be told to send its body, which :meth:`begin` is given then. Never raises.

        Everything is checked that the long way checks before it says so. Cost: some 30 us on the loop.
        """
        try:
            found = plain_request(message, _UNUSUAL, self._gatekeeper, self._domain)
            if message.method != "PUT" or found is None:
                return False
            session, target, headers = found
            if headers.get("expect", "").lower() != "100-continue" or not _is_framed(headers):
                return False
            if _size_of(headers, session) > self._max_put_bytes or wish_of(headers) is not NO_WISH:
                return False
            if "x-amz-acl" in headers or any(name.startswith("x-amz-grant-") for name in headers):
                return False  # the bucket has a say in it
            declared_of(headers, session.sha256, trailing=session.trailing)
            attributes_of(headers)
            condition = write_condition(headers)
            self._objects.quick.check_write(session.principal, target.bucket, target.key, condition)
        except NoisefsError:
            return False  # the long way finds the same and tells it
        except Exception:
            log.exception("s3.bug", extra={"operation": "PutObject"})
            return False
        return True

    def _queued(
        self, message: RawRequestMessage, body: bytes
    ) -> asyncio.Future[Version] | asyncio.Future[Removed] | None:
        found = plain_request(message, _UNUSUAL, self._gatekeeper, self._domain)
        if found is None:
            return None
        session, target, headers = found
        if message.method == "PUT":
            return self._put(session, target, headers, body)
        if body or session.streaming:
            return None
        condition = delete_condition(headers)
        return self._objects.begin_delete(session.principal, target.bucket, target.key, condition=condition)

    def _put(
        self, session: Session, target: Target, headers: Mapping[str, str], body: bytes
    ) -> asyncio.Future[Version] | None:
        if not _is_framed(headers) or len(body) > self._max_put_bytes:
            return None
        declared = declared_of(headers, session.sha256, trailing=session.trailing)
        trailers: Mapping[str, str] = {}
        if session.streaming:
            decoder = ChunkDecoder(_size_of(headers, session), session.chunks, trailing=session.trailing)
            body = b"".join(decoder.feed(body))
            decoder.finish()
            trailers = decoder.trailers
        who, condition, wish = session.principal, write_condition(headers), wish_of(headers)
        if len(body) <= LOOP_BYTES:
            return self._objects.put_small(
                who,
                target.bucket,
                target.key,
                body,
                attributes_of(headers),
                condition=condition,
                digests=declared.digests,
                verify=lambda digested: declared.verify(digested, trailers),
                lock=wish,
            )
        if self._held_bytes + len(body) > _BODIES_MOST_BYTES:
            return None
        if self._objects.quick.check_write(who, target.bucket, target.key, condition).durability != LOCAL:
            return None  # it would wait for nodes, and what it comes to then must not be asked a second time
        task = asyncio.create_task(
            self._objects.put(
                who,
                target.bucket,
                target.key,
                _once(body),
                attributes_of(headers),
                condition=condition,
                digests=declared.digests,
                verify=lambda digested: declared.verify(digested, trailers),
                lock=wish,
            )
        )
        self._hold(task, len(body))
        return task

    def _hold(self, task: asyncio.Task[Version], size_bytes: int) -> None:
        """Keep a task and count its body until it ends."""

        def ended(task: asyncio.Task[Version]) -> None:
            self._tasks.discard(task)
            self._held_bytes -= size_bytes

        self._tasks.add(task)
        self._held_bytes += size_bytes
        task.add_done_callback(ended)

    def _answer(
        self, committed: asyncio.Future[Version] | asyncio.Future[Removed], operation: str, request_id: str, path: str
    ) -> Prompt | None:
        if committed.cancelled():
            return None
        failed = committed.exception()
        if isinstance(failed, SlowDown):
            log.warning("s3.failed", extra={"operation": operation, "error": type(failed).__name__})
            return self._refusal(failed, request_id, path)
        if failed is not None:
            return None
        try:
            written = committed.result()
            if isinstance(written, Version):
                status, fields = 200, {**written_headers(written), "Content-Length": "0"}
            else:
                status, fields = 204, removed_headers(written)
            return Prompt(status, self._heads.head(status, fields, request_id), b"")
        except Exception:
            log.exception("s3.bug", extra={"operation": operation})
            return None

    def _refusal(self, failed: SlowDown, request_id: str, path: str) -> Prompt:
        """The answer to a write that has waited as long as it may: on the long way it would wait as long again."""
        error = failure_of(failed)
        body = error.xml(decode(path.partition("?")[0]), request_id, self._heads.host_id)
        fields = {**error.headers, "Content-Type": "application/xml", "Content-Length": str(len(body))}
        return Prompt(error.status, self._heads.head(error.status, fields, request_id), body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _is_framed(headers: Mapping[str, str]) -> bool:
    """Whether a request says where its body ends."""
    return "content-length" in headers or "transfer-encoding" in headers


def _size_of(headers: Mapping[str, str], session: Session) -> int:
    """The bytes that a body has by its own word, without any framing; 0 where only its end will tell.

    Raises:
        S3Error: ``MissingContentLength``.
    """
    text = headers.get("x-amz-decoded-content-length" if session.streaming else "content-length", "")
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MOST:
        return int(text)
    if session.streaming:
        raise S3Error("MissingContentLength")
    return 0
