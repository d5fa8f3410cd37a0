"""The short way for the most frequent requests: reads of small objects, and HEAD.

Where everything that an answer needs is at hand, it is made in one go, from the request's head to the bytes that leave:
without a task, a request object, a response object or a thread. Whatever is out of the ordinary (an error, a condition,
a sub-resource, bytes on a disk) is not answered here, and takes the long way, which answers everything.
"""

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3.answers import UNWATCHED_MOST
from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper
from noisefs.adapters.inbound.s3.conditions import byte_range
from noisefs.adapters.inbound.s3.headers import described
from noisefs.adapters.inbound.s3.short_heads import ShortHeads
from noisefs.adapters.inbound.s3.short_requests import plain_request
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.services.namespace.objects.service import Objects, Wanted

log = logging.getLogger(__name__)

_OPERATIONS: Final = {"GET": "GetObject", "HEAD": "HeadObject"}
_UNUSUAL: Final = frozenset(
    {
        "content-length",
        "expect",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "origin",
        "transfer-encoding",
        "x-amz-expected-bucket-owner",
    }
)
"""Headers with which a request takes the long way."""


class Prompt(NamedTuple):
    """A whole answer: its head, with the empty line, and its body, which may be empty."""

    status: int
    head: bytes
    body: bytes | memoryview


class PromptReads:
    """Answers at once or not at all. Task-safe."""

    def __init__(
        self,
        *,
        gatekeeper: Gatekeeper,
        objects: Objects,
        telemetry: Telemetry,
        clock: Clock,
        domain: str | None,
        host_id: str,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._quick = objects.quick
        self._telemetry = telemetry
        self._clock = clock
        self._domain = domain
        self._heads = ShortHeads(host_id, clock)

    def answer(self, message: RawRequestMessage, request_id: str) -> Prompt | None:
        """The answer to a request without a body, on a connection that lives on; ``None``: it takes the long way.

        Nothing is counted or logged unless it is answered. Never raises. Cost: some 60 us.
        """
        operation = _OPERATIONS.get(message.method)
        if operation is None:
            return None
        began_s = self._clock.monotonic_s()
        try:
            found = self._answer(message, request_id)
        except NoisefsError:
            return None  # the long way finds the same and tells it
        except Exception:
            log.exception("s3.bug", extra={"operation": operation})
            return None
        if found is not None:
            labels = ("s3", operation)
            self._telemetry.count(Counter.REQUESTS, 1, (*labels, str(found.status)))
            if found.body:
                self._telemetry.count(Counter.BYTES_OUT, len(found.body), ("s3",))
            self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - began_s, labels)
        return found

    def _answer(self, message: RawRequestMessage, request_id: str) -> Prompt | None:
        found = plain_request(message, _UNUSUAL, self._gatekeeper, self._domain)
        if found is None:
            return None
        session, target, headers = found
        who = session.principal
        ranged = "range" in headers
        if message.method == "HEAD":
            version = self._quick.look(who, target.bucket, target.key)
            span = byte_range(headers, version) if ranged else None
            start, end = span or (0, version.size)
            body: bytes | memoryview = b""
        else:
            wanted = _span_of(headers) if ranged else None
            read = self._quick.read(who, target.bucket, target.key, wanted, UNWATCHED_MOST)
            if read is None:
                return None
            version, start, end, body = read
            span = byte_range(headers, version) if ranged else None
        status, fields = described(headers, version, span)
        return Prompt(status, self._heads.head(status, fields | {"Content-Length": str(end - start)}, request_id), body)


def _span_of(headers: Mapping[str, str]) -> Wanted:
    return lambda version: byte_range(headers, version) or (0, version.size)
